/** The whole path with real programs: client, director, servers, real packets. Needs network namespaces. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LabHost, type LabRun, whyNoLab, withFolder } from './support.ts';

const BACK_ENDS = ['packet-ring', 'packet-mmsg', 'pcap', 'macvtap', 'xdp'] as const;
/** Tunnels are in scenarios.test.ts. */
const MODES = ['fullnat', 'masq', 'dr'] as const;
const SERVERS = ['192.168.1.11', '192.168.1.12', '192.168.1.13'];
const FALLBACK = '127.0.0.1';
const LONG_MS = 300_000;

/** Why labs cannot run here, by back end. */
const WHY_NOT = Object.fromEntries(BACK_ENDS.map((io) => [io, whyNoLab(io)])) as Record<
  (typeof BACK_ENDS)[number],
  string | null
>;
const WHY_NO_CAPTURE = whyNoLab('packet-ring', ['tcpdump', 'tshark', 'ethtool']);

/** Ends the test here, with the reason in the list of skipped tests, unless there is none. */
type Skip = (condition: boolean, note?: string) => void;
function needs(skip: Skip, reason: string | null): void {
  skip(reason !== null, reason ?? '');
}

let opened: LabHost | null = null;
let before: Record<string, string> = {};
beforeEach(async () => {
  if (Object.values(WHY_NOT).every((reason) => reason !== null)) return;
  opened = await LabHost.open();
  before = opened.traces();
});
afterEach(async () => {
  await opened?.close();
  opened = null;
});

/** Starts `uipvs lab run` on this test's own host. */
function startLab(...words: string[]): LabRun {
  return host().start('run', ...words);
}

function host(): LabHost {
  if (opened === null) throw new Error('no host was opened for this test');
  return opened;
}

