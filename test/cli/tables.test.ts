/** The words that print what the data plane counts and how it is set: stats, proc, sysctl, and --watch. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Cli, Terminal } from '../../src/cli/cli.ts';
import { runUipvs } from '../../src/cli/run.ts';
import type { Command } from '../../src/model/commands.ts';
import type { ConnectionStatus } from '../../src/model/connection-status.ts';
import { IpvsError } from '../../src/model/errors.ts';
import { SETTING_NAMES } from '../../src/model/settings.ts';
import { FakeDataPlane, server, tcpService } from '../support/fake-data-plane.ts';

const web = tcpService('192.0.2.1', 80);
let daemon: FakeDataPlane;
let writes: string[];
let stderr: string;

beforeEach(async () => {
  daemon = new FakeDataPlane();
  writes = [];
  stderr = '';
  await daemon.execute({ name: 'addService', service: web });
  await daemon.execute({ name: 'addDestination', service: web.key, destination: server('10.0.0.1', 8080) });
});

/** `pictures`: how often --watch may draw. */
async function uipvs(words: readonly string[], pictures = 1, terminal: Terminal | null = null) {
  const pauses: number[] = [];
  const status = (): Promise<never> => Promise.reject(new Error('nobody asks for it here'));
  const cli: Cli = {
    stdout: (text) => void writes.push(text),
    stderr: (text) => {
      stderr += text;
    },
    terminal,
    pause: async (ms) => {
      pauses.push(ms);
      return pauses.length < pictures;
    },
    installation: { programs: '/nowhere', linkDirectory: '/nowhere', alternatives: null, standardPath: [] },
    connect: async () => Object.assign(daemon, { status, health: status }),
    backEnds: async () => [],
    guard: () => Promise.reject(new Error('nobody asks for it here')),
  };
  const code = await runUipvs(words, cli, []);
  return { code, stdout: writes.join(''), stderr, pauses };
}

const connection = (port: number, more: Partial<ConnectionStatus> = {}): ConnectionStatus => ({
  protocol: 'TCP',
  client: { address: '198.51.100.7', port },
  virtual: { address: '192.0.2.1', port: 80 },
  destination: { address: '10.0.0.1', port: 8080 },
  state: 'ESTABLISHED',
  expiresSeconds: 899,
  template: false,
  origin: 'LOCAL',
  ...more,
});

describe('stats', () => {
  test('has a line for the total, each service and each destination', async () => {
    const { code, stdout } = await uipvs(['stats']);
    expect(code).toBe(0);
    expect(stdout.split('\n').map((line) => line.slice(0, 28).trimEnd())).toEqual([
      '',
      'total',
      'tcp 192.0.2.1:80',
      '  -> 10.0.0.1:8080',
      '',
    ]);
  });

  test('has the documented keys as JSON', async () => {
    const { stdout } = await uipvs(['stats', '--json']);
    const report = JSON.parse(stdout);
    expect(Object.keys(report)).toEqual(['totals', 'services']);
    expect(Object.keys(report.totals)).toEqual(['statistics', 'rates']);
    expect(Object.keys(report.services[0])).toEqual(['key', 'statistics', 'rates', 'destinations']);
    expect(Object.keys(report.services[0].destinations[0])).toEqual(['address', 'port', 'statistics', 'rates']);
    const help = (await uipvs(['stats', '--help'])).stdout;
    for (const key of [...Object.keys(report.totals.statistics), ...Object.keys(report.totals.rates)]) {
      expect(help).toContain(key);
    }
  });

  test('is JSON also for an empty table', async () => {
    await daemon.execute({ name: 'flush' });
    expect(JSON.parse((await uipvs(['stats', '--json'])).stdout).services).toEqual([]);
  });
});

