/** The parts around the rules: reading what tools print, frames there and back, symptoms under their reason, mending. */
import { existsSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { examine } from '../../src/doctor/examine.ts';
import { type ConnectProbe, connectAgain } from '../../src/doctor/facts/connects.ts';
import { mayMatch, parseLegacySave, parseNftRuleset, withCountsBefore } from '../../src/doctor/facts/firewall.ts';
import { parseListeners } from '../../src/doctor/facts/listeners.ts';
import { parseFeatures } from '../../src/doctor/facts/offloads.ts';
import { effectiveSetting } from '../../src/doctor/facts/sysctl.ts';
import { TrafficWatch } from '../../src/doctor/facts/traffic.ts';
import type { Finding, Reported } from '../../src/doctor/finding.ts';
import { fixFindings, undoFixes } from '../../src/doctor/fix.ts';
import { arpProbe, neighborQuestion, tcpSegment, wholeEcho } from '../../src/doctor/probe/frames.ts';
import { isInside, linksBeside, networkBeside, nextHop, ownAddressBeside } from '../../src/doctor/probe/reach.ts';
import { type IcmpFrame, readFrame, type TcpFrame } from '../../src/doctor/probe/read-frame.ts';
import { formatDiagnosis, shellLine } from '../../src/doctor/report.ts';
import { defineRule } from '../../src/doctor/rule.ts';
import { frame } from '../support/frames.ts';
import { temporaryDirectory } from '../support/served.ts';
import {
  CLIENT,
  DIRECTOR,
  DIRECTOR_MAC,
  facts,
  HOST,
  RS1,
  SERVER_MACS,
  STRANGER_MAC,
  service,
  VIP,
} from './fabricated.ts';

describe('what tools print', () => {
  test('nft: rules that drop or reject and policies, with counts, without the table of the daemon', () => {
    const drops = parseNftRuleset(`table netdev uipvs { # handle 1 progname nft
	chain in_eth0 { # handle 2
		type filter hook ingress device "eth0" priority filter; policy accept;
		ip daddr 192.168.1.120 drop # handle 9
	}
}
table ip filter { # handle 3
	chain INPUT { # handle 1
		type filter hook input priority filter; policy drop;
		ip saddr 10.0.0.1 tcp dport 80 counter packets 7 bytes 420 drop # handle 4
		tcp dport 81 counter packets 1 bytes 60 reject with icmp port-unreachable # handle 5
		tcp dport 82 accept # handle 6
		tcp dport 83 counter packets 2 bytes 9 xt target "REJECT" # handle 7
	}
	chain later { # handle 2
		drop # handle 8
	}
}
`);
    expect(drops.map(({ chain, hook, text, packets }) => [chain, hook, text, packets])).toEqual([
      ['ip filter INPUT', 'input', 'policy drop', null],
      ['ip filter INPUT', 'input', 'ip saddr 10.0.0.1 tcp dport 80 drop', 7],
      ['ip filter INPUT', 'input', 'tcp dport 81 reject with icmp port-unreachable', 1],
      ['ip filter INPUT', 'input', 'tcp dport 83 xt target "REJECT"', 2],
      ['ip filter later', null, 'drop', null],
    ]);
    expect(drops[1]?.remove).toEqual(['nft', 'delete', 'rule', 'ip', 'filter', 'INPUT', 'handle', '4']);
    expect(drops[0]?.exceptions).toEqual([
      'tcp dport 82 accept',
      'tcp dport 83 counter packets 2 bytes 9 xt target "REJECT"',
    ]);
    const later = withCountsBefore({ drops }, { drops: drops.map((rule) => ({ ...rule, packets: 9 })) });
    expect(later.drops[1]).toMatchObject({ packetsBefore: 7, packets: 9 });
    expect(parseNftRuleset('nonsense {\n}}}\n# handle\n')).toEqual([]);
  });

  test('the older iptables', () => {
    const text =
      '*filter\n:INPUT DROP [4:200]\n:OUTPUT ACCEPT [0:0]\n[3:180] -A OUTPUT -d 192.168.1.11/32 -p tcp -j DROP\n[0:0] -A INPUT -j ACCEPT\nCOMMIT\n';
    expect(parseLegacySave(text, 'iptables-legacy')).toMatchObject([
      { chain: 'iptables-legacy filter INPUT', hook: 'input', text: 'policy drop', packets: 4 },
      {
        hook: 'output',
        packets: 3,
        remove: ['iptables-legacy', '-t', 'filter', '-D', 'OUTPUT', '-d', '192.168.1.11/32', '-p', 'tcp', '-j', 'DROP'],
      },
    ]);
  });

  test('a rule’s words leave room for a packet, or not', () => {
    const packet = { source: '10.0.0.1', destination: RS1, sourcePort: null, destinationPort: 80 };
    for (const text of [
      'drop',
      `ip daddr ${RS1} drop`,
      'ip daddr 192.168.1.0/24 tcp dport 80-90 drop',
      'ip daddr { 10.1.1.1, 192.168.1.11 } drop',
      'ip daddr @those drop',
      'ip daddr != 10.9.9.9 drop',
      'tcp dport { 22, 80 } drop',
      'reject with icmp port-unreachable',
      '-d 192.168.1.11/32 -p tcp -m tcp --dport 80 -j DROP',
    ]) {
      expect([text, mayMatch(text, packet)]).toEqual([text, true]);
    }
    for (const text of [
      'ip daddr 192.168.1.12 drop',
      'ip saddr 10.0.0.2 drop',
      'udp dport 80 drop',
      'tcp dport != 80 drop',
      'ip daddr != 192.168.1.11 drop',
      'icmp type echo-request drop',
      'tcp dport 443 drop',
      '! -d 192.168.1.11/32 -j DROP',
      '-p udp -j DROP',
    ]) {
      expect([text, mayMatch(text, packet)]).toEqual([text, false]);
    }
  });

  test('ss, ethtool and sysctl', () => {
    const text = `tcp   LISTEN 0      511     192.168.1.120%eth0:80    0.0.0.0:*    users:(("nginx",pid=12,fd=6),("nginx",pid=13,fd=6))
udp   UNCONN 0      0                [::1]:323        [::]:*
tcp   LISTEN 0      128                  *:22            *:*    users:(("sshd",pid=1,fd=3))
rubbish`;
    expect(parseListeners(text)).toEqual([
      {
        protocol: 'tcp',
        address: '192.168.1.120',
        port: 80,
        programs: [
          { name: 'nginx', pid: 12 },
          { name: 'nginx', pid: 13 },
        ],
      },
      { protocol: 'udp', address: '::1', port: 323, programs: [] },
      { protocol: 'tcp', address: '*', port: 22, programs: [{ name: 'sshd', pid: 1 }] },
    ]);
    expect(
      parseFeatures(
        'Features for eth0:\ngeneric-receive-offload: on\nlarge-receive-offload: off [fixed]\n\ttx-checksum-ipv4: on\n',
      ),
    ).toEqual({
      'generic-receive-offload': true,
      'large-receive-offload': false,
      'tx-checksum-ipv4': true,
    });
    const sysctl = { 'net.ipv4.conf.all.rp_filter': '0', 'net.ipv4.conf.eth0/5.rp_filter': '1' };
    expect([effectiveSetting(sysctl, 'rp_filter', 'eth0.5'), effectiveSetting(sysctl, 'rp_filter', 'eth1')]).toEqual([
      1, 0,
    ]);
  });
});

describe('frames', () => {
  const read = (bytes: Uint8Array) => readFrame(bytes, 0, bytes.length);
  const macs = { fromMac: DIRECTOR_MAC, toMac: SERVER_MACS[0] };

  test('that are sent say what they should', () => {
    expect(read(arpProbe(DIRECTOR_MAC, VIP))).toMatchObject({
      kind: 'arp',
      reply: false,
      sender: '0.0.0.0',
      senderMac: DIRECTOR_MAC,
      target: VIP,
    });
    for (const [source, destination] of [
      [DIRECTOR, VIP],
      ['fd00:1::10', 'fd00:1::120'],
    ] as const) {
      const segment = tcpSegment({
        ...macs,
        source,
        destination,
        sourcePort: 61_000,
        destinationPort: 80,
        flags: 2,
        sequence: 0xfffffffe,
      });
      expect(read(segment)).toMatchObject({
        kind: 'tcp',
        ...macs,
        source,
        destination,
        sourcePort: 61_000,
        destinationPort: 80,
        flags: 2,
        sequence: 0xfffffffe,
        payloadBytes: 0,
      });
    }
    // Byte for byte what another program builds, with its checksums.
    const other = frame()
      .ethernet({ from: DIRECTOR_MAC, to: SERVER_MACS[0], padTo: 60 })
      .ipv4(DIRECTOR, VIP, { df: true, id: 0, ttl: 64 })
      .tcp(61_000, 80, { syn: true, seq: 7, window: 1024 });
    expect(
      Buffer.from(
        tcpSegment({
          ...macs,
          source: DIRECTOR,
          destination: VIP,
          sourcePort: 61_000,
          destinationPort: 80,
          flags: 2,
          sequence: 7,
        }),
      ).toString('hex'),
    ).toBe(Buffer.from(other).toString('hex'));
    expect(read(wholeEcho({ ...macs, source: DIRECTOR, destination: RS1, info: 5 }, 1500))).toMatchObject({
      kind: 'icmp',
      type: 8,
      info: 5,
    });
    expect(wholeEcho({ ...macs, source: DIRECTOR, destination: RS1, info: 5 }, 1500)).toHaveLength(1514);
    expect(neighborQuestion(DIRECTOR_MAC, 'fe80::1', 'fd00:1::120').subarray(0, 6)).toEqual(
      Uint8Array.of(0x33, 0x33, 0xff, 0, 1, 0x20),
    );
  });

  test('that are cut short, or nonsense, are nothing', () => {
    const whole = tcpSegment({
      ...macs,
      source: DIRECTOR,
      destination: VIP,
      sourcePort: 1,
      destinationPort: 2,
      flags: 2,
      sequence: 1,
    });
    for (let length = 0; length < 54; length++) expect(readFrame(whole, 0, length)).toBeNull();
    const six = tcpSegment({
      ...macs,
      source: 'fd00::1',
      destination: 'fd00::2',
      sourcePort: 1,
      destinationPort: 2,
      flags: 2,
      sequence: 1,
    });
    for (let length = 0; length < 74; length++) expect(readFrame(six, 0, length)).toBeNull();
    for (let seed = 1; seed < 3000; seed++) {
      const bytes = Uint8Array.from(
        { length: 14 + (seed % 80) },
        (_, at) => (Math.imul(seed * 2654435761 + at * 40503, 2246822519) >>> 13) & 255,
      );
      bytes.set(
        [
          [8, 0],
          [8, 6],
          [0x86, 0xdd],
        ][seed % 3] as number[],
        12,
      );
      if (bytes.length > 14) bytes[14] = seed % 3 === 2 ? 0x60 : 0x45;
      expect(() => read(bytes)).not.toThrow();
    }
  });

  test('of clients and servers are counted by connection', () => {
    const watch = new TrafficWatch(null, [service()], HOST);
    const tcp = (changes: Partial<TcpFrame>): TcpFrame => ({
      kind: 'tcp',
      fromMac: STRANGER_MAC,
      toMac: DIRECTOR_MAC,
      source: CLIENT,
      sourcePort: 4000,
      destination: VIP,
      destinationPort: 80,
      flags: 0x02,
      sequence: 1,
      payloadBytes: 0,
      maximumSegment: null,
      packetBytes: 40 + (changes.payloadBytes ?? 0),
      ...changes,
    });
    watch.note(tcp({}), 3, 0);
    watch.note(tcp({}), 3, 1000);
    watch.note(tcp({ flags: 0x10, sequence: 2 }), 3, 1100);
    for (const atMs of [9100, 9300, 9700, 10_500]) {
      watch.note(tcp({ flags: 0x18, sequence: 2, payloadBytes: 1460 }), 3, atMs);
    }
    // Told that its packet was too large, a client sends the same again in smaller ones.
    for (const payloadBytes of [1460, 1460, 1440, 1440]) {
      watch.note(tcp({ sourcePort: 4002, flags: 0x18, sequence: 5, payloadBytes }), 3, 0);
    }
    watch.note(tcp({ sourcePort: 4001, sequence: 9 }), 3, 0);
    watch.note(tcp({ sourcePort: 4001, sequence: 99 }), 3, 60_000);
    const answer = { source: RS1, sourcePort: 80, destination: CLIENT, destinationPort: 4000 };
    watch.note(tcp({ ...answer, flags: 0x12 }), 2, 0);
    watch.note(tcp({ ...answer, flags: 0x18, payloadBytes: 5 }), 2, 0);
    // What is for others: of a client, for a server of ours, and what servers want sent on.
    watch.note(tcp({ destination: '9.9.9.9' }), 2, 0);
    const echo: IcmpFrame = {
      ...tcp({}),
      kind: 'icmp',
      source: RS1,
      destination: '9.9.9.9',
      type: 8,
      code: 0,
      info: 0,
      quoted: null,
    };
    watch.note(echo, 2, 0);
    watch.note({ ...echo, destination: '192.168.1.10' }, 2, 0);
    watch.note({ ...echo, toMac: STRANGER_MAC }, 2, 0);
    const seen = watch.finish();
    expect(seen.clients).toMatchObject([
      {
        clientPort: 4000,
        syns: 2,
        openings: 1,
        acknowledgments: 5,
        dataSegments: 4,
        mostRepeated: { times: 4, packetBytes: 1500, seconds: 1.4 },
        silenceSeconds: 8,
        link: 3,
      },
      { clientPort: 4002, mostRepeated: { times: 2, packetBytes: 1480 } },
      { clientPort: 4001, syns: 2, openings: 2, silenceSeconds: 0 },
    ]);
    expect(seen.servers).toEqual([
      { server: RS1, serverPort: 80, to: CLIENT, toPort: 4000, segments: 2, synAcks: 1, dataSegments: 1, resets: 0 },
    ]);
    expect(seen.strays).toEqual([{ server: RS1, to: '9.9.9.9', protocol: 1, packets: 1 }]);
  });

  test('of other protocols tell who to whom', () => {
    const datagram = frame().ethernet({}).ipv4(RS1, '9.9.9.9').udp(53, 53, [1]);
    expect(read(datagram)).toMatchObject({ kind: 'other', source: RS1, destination: '9.9.9.9', protocol: 17 });
  });
});

describe('the way to an address', () => {
  test('is found by links and routes', () => {
    expect(isInside('192.168.1.77', '192.168.1.10', 24)).toBe(true);
    expect(isInside('fd00:1::5', 'fd00:2::5', 64)).toBe(false);
    expect(linksBeside(HOST, RS1).map(({ name }) => name)).toEqual(['eth0']);
    expect(networkBeside(HOST, RS1)).toBe('192.168.1.0/24');
    expect(networkBeside(HOST, '8.8.8.8')).toBe('8.8.8.8');
    expect(ownAddressBeside(HOST.links[1]!, RS1, [VIP])).toBe(DIRECTOR);
    expect(nextHop(HOST, RS1)).toMatchObject({ mac: SERVER_MACS[0] });
    // The router's MAC is not known.
    expect(nextHop(HOST, '8.8.8.8')).toBeNull();
    const neighbors = [{ address: '10.0.0.254', link: 'eth1', mac: '02:00:00:00:00:fe' }];
    expect(nextHop({ ...HOST, neighbors }, '8.8.8.8')).toMatchObject({ mac: '02:00:00:00:00:fe' });
  });
});

describe('an examination', () => {
  const finding = (what: string, changes: Partial<Finding> = {}): Finding => ({
    service: 'tcp 1.2.3.4:80',
    servers: [],
    what,
    evidence: [{ says: 'seen', shownBy: 'look' }],
    why: 'it matters',
    cures: [],
    ...changes,
  });
  const rule = (name: string, explains: string[], ...found: Finding[]) =>
    defineRule({
      name,
      summary: name,
      needs: [],
      explains,
      examine: () => (found.length > 0 ? { found } : { fine: 'fine' }),
    });

  test('puts symptoms under their reason, also over two steps, and keeps what is about another service', () => {
    const rules = [
      rule('deep', ['middle'], finding('deep')),
      rule('middle', ['shallow'], finding('middle')),
      rule('shallow', ['deep'], finding('shallow'), finding('elsewhere', { service: 'tcp 9.9.9.9:80' })),
      rule('quiet', []),
    ];
    const { findings, rules: lines } = examine(
      rules
        .slice(0, 2)
        .concat(rule('shallow', [], finding('shallow'), finding('elsewhere', { service: 'tcp 9.9.9.9:80' }))),
      facts(),
    );
    expect(findings.map(({ what, alsoSeen }) => [what, alsoSeen.map((each) => each.what)])).toEqual([
      ['deep', ['middle', 'shallow']],
      ['elsewhere', []],
    ]);
    expect(lines.map(({ outcome }) => outcome)).toEqual(['found', 'fine', 'found']);
    // Rules that explain each other in a circle still end.
    expect(examine(rules, facts()).findings.length).toBeGreaterThan(0);
  });

  test('is told with evidence, commands and what was not evaluated', () => {
    const cure = {
      on: 'here',
      does: 'mends it',
      commands: [['sysctl', '-w', 'a b=1']],
      undo: [['sysctl', '-w', 'a b=0']],
    };
    const unable = defineRule({
      name: 'unable',
      summary: 'unable',
      needs: ['listeners'],
      examine: () => ({ fine: '' }),
    });
    const text = formatDiagnosis(
      examine(
        [
          rule(
            'deep',
            [],
            finding('it is broken', {
              cures: [cure, { ...cure, on: RS1, undo: null }, { ...cure, on: '192.168.1.12', undo: null }],
            }),
          ),
          unable,
        ],
        facts({ listeners: null }),
      ),
      { all: false },
    );
    expect(text).toBe(`deep: it is broken
  seen    seen
          $ look
  matters it matters.
  mend    on this host: mends it [--fix]
          # sysctl -w 'a b=1'
  mend    on 192.168.1.11, 192.168.1.12: mends it
          # sysctl -w 'a b=1'

not evaluated:
  unable: listeners was not asked

1 finding, 0 rules without one, 0 with nothing to look at here, 1 not evaluated
`);
    expect(formatDiagnosis(examine([unable], facts({ listeners: null })), { all: true })).toContain(
      'nothing could be examined',
    );
    expect(shellLine(['a', `it's`, ''])).toBe(`a 'it'\\''s' ''`);
  });
});

describe('mending', () => {
  const reported = (rule: string, ...cures: Finding['cures']): Reported => ({
    rule,
    service: null,
    servers: [],
    what: '',
    evidence: [],
    why: '',
    alsoSeen: [],
    cures,
  });
  const cure = (name: string) => ({
    on: 'here',
    does: '',
    commands: [[`do-${name}`], ['again']],
    undo: [[`undo-${name}`], ['undo-again']],
  });

  test('carries out what can be taken back, notes it, and takes it back in the opposite order', async () => {
    const path = join(temporaryDirectory(), 'doctor.json');
    const typed: string[] = [];
    const run = async ([word = '']: readonly string[]) => {
      typed.push(word);
      return word === 'do-bad' ? 'no such thing' : null;
    };
    const findings = [
      reported('one', { ...cure('far'), on: RS1 }, { ...cure('unsafe'), undo: null }, cure('one')),
      reported('bad', cure('bad')),
      reported('none', { ...cure('x'), undo: null }),
      reported('two', cure('two')),
    ];
    const steps = await fixFindings(findings, run, path);
    expect(typed).toEqual(['do-one', 'again', 'do-bad', 'do-two', 'again']);
    expect(steps.find(({ problem }) => problem !== null)).toMatchObject({ rule: 'bad', problem: 'no such thing' });
    typed.length = 0;
    await undoFixes(run, path);
    expect(typed).toEqual(['undo-again', 'undo-two', 'undo-again', 'undo-one']);
    expect(existsSync(path)).toBe(false);
    expect(await undoFixes(run, path)).toEqual([]);
  });

  test('takes back the first half of a cure whose second half fails', async () => {
    const path = join(temporaryDirectory(), 'doctor.json');
    const typed: string[] = [];
    const run = async ([word = '']: readonly string[]) => {
      typed.push(word);
      return word === 'again' ? 'failed' : null;
    };
    await fixFindings([reported('one', cure('one'))], run, path);
    expect(typed).toEqual(['do-one', 'again', 'undo-one']);
    expect(existsSync(path)).toBe(false);
  });

  test('does not carry out what a broken file says', async () => {
    const path = join(temporaryDirectory(), 'doctor.json');
    for (const text of ['', '{}', '[1, {"rule": "x"}, {"rule": "x", "undo": [[]]}, {"rule": "x", "undo": "rm"}]']) {
      writeFileSync(path, text);
      expect(await undoFixes(async () => 'must not be typed', path)).toEqual([]);
    }
  });
});

describe('a server that gave no answer', () => {
  const mute = (port: number): ConnectProbe => {
    return { address: '127.0.0.1', port, outcome: 'silent', error: null, tookMs: 2_500 };
  };
  let server: Server;
  let port = 0;
  beforeEach(async () => {
    server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ({ port } = server.address() as AddressInfo);
  });
  afterEach(() => server.close());

  test('is asked again when its host is there, and then it is known as it is', async () => {
    const other: ConnectProbe = { ...mute(1), address: '192.0.2.1', outcome: 'connected' };
    const [first, second] = await connectAgain([mute(port), other], new Set(['127.0.0.1']));
    expect(first).toBe(other);
    expect(second).toMatchObject({ address: '127.0.0.1', port, outcome: 'connected' });
  });

  test('is left alone while its host is not there', async () => {
    expect(await connectAgain([mute(port)], new Set())).toEqual([mute(port)]);
  });
});