/** The host is as it was before the lab; none of its processes and files remain. */
function expectNoTrace(run: LabRun): void {
  expect(host().traces()).toEqual(before);
  expect(run.processes()).toEqual([]);
  expect(run.hasFolder).toBe(false);
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

describe.each(BACK_ENDS)(
  'the tutorial through %s',
  (io) => {
    test.for(MODES)(
      '%s: every request is answered, the servers take turns, nothing is left',
      async (mode, { skip }) => {
        needs(skip, WHY_NOT[io]);
        const carrier = io === 'macvtap' ? ['--data-plane', io] : ['--io', io];
        const run = startLab('tutorial', '--mode', mode, ...carrier, '--json');
        const result = await run.result();
        expect(result).toMatchObject({ scenario: 'tutorial', mode, io, scheduler: 'rr', requests: 1000, failed: 0 });
        const requests = SERVERS.map((address) => result.perServer[address]);
        const inTable = SERVERS.map((address) => result.perServerInTable[address]);
        expect(sum(requests)).toBe(1000);
        // Connections take turns exactly. At its end ab opens up to 20 without a request, on whichever servers.
        expect(Math.max(...inTable) - Math.min(...inTable)).toBeLessThanOrEqual(1);
        // The client may use a port again. With direct routing the director never sees the servers' FIN, so for it the
        // connection goes on, as with IPVS in the kernel, and is counted once.
        expect(sum(inTable)).toBeGreaterThanOrEqual(mode === 'dr' ? 900 : 1000);
        expect(sum(inTable)).toBeLessThanOrEqual(1020);
        for (const count of requests) expect(Math.abs(count - 1000 / 3)).toBeLessThanOrEqual(20);
        expect(result.perServer[FALLBACK]).toBe(0);
        expect(result.wrongChecksums ?? 0).toBe(0);
        expectNoTrace(run);
      },
    );
  },
  LONG_MS,
);

describe(
  'servers that die',
  () => {
    test('one of three: what was under way to it is lost, then the other two serve everything', async ({ skip }) => {
      needs(skip, WHY_NOT['packet-ring']);
      const run = startLab('--kill', '192.168.1.12@300', '--requests', '3000', '--json');
      const result = await run.result();
      const [first, dead, third] = SERVERS.map((address) => result.perServer[address]);
      expect(Math.abs(dead - 100)).toBeLessThanOrEqual(20);
      expect(result.failed).toBeGreaterThan(0);
      expect(first + third).toBe(3000 - result.failed - dead);
      // The two that live share the rest; every run of ab that was given up may have ended on either.
      expect(Math.abs(first - third)).toBeLessThanOrEqual(result.failed + 20);
      expect(result.perServer[FALLBACK]).toBe(0);
      expect(run.stderr).toContain('Quiescent real server: 192.168.1.12:80 (192.168.1.120:80) (Weight set to 0)');
      expectNoTrace(run);
    });

    test('all three: the fallback on the director answers, until one of them is back', async ({ skip }) => {
      needs(skip, WHY_NOT['packet-ring']);
      const kills = SERVERS.flatMap((address) => ['--kill', `${address}@300`]);
      const run = startLab(...kills, '--revive', '192.168.1.11@2000', '--requests', '3000', '--json');
      const result = await run.result();
      const counts = SERVERS.map((address) => result.perServer[address]);
      // 300 before they died, and the last thousand through the one that came back.
      expect(sum(counts)).toBe(1300);
      for (const count of counts.slice(1)) expect(Math.abs(count - 100)).toBeLessThanOrEqual(20);
      expect(result.perServer[FALLBACK]).toBe(1700 - result.failed);
      expect(result.perServer[FALLBACK]).toBeGreaterThan(0);
      expect(run.stderr).toContain('Added fallback server: 127.0.0.1:80');
      expect(run.stderr).toContain('Deleted fallback server: 127.0.0.1:80');
      expectNoTrace(run);
    });
  },
  LONG_MS,
);

describe(
  'a lab that ends badly',
  () => {
    test('Ctrl-C in the middle of the traffic removes everything', async ({ skip }) => {
      needs(skip, WHY_NOT['packet-ring']);
      const run = startLab('--requests', '1000000');
      await run.says('client: ab');
      expect(host().output('ip', 'netns', 'list')).toContain(`uipvs-${run.id}-director`);
      run.process.kill('SIGINT');
      expect(await run.ended()).toBe(130);
      expect(run.stderr).toContain('stopped by SIGINT; everything was removed');
      expectNoTrace(run);
    });

    test('Ctrl-C while the network is being built removes everything', async ({ skip }) => {
      needs(skip, WHY_NOT['packet-ring']);
      const run = startLab();
      await run.says('building the network');
      run.process.kill('SIGINT');
      expect(await run.ended()).toBe(130);
      expectNoTrace(run);
    });

    test.for(BACK_ENDS)(
      'the daemon is killed (%s): the lab says so, ends with 1 and removes everything',
      async (io, { skip }) => {
        needs(skip, WHY_NOT[io]);
        const run = startLab('--requests', '1000000', '--io', io);
        await run.says('client: ab');
        const daemons = run.processesOf('uipvsd.js');
        expect(daemons.length).toBeGreaterThan(0);
        for (const pid of daemons) process.kill(pid, 'SIGKILL');
        expect(await run.ended()).toBe(1);
        expect(run.stderr).toContain('uipvsd was ended by SIGKILL while the lab was running');
        expectNoTrace(run);
      },
    );

    test('a killed lab is removed by lab clean, and a running one is left alone', async ({ skip }) => {
      needs(skip, WHY_NOT['packet-ring']);
      const killed = startLab('--requests', '1000000');
      await killed.says('client: ab');
      const running = startLab('--requests', '1000000');
      await running.says('client: ab');
      killed.process.kill('SIGKILL');
      await killed.ended();
      expect(killed.processesOf('uipvsd.js').length).toBeGreaterThan(0);

      const clean = host().start('clean');
      expect(await clean.ended()).toBe(0);
      expect(clean.stdout).toContain(`lab ${killed.id} was removed`);
      expect(clean.stdout).toContain(`lab ${running.id} is running and was left alone`);
      expect(killed.processes()).toEqual([]);
      expect(killed.hasFolder).toBe(false);
      expect(host().output('ip', 'netns', 'list')).not.toContain(killed.id);
      expect(host().output('ip', 'netns', 'list')).toContain(running.id);

      running.process.kill('SIGTERM');
      expect(await running.ended()).toBe(143);
      expectNoTrace(running);
    });
  },
  LONG_MS,
);

describe(
  'what passes the director',
  () => {
    test.for(MODES)('%s: every packet of a capture of both sides has right checksums', async (mode, { skip }) => {
      needs(skip, WHY_NO_CAPTURE);
      await withFolder(async (folder) => {
        const file = join(folder, 'lab.pcap');
        const run = startLab('--mode', mode, '--requests', '300', '--capture', file, '--json');
        expect(await run.result()).toMatchObject({ failed: 0, wrongChecksums: 0 });
        const packets = readTcpPackets(file);
        const requests = packets.filter((packet) => packet.destinationPort === '80');
        const toService = requests.filter((packet) => packet.destination === '192.168.1.120');
        // Handshake, request, acknowledgement and end; with direct routing the copy to the server looks the same.
        expect(toService.length).toBeGreaterThanOrEqual(300 * (mode === 'dr' ? 8 : 4));
        if (mode !== 'dr') expect(requests.length).toBe(2 * toService.length);
        expect(packets.filter((packet) => !packet.verified)).toEqual([]);
      });
    });
  },
  LONG_MS,
);

/** The TCP packets of a capture, as tshark reads them with its own eyes. */
function readTcpPackets(file: string) {
  const verify = ['-o', 'tcp.check_checksum:TRUE', '-o', 'ip.check_checksum:TRUE'];
  const fields = ['frame.number', 'ip.dst', 'tcp.dstport', 'ip.checksum.status', 'tcp.checksum.status', 'tcp.checksum'];
  const words = ['-n', '-r', file, ...verify, '-Y', 'tcp', '-T', 'fields', ...fields.flatMap((field) => ['-e', field])];
  const { status, stdout, stderr } = spawnSync('tshark', words, { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`tshark ended with ${status}: ${stderr}`);
  const lines = stdout.split('\n').filter(Boolean);
  return lines.map((line) => {
    const [frame, destination, destinationPort, ipStatus, tcpStatus, tcpChecksum] = line.split('\t');
    // Where the sum is 0, Linux sends 0xffff, which verifies as well; tshark calls it bad (RFC 1624, section 3).
    const verified = ipStatus === GOOD && (tcpStatus === GOOD || tcpChecksum === '0xffff');
    return { frame, destination, destinationPort, verified };
  });
}

/** What tshark calls a checksum that it verified. */
const GOOD = '1';
