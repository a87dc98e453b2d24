import { describe, expect, test } from 'vitest';
import { chooseDataPlane, type DataPlaneKind } from '../../src/cli/choose-data-plane.ts';
import type { DaemonCommandLine } from '../../src/cli/daemon-options.ts';

const kind = (name: string, reason: string | null): DataPlaneKind => ({
  name,
  summary: name,
  unavailable: async () => reason,
  open: () => Promise.reject(new Error('not opened here')),
});
const choose = (dataPlane: string, ...kinds: DataPlaneKind[]) =>
  chooseDataPlane(kinds, { dataPlane } as DaemonCommandLine, []);

describe('auto', () => {
  test('takes the first that works', async () => {
    const chosen = await choose('auto', kind('packet', null), kind('proxy', null));
    expect(chosen).toMatchObject({ kind: { name: 'packet' }, why: 'the best that works here', secondBest: false });
  });

  test('says why better ones were passed over', async () => {
    const chosen = await choose('auto', kind('packet', 'needs root'), kind('proxy', null));
    expect(chosen).toMatchObject({
      kind: { name: 'proxy' },
      why: 'better ones do not work here: packet: needs root',
      secondBest: true,
    });
  });

  test('takes one that volunteers, with its reason, and leaves out one that does not', async () => {
    const kernel = (offer: string | null) => ({ ...kind('kernel', null), volunteers: async () => offer });
    expect(await choose('auto', kernel('it is loaded'), kind('packet', null))).toEqual({
      kind: expect.objectContaining({ name: 'kernel' }),
      why: 'it is loaded',
      secondBest: false,
    });
    expect(await choose('auto', kernel(null), kind('packet', null))).toMatchObject({
      kind: { name: 'packet' },
      why: 'the best that works here',
      secondBest: false,
    });
    const refused = { ...kernel('it is loaded'), unavailable: async () => 'needs root' };
    expect(await choose('auto', refused, kind('packet', null))).toMatchObject({
      kind: { name: 'packet' },
      why: 'better ones do not work here: kernel: needs root',
    });
  });

  test('passes over in silence what does not know the options', async () => {
    const proxy = { ...kind('proxy', null), fits: () => false };
    await expect(choose('auto', kind('packet', 'needs root'), proxy)).rejects.toThrow(/^needs root$/);
    expect(await choose('auto', kind('packet', null), proxy)).toMatchObject({ why: 'the only one with these options' });
  });

  test('refuses with all reasons when nothing works', async () => {
    await expect(choose('auto', kind('packet', 'needs root'), kind('proxy', 'no'))).rejects.toMatchObject({
      code: 'EOPNOTSUPP',
      message: 'no data plane works here: packet: needs root; proxy: no',
    });
    // What stops all of them is said once.
    const both = choose('auto', kind('packet', 'needs root'), kind('proxy', 'needs root'));
    await expect(both).rejects.toThrow(/^needs root$/);
  });
});

describe('a data plane that was named', () => {
  test('is taken, whatever else works', async () => {
    expect(await choose('proxy', kind('packet', null), kind('proxy', null))).toMatchObject({ kind: { name: 'proxy' } });
  });

  test('is never replaced', async () => {
    await expect(choose('packet', kind('packet', 'needs root'), kind('proxy', null))).rejects.toThrow('needs root');
    await expect(choose('kernel', kind('packet', null))).rejects.toThrow('there is no data plane kernel here');
  });
});
