import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LinkCounters } from '../../src/packet-io/packet-io.ts';
import { packetRing } from '../../src/packet-io/packet-ring.ts';
import { collect, frameOn } from './conformance.ts';
import { createLiveRig, type LiveRig, type LiveSubject, liveConformance } from './live-conformance.ts';
import { AgentProgram } from './support/agent-process.ts';
import { namespacesRefused } from './support/namespaces.ts';

const subject: LiveSubject = {
  kind: 'packet-ring',
  refused: await packetRing.unavailable(),
  losesFirstFrame: false,
  linkDownRefused: null,
};
liveConformance(subject);

/** The same through Node's own foreign functions, where this Node has them. */
describe('with node:ffi instead of a compiled package', () => {
  liveConformance({ ...subject, refused: nodeFfiRefused(), environment: { UIPVS_FFI: 'node' } });
});

function nodeFfiRefused(): string | null {
  try {
    createRequire(import.meta.url)('node:ffi');
    return subject.refused;
  } catch {
    return `Node ${process.versions.node} has no node:ffi`;
  }
}

const refused = subject.refused ?? namespacesRefused();
describe.skipIf(refused !== null)(
  `packet-ring: when it gets tight${refused === null ? '' : ` (skipped: ${refused})`}`,
  () => {
    let program: AgentProgram;
    let rig: LiveRig;
    beforeAll(async () => {
      program = new AgentProgram();
      rig = await createLiveRig(program, subject, 2);
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

    test('a ring that overflows loses the newest frames, counts them, and goes on', async () => {
      await rig.agent.order('pause', { on: true });
      const frame = frameOn(0, 'too many').frame;
      const sent: number = await rig.far.order('flood', { link: rig.outsideLinks[0], frame, durationMs: 300 });
      await settled();
      const full = await linkCounters('d0');
      expect(full.ring).toMatchObject({ waiting: full.ring?.slots, peak: full.ring?.slots });
      expect(full.receiveDrops).toBeGreaterThan(0);
      let received = 0;
      for (let count = 1; count > 0; received += count) count = (await rig.agent.order('once')).length;
      expect(received + full.receiveDrops).toBe(sent);
      const after = await linkCounters('d0');
      expect(after).toMatchObject({ received, ring: { waiting: 0 } });
      expect((await rig.subject.counters()).receiveDrops).toBe(after.receiveDrops);
      await rig.agent.order('pause', { on: false });
      await rig.outside.send([frameOn(rig.outsideLinks[0]!, 'next')]);
      expect(await collect(rig.subject, 1)).toHaveLength(1);
    });

    test('frames of a link that is detached before they are sent read as zeros and are counted, not sent', async () => {
      await rig.agent.order('pause', { on: true });
      await rig.agent.order('once');
      await rig.outside.send([frameOn(rig.outsideLinks[0]!, 'a'), frameOn(rig.outsideLinks[0]!, 'b')]);
      await settled();
      expect(await rig.agent.order('once')).toEqual([rig.links[0], rig.links[0]]);
      const before = (await rig.subject.counters()).transmitErrors['detached'] ?? 0;
      const held = await rig.agent.order('detachAndSend', { index: rig.links[0], egress: rig.links[1] });
      expect(held).toEqual({ before: [0xff, 0xff], after: [0, 0], sent: 0 });
      expect((await rig.subject.counters()).transmitErrors['detached']).toBe(before + 2);
      await rig.agent.order('pause', { on: false });
      // Again and again: places in the arena are used anew.
      for (let i = 0; i < 20; i++) {
        await rig.subject.attach(0);
        await rig.outside.send([frameOn(rig.outsideLinks[0]!, `round ${i}`)]);
        expect(await collect(rig.subject, 1)).toHaveLength(1);
        await rig.subject.detach(0);
      }
      await rig.subject.attach(0);
    });

    const noShaper = shaperRefused();
    for (const [queue, error] of [
      ['a queue that is full', 'ENOBUFS'],
      ['more frames under way than the socket may have', 'EAGAIN'],
    ] as const) {
      const note = noShaper === null ? '' : ` (skipped: ${noShaper})`;
      test.skipIf(noShaper !== null)(
        `${queue} loses frames, counts them as ${error}, and harms no other link${note}`,
        async () => {
          const limit = error === 'ENOBUFS' ? '3000' : '1gb';
          const shaper = ['tbf', 'rate', '64kbit', 'burst', '1600', 'limit', limit];
          rig.spaces.exec(rig.director, 'tc', 'qdisc', 'add', 'dev', 'd1', 'root', ...shaper);
          const before = await linkCounters('d1');
          const frame = frameOn(0, 'too fast', 1500).frame;
          const sent: number = await rig.agent.order('flood', { link: rig.links[1], frame, durationMs: 300 });
          const after = await linkCounters('d1');
          expect(after.transmitErrors[error]).toBeGreaterThan(0);
          expect(after.transmitted - before.transmitted).toBe(sent);
          expect(await rig.subject.send([frameOn(rig.links[0]!, 'unharmed')])).toBe(1);
          rig.spaces.exec(rig.director, 'tc', 'qdisc', 'del', 'dev', 'd1', 'root');
          await settled();
          await rig.outside.seen();
          expect(await rig.subject.send([frameOn(rig.links[1]!, 'goes again')])).toBe(1);
          expect(await collect(rig.outside, 1)).toHaveLength(1);
        },
      );
    }

    /** Token buckets are a part of the kernel that may be missing. */
    function shaperRefused(): string | null {
      try {
        const words = [
          'tc',
          'qdisc',
          'add',
          'dev',
          'lo',
          'root',
          'tbf',
          'rate',
          '64kbit',
          'burst',
          '1600',
          'limit',
          '3000',
        ];
        execFileSync('unshare', ['-n', ...words], { stdio: 'ignore' });
        return null;
      } catch {
        return 'needs tc and the queueing discipline tbf';
      }
    }
  },
);
