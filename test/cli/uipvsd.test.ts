import { availableParallelism } from 'node:os';
import { describe, expect, test } from 'vitest';
import { type DaemonCommandLine, readDaemonOptions } from '../../src/cli/daemon-options.ts';
import { missingCapabilities, privilegeComplaint } from '../../src/cli/privileges.ts';

async function read(...words: string[]) {
  let stdout = '';
  let stderr = '';
  const options = await readDaemonOptions(words, {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
  });
  return { options, stdout, stderr };
}

describe('the options of uipvsd', () => {
  test('without words everything has its preset', async () => {
    expect((await read()).options).toEqual({
      dataPlane: 'auto',
      sendProxy: null,
      acceptProxy: [],
      processes: 1,
      io: null,
      spinUs: 0,
      bypassQueue: false,
      fastPath: 'auto',
      ringSlots: 4_096,
      shards: 1,
      xdpMode: 'generic',
      sourceNat: 'none',
      connectionsMax: 1_048_576,
      links: null,
      guard: 'on',
      sysctl: [],
      socket: null,
      logLevel: 'info',
    } satisfies DaemonCommandLine);
  });

  test('every option is read', async () => {
    const words =
      '--io pcap --spin-us 50 --bypass-queue --fast-path off --ring-slots 512 --shards 3 --snat 192.0.2.10 --connections-max 5000 --link eth0 --link eth1 --sysctl conntrack=1 --sysctl sync_ports=2';
    const { options } = await read(
      ...words.split(' '),
      '--guard=off',
      '--socket',
      '/tmp/x.sock',
      '--log-level',
      'debug',
    );
    expect(options).toEqual({
      dataPlane: 'auto',
      sendProxy: null,
      acceptProxy: [],
      processes: 1,
      io: 'pcap',
      spinUs: 50,
      bypassQueue: true,
      fastPath: 'off',
      ringSlots: 512,
      shards: 3,
      xdpMode: 'generic',
      sourceNat: '192.0.2.10',
      connectionsMax: 5_000,
      links: ['eth0', 'eth1'],
      guard: 'off',
      sysctl: ['conntrack=1', 'sync_ports=2'],
      socket: '/tmp/x.sock',
      logLevel: 'debug',
    } satisfies DaemonCommandLine);
  });

  test('--shards auto is a shard for each processor, within reason', async () => {
    const { options } = await read('--shards', 'auto');
    expect(options).toMatchObject({ shards: Math.min(4, availableParallelism()) });
  });

  test.each([
    ['--io', 'dpdk'],
    ['--spin-us', '1001'],
    ['--ring-slots', '10'],
    ['--fast-path', 'on'],
    ['--shards', '0'],
    ['--shards', '65'],
    ['--shards', '1.5'],
    ['--shards', 'all'],
    ['--snat', '192.0.2'],
    ['--snat', '192.0.2.256'],
    ['--snat', '192.0.2.010'],
    ['--snat', '192.0.2.1.'],
    ['--snat', 'fd00::1'],
    ['--connections-max', '0'],
    ['--connections-max', '16777217'],
    ['--connections-max', 'lots'],
    ['--fast-path', 'on'],
    ['--guard', 'maybe'],
    ['--log-level', 'loud'],
    ['--link'],
    ['--lnik', 'eth0'],
    ['start'],
  ])('%s %s is refused with one sentence and exit code 2', async (...words) => {
    const { options, stdout, stderr } = await read(...words.filter((word) => word !== undefined));
    expect(options).toEqual({ exitCode: 2 });
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^uipvsd: .+\n$/);
  });

  test('the help is asked for, not a mistake', async () => {
    const { options, stdout } = await read('--help');
    expect(options).toEqual({ exitCode: 0 });
    for (const option of ['--io', '--snat', '--connections-max', '--link', '--socket', '--guard', '--log-level']) {
      expect(stdout).toContain(option);
    }
    expect(stdout).toContain('Exit codes:');
  });
});

describe('privileges', () => {
  test('are read from the effective capabilities', () => {
    expect(missingCapabilities('Name:\tnode\nCapEff:\t000001ffffffffff\n')).toEqual([]);
    expect(missingCapabilities('CapEff:\t0000000000003000\n')).toEqual([]);
    expect(missingCapabilities('CapEff:\t0000000000001000\n')).toEqual(['CAP_NET_RAW']);
    expect(missingCapabilities('CapEff:\t0000000000000000\n')).toEqual(['CAP_NET_ADMIN', 'CAP_NET_RAW']);
  });

  test('missing ones are told with the command that works', () => {
    expect(privilegeComplaint('uipvsd', [], [])).toBeNull();
    expect(privilegeComplaint('uipvsd', ['--link', "it's"], ['CAP_NET_RAW'])).toBe(
      "needs root, or CAP_NET_RAW; type `sudo uipvsd --link 'it'\\''s'`",
    );
  });
});
