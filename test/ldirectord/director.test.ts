import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { asSentence } from '../../src/ldirectord/health-book.ts';
import { IpvsError } from '../../src/model/errors.ts';
import { parsed, World } from './director-world.ts';

const USER = readFileSync(join(import.meta.dirname, 'examples/01-user-ping.cf'), 'utf8');
const S11 = '192.168.1.11';
const S12 = '192.168.1.12';
const S13 = '192.168.1.13';
const SERVICE = { protocol: 'tcp', address: '192.168.1.120', port: 80 } as const;

/** The table after each phase of a recorded run. */
function recordedTables(file: string): Map<string, string[]> {
  const text = readFileSync(join(import.meta.dirname, 'transcripts', file), 'utf8');
  const tables = new Map<string, string[]>();
  for (const phase of text.split('\n### ').slice(1)) {
    const [title] = phase.split('\n');
    const table = phase.split('-- table afterwards (ipvsadm -L -n)\n')[1];
    const lines = table.split('\n').filter((line) => line.startsWith('   '));
    tables.set(
      title,
      lines.slice(3).map((line) => line.slice(3).trimEnd()),
    );
  }
  return tables;
}

describe.each([
  ['yes', 'user-config-quiescent-yes.txt'],
  ['no', 'user-config-quiescent-no.txt'],
])('the recorded day of the original with quiescent=%s', (quiescent, file) => {
  const recorded = recordedTables(file);
  const text = USER.replace('quiescent=yes', `quiescent=${quiescent}`);
  const down = (address: string) =>
    quiescent === 'yes'
      ? `Quiescent real server: ${address}:80 (192.168.1.120:80) (Weight set to 0)`
      : `Deleted real server: ${address}:80 (192.168.1.120:80)`;
  const up = (address: string) =>
    `${quiescent === 'yes' ? 'Restored' : 'Added'} real server: ${address}:80 (192.168.1.120:80) (Weight set to 1)`;
  const reset = (address: string) => `Resetting soft failure count: ${address}:80 (tcp:192.168.1.120:80)`;

  test('ends every phase with the same table, and says the same', async () => {
    const world = new World();
    expect(await world.start(text)).toBe(true);
    expect(world.table.listing()).toEqual(recorded.get('start, all three real servers answer ping'));
    // Unlike the original: nobody is tried out with traffic first, and the fallback does not flicker.
    expect(world.said()).toEqual([
      'Added virtual server: 192.168.1.120:80',
      ...[S11, S12, S13].map((address) => `Added real server: ${address}:80 (192.168.1.120:80) (Weight set to 1)`),
    ]);

    world.dead.add(S12);
    await world.clock.advance(12_000);
    expect(world.table.listing()).toEqual(recorded.get('192.168.1.12 stops answering'));
    expect(world.said()).toEqual([down(S12)]);

    world.dead.add(S11).add(S13);
    // One interval and one timeout, although three servers are silent at the same time.
    await world.clock.advance(12_000);
    expect(world.table.listing()).toEqual(recorded.get('192.168.1.11 and 192.168.1.13 stop answering too (all down)'));
    expect(world.said()).toEqual([
      down(S11),
      down(S13),
      'Added fallback server: 127.0.0.1:80 (192.168.1.120:80) (Weight set to 1)',
    ]);

    world.dead.delete(S13);
    await world.clock.advance(12_000);
    expect(world.table.listing()).toEqual(recorded.get('192.168.1.13 answers again'));
    expect(world.said()).toEqual([reset(S13), up(S13), 'Deleted fallback server: 127.0.0.1:80 (192.168.1.120:80)']);

    world.dead.clear();
    await world.clock.advance(12_000);
    expect(world.table.listing()).toEqual(recorded.get('192.168.1.11 and 192.168.1.12 answer again'));
    expect(world.said().sort()).toEqual([reset(S11), up(S11), reset(S12), up(S12)].sort());

    const before = world.table.commands.length;
    await world.reload(text);
    expect(world.table.listing()).toEqual(recorded.get('SIGHUP, configuration unchanged'));
    expect(world.said()).toEqual(['Changed virtual server: 192.168.1.120:80']);
    expect(world.table.commands.slice(before).map(({ name }) => name)).toEqual(['editService']);

    await world.director.stop();
    expect(world.table.listing()).toEqual(recorded.get('ldirectord stop'));
    expect(world.said()).toEqual([
      ...[S11, S12, S13].map((address) => `Purged real server (stop): ${address}:80 (192.168.1.120:80)`),
      'Purged virtual server (stop): 192.168.1.120:80',
    ]);
    expect(world.clock.timerCount).toBe(0);
  });
});