describe('--watch', () => {
  test.each(['status', 'services', 'connections', 'stats'])('%s knows it', async (word) => {
    expect((await uipvs([word, '--help'])).stdout).toContain('--watch');
  });

  test('prints one after the other where there is no terminal, a second apart', async () => {
    const { code, stdout, pauses } = await uipvs(['stats', '--watch'], 3);
    expect(code).toBe(0);
    expect(stdout.match(/^total/gm)).toHaveLength(3);
    expect(stdout).not.toContain('\x1b');
    expect(pauses).toEqual([1_000, 1_000, 1_000]);
  });

  test.each(['stats', 'services', 'connections'])('%s --json becomes one line each time', async (word) => {
    daemon.connections = [connection(1), connection(2), connection(3)];
    const lines = (await uipvs([word, '--watch', '--json'], 2)).stdout.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    expect(JSON.parse(lines[1]!)).toEqual(JSON.parse(lines[0]!));
  });

  test('draws in place on a terminal, and no more lines than it has', async () => {
    for (let port = 81; port < 101; port++) {
      await daemon.execute({ name: 'addService', service: tcpService('192.0.2.1', port) });
    }
    const { stdout } = await uipvs(['stats', '--watch'], 2, { rows: () => 10 });
    const pictures = stdout.split('\x1b[H').slice(1);
    expect(pictures).toHaveLength(2);
    for (const picture of pictures) {
      expect(picture.endsWith('\x1b[J')).toBe(true);
      expect(picture.match(/\n/g)).toHaveLength(9);
      expect(picture).toContain('... and 16 lines more');
    }
  });

  test('does not fetch more connections than a terminal shows', async () => {
    daemon.connections = Array.from({ length: 1_000 }, (_, port) => connection(port));
    const { stdout } = await uipvs(['connections', '--watch'], 1, { rows: () => 6 });
    expect(stdout.match(/ESTABLISHED/g)).toHaveLength(4);
    expect(daemon.commands.filter(({ name }) => name === 'listConnections').length).toBeLessThan(5);
  });

  test('ends with a sentence when the daemon does', async () => {
    let asked = 0;
    daemon.before = (command: Command) => {
      if (command.name === 'getTotals' && ++asked > 1) throw new IpvsError('EIO', 'the daemon is gone');
    };
    expect(await uipvs(['stats', '--watch'], 5)).toMatchObject({ code: 1, stderr: 'uipvs: the daemon is gone\n' });
  });
});

describe('proc', () => {
  test.each(['ip_vs', '/proc/net/ip_vs', '/proc/self/net/ip_vs'])('%s is the table', async (name) => {
    const { code, stdout } = await uipvs(['proc', name]);
    expect(code).toBe(0);
    expect(stdout).toBe(
      'IP Virtual Server version 1.2.1 (size=4096)\n' +
        'Prot LocalAddress:Port Scheduler Flags\n' +
        '  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n' +
        'TCP  C0000201:0050 wlc  \n' +
        '  -> 0A000001:1F90      Masq    1      0          0         \n',
    );
  });

  test('connections come with and without their origin', async () => {
    daemon.connections = [connection(1_024, { origin: 'SYNC' })];
    const ends = 'TCP C6336407 0400 C0000201 0050 0A000001 1F90 ESTABLISHED';
    expect((await uipvs(['proc', 'ip_vs_conn'])).stdout.split('\n')[1]).toBe(`${ends}     899`);
    writes = [];
    expect((await uipvs(['proc', 'ip_vs_conn_sync'])).stdout.split('\n')[1]).toBe(`${ends} SYNC       899`);
  });

  test('a large table is written while it comes', async () => {
    daemon.connections = Array.from({ length: 20_000 }, (_, index) => connection(index));
    daemon.pageItems = 500;
    const { stdout } = await uipvs(['proc', 'ip_vs_conn']);
    expect(stdout.match(/\n/g)).toHaveLength(20_001);
    expect(writes.length).toBeGreaterThan(10);
    expect(Math.max(...writes.map((text) => text.length))).toBeLessThan(40_000);
  });

  test.each([
    ['ip_vs_stats', '   Total Incoming Outgoing         Incoming         Outgoing'],
    ['ip_vs_stats_percpu', '       Total Incoming Outgoing         Incoming         Outgoing'],
    ['ip_vs_app', 'prot port    usecnt name\nTCP  21      2      ftp              '],
  ])('%s is there', async (name, start) => {
    const { code, stdout } = await uipvs(['proc', name]);
    expect(code).toBe(0);
    expect(stdout.startsWith(`${start}\n`)).toBe(true);
  });

  test('an unknown file is answered with the nearest', async () => {
    expect(await uipvs(['proc', 'ip_vs_con'])).toMatchObject({
      code: 2,
      stderr: 'uipvs proc: there is no file "ip_vs_con", did you mean "ip_vs_conn"?\n',
    });
  });
});

