/** Every scenario of the lab but the tutorial's own modes, with real programs and real packets. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { ADDRESSES } from '../../src/lab/addresses.ts';
import type { LabResult } from '../../src/lab/report.ts';
import { LabHost, type LabRun, whyNoLab } from './support.ts';

const BACK_ENDS = ['packet-ring', 'packet-mmsg', 'pcap'] as const;
const LONG_MS = 120_000;
const REQUESTS = 300;
const CONCURRENCY = 20;
/** The file that will hold the engine's helper for FTP. */
const FTP_HELPER = join(import.meta.dirname, '../../src/engine/apps/ftp.ts');

type Skip = (condition: boolean, note?: string) => void;

let host: LabHost | null = null;
let before: Record<string, string> = {};
afterEach(async () => {
  await host?.close();
  host = null;
});

/** Runs a lab to its end on a host of its own. Skips the test, with the reason, where that cannot be. */
async function runLab(skip: Skip, words: readonly string[], programs: readonly string[] = []) {
  const io = words.includes('pcap') ? 'pcap' : 'packet-ring';
  const reason = whyNoLab(io, programs);
  skip(reason !== null, reason ?? '');
  host = await LabHost.open();
  before = host.traces();
  const run = host.start(...words, '--json');
  const answer = await run.resultOrRefusal();
  expectNoTrace(host, run);
  if ('refused' in answer) {
    skip(true, answer.refused);
    throw new Error('a skipped test does not go on');
  }
  expect(answer.wrongChecksums ?? 0).toBe(0);
  return { result: answer, run };
}