const head = (lines: string) => `checkinterval=2\nchecktimeout=10\n${lines}`;
const block = (lines: string) =>
  `virtual=192.168.1.120:80\n\treal=192.168.1.11:80 masq\n\treal=192.168.1.12:80 masq 3\n${lines}`;

describe('a server gets no traffic before its first good check', () => {
  test('silent servers enter with weight 0 when quiescent, and the fallback is on', async () => {
    const world = new World();
    world.dead.add(S11).add(S12);
    await world.start(head(`quiescent=yes\nfallback=127.0.0.1\n${block('\tchecktype=ping\n')}`));
    expect(world.table.listing()).toEqual([
      'TCP  192.168.1.120:80 wrr',
      '  -> 127.0.0.1:80                 Route   1      0          0',
      '  -> 192.168.1.11:80              Masq    0      0          0',
      '  -> 192.168.1.12:80              Masq    0      0          0',
    ]);
    expect(
      world.table.commands.every(
        (command) =>
          !('destination' in command) ||
          !('weight' in command.destination) ||
          command.destination.address === '127.0.0.1' ||
          command.destination.weight === 0,
      ),
    ).toBe(true);
  });

  test('silent servers are absent when not quiescent, whatever the manual says about the default', async () => {
    const world = new World();
    world.dead.add(S12);
    await world.start(head(block('\tchecktype=connect\n')));
    expect(world.table.listing()).toEqual([
      'TCP  192.168.1.120:80 wrr',
      '  -> 192.168.1.11:80              Masq    1      0          0',
    ]);
  });

  test('with checktype=off only the fallback is there', async () => {
    const world = new World();
    await world.start(head(block('\tchecktype=off\n\tfallback=127.0.0.1:80 masq\n')));
    expect(world.table.listing()).toEqual([
      'TCP  192.168.1.120:80 wrr',
      '  -> 127.0.0.1:80                 Masq    1      0          0',
    ]);
    expect(world.checks).toEqual([]);
  });
});

describe('what the table holds before', () => {
  test('servers with traffic keep it without interruption, strangers in the service go, other services stay', async () => {
    const world = new World();
    const destination = {
      method: 'masquerade',
      upperThreshold: 0,
      lowerThreshold: 0,
      tunnel: { type: 'ipip', port: 0, checksum: 'none' },
    } as const;
    const service = {
      scheduler: 'rr',
      schedulerFlags: [],
      persistenceTimeoutSeconds: null,
      netmask: '255.255.255.255',
      persistenceEngine: null,
      onePacket: false,
    };
    const foreign = { protocol: 'udp', address: '10.9.9.9', port: 53 } as const;
    for (const key of [SERVICE, foreign, { ...foreign, port: 54 }])
      await world.table.execute({ name: 'addService', service: { ...service, key } });
    for (const [address, weight] of [
      [S11, 1],
      [S12, 1],
      ['10.1.1.1', 5],
    ] as const) {
      await world.table.execute({
        name: 'addDestination',
        service: SERVICE,
        destination: { ...destination, address, port: 80, weight },
      });
    }
    world.table.commands.length = 0;
    world.dead.add(S11);
    await world.start(head(block('\tchecktype=ping\n\tscheduler=rr\n')));
    expect(world.said()).toEqual([
      'Changed virtual server: 192.168.1.120:80',
      'Restored real server: 192.168.1.12:80 (192.168.1.120:80) (Weight set to 3)',
      'Purged real server (start): 10.1.1.1:80 (192.168.1.120:80)',
    ]);
    expect(world.table.listing()).toContain('UDP  10.9.9.9:53 rr');
    expect(world.table.listing()).toContain('UDP  10.9.9.9:54 rr');
    // .11 counted as up; its check fails after its time and takes it out.
    await world.clock.advance(10_000);
    expect(world.said()).toEqual(['Deleted real server: 192.168.1.11:80 (192.168.1.120:80)']);
  });
});

