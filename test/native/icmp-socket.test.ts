import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pingOnce, pingUnavailable } from '../../src/native/icmp-socket.ts';
import { Agent, AgentProgram } from '../packet-io/support/agent-process.ts';
import { Namespaces, namespacesRefused } from '../packet-io/support/namespaces.ts';

const refused = pingUnavailable();

describe.skipIf(refused !== null)(`ICMP echo${refused === null ? '' : ` (skipped: ${refused})`}`, () => {
  test('the own host answers, quickly', async () => {
    const result = await pingOnce({ address: '127.0.0.1', timeoutMs: 2000 });
    expect(result).toEqual({ ok: true, rttMs: expect.any(Number), reason: null });
    expect(result.rttMs).toBeLessThan(1000);
  });

  test('twenty questions at once each get their own answer', async () => {
    const addresses = Array.from({ length: 20 }, (_, i) => `127.0.1.${i + 1}`);
    const results = await Promise.all(addresses.map((address) => pingOnce({ address, timeoutMs: 3000 })));
    expect(results.every((each) => each.ok)).toBe(true);
  });

  const ipv6 = execFileSync('ip', ['-6', 'address', 'show', 'dev', 'lo'], { encoding: 'utf8' }).includes('::1');
  test.skipIf(!ipv6)('over IPv6 as well', async () => {
    expect(await pingOnce({ address: '::1', timeoutMs: 2000 })).toMatchObject({ ok: true, reason: null });
  });

  test('what is no address is refused, and a cancelled question is not asked', async () => {
    expect((await pingOnce({ address: 'localhost', timeoutMs: 50 })).reason).toBe('localhost is not an IP address');
    const signal = AbortSignal.abort();
    expect((await pingOnce({ address: '127.0.0.1', timeoutMs: 50, signal })).reason).toBe('cancelled');
  });
});

const silenceRefused = refused ?? namespacesRefused();
describe.skipIf(silenceRefused !== null)(
  `ICMP echo to a silent host${silenceRefused === null ? '' : ` (skipped: ${silenceRefused})`}`,
  () => {
    let spaces: Namespaces;
    let program: AgentProgram;
    let agent: Agent;
    beforeAll(async () => {
      spaces = new Namespaces();
      program = new AgentProgram();
      // The far end has no address; a fixed neighbour entry lets the question go out without ARP.
      const [near, far] = [spaces.add('n'), spaces.add('f')];
      spaces.cable(near, 'n0', far, 'f0');
      spaces.exec(near, 'ip', 'address', 'add', '10.117.0.1/24', 'dev', 'n0');
      spaces.exec(near, 'ip', 'neigh', 'add', '10.117.0.2', 'lladdr', '02:00:00:00:00:02', 'dev', 'n0');
      agent = await Agent.start(program, near);
    });
    afterAll(async () => {
      await agent?.stop();
      program?.remove();
      spaces?.remove();
    });

    test('silence is a failure that names the time waited', async () => {
      const result = await agent.order('ping', { address: '10.117.0.2', timeoutMs: 60 });
      expect(result).toEqual({ ok: false, rttMs: null, reason: 'no answer in 60 ms' });
    });

    test('a question without a way there fails with the errno', async () => {
      const result = await agent.order('ping', { address: '10.118.0.1', timeoutMs: 60 });
      expect(result).toEqual({ ok: false, rttMs: null, reason: 'connect: ENETUNREACH' });
    });

    test('a question that is cancelled ends before its time', async () => {
      const beganMs = performance.now();
      const result = await agent.order('ping', { address: '10.117.0.2', timeoutMs: 10_000, cancelAfterMs: 30 });
      expect(result).toEqual({ ok: false, rttMs: null, reason: 'cancelled' });
      expect(performance.now() - beganMs).toBeLessThan(5000);
    });
  },
);
