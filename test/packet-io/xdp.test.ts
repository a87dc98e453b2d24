import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LinkCounters } from '../../src/packet-io/packet-io.ts';
import { xdp } from '../../src/packet-io/xdp.ts';
import { collect, frameOn } from './conformance.ts';
import { createLiveRig, type LiveRig, type LiveSubject, liveConformance } from './live-conformance.ts';
import { AgentProgram } from './support/agent-process.ts';
import { namespacesRefused } from './support/namespaces.ts';

const subject: LiveSubject = {
  kind: 'xdp',
  refused: await xdp.unavailable(),
  losesFirstFrame: false,
  linkDownRefused: null,
};

for (const xdpMode of ['generic', 'native'] as const) {
  describe(`every frame taken by an XDP program, ${xdpMode}`, () => {
    const noSuperFrames = xdpMode === 'native' ? 'veth has them cut before its native XDP' : null;
    liveConformance({ ...subject, noSuperFrames, options: { xdpMode, xdpTakesAll: true } });
  });
}

describe('nothing taken, all let pass', () => {
  liveConformance(subject);
});

/** The same through Node's own foreign functions, where this Node has them. */
describe('every frame taken, with node:ffi instead of a compiled package', () => {
  const refused = hasNodeFfi() ? subject.refused : `Node ${process.versions.node} has no node:ffi`;
  liveConformance({ ...subject, refused, options: { xdpTakesAll: true }, environment: { UIPVS_FFI: 'node' } });
});

function hasNodeFfi(): boolean {
  try {
    createRequire(import.meta.url)('node:ffi');
    return true;
  } catch {
    return false;
  }
}

const refused = subject.refused ?? namespacesRefused();
describe.skipIf(refused !== null)(`xdp: past the stack${refused === null ? '' : ` (skipped: ${refused})`}`, () => {
  let program: AgentProgram;
  let rig: LiveRig;
  beforeAll(async () => {
    program = new AgentProgram();
    rig = await createLiveRig(program, { ...subject, options: { xdpTakesAll: true } }, 2);
  });
  afterAll(async () => {
    await rig?.close();
    program?.remove();
  });

  const linkCounters = async (name: string): Promise<LinkCounters> => {
    const all: LinkCounters[] = await rig.agent.order('linkCounters');
    return all.find(({ link }) => link === name) as LinkCounters;
  };
  const settled = () => new Promise((resolve) => setTimeout(resolve, 50));

  test('a frame that came by one AF_XDP socket leaves by that of another link', async () => {
    await rig.agent.order('bridge', { links: rig.links });
    const before = [(await linkCounters('d0')).xdp, (await linkCounters('d1')).xdp] as { received: number }[];
    const frames = Array.from({ length: 300 }, (_, i) => frameOn(rig.outsideLinks[0]!, `number ${i}`));
    await rig.outside.send(frames, false);
    const seen = await collect(rig.outside, 300);
    expect(seen.map(({ link, frame }) => [link, frame])).toEqual(
      frames.map(({ frame }) => [rig.outsideLinks[1], frame]),
    );
    await rig.agent.order('bridge', { links: null });
    // Neighbours of the host may say something as well.
    const after = [(await linkCounters('d0')).xdp, (await linkCounters('d1')).xdp];
    expect(after[0]).toMatchObject({ mode: 'generic' });
    expect((after[0] as { received: number }).received - (before[0]?.received ?? 0)).toBeGreaterThanOrEqual(300);
    expect((after[1] as { transmitted: number }).transmitted).toBeGreaterThanOrEqual(300);
  });

  test('a socket whose chunks are used up loses the newest frames, counts them, and goes on', async () => {
    await rig.agent.order('pause', { on: true });
    await settled();
    for (let count = 1; count > 0; ) count = (await rig.agent.order('once')).length;
    const before = await linkCounters('d0');
    const frame = frameOn(0, 'too many').frame;
    const sent: number = await rig.far.order('flood', { link: rig.outsideLinks[0], frame, durationMs: 300 });
    await settled();
    const full = await linkCounters('d0');
    expect(full.ring?.peak).toBeGreaterThanOrEqual(4096);
    const drops = full.receiveDrops - before.receiveDrops;
    expect(drops).toBeGreaterThan(0);
    let received = 0;
    for (let count = 1; count > 0; received += count) count = (await rig.agent.order('once')).length;
    expect(received + drops).toBe(sent);
    expect((await linkCounters('d0')).ring?.waiting).toBe(0);
    await rig.agent.order('pause', { on: false });
    await rig.outside.send([frameOn(rig.outsideLinks[0]!, 'next')]);
    await settled();
    const texts = (await rig.subject.seen()).map(({ frame: hex }) => Buffer.from(hex, 'hex').toString('latin1'));
    expect(texts.some((text) => text.includes('next'))).toBe(true);
  });

  for (const [missing, words, sentence] of [
    [
      'the right to use BPF',
      ['setpriv', '--bounding-set=-bpf,-sys_admin'],
      /^the right CAP_BPF is missing.*CAP_IPC_LOCK/,
    ],
    [
      'locked memory',
      ['setpriv', '--bounding-set=-ipc_lock', 'prlimit', '--memlock=8388608:8388608'],
      /^the limit of locked memory is too low; raise it.*packet-ring does without$/,
    ],
  ] as const) {
    test(`without ${missing} it says so, and the way out`, (context) => {
      if (!existsSync('/usr/bin/setpriv') || !existsSync('/usr/bin/prlimit'))
        return context.skip('needs setpriv, prlimit');
      const script = `import('${program.folder}/src/packet-io/xdp.js').then(async ({ xdp }) => console.log(await xdp.unavailable()))`;
      const said = execFileSync(words[0], [...words.slice(1), process.execPath, '-e', script], { encoding: 'utf8' });
      expect(said.trim()).toMatch(sentence);
    });
  }

  test('links that are attached and detached again and again leave no memory behind and frames that read as zeros', async () => {
    for (let i = 0; i < 40; i++) {
      for (const place of [0, 1]) await rig.subject.detach(place);
      for (const place of [0, 1]) await rig.subject.attach(place);
      await rig.outside.send([frameOn(rig.outsideLinks[0]!, `round ${i}`)]);
      expect(await collect(rig.subject, 1)).toHaveLength(1);
      expect((await linkCounters('d0')).xdp).toMatchObject({ mode: 'generic' });
    }
    await rig.subject.detach(1);
    await rig.agent.order('pause', { on: true });
    await rig.agent.order('once');
    await rig.outside.send([frameOn(rig.outsideLinks[0]!, 'a'), frameOn(rig.outsideLinks[0]!, 'b')]);
    await settled();
    expect(await rig.agent.order('once')).toEqual([rig.links[0], rig.links[0]]);
    // The last link takes the memory of all frames with it.
    const held = await rig.agent.order('detachAndSend', { index: rig.links[0], egress: rig.links[1] });
    expect(held).toEqual({ before: [0xff, 0xff], after: [0, 0], sent: 0 });
    await rig.agent.order('pause', { on: false });
  });
});
