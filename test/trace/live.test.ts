/** Captures of a real balancer: `ab` through the lab `nat`, both sides in one file, read by tshark. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { CaptureReport } from '../../src/cli/capture.ts';
import type { WatchReport } from '../../src/trace/watch-report.ts';
import { typed } from '../lab/standing-support.ts';
import { LabHost, whyNoLab } from '../lab/support.ts';
import { readCapture } from '../support/captures.ts';

const PROGRAM = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'dist/bin/uipvs.js');
const LONG_MS = 300_000;
const REQUESTS = 300;
const WHY_NOT =
  process.getuid?.() === 0
    ? whyNoLab('packet-ring', ['sysctl', 'tshark'])
    : 'needs root: these labs outlive the command';

let opened: LabHost | null = null;
let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'uipvs-live-'));
  if (WHY_NOT === null) opened = await LabHost.open();
});
afterEach(async () => {
  if (opened !== null) await typed(opened, 0, 'down', '--all');
  await opened?.close();
  opened = null;
  rmSync(folder, { recursive: true });
});

/** What tshark reads in the file, one row of fields a packet, with every checksum checked. */
function tshark(file: string, filter: string, ...fields: readonly string[]): string[][] {
  const words = ['-r', file, '-o', 'ip.check_checksum:TRUE', '-o', 'tcp.check_checksum:TRUE', '-T', 'fields'];
  const more = fields.flatMap((field) => ['-e', field]);
  const { status, stdout, stderr } = spawnSync(
    'tshark',
    [...words, ...(filter === '' ? [] : ['-Y', filter]), ...more],
    {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  if (status !== 0) throw new Error(`tshark ended with ${status}: ${stderr}`);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'));
}

test(
  'a capture holds every packet of ab twice, with comments and right checksums, and ab is watched meanwhile',
  async ({ skip }) => {
    skip(WHY_NOT !== null, WHY_NOT ?? '');
    const host = opened as LabHost;
    await typed(host, 0, 'up', 'nat');
    const socket = /API socket +(\S+)/.exec((await typed(host, 0, 'status', 'nat')).stdout)?.[1] as string;
    const file = join(folder, 'both.pcapng');
    const capture = host.start(
      'sh',
      'director',
      '--',
      process.execPath,
      PROGRAM,
      'capture',
      '-w',
      file,
      '--seconds',
      '30',
      '--json',
      'tcp port 80 and host 192.168.1.120',
    );
    await capture.says('capturing to');

    const ab = ['ab', '-q', '-n', String(REQUESTS), '-c', '10', 'http://192.168.1.120/'];
    const inClient = ['sh', 'client', '--', 'env', `UIPVS_SOCKET=${socket}`, process.execPath, PROGRAM];
    const watch = await typed(host, 0, ...inClient, 'watch', '--json', '--', ...ab);
    const seen = JSON.parse(watch.stdout.slice(watch.stdout.indexOf('{'))) as WatchReport;
    expect(seen.connections).toBeGreaterThanOrEqual(REQUESTS);
    expect(seen).toMatchObject({ exitCode: 0, lost: 0, notFollowed: 0, drops: {} });
    expect(seen.servers.map(({ server }) => server)).toEqual(['192.168.1.11:80', '192.168.1.12:80', '192.168.1.13:80']);
    expect(
      Math.max(...seen.servers.map(({ connections }) => connections)) -
        Math.min(...seen.servers.map(({ connections }) => connections)),
    ).toBeLessThan(10);
    expect(seen.servers.map(({ unanswered, refused }) => unanswered + refused)).toEqual([0, 0, 0]);
    expect(seen.servers.every(({ medianMs }) => medianMs !== null && medianMs > 0)).toBe(true);

    expect(await capture.ended()).toBe(0);
    const report = JSON.parse(capture.stdout) as CaptureReport;
    expect(report).toMatchObject({ lost: 0, interruptions: 0 });
    // At least: SYN and its answer, ACK, request, answer, two FINs.
    expect(report.came).toBeGreaterThanOrEqual(REQUESTS * 7);
    expect(report.left).toBe(report.came);

    expect(tshark(file, 'tcp.checksum.status == "Bad" || ip.checksum.status == "Bad"', 'frame.number')).toEqual([]);
    const rows = tshark(file, '', 'frame.interface_name', 'frame.comment');
    const on = (name: string) => rows.filter(([interfaceName]) => interfaceName === name);
    expect([on('uipvs-in').length, on('uipvs-out').length]).toEqual([report.came, report.left]);
    const commented = on('uipvs-out').filter(([, comment]) =>
      /(src|dst) [0-9.]+ → [0-9.]+, ttl 64 → 63/.test(comment ?? ''),
    );
    expect(commented).toHaveLength(report.left);
    // Nothing is missing: every connection is there from its first packet to its last, on both sides.
    const opening = (side: string) =>
      tshark(file, `frame.interface_name == "${side}" && tcp.flags.syn == 1 && tcp.flags.ack == 0`, 'tcp.srcport')
        .length;
    expect(opening('uipvs-in')).toBeGreaterThanOrEqual(seen.connections);
    expect(opening('uipvs-out')).toBe(opening('uipvs-in'));
    expect(tshark(file, 'tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment', 'frame.number')).toEqual([]);
    expect(readCapture(readFileSync(file)).packets).toHaveLength(report.came + report.left);
  },
  LONG_MS,
);

test(
  'Ctrl-C ends a capture, and the file is whole; a pipe into tshark shows packets',
  async ({ skip }) => {
    skip(WHY_NOT !== null, WHY_NOT ?? '');
    const host = opened as LabHost;
    await typed(host, 0, 'up', 'nat');
    const file = join(folder, 'short.pcapng');
    const command = `${process.execPath} ${PROGRAM} capture -w ${file} icmp or tcp & id=$!; sleep 4; kill -INT $id; wait $id`;
    const run = await typed(host, 0, 'sh', 'director', '--', 'sh', '-c', command);
    expect(run.stderr).toMatch(/came \d+, left \d+ in /);
    expect(readCapture(readFileSync(file)).interfaces).toHaveLength(2);

    const pipe = `${process.execPath} ${PROGRAM} capture -w - -c 4 tcp port 80 | tshark -n -r - -T fields -e frame.interface_name -e ip.dst 2>/dev/null`;
    const piped = host.start('sh', 'director', '--', 'sh', '-c', pipe);
    await piped.says('capturing to standard output');
    await typed(host, 0, 'sh', 'client', '--', 'ab', '-q', '-n', '4', 'http://192.168.1.120/');
    expect(await piped.ended()).toBe(0);
    expect(piped.stdout).toMatch(/^uipvs-in\t192\.168\.1\.120\nuipvs-out\t192\.168\.1\.1[123]\n/);
    expect(piped.stdout.match(/^uipvs-/gm)).toHaveLength(8);
  },
  LONG_MS,
);
