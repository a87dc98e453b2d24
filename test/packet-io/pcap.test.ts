import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { captureAbortsOnLinkDown } from '../../src/native/cap.ts';
import { packetMmsg } from '../../src/packet-io/packet-mmsg.ts';
import { pcap } from '../../src/packet-io/pcap.ts';
import { frameOn } from './conformance.ts';
import { createLiveRig, type LiveRig, type LiveSubject, liveConformance } from './live-conformance.ts';
import { AgentProgram } from './support/agent-process.ts';
import { namespacesRefused } from './support/namespaces.ts';

const subject: LiveSubject = {
  kind: 'pcap',
  // The far ends of the test's links are packet sockets.
  refused: (await pcap.unavailable()) ?? (await packetMmsg.unavailable()),
  losesFirstFrame: true,
  linkDownRefused: captureAbortsOnLinkDown() ? 'this build of the package cap ends the process there' : null,
};
liveConformance(subject);

const refused = subject.refused ?? namespacesRefused();
describe.skipIf(refused !== null)(`pcap: under load${refused === null ? '' : ` (skipped: ${refused})`}`, () => {
  let program: AgentProgram;
  let rig: LiveRig;
  beforeAll(async () => {
    program = new AgentProgram();
    rig = await createLiveRig(program, subject, 2);
  }, 60_000);
  afterAll(async () => {
    await rig?.close();
    program?.remove();
  });

  test('a flood does not keep the event loop from its other work for long', async () => {
    await rig.agent.order('bridge', { links: rig.links, costUs: 50 });
    const frame = frameOn(0, 'flood').frame;
    let flooding = true;
    const flood = rig.far.order('flood', { link: rig.outsideLinks[0], frame, durationMs: 4000 }).finally(() => {
      flooding = false;
    });
    let answers = 0;
    let longestMs = 0;
    while (flooding) {
      const askedMs = performance.now();
      await rig.agent.order('links');
      if (!flooding) break;
      longestMs = Math.max(longestMs, performance.now() - askedMs);
      answers++;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await flood;
    expect(answers).toBeGreaterThanOrEqual(2);
    expect(longestMs).toBeLessThan(2500);
    const { received, transmitted } = await rig.subject.counters();
    expect(received).toBeGreaterThan(5000);
    expect(transmitted).toBeGreaterThan(5000);
  });
});
