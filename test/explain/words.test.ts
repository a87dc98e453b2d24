/** `uipvs explain` and `uipvs trace` as a person types them, with a daemon and without. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Cli } from '../../src/cli/cli.ts';
import { REASON_NAMES } from '../../src/engine/verdict.ts';
import { WAYS_OUT } from '../../src/explain/ways-out.ts';
import { LinkType } from '../../src/wire/capture-format.ts';
import { PcapWriter } from '../../src/wire/pcap-file.ts';
import { CLIENT, clientFrame, REAL1, REAL2, serverFrame, VIP, World } from '../support/world.ts';
import { engineDaemon } from './engine-daemon.ts';
import { runExplain, runWord } from './run-explain.ts';

const folder = mkdtempSync(join(tmpdir(), 'uipvs-explain-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const RULES = join(folder, 'ipvsadm.rules');
writeFileSync(
  RULES,
  '-A -t 10.0.0.100:80 -s rr\n-a -t 10.0.0.100:80 -r 10.1.0.11:8080 -m\n-a -t 10.0.0.100:80 -r 10.1.0.12:8080 -m\n',
);

const syn = (port: number): Uint8Array => clientFrame().ipv4(CLIENT, VIP).tcp(port, 80, { syn: true });

function natWorld(): World {
  const world = new World();
  world.addService('wlc', [[REAL1], [REAL2]]);
  return world;
}

const withWorld = (world: World, parts: Partial<Cli> = {}): Partial<Cli> => ({
  connect: async () => engineDaemon(world),
  ...parts,
});

describe('uipvs explain', () => {
  test('takes a packet as one word or as many, with and without ">"', async () => {
    const spellings = [
      [`tcp ${CLIENT}:40000 > ${VIP}:80 S`],
      ['tcp', `${CLIENT}:40000`, `${VIP}:80`, 'S'],
      ['tcp', `${CLIENT}:40000`, 'to', `${VIP}:80`],
      ['TCP', CLIENT, `${VIP}:80`],
    ];
    const told = await Promise.all(spellings.map((words) => runExplain('--config', RULES, ...words)));
    for (const { stdout, exit } of told) {
      expect(exit).toBe(0);
      expect(stdout).toBe(told[0]?.stdout);
    }
    expect(told[0]?.stdout).toContain('Chosen: 10.1.0.12:8080.');
  });

  test('asks the daemon, and changes nothing there', async () => {
    const world = natWorld();
    const before = JSON.stringify([world.services(), world.connections(), world.counters()]);
    const { stdout, exit } = await runWord(['explain', `tcp ${CLIENT}:1 > ${VIP}:80 S`], withWorld(world));
    expect(exit).toBe(0);
    expect(stdout).toContain('The route says: by s0, to 10.1.0.11');
    expect(JSON.stringify([world.services(), world.connections(), world.counters()])).toBe(before);
  });

  test('tells both directions of a connection', async () => {
    const world = natWorld();
    world.fromClient(syn(40000)).take();
    const { stdout, exit } = await runWord(['explain', 'connection', `${CLIENT}:40000`], withWorld(world));
    expect(exit).toBe(0);
    expect(stdout).toContain('the connection goes from SYN_RECV to ESTABLISHED');
    expect(stdout).toContain('the way back: the packet gets the source 10.0.0.100:80 instead of 10.1.0.11:8080');
    world.fromClient(syn(40001)).take();
    const many = await runWord(['explain', 'connection', CLIENT], withWorld(world));
    expect(many).toMatchObject({ exit: 1, stderr: expect.stringContaining(`connection ${CLIENT}:40001 ${VIP}:80`) });
    const none = await runWord(['explain', 'connection', '192.0.2.1'], withWorld(world));
    expect(none).toMatchObject({ exit: 1, stderr: expect.stringContaining('there is no connection of 192.0.2.1') });
  });

  test('tells both directions of a connection of full NAT and of direct routing', async () => {
    for (const [options, servers] of [
      [{ sourceNat: 'masquerade' }, 'masquerade'],
      [{}, 'direct'],
    ] as const) {
      const world = new World(options);
      world.addService('rr', [[REAL1]], { method: servers, serverPort: 80 });
      world.fromClient(syn(40000)).take();
      const { stdout, exit } = await runWord(['explain', 'connection', CLIENT], withWorld(world));
      expect(exit).toBe(0);
      expect(stdout.match(/It belongs to the connection/g)).toHaveLength(2);
    }
  });

  test('waits for the next packet that matches', async () => {
    const world = natWorld();
    const pauses: number[] = [];
    const pause = async (ms: number): Promise<boolean> => {
      pauses.push(ms);
      // The first that passes does not match.
      world.fromClient(syn(pauses.length === 1 ? 7 : 8)).wait(ms);
      return true;
    };
    const { stdout, exit } = await runWord(['explain', '--next', 'src port 8', '--json'], withWorld(world, { pause }));
    expect(exit).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      packet: `TCP ${CLIENT}:8 > ${VIP}:80`,
      verdict: 'transmit',
      choice: 'wlc: 10.1.0.11:8080 (1*256+0)/1 = 256, 10.1.0.12:8080 (0*256+0)/1 = 0, chosen 10.1.0.12:8080',
      trace: { connection: { isNew: true } },
    });
    expect(pauses).toHaveLength(2);
    // The trace has ended with it.
    expect(world.engine.execute({ name: 'readTrace', id: 'other', limit: 0 })).toMatchObject({ traces: [], missed: 0 });
    const nothing = await runWord(['explain', '--next', 'port 9', '--wait', '1'], withWorld(world));
    expect(nothing).toMatchObject({ exit: 1, stderr: expect.stringContaining('no packet matched in 1 s') });
  });

  test('takes letters of flags as tcpdump and as people write them', async () => {
    const [dot, letter] = await Promise.all(
      ['S.', 'SA'].map((flags) => runExplain('--config', RULES, `tcp 10.0.0.5:40000 10.0.0.100:80 ${flags}`)),
    );
    expect(letter).toEqual(dot);
    expect(letter?.stdout).toContain('Flags [S.]');
  });

  test('tells a packet of a capture, with and without a daemon', async () => {
    const path = join(folder, 'nat.pcap');
    const reply = serverFrame().ipv4('10.1.0.12', CLIENT).tcp(8080, 40000, { syn: true, ack: true });
    writeFileSync(
      path,
      capture([
        syn(40000),
        clientFrame().arp({ operation: 'request', senderMac: '02:00:00:00:00:fe', senderIp: CLIENT, targetIp: VIP }),
        reply,
      ]),
    );
    const first = await runExplain('--config', RULES, '--capture', path, '--hex');
    expect(first).toMatchObject({ exit: 0, stdout: expect.stringContaining('[1f][90]') });
    const third = await runExplain('--config', RULES, '--capture', path, '--packet', '3');
    expect(third).toMatchObject({ exit: 0, stdout: expect.stringContaining('the way back') });
    // The daemon has no connection of it.
    const asked = await runWord(['explain', '--capture', path, '--packet', '3'], withWorld(natWorld()));
    expect(asked.stdout).not.toContain('the way back');
    for (const [number, sentence] of [
      ['2', 'packet 2 of'],
      ['4', 'has 3 packets'],
    ] as const) {
      expect(await runExplain('--config', RULES, '--capture', path, '--packet', number)).toMatchObject({
        exit: 1,
        stderr: expect.stringContaining(sentence),
      });
    }
    const cut = join(folder, 'cut.pcap');
    writeFileSync(cut, capture([syn(1)], 40));
    const refused = await runExplain('--config', RULES, '--capture', cut);
    expect(refused).toMatchObject({ exit: 1, stderr: expect.stringContaining('was cut off') });
  });

  test('ends with 3 for a packet that is dropped, and says the way out', async () => {
    const world = new World();
    world.addService('wlc', [[REAL1, 0]]);
    const { stdout, exit } = await runWord(['explain', `tcp ${CLIENT}:1 ${VIP}:80`], withWorld(world));
    expect(exit).toBe(3);
    expect(stdout).toContain('dropped: the scheduler found no destination (no-destination)');
    expect(stdout).toContain('way out: give the service a server');
  });

  test('uses colours on a terminal only, and not with NO_COLOR', async () => {
    const terminal = { rows: () => 40 };
    const words = ['explain', `tcp ${CLIENT}:1 ${VIP}:80`];
    const before = process.env['NO_COLOR'];
    try {
      delete process.env['NO_COLOR'];
      expect((await runWord(words, withWorld(natWorld(), { terminal }))).stdout).toContain('\u001b[');
      expect((await runWord(words, withWorld(natWorld()))).stdout).not.toContain('\u001b[');
      process.env['NO_COLOR'] = '1';
      expect((await runWord(words, withWorld(natWorld(), { terminal }))).stdout).not.toContain('\u001b[');
    } finally {
      if (before === undefined) delete process.env['NO_COLOR'];
      else process.env['NO_COLOR'] = before;
    }
  });

  test.each([
    [[], 2, 'type a packet'],
    [['--next', 'tcp', 'tcp 1.1.1.1:1 2.2.2.2:2'], 2, 'type a packet'],
    [['--next', 'tcp', '--config', RULES], 2, '--config has none'],
    [['tcp'], 2, 'a protocol, a source and a destination'],
    [['tcp 10.0.0.5:40000 10.0.0.100'], 2, 'a destination port'],
    [['tcp 10.0.0.5:400000 10.0.0.100:80'], 2, 'is no address with a port'],
    [['tcp 10.0.0.5:70000 10.0.0.100:80'], 2, 'from 0 to 65535'],
    [['tcp 10.0.0.5:1 [::1]:80'], 2, 'different families'],
    [['tcp 10.0.0.5:1 10.0.0.100:80 X'], 2, '"X" is not understood'],
    [['tcp 10.0.0.5:1 10.0.0.100:80 ttl=300'], 2, 'from 0 to 255'],
    [['gre 10.0.0.5 10.0.0.100'], 2, '"gre" is no protocol'],
    [['icmp 10.0.0.5 10.0.0.100 unreachable-port'], 2, 'say which'],
    [['icmp 10.0.0.5 10.0.0.100 what'], 2, '"what" is no ICMP message'],
    [['udp 10.0.0.5:1 10.0.0.100:80 about udp 10.0.0.5:1 10.0.0.100:80'], 2, 'only an ICMP error'],
    [['--capture', join(folder, 'none.pcap')], 1, 'cannot read'],
    [['--capture', RULES], 1, 'expected a pcap'],
    [['--next', 'port http'], 1, '"http" is no port'],
    [['connection'], 2, 'name the client'],
    [['--config', RULES, 'connection', '10.0.0.5'], 2, '--config has no connections'],
    [['--config', RULES, '--director', 'x', 'tcp 1.1.1.1:1 2.2.2.2:2'], 2, 'IPv4 or IPv6 address'],
    [['tcp 1.1.1.1:1 2.2.2.2:2 then tcp 1.1.1.1:1 2.2.2.2:2'], 2, 'one packet at a time'],
    [['tcp 1.1.1.1:1 2.2.2.2:2', '--link', 'nowhere'], 1, 'no link nowhere is served here; there are: c0, s0'],
  ])('%j is refused with %i: %s', async (words, exit, sentence) => {
    const ran = await runWord(['explain', ...words], withWorld(natWorld()));
    expect(ran.stderr).toContain(sentence);
    expect(ran).toMatchObject({ exit, stdout: '' });
  });
});

describe('uipvs trace', () => {
  test('shows one line a packet with what became of it', async () => {
    const world = natWorld();
    const { pause } = during(world, [
      () => world.fromClient(syn(1)),
      () => world.fromClient(syn(2)),
      () => world.fromServer(serverFrame().ipv4(REAL1, CLIENT).tcp(8080, 1, { syn: true, ack: true })),
      () => world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(1, 80, { ack: true })),
      () => world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(3, 81, { syn: true })),
    ]);
    const { stdout, stderr, exit } = await runWord(['trace', '--seconds', '2'], withWorld(world, { pause }));
    expect(exit).toBe(0);
    const ends = stdout
      .trim()
      .split('\n')
      .map((line) => line.slice(line.indexOf('→') + 2));
    expect(ends).toEqual([
      '10.1.0.11:8080 (wlc 0 = 0) NONE → SYN_RECV',
      '10.1.0.12:8080 (wlc 0 < 256) NONE → SYN_RECV',
      `${CLIENT}:1`,
      '10.1.0.11:8080 SYN_RECV → ESTABLISHED',
      'host: no-service',
    ]);
    expect(stdout).toContain(`c0 IP ${CLIENT}.1 > ${VIP}.80: Flags [S]`);
    expect(stderr).toBe('packets shown: 5, left out: 0\n');
  });

  test('shows what a filter and a profile let through', async () => {
    const reset = clientFrame().ipv4(CLIENT, VIP).tcp(2, 80, { rst: true });
    const play = (world: World) =>
      during(world, [() => world.fromClient(syn(1)), () => world.fromClient(reset), () => world.fromClient(syn(2))]);
    for (const [words, lines] of [
      [['tcp', 'port', '80'], 3],
      [['host', REAL1], 1],
      [['not', 'host', REAL1], 2],
      [['udp'], 0],
      [['--profile', 'resets'], 1],
      [['--profile', 'new-connections', 'src', 'port', '2'], 1],
      [['--profile', 'drops'], 0],
      [['--count', '2'], 2],
    ] as const) {
      const world = natWorld();
      const { stdout, exit } = await runWord(
        ['trace', '--seconds', '2', '--json', ...words],
        withWorld(world, play(world)),
      );
      expect(exit).toBe(0);
      expect(
        stdout
          .split('\n')
          .filter(Boolean)
          .map((line) => JSON.parse(line)),
        words.join(' '),
      ).toHaveLength(lines);
    }
  });

  test('leaves out what is too much, and counts it', async () => {
    const world = natWorld();
    const { pause } = during(world, [
      () => {
        for (let port = 1; port <= 700; port++) world.fromClient(syn(port)).take();
      },
    ]);
    const { stdout, stderr } = await runWord(['trace', '--seconds', '2', '--rate', '50'], withWorld(world, { pause }));
    expect(stdout.split('\n').filter((line) => line.includes('Flags [S]'))).toHaveLength(50);
    expect(stdout).toContain('... 650 more, left out (--rate)');
    expect(stderr).toBe('packets shown: 50, left out: 650\n');
  });

  test.each([
    [['port', 'x'], 1, '"x" is no port'],
    [['(', 'tcp'], 1, 'a ")" is missing'],
    [['frogs'], 1, '"frogs" is not understood'],
    [['--profile', 'frogs'], 2, 'drops'],
    [['--rate', '0'], 2, 'whole number'],
  ])('%j is refused with %i', async (words, exit, sentence) => {
    const ran = await runWord(['trace', ...words], withWorld(natWorld()));
    expect(ran.stderr).toContain(sentence);
    expect(ran.exit).toBe(exit);
  });

  test('a reader that went away costs nothing for long', () => {
    const world = natWorld();
    const read = () => world.engine.execute<'readTrace'>({ name: 'readTrace', id: 'gone' }).traces.length;
    expect(read()).toBe(0);
    world.fromClient(syn(1));
    expect(read()).toBe(1);
    for (let i = 0; i < 8; i++) world.wait(1_000);
    // It begins anew: what came in between nobody heard.
    world.fromClient(syn(2));
    expect(read()).toBe(0);
  });

  test('there is a limit to traces, and it is said', () => {
    const world = natWorld();
    const read = (id: string) => world.engine.execute({ name: 'readTrace', id });
    for (let i = 0; i < 8; i++) read(`t${i}`);
    expect(() => read('one more')).toThrow('8 traces are running already');
    expect(() => world.engine.execute({ name: 'readTrace', id: 'x', profile: 'frogs' })).toThrow(
      'there are all, drops',
    );
  });
});

test('every reason has a way out, but for those that are none', () => {
  expect(Object.keys(WAYS_OUT).sort()).toEqual([...REASON_NAMES].sort());
  const without = REASON_NAMES.filter((name) => WAYS_OUT[name] === '');
  expect(without).toEqual(['none', 'sync']);
});

/** Packets come while the trace pauses, all of them in the first pause. */
function during(world: World, events: readonly (() => void)[]): { pause(ms: number): Promise<boolean> } {
  let isFirst = true;
  return {
    pause: async (ms) => {
      if (isFirst) for (const event of events) event();
      isFirst = false;
      world.wait(ms).take();
      return true;
    },
  };
}

function capture(frames: readonly Uint8Array[], keptBytes = 65_535): Uint8Array {
  const writer = new PcapWriter({ linkType: LinkType.ETHERNET });
  const packets = frames.map((frame, index) =>
    writer.packet(frame.subarray(0, keptBytes), BigInt(index) * 1_000_000n, frame.length),
  );
  return Buffer.concat([writer.header(), ...packets]);
}