describe('the life of a server', () => {
  test('failurecount failures in a row are needed, and are counted for each service by itself', async () => {
    const world = new World();
    const other = 'virtual=192.168.1.121:80\n\treal=192.168.1.11:80 masq\n\tchecktype=ping\n';
    await world.start(head(`failurecount=2\n${block('\tchecktype=ping\n')}${other}`));
    world.said();
    world.dead.add(S11);
    await world.clock.advance(12_000);
    expect(world.said()).toEqual([
      'Soft failure real server: 192.168.1.11:80 (tcp:192.168.1.120:80) failure 1/2',
      'Soft failure real server: 192.168.1.11:80 (tcp:192.168.1.121:80) failure 1/2',
    ]);
    await world.clock.advance(12_000);
    expect(world.said()).toEqual([
      'Deleted real server: 192.168.1.11:80 (192.168.1.120:80)',
      'Deleted real server: 192.168.1.11:80 (192.168.1.121:80)',
    ]);
  });

  test('a success in between resets the count', async () => {
    const world = new World();
    await world.start(head(`failurecount=2\n${block('\tchecktype=ping\n')}`));
    world.dead.add(S11);
    await world.clock.advance(11_500);
    world.dead.clear();
    await world.clock.advance(2_000);
    expect(world.said().slice(-1)).toEqual(['Resetting soft failure count: 192.168.1.11:80 (tcp:192.168.1.120:80)']);
    expect(world.table.listing()).toHaveLength(3);
  });

  test('the same host is asked once for all services that ask it the same', async () => {
    const world = new World();
    const other = 'virtual=192.168.1.121:443\n\treal=192.168.1.11:443 masq\n\tchecktype=ping\n';
    await world.start(head(`${block('\tchecktype=ping\n')}${other}`));
    expect(world.checks.map(({ address }) => address)).toEqual([S11, S12]);
  });

  test('a quiescent server that was deleted by hand stays away, unless readdquiescent=yes', async () => {
    for (const readd of ['no', 'yes']) {
      const world = new World();
      await world.start(head(`quiescent=yes\nreaddquiescent=${readd}\n${block('\tchecktype=ping\n')}`));
      await world.table.execute({
        name: 'deleteDestination',
        service: SERVICE,
        destination: { address: S11, port: 80 },
      });
      world.said();
      world.dead.add(S11);
      await world.clock.advance(12_000);
      const words = 'Readd Quiescent real server: 192.168.1.11:80 (192.168.1.120:80) (Weight set to 0)';
      expect(world.said()).toEqual(readd === 'yes' ? [words] : []);
    }
  });

  test('a weight set by hand survives the fate of others', async () => {
    const world = new World();
    await world.start(head(block('\tchecktype=ping\n')));
    const edited = {
      address: S12,
      port: 80,
      method: 'masquerade',
      weight: 0,
      upperThreshold: 0,
      lowerThreshold: 0,
      tunnel: { type: 'ipip', port: 0, checksum: 'none' },
    } as const;
    await world.table.execute({ name: 'editDestination', service: SERVICE, destination: edited });
    world.dead.add(S11);
    await world.clock.advance(12_000);
    expect(world.table.listing().slice(1)).toEqual(['  -> 192.168.1.12:80              Masq    0      0          0']);
  });

  test('maintenance takes a healthy server out at once and gives it back', async () => {
    const world = new World();
    await world.start(head(`failurecount=5\n${block('\tchecktype=ping\n')}`));
    world.maintenance.add(S12);
    await world.clock.advance(2_000);
    expect(world.table.listing()).toHaveLength(2);
    world.maintenance.clear();
    await world.clock.advance(2_000);
    expect(world.table.listing()).toHaveLength(3);
  });

  test('ten of twenty that die at once are out within one interval and one timeout, whenever that is', async () => {
    const all = Array.from({ length: 20 }, (_, index) => `10.7.0.${index + 1}`);
    for (const phaseMs of [0, 1, 999, 1_000, 1_700, 2_000]) {
      const world = new World();
      await world.start(head('virtual=192.168.1.120:80\n\treal=10.7.0.1->10.7.0.20:80 masq\n\tchecktype=connect\n'));
      await world.clock.advance(phaseMs);
      for (const address of all.slice(0, 10)) world.dead.add(address);
      await world.clock.advance(12_000);
      const left = world.table
        .listing()
        .slice(1)
        .map((line) => /10\.7\.0\.\d+/.exec(line)?.[0]);
      expect(left.sort()).toEqual(all.slice(10).sort());
    }
  });

  test('fifty silent servers are all out within one interval and one timeout', async () => {
    const world = new World();
    const text = head(
      'virtual=192.168.1.120:80\n\treal=10.7.0.1->10.7.0.50:80 masq\n\tchecktype=ping\n\tfallback=127.0.0.1\n',
    );
    await world.start(text);
    expect(world.table.listing()).toHaveLength(51);
    for (let last = 1; last <= 50; last++) world.dead.add(`10.7.0.${last}`);
    await world.clock.advance(12_000);
    expect(world.table.listing()).toHaveLength(2);
  });

  test('the fallback command hears the first and the last, not the flicker in between', async () => {
    const world = new World();
    await world.start(head(block('\tchecktype=ping\n\tfallbackcommand="/bin/sorry web"\n')));
    expect(world.shell).toEqual(['/bin/sorry web stop 192.168.1.120:80 tcp']);
    world.dead.add(S11).add(S12);
    await world.clock.advance(13_000);
    world.dead.clear();
    await world.clock.advance(13_000);
    expect(world.shell.slice(1)).toEqual([
      '/bin/sorry web start 192.168.1.120:80 tcp',
      '/bin/sorry web stop 192.168.1.120:80 tcp',
    ]);
  });

  test('a fallback that is also a server of the service goes back to what it was', async () => {
    const world = new World();
    await world.start(head(`quiescent=yes\n${block('\tchecktype=ping\n\tfallback=192.168.1.12:80 masq\n')}`));
    world.dead.add(S11).add(S12);
    await world.clock.advance(12_000);
    expect(world.table.listing().slice(1)).toEqual([
      '  -> 192.168.1.11:80              Masq    0      0          0',
      '  -> 192.168.1.12:80              Masq    1      0          0',
    ]);
    world.dead.delete(S11);
    await world.clock.advance(12_000);
    expect(world.table.listing().slice(1)).toEqual([
      '  -> 192.168.1.11:80              Masq    1      0          0',
      '  -> 192.168.1.12:80              Masq    0      0          0',
    ]);
  });
});

