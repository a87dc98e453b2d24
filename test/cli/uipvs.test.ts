import { beforeEach, describe, expect, test } from 'vitest';
import type { BackEnd, Cli } from '../../src/cli/cli.ts';
import { runUipvs } from '../../src/cli/run.ts';
import { formatDuration } from '../../src/cli/status.ts';
import { uipvsVersion } from '../../src/control/version.ts';
import type { ConnectionStatus } from '../../src/model/connection-status.ts';
import { IpvsError } from '../../src/model/errors.ts';
import { FakeDataPlane, server, tcpService } from '../support/fake-data-plane.ts';

const web = tcpService('192.0.2.1', 80);

class FakeDaemon extends FakeDataPlane {
  async health() {
    return [];
  }

  async status() {
    return {
      daemon: {
        version: '0.1.0',
        node: 'v20.19.0',
        pid: 77,
        startedAt: '2026-11-23T05:00:00.000Z',
        uptimeSeconds: 3_725,
        namespace: 4_026_531_840,
        socket: '/run/uipvs/4026531840.sock',
        settings: { io: 'packet-mmsg', links: ['eth0', 'lo'] },
      },
      capabilities: this.capabilities,
      table: { version: '1.2.1', connectionTableSize: 4096 },
      counters: {
        verdicts: { TRANSMIT: 7, DROP: 2 },
        drops: { 'no route': 2 },
        passes: {},
        connections: 3,
        connectionsMax: 1024,
      },
    };
  }
}

let daemon: FakeDaemon;
let backEnds: BackEnd[];
let guard: { rules: string | null; hostLink: boolean; tap: boolean };
beforeEach(async () => {
  daemon = new FakeDaemon();
  backEnds = [];
  guard = { rules: 'table netdev uipvs { }\n', hostLink: true, tap: true };
  await daemon.execute({ name: 'addService', service: web });
  await daemon.execute({
    name: 'addDestination',
    service: web.key,
    destination: server('10.0.0.1', 8080, { weight: 5 }),
  });
});

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function uipvs(...words: string[]): Promise<Said> {
  return uipvsWith({}, ...words);
}

async function uipvsWith(parts: Partial<Cli>, ...words: string[]): Promise<Said> {
  let stdout = '';
  let stderr = '';
  const cli: Cli = {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    terminal: null,
    pause: async () => false,
    installation: { programs: '/nowhere', linkDirectory: '/nowhere', alternatives: null, standardPath: [] },
    connect: async () => daemon,
    backEnds: async () => backEnds,
    guard: async () => ({
      readGuard: async () => guard.rules,
      removeGuard: async () => ({ table: guard.rules !== null, hostLink: guard.hostLink, tap: guard.tap }),
    }),
    ...parts,
  };
  const lab = {
    name: 'lab',
    summary: 'try it',
    run: async (typed: readonly string[]) => {
      stdout += typed.join('|');
      return 42;
    },
  };
  const code = await runUipvs(words, cli, [lab]);
  return { code, stdout, stderr };
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

describe('words', () => {
  test('an unknown word is answered with the nearest one', async () => {
    expect(await uipvs('sevices')).toEqual({
      code: 2,
      stdout: '',
      stderr: "uipvs: unknown command 'sevices'; did you mean services?\n",
    });
  });

  test('an unknown option is answered with the nearest one', async () => {
    const { code, stderr } = await uipvs('services', '--jsno');
    expect(code).toBe(2);
    expect(stderr).toBe("uipvs services: unknown option '--jsno'; did you mean --json?\n");
  });

  test('a word too many is a mistake', async () => {
    expect(await uipvs('status', 'please')).toMatchObject({ code: 2, stdout: '' });
  });

  test('no word at all gets the help, as a mistake', async () => {
    const { code, stdout, stderr } = await uipvs();
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('Usage: uipvs');
  });

  test.each([['--help'], ['-h'], ['help']])('%s lists every word', async (word) => {
    const { code, stdout } = await uipvs(word);
    expect(code).toBe(0);
    for (const name of [
      'status',
      'services',
      'connections',
      'stats',
      'proc',
      'sysctl',
      'io',
      'guard',
      'install',
      'lab',
    ])
      expect(stdout).toContain(`  ${name} `);
  });

  test('the help of a word documents the keys of its JSON', async () => {
    for (const word of ['status', 'services', 'connections', 'stats', 'io']) {
      expect((await uipvs(word, '--help')).stdout).toContain('--json:');
    }
    expect((await uipvs('help', 'status')).stdout).toContain('Usage: uipvs status');
  });

  test.each(['--version', '-V'])('%s prints the version of the package', async (option) => {
    expect(await uipvs(option)).toEqual({ code: 0, stdout: `${uipvsVersion()}\n`, stderr: '' });
  });

  test('other programs get their words as they were typed', async () => {
    expect(await uipvs('lab', '--keep', '-x', 'y')).toEqual({ code: 42, stdout: '--keep|-x|y', stderr: '' });
    expect((await uipvs('help', 'lab')).stdout).toBe('--help');
  });

  test('a daemon that does not answer is one sentence', async () => {
    const connect = (): Promise<never> => Promise.reject(new IpvsError('ENOPROTOOPT', 'no uipvsd answers on /x'));
    expect(await uipvsWith({ connect }, 'status')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'uipvs: no uipvsd answers on /x\n',
    });
  });

  test('the daemon is let go, also after a failure', async () => {
    await uipvs('services');
    daemon.before = () => {
      throw new IpvsError('EIO', 'broken');
    };
    expect((await uipvs('services')).code).toBe(1);
    expect(daemon.closed).toBe(2);
  });
});