function expectNoTrace(on: LabHost, run: LabRun): void {
  expect(on.traces()).toEqual(before);
  expect(run.processes()).toEqual([]);
  expect(run.hasFolder).toBe(false);
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

/** Web requests: all answered, by these servers in turns; at its end ab opens some connections without a request. */
function expectTurns(result: LabResult, servers: readonly string[], requests = REQUESTS): void {
  expect(result).toMatchObject({ requests, failed: 0 });
  const counts = servers.map((label) => result.perServer[label]);
  expect(sum(counts)).toBe(requests);
  for (const count of counts) expect(Math.abs(count - requests / 3)).toBeLessThanOrEqual(CONCURRENCY);
  const inTable = servers.map((label) => result.perServerInTable[label]);
  expect(Math.max(...inTable) - Math.min(...inTable)).toBeLessThanOrEqual(1);
  expect(sum(inTable)).toBeGreaterThanOrEqual(requests);
  expect(sum(inTable)).toBeLessThanOrEqual(requests + CONCURRENCY);
}

const FEW = ['--requests', String(REQUESTS)];

describe(
  'tunnels',
  () => {
    test.for(BACK_ENDS)('IP in IP through %s: the servers take it out and answer the client', async (io, { skip }) => {
      const { result } = await runLab(skip, ['--mode', 'tun', '--io', io, ...FEW]);
      expect(result).toMatchObject({ mode: 'tun', tunnel: 'ipip', family: 'ipv4', io });
      expectTurns(result, ADDRESSES.ipv4.servers);
    });

    test.for(['gue', 'gre'])('%s, set up with ipvsadm', async (tunnel, { skip }) => {
      const { result, run } = await runLab(skip, ['--mode', 'tun', '--tunnel', tunnel, ...FEW]);
      expect(result).toMatchObject({ mode: 'tun', tunnel });
      expect(run.stderr).toContain(`ipvsadm -a -t 192.168.1.120:80 -r 192.168.1.11:80 -i --tun-type ${tunnel}`);
      expectTurns(result, ADDRESSES.ipv4.servers);
    });
  },
  LONG_MS,
);

describe(
  'IPv6',
  () => {
    test.for(['fullnat', 'masq', 'dr', 'tun'])('%s: every request is answered', async (mode, { skip }) => {
      const { result, run } = await runLab(skip, ['--family', '6', '--mode', mode, ...FEW]);
      expect(result).toMatchObject({ mode, family: 'ipv6' });
      expect(run.stderr).toContain('virtual6=[fd00:1::120]:80');
      expectTurns(result, ADDRESSES.ipv6.servers);
    });

    test('GUE, whose outer datagrams have no checksum', async ({ skip }) => {
      const { result } = await runLab(skip, ['--family', '6', '--mode', 'tun', '--tunnel', 'gue', ...FEW]);
      expectTurns(result, ADDRESSES.ipv6.servers);
    });
  },
  LONG_MS,
);

describe(
  'everything on one host',
  () => {
    test.for(BACK_ENDS)('%s: ab on that host is served, and reaches every server directly', async (io, { skip }) => {
      const { result, run } = await runLab(skip, ['one-host', '--io', io, ...FEW]);
      expect(result).toMatchObject({ scenario: 'one-host', io, wrongChecksums: null });
      expectTurns(result, ['127.0.0.1:8001', '127.0.0.1:8002', '127.0.0.1:8003']);
      const direct = run.stderr.match(/past the balancer all servers answer, 10 of 10 requests each/g);
      expect(direct).toHaveLength(2);
    });
  },
  LONG_MS,
);

describe(
  'name servers',
  () => {
    const programs = ['dnsmasq', 'dnsperf', 'ss'];
    const { servers } = ADDRESSES.ipv4;

    test('queries of one port are one connection, so a client with few ports keeps its servers', async ({ skip }) => {
      const { result } = await runLab(skip, ['dns', '--concurrency', '6'], programs);
      expect(result).toMatchObject({ scenario: 'dns', mode: 'dr', requests: 300, failed: 0 });
      // dnsperf opens its six sockets in order and takes them in turns.
      expect(servers.map((label) => result.perServerInTable[label])).toEqual([2, 2, 2]);
      expect(servers.map((label) => result.perServer[label])).toEqual([100, 100, 100]);
    });

    test('full NAT translates the answers back', async ({ skip }) => {
      const { result } = await runLab(skip, ['dns', '--mode', 'fullnat', '--concurrency', '1'], programs);
      expect(result).toMatchObject({ mode: 'fullnat', requests: 300, failed: 0 });
      // One port, one connection, one server.
      expect(servers.map((label) => result.perServer[label]).sort()).toEqual([0, 0, 300]);
    });

    test('with one-packet scheduling the queries of one port go to all servers in turns', async ({ skip }) => {
      const { result } = await runLab(skip, ['dns', '--ops', '--concurrency', '1'], programs);
      expect(result).toMatchObject({ mode: 'dr', requests: 300, failed: 0 });
      expect(servers.map((label) => result.perServer[label])).toEqual([100, 100, 100]);
      expect(servers.map((label) => result.perServerInTable[label])).toEqual([100, 100, 100]);
    });
  },
  LONG_MS,
);

describe(
  'FTP',
  () => {
    test('behind NAT every file comes whole, passive and active', async ({ skip }) => {
      skip(!existsSync(FTP_HELPER), 'the engine has no helper for FTP yet');
      const { result } = await runLab(skip, ['ftp'], ['vsftpd', 'curl', 'ss']);
      expect(result).toMatchObject({ scenario: 'ftp', mode: 'masq', requests: 12, failed: 0 });
      expect(ADDRESSES.ipv4.servers.map((label) => result.perServer[label])).toEqual([4, 4, 4]);
    });
  },
  LONG_MS,
);

describe(
  'the tutorial as it is typed',
  () => {
    test('its sysctls, its iptables rule and its ldirectord.cf are enough; without the rule nothing comes back', async ({
      skip,
    }) => {
      const { result, run } = await runLab(skip, ['tutorial-literal', ...FEW], ['iptables', 'sysctl']);
      expect(result).toMatchObject({ scenario: 'tutorial-literal', mode: 'fullnat' });
      expectTurns(result, ADDRESSES.ipv4.servers);
      expect(run.stderr).toContain('# iptables -t nat -A POSTROUTING -d 192.168.1.0/24 -j MASQUERADE');
      expect(run.stderr).not.toContain('--snat');
      expect(run.stderr).toMatch(/source NAT +3\d\d connections by iptables: -A POSTROUTING -d 192.168.1.0\/24/);
      expect(run.stderr).toContain('client: without the rule no answer comes back');
      expect(run.stderr).toContain('client: with this rule 50 of 50 requests are answered');
    });
  },
  LONG_MS,
);

describe(
  'a reload under load',
  () => {
    test.for(['fullnat', 'masq'])(
      '%s: a service comes, one goes, a server leaves; no request fails',
      async (mode, { skip }) => {
        const { result, run } = await runLab(skip, ['reload', '--mode', mode]);
        expect(result).toMatchObject({ scenario: 'reload', mode, failed: 0 });
        const counts = ADDRESSES.ipv4.servers.map((label) => result.perServer[label]);
        expect(sum(counts)).toBe(result.requests);
        // The one that left served its share before, and went when its connections had ended.
        expect(counts[2]).toBeGreaterThan(0);
        expect(result.perServerInTable).not.toHaveProperty(ADDRESSES.ipv4.servers[2]);
        expect(run.stderr).toContain('Purged real server (start): 192.168.1.13:80 (192.168.1.120:80)');
        expect(run.stderr).toContain('Added virtual server: 192.168.1.120:8081');
        expect(run.stderr).toContain('Purged virtual server (start): 192.168.1.120:8080');
      },
    );
  },
  LONG_MS,
);

describe(
  'the real ldirectord',
  () => {
    test('with our uipvsadm: a dead server is taken out and brought back; status and stop work', async ({ skip }) => {
      const { result, run } = await runLab(skip, ['real-ldirectord', ...FEW], ['ldirectord', 'ipvsadm']);
      expect(result).toMatchObject({ scenario: 'real-ldirectord', mode: 'fullnat', requests: REQUESTS, failed: 0 });
      const [first, victim, third] = ADDRESSES.ipv4.servers.map((label) => result.perServer[label]);
      // A third of each of the first and the last hundred; of the second hundred nothing.
      expect(Math.abs(victim - 66)).toBeLessThanOrEqual(2 * CONCURRENCY);
      expect(first + third).toBe(REQUESTS - victim);
      expect(run.stderr).toContain('Quiescent real server: 192.168.1.12:80 (192.168.1.120:80) (Weight set to 0)');
      expect(run.stderr).toContain('Restored real server: 192.168.1.12:80 (192.168.1.120:80) (Weight set to 1)');
      expect(run.stderr).toMatch(/ldirectord status: ldirectord for .* is running with pid: \d+/);
      expect(run.stderr).toContain('ldirectord stop: the table is empty and ldirectord has ended');
    });
  },
  LONG_MS,
);
