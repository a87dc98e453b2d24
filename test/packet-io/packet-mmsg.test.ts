import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packetMmsg } from '../../src/packet-io/packet-mmsg.ts';
import { packetRing } from '../../src/packet-io/packet-ring.ts';
import { collect, frameOn } from './conformance.ts';
import { createLiveRig, type LiveRig, type LiveSubject, liveConformance } from './live-conformance.ts';
import { AgentProgram } from './support/agent-process.ts';
import { namespacesRefused } from './support/namespaces.ts';

const subject: LiveSubject = {
  kind: 'packet-mmsg',
  refused: await packetMmsg.unavailable(),
  losesFirstFrame: false,
  linkDownRefused: null,
};
liveConformance(subject);

for (const kind of [packetMmsg, packetRing]) {
  const refused = (await kind.unavailable()) ?? namespacesRefused();
  describe.skipIf(refused !== null)(
    `${kind.name}: taking turns${refused === null ? '' : ` (skipped: ${refused})`}`,
    () => {
      let program: AgentProgram;
      let rig: LiveRig;
      beforeAll(async () => {
        program = new AgentProgram();
        rig = await createLiveRig(program, { ...subject, kind: kind.name }, 5);
      }, 60_000);
      afterAll(async () => {
        await rig?.close();
        program?.remove();
      });

      // Whichever link it is: one of them has the first turn.
      for (const busy of [0, 1, 2, 3, 4]) {
        test(`a flood on link ${busy} takes no turn from the others`, async () => {
          await rig.agent.order('pause', { on: true });
          await rig.agent.order('once');
          const flood = Array.from({ length: 500 }, (_, i) => frameOn(rig.outsideLinks[busy]!, `flood ${i}`));
          const others = rig.links.filter((_, i) => i !== busy);
          const quiet = rig.outsideLinks
            .filter((_, i) => i !== busy)
            .flatMap((link) => [frameOn(link, 'a'), frameOn(link, 'b')]);
          await rig.outside.send([...flood, ...quiet], false);
          await new Promise((resolve) => setTimeout(resolve, 50));
          const first: number[] = await rig.agent.order('once');
          for (const link of others) expect(first.filter((each) => each === link)).toHaveLength(2);
          // What the quiet links left of the batch goes to the busy one.
          expect(first).toHaveLength(64);
          let received = first.length;
          for (let count = 1; count > 0; received += count) count = (await rig.agent.order('once')).length;
          expect(received).toBe(508);
          await rig.agent.order('pause', { on: false });
          await rig.subject.seen();
        });
      }

      test('another thread ends the wait', async () => {
        expect(await rig.agent.order('wait', { timeoutMs: 900, wakeAfterMs: 100 })).toBeLessThan(700);
        // The wake-up is used up: the next wait is a full one.
        expect(await rig.agent.order('wait', { timeoutMs: 120 })).toBeGreaterThanOrEqual(110);
      });

      test('a wait without end comes back after a second at the latest', async () => {
        expect(await rig.agent.order('wait', { timeoutMs: 1e9 })).toBeLessThan(2000);
      });

      test('frames that the kernel had to drop are counted', async () => {
        await rig.agent.order('pause', { on: true });
        const frame = frameOn(0, 'too many').frame;
        const sent: number = await rig.far.order('flood', { link: rig.outsideLinks[3], frame, durationMs: 1500 });
        await new Promise((resolve) => setTimeout(resolve, 1100));
        const { receiveDrops } = await rig.subject.counters();
        expect(receiveDrops).toBeGreaterThan(0);
        let received = 0;
        for (let count = 1; count > 0; received += count) count = (await rig.agent.order('once')).length;
        expect(received + receiveDrops).toBe(sent);
        await rig.agent.order('pause', { on: false });
        await collect(rig.subject, 0);
      });
    },
  );
}