describe('status', () => {
  test('tells what runs and what it did', async () => {
    const { code, stdout } = await uipvs('status');
    expect(code).toBe(0);
    expect(stdout.split('\n')).toEqual(
      expect.arrayContaining([
        'daemon          uipvsd 0.1.0, pid 77, running for 1 h 2 min',
        'links           eth0, lo',
        'services        1, destinations 1',
        'connections     3 of 1024 at most',
        'frames          TRANSMIT 7, DROP 2',
        'dropped         no route 2',
        'passed on       none',
      ]),
    );
  });

  test('lists the source NAT rules of the host: which are followed, how often, and which are not understood', async () => {
    const rule = { origin: 'iptables', hits: 0, concerned: true, problem: null };
    daemon.sourceNat = {
      inForce: true,
      rules: [
        { ...rule, text: '-A POSTROUTING -d 10.0.0.0/24 -j MASQUERADE', hits: 3 },
        { ...rule, text: '-A POSTROUTING -m statistic -j MASQUERADE', problem: '-m statistic' },
      ],
    };
    const lines = (await uipvs('status')).stdout.split('\n').filter((line) => line.includes('POSTROUTING'));
    expect(lines).toEqual([
      'source NAT      3 connections by iptables: -A POSTROUTING -d 10.0.0.0/24 -j MASQUERADE',
      '                not followed, not understood: -m statistic; iptables: -A POSTROUTING -m statistic -j MASQUERADE',
    ]);
    expect(JSON.parse((await uipvs('status', '--json')).stdout).sourceNat).toEqual(daemon.sourceNat);
  });

  test('says how rules come into force that would match, and is silent about others', async () => {
    const rule = { origin: 'nft inet lb', hits: 0, problem: null };
    const rules = [
      { ...rule, text: 'ip daddr 10.0.0.0/24 masquerade', concerned: true },
      { ...rule, text: 'ip daddr 10.9.0.0/24 masquerade', concerned: false },
    ];
    const lines = async (inForce: boolean, which: typeof rules) => {
      daemon.sourceNat = { inForce, rules: which };
      const { stdout } = await uipvs('status');
      return stdout.slice(stdout.indexOf('passed on')).split('\n').slice(1, -1);
    };
    expect(await lines(false, rules)).toEqual([
      'source NAT      not in force: nft inet lb: ip daddr 10.0.0.0/24 masquerade',
      '                such rules apply with conntrack=1: type `uipvs sysctl -w net.ipv4.vs.conntrack=1`',
    ]);
    expect(await lines(false, rules.slice(1))).toEqual([]);
    expect(await lines(true, [])).toEqual(['source NAT      no MASQUERADE or SNAT rule of the host']);
  });

  test('has the documented keys as JSON', async () => {
    const report = JSON.parse((await uipvs('status', '--json')).stdout);
    expect(Object.keys(report).sort()).toEqual(
      ['capabilities', 'counters', 'daemon', 'destinations', 'services', 'sourceNat', 'table', 'totals'].sort(),
    );
    expect(report).toMatchObject({ services: 1, destinations: 1 });
  });

  test.each([
    [0, '0 s'],
    [59, '59 s'],
    [61, '1 min 1 s'],
    [90_000, '1 d 1 h'],
  ])('%i seconds are %s', (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });
});