describe('reload', () => {
  test('adds, changes and purges without touching healthy servers, and keeps what is known about them', async () => {
    const world = new World();
    world.dead.add(S12);
    await world.start(head(`quiescent=yes\n${block('\tchecktype=ping\n')}virtual=192.168.1.121:80\n\tchecktype=on\n`));
    world.said();
    const before = world.table.commands.length;
    const text =
      'virtual=192.168.1.120:80\n\treal=192.168.1.11:80 masq 7\n\treal=192.168.1.12:80 masq 3\n\treal=192.168.1.13:80 masq\n\tchecktype=ping\n';
    await world.reload(head(`quiescent=yes\n${text}`));
    expect(world.said()).toEqual([
      'Changed virtual server: 192.168.1.120:80',
      'Restored real server: 192.168.1.11:80 (192.168.1.120:80) (Weight set to 7)',
      'Added real server: 192.168.1.13:80 (192.168.1.120:80) (Weight set to 1)',
      'Purged virtual server (start): 192.168.1.121:80',
    ]);
    // The original would give the dead server its weight for a moment.
    const touched = world.table.commands
      .slice(before)
      .flatMap((each) => ('destination' in each ? [each.destination.address] : []));
    expect(touched).not.toContain(S12);
  });
});

describe('reload, while things happen', () => {
  test('a silent server is found silent however often the file is read again', async () => {
    const world = new World();
    const text = head(block('\tchecktype=ping\n'));
    await world.start(text);
    world.dead.add(S11);
    // Each reload takes a second; the check that is under way must not begin anew.
    for (let second = 0; second < 12; second++) await world.reload(text);
    expect(world.said()).toContain('Deleted real server: 192.168.1.11:80 (192.168.1.120:80)');
  });

  test('a server that dies while the first checks of new ones are awaited is taken out at once', async () => {
    const world = new World();
    await world.start(head(block('\tchecktype=ping\n')));
    world.dead.add(S11).add(S13);
    await world.clock.advance(10_800);
    world.said();
    const more = `${block('\tchecktype=ping\n')}\treal=192.168.1.13:80 masq\n`;
    const reloading = world.director.reload(await parsed(head(more)));
    await world.clock.advance(200);
    expect(world.said()).toEqual(['Deleted real server: 192.168.1.11:80 (192.168.1.120:80)']);
    await world.clock.advance(800);
    await reloading;
  });

  test('another check for a dead server does not bring it back before it is good', async () => {
    for (const quiescent of ['yes', 'no']) {
      const world = new World();
      await world.start(head(`quiescent=${quiescent}\n${block('\tchecktype=ping\n')}`));
      world.dead.add(S11);
      await world.clock.advance(12_000);
      const before = world.table.commands.length;
      await world.reload(head(`quiescent=${quiescent}\n${block('\tchecktype=connect\n')}`));
      await world.clock.advance(30_000);
      const touched = world.table.commands.slice(before).filter((each) => 'destination' in each);
      expect(touched).toEqual([]);
      expect(world.director.health()[0].servers[0]).toMatchObject({ state: 'down', address: S11 });
    }
  });

  test('a patient check is the same check: other timeouts and counts change nothing that is known', async () => {
    const world = new World();
    world.dead.add(S11);
    await world.start(head(block('\tchecktype=ping\n')));
    await world.clock.advance(12_000);
    const since = world.director.health()[0].servers.map((server) => server.since);
    await world.reload(head(`failurecount=3\n${block('\tchecktype=ping\n\tchecktimeout=4\n')}`));
    await world.clock.advance(6_000);
    expect(world.director.health()[0].servers.map((server) => server.since)).toEqual(since);
  });

  test('a server known from one service needs no check to enter another, nor to stay out of it', async () => {
    const world = new World();
    world.dead.add(S11);
    await world.start(head(block('\tchecktype=ping\n')));
    await world.clock.advance(12_000);
    const before = world.checks.length;
    const reloading = world.director.reload(
      await parsed(head(`${block('\tchecktype=ping\n')}${block('\tchecktype=ping\n').replace('.120:', '.121:')}`)),
    );
    await world.clock.advance(0);
    await reloading;
    expect(world.checks).toHaveLength(before);
    expect(world.table.listing().slice(-2)).toEqual([
      'TCP  192.168.1.121:80 wrr',
      '  -> 192.168.1.12:80              Masq    3      0          0',
    ]);
  });

  test('a server that is not configured any more serves its connections to the end, but no new ones', async () => {
    const world = new World();
    await world.start(head(block('\tchecktype=ping\n')));
    world.said();
    world.table.connections.set(`${S12}:80`, 7);
    const one = 'virtual=192.168.1.120:80\n\treal=192.168.1.11:80 masq\n\tchecktype=ping\n';
    await world.reload(head(one));
    expect(world.table.listing()).toContain('  -> 192.168.1.12:80              Masq    0      0          0');
    await world.clock.advance(5_000);
    expect(world.said()).toEqual([
      'Changed virtual server: 192.168.1.120:80',
      'Draining real server before it is purged: 192.168.1.12:80 (192.168.1.120:80)',
    ]);
    world.table.connections.clear();
    await world.clock.advance(1_000);
    expect(world.said()).toEqual(['Purged real server (start): 192.168.1.12:80 (192.168.1.120:80)']);
  });

  test('a connection that never ends keeps its server for a minute; one that is configured again stays', async () => {
    const world = new World();
    await world.start(head(block('\tchecktype=ping\n')));
    for (const address of [S11, S12]) world.table.connections.set(`${address}:80`, 1);
    await world.reload(head('virtual=192.168.1.120:80\n\treal=192.168.1.13:80 masq\n\tchecktype=ping\n'));
    await world.clock.advance(30_000);
    expect(world.table.listing()).toHaveLength(4);
    await world.reload(head('virtual=192.168.1.120:80\n\treal=192.168.1.11:80 masq\n\tchecktype=ping\n'));
    await world.clock.advance(62_000);
    expect(world.table.listing().slice(1)).toEqual(['  -> 192.168.1.11:80              Masq    1      0          0']);
  });
});

