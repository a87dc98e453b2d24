import { describe, expect, test } from 'vitest';
import { SyncDaemons } from '../../src/balance/sync-daemons.ts';
import type { SyncDaemonSpec } from '../../src/model/commands.ts';
import { expectRefusal } from './support.ts';

const MTUS: Readonly<Record<string, number>> = { c0: 1500, jumbo: 9000, tiny: 576 };
const surroundings = { mtuOf: (name: string) => MTUS[name] ?? null, hasMixedFamilies: false };

function daemon(changes: Partial<SyncDaemonSpec> = {}): SyncDaemonSpec {
  return { role: 'master', interface: 'c0', syncId: 0, maxLength: 0, group: '', port: 0, ttl: 0, ...changes };
}

describe('a synchronisation daemon', () => {
  test('gets the defaults of IPVS for what was left open', () => {
    expect(new SyncDaemons().start(daemon(), surroundings)).toEqual(
      daemon({ maxLength: 1472, group: '224.0.0.81', port: 8848, ttl: 1 }),
    );
  });

  test('keeps what was asked for', () => {
    const wanted = daemon({ syncId: 7, maxLength: 1000, group: 'ff02::81', port: 9000, ttl: 5 });
    const daemons = new SyncDaemons();
    expect(daemons.start(wanted, surroundings)).toEqual(wanted);
    expect(daemons.find('master')).toEqual(wanted);
    expect(daemons.find('backup')).toBeNull();
  });

  test.each([
    ['master', 0, 'c0', '224.0.0.81', 1472],
    ['master', 0, 'c0', 'ff02::81', 1452],
    ['master', 0, 'jumbo', '224.0.0.81', 1472],
    ['master', 1, 'c0', '224.0.0.81', 1],
    ['master', 65_535, 'c0', '224.0.0.81', 65_507],
    ['backup', 0, 'c0', '224.0.0.81', 1472],
    ['backup', 0, 'jumbo', '224.0.0.81', 8972],
    ['backup', 0, 'jumbo', 'ff02::81', 8952],
    ['backup', 0, 'tiny', '224.0.0.81', 1472],
    ['backup', 1, 'c0', '224.0.0.81', 1024],
    ['backup', 65_535, 'c0', 'ff02::81', 65_487],
  ] as const)('%s with %i bytes on %s to %s has messages of %5$i bytes', (role, maxLength, name, group, bytes) => {
    const started = new SyncDaemons().start(daemon({ role, maxLength, interface: name, group }), surroundings);
    expect(started.maxLength).toBe(bytes);
  });

  test('runs once in each role, and the master is listed first', () => {
    const daemons = new SyncDaemons();
    daemons.start(daemon({ role: 'backup' }), surroundings);
    daemons.start(daemon(), surroundings);
    expectRefusal('EEXIST', () => daemons.start(daemon(), surroundings));
    expect(daemons.list().map(({ role }) => role)).toEqual(['master', 'backup']);
    daemons.stop('master');
    expect(daemons.list().map(({ role }) => role)).toEqual(['backup']);
    expectRefusal('ESRCH', () => daemons.stop('master'));
    expect(daemons.isAnyRunning).toBe(true);
    daemons.stop('backup');
    expect(daemons.isAnyRunning).toBe(false);
  });

  test('is refused for an unknown interface before it is for running already', () => {
    const daemons = new SyncDaemons();
    daemons.start(daemon(), surroundings);
    expectRefusal('ENODEV', () => daemons.start(daemon({ interface: 'nosuch0' }), surroundings));
  });

  test.each([
    { group: '10.0.0.1' },
    { group: 'fd00::81' },
    { group: 'somewhere' },
    { interface: '' },
    { syncId: 256 },
    { syncId: -1 },
    { port: 65_536 },
    { ttl: 256 },
    { maxLength: 65_536 },
    { role: 'slave' },
  ])('is refused with %j', (changes) => {
    expectRefusal('EINVAL', () => new SyncDaemons().start(daemon(changes as Partial<SyncDaemonSpec>), surroundings));
  });

  test('is refused while a destination is of another family than its service', () => {
    expectRefusal('EINVAL', () => new SyncDaemons().start(daemon(), { ...surroundings, hasMixedFamilies: true }));
  });
});