describe('lists', () => {
  test('services come with their destinations', async () => {
    expect((await uipvs('services')).stdout).toBe(
      'tcp 192.0.2.1:80  scheduler wlc\n' +
        '  -> 10.0.0.1:8080            masquerade weight 5     active 0, inactive 0\n',
    );
    const services = JSON.parse((await uipvs('services', '--json')).stdout);
    expect(services).toHaveLength(1);
    expect(services[0].destinations[0].spec.weight).toBe(5);
  });

  test('an empty table is said, or an empty array', async () => {
    await daemon.execute({ name: 'flush' });
    expect((await uipvs('services')).stdout).toBe('there are no services\n');
    expect((await uipvs('services', '--json')).stdout).toBe('[]\n');
    expect((await uipvs('connections')).stdout).toBe('there are no connections\n');
  });

  test('connections come over all pages, one a line', async () => {
    daemon.connections = [
      connection(40_000),
      connection(40_001, { local: { address: '10.0.0.254', port: 40_001 } }),
      connection(40_002),
    ];
    const lines = (await uipvs('connections')).stdout.split('\n');
    expect(lines[0]).toBe('PROTOCOL EXPIRES STATE        CLIENT                VIRTUAL               DESTINATION');
    expect(lines[1]).toBe('TCP      14:59   ESTABLISHED  198.51.100.7:40000    192.0.2.1:80          10.0.0.1:8080');
    expect(lines[2]).toContain('10.0.0.1:8080 as 10.0.0.254:40001');
    expect(lines).toHaveLength(5);
    expect(JSON.parse((await uipvs('connections', '--json', '--limit', '2')).stdout)).toEqual(
      daemon.connections.slice(0, 2),
    );
  });

  test.each(['0', '-1', 'many', '1.5'])('--limit %s is refused in one sentence', async (limit) => {
    const { code, stderr } = await uipvs('connections', `--limit=${limit}`);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^uipvs connections: option '--limit <count>' argument '.*' is invalid\. It must be a whole/,
    );
    expect(stderr.trimEnd()).not.toContain('\n');
  });

  test('a list that breaks in the middle is no whole JSON', async () => {
    daemon.connections = [connection(1), connection(2), connection(3)];
    daemon.before = (command) => {
      if ('cursor' in command) throw new IpvsError('EIO', 'the worker was replaced');
    };
    const { code, stdout, stderr } = await uipvs('connections', '--json');
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'uipvs: the worker was replaced\n' });
    expect(() => JSON.parse(stdout)).toThrow();
  });
});