describe('settings of one service', () => {
  test('its own interval counts with fork=yes, and the global one for the others', async () => {
    const world = new World();
    const other = 'virtual=192.168.1.121:80\n\treal=192.168.1.13:80 masq\n\tchecktype=ping\n';
    await world.start(head(`fork=yes\n${block('\tchecktype=ping\n\tcheckinterval=5\n')}${other}`));
    world.checks.length = 0;
    await world.clock.advance(20_000);
    const count = (address: string) => world.checks.filter((check) => check.address === address).length;
    expect([count(S11), count(S12), count(S13)]).toEqual([4, 4, 10]);
  });

  test('quiescent, failurecount and cleanstop of a block win over the global ones', async () => {
    const world = new World();
    const own = '\tchecktype=ping\n\tquiescent=yes\n\tfailurecount=2\n\tcleanstop=no\n';
    const other = 'virtual=192.168.1.121:80\n\treal=192.168.1.11:80 masq\n\tchecktype=ping\n';
    await world.start(head(`${block(own)}${other}`));
    world.dead.add(S11);
    await world.clock.advance(12_000);
    expect(world.table.listing()).toHaveLength(4);
    await world.clock.advance(12_000);
    expect(world.table.listing()).toContain('  -> 192.168.1.11:80              Masq    0      0          0');
    await world.director.stop();
    expect(world.table.listing()[0]).toBe('TCP  192.168.1.120:80 wrr');
    expect(world.table.listing()).toHaveLength(3);
  });

  test('the global fallback stands in for firewall marks too, and fallback6 for IPv6', async () => {
    const world = new World();
    for (const address of ['10.0.0.2', '10.0.0.3', 'fd00::2']) world.dead.add(address);
    const mark = 'virtual=7\n\treal=10.0.0.2 masq\n\tchecktype=ping\n';
    const own = 'virtual=8\n\treal=10.0.0.3 masq\n\tchecktype=ping\n\tfallback=10.0.0.9:81 masq\n';
    const six = 'virtual6=[fd00::1]:80\n\treal6=[fd00::2]:80 masq\n\tchecktype=connect\n';
    await world.start(head(`fallback=127.0.0.1\nfallback6=[::1]:8080 masq\n${mark}${own}${six}`));
    expect(world.table.listing()).toEqual([
      'FWM  7 wrr',
      '  -> 127.0.0.1:0                  Route   1      0          0',
      'FWM  8 wrr',
      '  -> 10.0.0.9:81                  Masq    1      0          0',
      'TCP  [fd00::1]:80 wrr',
      '  -> [::1]:8080                   Masq    1      0          0',
    ]);
    world.dead.clear();
    await world.clock.advance(13_000);
    expect(world.table.listing().filter((line) => line.includes('127.0.0.1') || line.includes('::1]:8080'))).toEqual(
      [],
    );
  });
});