describe('sysctl', () => {
  test.each(['conntrack', 'net.ipv4.vs.conntrack', 'net/ipv4/vs/conntrack', '/proc/sys/net/ipv4/vs/conntrack'])(
    '%s is one setting',
    async (name) => {
      expect(await uipvs(['sysctl', name])).toMatchObject({ code: 0, stdout: 'net.ipv4.vs.conntrack = 0\n' });
    },
  );

  test('changes what is given a value, and shows what is there then', async () => {
    const { code, stdout } = await uipvs(['sysctl', '-w', 'net.ipv4.vs.drop_entry=0x2', 'sync_threshold=2 40']);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: 'net.ipv4.vs.drop_entry = 2\nnet.ipv4.vs.sync_threshold = 2\t40\n',
    });
  });

  test('-a lists all of them, -n without names, --json as an object', async () => {
    const all = (await uipvs(['sysctl', '-a'])).stdout.trimEnd().split('\n');
    expect(all).toHaveLength(SETTING_NAMES.length);
    expect(all).toContain('net.ipv4.vs.conn_reuse_mode = 1');
    writes = [];
    expect((await uipvs(['sysctl', '-n', 'pmtu_disc'])).stdout).toBe('1\n');
    writes = [];
    expect(JSON.parse((await uipvs(['sysctl', '-a', '--json'])).stdout)).toMatchObject({ sync_threshold: '3\t50' });
  });

  test('-p takes over what a file says about net.ipv4.vs, and nothing else of it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'uisysctl-'));
    try {
      const file = join(folder, 'lvs.conf');
      writeFileSync(file, '# the tutorial\nnet.ipv4.ip_forward = 1\nnet.ipv4.vs.conntrack = 1\n');
      expect(await uipvs(['sysctl', '-p', file])).toMatchObject({ code: 0, stdout: 'net.ipv4.vs.conntrack = 1\n' });
      writeFileSync(file, 'net.ipv4.ip_forward = 1\n');
      expect(await uipvs(['sysctl', '-p', file])).toMatchObject({
        code: 0,
        stderr: 'uipvs sysctl: no line is about net.ipv4.vs\n',
      });
      stderr = '';
      expect(await uipvs(['sysctl', '-p', join(folder, 'none.conf')])).toMatchObject({
        code: 1,
        stderr: `uipvs sysctl: cannot open ${join(folder, 'none.conf')}: ENOENT\n`,
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('a wrong value is refused as the kernel refuses it, and the words behind it still count', async () => {
    expect(await uipvs(['sysctl', 'net.ipv4.vs.drop_entry=7', 'conntrack=1'])).toMatchObject({
      code: 1,
      stdout: 'net.ipv4.vs.conntrack = 1\n',
      stderr:
        'uipvs: setting key "net.ipv4.vs.drop_entry": Invalid argument: drop_entry must be between 0 and 3, not "7"\n',
    });
  });

  test('an unknown name is answered with the nearest', async () => {
    expect(await uipvs(['sysctl', 'net.ipv4.vs.contrack'])).toMatchObject({
      code: 1,
      stderr:
        'uipvs: cannot stat /proc/sys/net/ipv4/vs/contrack: No such file or directory; did you mean net.ipv4.vs.conntrack?\n',
    });
    stderr = '';
    expect((await uipvs(['sysctl', 'net.ipv4.ip_forward'])).stderr).toBe(
      'uipvs: cannot stat /proc/sys/net/ipv4/ip_forward: No such file or directory; `uipvs sysctl -a` prints all of them\n',
    );
  });

  test.each([
    [['sysctl'], 'which setting? -a prints all of them'],
    [['sysctl', '-a', 'conntrack'], 'type either --all or names'],
    [['sysctl', '-w', 'conntrack'], '"conntrack" must be of the form name=value'],
  ])('%j is a mistake', async (words, complaint) => {
    expect(await uipvs(words)).toMatchObject({ code: 2, stderr: `uipvs sysctl: ${complaint}\n` });
  });
});