describe('io', () => {
  const kind = (name: string, reason: string | null): BackEnd => ({
    name,
    summary: `${name} frames`,
    thread: 'any',
    unavailable: async () => reason,
  });

  test('says which back ends work here, and why the others do not', async () => {
    backEnds = [kind('packet-mmsg', null), kind('pcap', 'the package cap is not installed')];
    const { code, stdout } = await uipvs('io');
    expect(code).toBe(0);
    expect(stdout).toContain('works here; no fast path: packet-mmsg has none\n');
    expect(stdout).toContain('does not work here: the package cap is not installed\n');
    expect(JSON.parse((await uipvs('io', '--json')).stdout)[1]).toEqual({
      name: 'pcap',
      summary: 'pcap frames',
      thread: 'any',
      available: false,
      reason: 'the package cap is not installed',
      ffi: null,
      fastPath: 'the back end does not work here',
    });
  });

  test('says which have a fast path, and why the kernel has none for others', async () => {
    const reason = 'it needs Linux 6.6 or newer';
    backEnds = [
      { ...kind('packet-ring', null), fastPathRefused: () => null },
      { ...kind('packet-mmsg', null), fastPathRefused: () => reason },
    ];
    const { stdout } = await uipvs('io');
    expect(stdout).toContain('works here; with fast path\n');
    expect(stdout).toContain(`works here; no fast path: ${reason}\n`);
    const reports = JSON.parse((await uipvs('io', '--json')).stdout);
    expect(reports.map(({ fastPath }: { fastPath: string }) => fastPath)).toEqual(['on', reason]);
  });

  test('says what the system calls go through', async () => {
    backEnds = [{ ...kind('packet-ring', null), provider: () => 'koffi 3.3.4' }];
    expect((await uipvs('io')).stdout).toContain('works here, through koffi 3.3.4; no fast path');
    expect(JSON.parse((await uipvs('io', '--json')).stdout)[0].ffi).toBe('koffi 3.3.4');
  });

  test('with --watch shows what each link of the daemon does, second by second', async () => {
    const looks = [true, true, false];
    const pause = async () => looks.shift() ?? false;
    const { code, stdout } = await uipvsWith({ pause }, 'io', '--watch');
    expect(code).toBe(0);
    expect(stdout.startsWith('packet-mmsg\n\nLINK ')).toBe(true);
    const rows = stdout.split('\n').filter((line) => line.startsWith('eth0'));
    expect(rows).toHaveLength(3);
    // The first look has nothing to compare with.
    expect(rows[0]).toMatch(/^eth0 +0 +0 +0 +0 +12 \(300\) 4096 {2}dropped 3$/);
    expect(stdout).toMatch(/^lo .*- {2}ENOBUFS 2$/m);

    const lines = (await uipvsWith({ pause: async () => false }, 'io', '--watch', '--json')).stdout.trim().split('\n');
    expect(JSON.parse(lines[0] as string)).toMatchObject({
      io: 'packet-mmsg',
      ioPassedOver: [],
      ffi: null,
      intervalSeconds: 0,
      links: [
        { link: 'eth0', ring: { slots: 4096 }, perSecond: { received: 0 } },
        { link: 'lo', transmitErrors: { ENOBUFS: 2 } },
      ],
    });
  });

  test('rates are those since the look before', async () => {
    let looks = 0;
    const pause = () => new Promise<boolean>((resolve) => setTimeout(resolve, 20, ++looks < 2));
    const { stdout } = await uipvsWith({ pause }, 'io', '--watch', '--json');
    const second = JSON.parse(stdout.trim().split('\n')[1] as string);
    expect(second.intervalSeconds).toBeGreaterThan(0);
    expect(second.links[0].perSecond.received).toBeGreaterThan(0);
    expect(second.links[0].perSecond.received).toBeLessThanOrEqual(1_000 / 0.019);
    expect(second.links[1].perSecond).toEqual({ received: 0, transmitted: 0, receiveDrops: 0, transmitErrors: 0 });
  });

  test('is a failure when none works', async () => {
    backEnds = [kind('packet-mmsg', 'needs root')];
    expect((await uipvs('io')).code).toBe(1);
  });
});

describe('guard', () => {
  test('is shown, with and without the option', async () => {
    expect((await uipvs('guard')).stdout).toBe('table netdev uipvs { }\n');
    expect((await uipvs('guard', '--show')).stdout).toBe('table netdev uipvs { }\n');
  });

  test('is removed', async () => {
    expect((await uipvs('guard', '--remove')).stdout).toBe('removed: the rules, the link to the host, the tap\n');
    guard = { rules: null, hostLink: false, tap: false };
    expect((await uipvs('guard', '--remove')).stdout).toBe('there was no guard\n');
    expect((await uipvs('guard')).stdout).toBe('there is no guard\n');
  });

  test('is not shown and removed at once', async () => {
    expect(await uipvs('guard', '--show', '--remove')).toMatchObject({ code: 2, stdout: '' });
  });
});