describe('what happens at the same time', () => {
  test('a restart of the data plane and the death of a server: the other services come back too', async () => {
    const world = new World();
    const other = 'virtual=192.168.1.121:80\n\treal=192.168.1.13:80 masq\n\tchecktype=ping\n';
    await world.start(head(`${block('\tchecktype=ping\n')}${other}`));
    world.dead.add(S11);
    // The check of .11 ends at 12 s, between two looks at the table.
    await world.clock.advance(10_950);
    world.table.lose();
    await world.clock.advance(60);
    await world.clock.advance(2_000);
    expect(world.table.listing()).toEqual([
      'TCP  192.168.1.120:80 wrr',
      '  -> 192.168.1.12:80              Masq    3      0          0',
      'TCP  192.168.1.121:80 wrr',
      '  -> 192.168.1.13:80              Masq    1      0          0',
    ]);
  });

  test('the deaths of many servers of one service are applied together, with one look at the table', async () => {
    const world = new World();
    await world.start(head('virtual=192.168.1.120:80\n\treal=10.7.0.1->10.7.0.50:80 masq\n\tchecktype=ping\n'));
    for (let last = 1; last <= 50; last++) world.dead.add(`10.7.0.${last}`);
    const looks: string[] = [];
    // An answer takes a while, as over a socket.
    world.table.before = ({ name }) => {
      if (name === 'getService') looks.push(name);
      return new Promise((resolve) => world.clock.after(1, resolve));
    };
    await world.clock.advance(12_100);
    expect(world.table.listing()).toHaveLength(1);
    // One a second is the look whether it is still there.
    expect(looks.length).toBeLessThan(12 + 5);
  });

  test('a server that dies while the table is being filled is not put into it', async () => {
    const world = new World();
    const text = head(block('\tchecktype=ping\n'));
    await world.start(text);
    world.table.lose();
    world.dead.add(S12);
    // The table stands still in the middle of its filling until .12 is known to be dead.
    let go = (): void => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    world.table.before = ({ name }) => (name === 'addDestination' ? gate : Promise.resolve());
    await world.clock.advance(14_000);
    const from = world.table.commands.length;
    world.table.before = () => Promise.resolve();
    go();
    await world.clock.advance(2_000);
    const added = world.table.commands.slice(from).flatMap((each) => (each.name === 'addDestination' ? [each] : []));
    expect(added.map(({ destination }) => destination.address)).toEqual([S11]);
  });
});

describe('what is told about health', () => {
  test('state, since when, why, how long it took, what is next, and the changes', async () => {
    const world = new World();
    await world.start(head(`failurecount=2\n${block('\tchecktype=ping\n\tfallback=127.0.0.1:80 masq\n')}`));
    world.dead.add(S11);
    world.maintenance.add(S12);
    await world.clock.advance(25_000);
    const [service] = world.director.health();
    expect(service).toMatchObject({
      key: SERVICE,
      check: 'ping every 2 s, timeout 10 s',
      fallback: '127.0.0.1:80',
    });
    expect(service.servers[0]).toEqual({
      address: S11,
      port: 80,
      state: 'down',
      since: '1970-01-01T00:00:23.000Z',
      result: { at: '1970-01-01T00:00:23.000Z', healthy: false, reason: 'silent', latencyMs: 10_000 },
      failures: 2,
      failuresMax: 2,
      nextCheckAt: '1970-01-01T00:00:24.000Z',
      changes: [
        { number: 1, at: '1970-01-01T00:00:00.000Z', state: 'up', reason: 'answered' },
        { number: 4, at: '1970-01-01T00:00:23.000Z', state: 'down', reason: 'silent' },
      ],
    });
    expect(service.servers[1]).toMatchObject({
      state: 'maintenance',
      result: { reason: 'Server in maintenance', latencyMs: null },
      nextCheckAt: null,
    });
    expect(world.healthChanges).toBeGreaterThanOrEqual(4);
  });

  test.each([
    [{ healthy: true, message: '200 OK' }, '200 OK'],
    [{ healthy: true, message: '' }, 'answered'],
    [{ healthy: false, message: ' \n' }, 'failed without saying why'],
    [{ healthy: false, message: 'connect\tECONNREFUSED' }, 'connect ECONNREFUSED'],
    [
      { healthy: false, message: '<html>\n<h1>It works!</h1>\u001b[2J\n' },
      'an answer that is not the expected one: "<html> <h1>It works!</h1> [2J"',
    ],
    [
      { healthy: false, message: 'x'.repeat(100_000) },
      `an answer that is not the expected one: "${'x'.repeat(77)}..."`,
    ],
  ])('%j is one sentence', (result, sentence) => {
    expect(asSentence(result)).toBe(sentence);
  });

  test('no more than the last twenty changes are kept', async () => {
    const world = new World();
    await world.start(head(block('\tchecktype=ping\n\tchecktimeout=1\n')));
    for (let turn = 0; turn < 30; turn++) {
      if (world.dead.has(S11)) world.dead.delete(S11);
      else world.dead.add(S11);
      await world.clock.advance(4_000);
    }
    const { changes } = world.director.health()[0].servers[0];
    expect(changes).toHaveLength(20);
    expect(changes.at(-1)?.number).toBe(changes[0].number + 19);
  });
});

describe('the data plane', () => {
  test('may come later: it is tried every second, said once, and then everything is applied', async () => {
    const world = new World();
    world.table.away = true;
    expect(await world.start(USER)).toBe(false);
    await world.clock.advance(5_000);
    expect(world.said()).toEqual(['The data plane does not answer (no socket); trying again every second']);
    world.table.away = false;
    await world.clock.advance(1_000);
    expect(world.table.listing()).toHaveLength(4);
    expect(world.said()[0]).toBe('The data plane answers again');
  });

  test('may be restarted: within a second or so the table is what it was', async () => {
    const world = new World();
    await world.start(USER);
    world.dead.add(S12);
    await world.clock.advance(12_000);
    const listing = world.table.listing();
    world.table.lose();
    await world.clock.advance(1_000);
    expect(world.table.listing()).toEqual(listing);
    world.table.away = true;
    world.table.lose();
    await world.clock.advance(3_000);
    world.table.away = false;
    await world.clock.advance(1_000);
    expect(world.table.listing()).toEqual(listing);
  });

  test('may lose an answer: what it was about is applied again', async () => {
    const world = new World();
    await world.start(USER);
    let lost = 1;
    world.table.refuse = ({ name }) =>
      name === 'editDestination' && lost-- > 0 ? new IpvsError('EIO', 'the connection broke') : null;
    world.dead.add(S12);
    await world.clock.advance(14_000);
    expect(world.table.listing()).toContain('  -> 192.168.1.12:80              Masq    0      0          0');
    expect(world.said()).toContain('The data plane does not answer (the connection broke); trying again every second');
  });

  test('one service deleted by hand among others stays deleted', async () => {
    const world = new World();
    await world.start(head(`${block('\tchecktype=ping\n')}virtual=192.168.1.121:80\n\tchecktype=on\n`));
    await world.table.execute({ name: 'deleteService', key: SERVICE });
    await world.clock.advance(5_000);
    expect(world.table.listing()).toEqual(['TCP  192.168.1.121:80 wrr']);
  });

  test('a refusal is logged and does not keep the other services back', async () => {
    const world = new World();
    world.table.refuse = (command) =>
      command.name === 'addService' && command.service.scheduler === 'nosuch'
        ? new IpvsError('ENOENT', 'no scheduler nosuch')
        : null;
    await world.start(
      head(`${block('\tchecktype=ping\n\tscheduler=nosuch\n')}virtual=192.168.1.121:80\n\tchecktype=on\n`),
    );
    expect(world.said()).toEqual([
      'system(addService tcp 192.168.1.120:80) failed: no scheduler nosuch',
      'Added virtual server: 192.168.1.121:80',
    ]);
  });

  test('stopped while the first checks are still under way, it leaves nothing behind', async () => {
    const world = new World();
    world.dead.add(S11);
    const starting = world.start(USER);
    await world.clock.advance(10);
    await world.director.stop();
    await starting;
    expect(world.table.listing()).toEqual([]);
    expect(world.clock.timerCount).toBe(0);
  });

  test('stopping ends also while nobody answers', async () => {
    const world = new World();
    await world.start(USER);
    world.table.away = true;
    await world.director.stop();
    expect(world.said().at(-1)).toContain('does not answer');
    expect(world.clock.timerCount).toBe(0);
  });

  test('cleanstop=no leaves the services behind', async () => {
    const world = new World();
    await world.start(head(`cleanstop=no\n${block('\tchecktype=ping\n')}`));
    await world.director.stop();
    expect(world.table.listing()).toHaveLength(3);
  });
});
