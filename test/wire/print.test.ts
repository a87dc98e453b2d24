import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { LinkType } from '../../src/wire/capture-format.ts';
import { PcapWriter } from '../../src/wire/pcap-file.ts';
import { formatFrame, formatPacket } from '../../src/wire/print.ts';
import { fragmentsOf, frame, ipPacketOf, packet } from '../support/frames.ts';
import { mutate, Random } from '../support/random.ts';

const CLIENT = '10.0.0.5';
const VIP = '192.168.1.120';
const CLIENT6 = 'fd00::5';
const VIP6 = 'fd00:1::120';

const udpProbe = packet().ipv4(CLIENT, VIP).udp(40000, 5300, { payload: 'question' });
const udpProbe6 = packet().ipv6(CLIENT6, VIP6).udp(40000, 5300, { payload: 'question' });
const TCP_OPTIONS = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];

/** Lines that tcpdump prints in just these words (`tcpdump -n -S -t`); the test below asks it where it is installed. */
const sameAsTcpdump: readonly [line: string, frame: Uint8Array][] = [
  [
    'IP 10.0.0.5.40000 > 192.168.1.120.7070: Flags [S], seq 1, win 65535, length 0',
    frame().ipv4(CLIENT, VIP).tcp(40000, 7070, { syn: true }),
  ],
  [
    'IP 10.0.0.5.40000 > 192.168.1.120.7070: Flags [S], seq 4294967295, win 64240, options [mss 1460,sackOK,TS val 9 ecr 0,nop,wscale 7], length 0',
    frame().ipv4(CLIENT, VIP).tcp(40000, 7070, { syn: true, seq: 0xffffffff, window: 64240, options: TCP_OPTIONS }),
  ],
  [
    'IP 10.0.0.5.40000 > 192.168.1.120.7070: Flags [FP.], seq 100:105, ack 3000000000, win 502, length 5',
    frame()
      .ipv4(CLIENT, VIP, { options: [148, 4, 0, 0] })
      .tcp(40000, 7070, { fin: true, psh: true, ack: 3_000_000_000, seq: 100, window: 502, payload: 'hello' }),
  ],
  [
    'IP 10.0.0.5.40000 > 192.168.1.120.7070: Flags [.UEW], ack 8, win 65535, urg 3, length 0',
    frame().ipv4(CLIENT, VIP).tcp(40000, 7070, { ack: 8, urg: true, urgentPointer: 3, ece: true, cwr: true }),
  ],
  [
    'IP 10.0.0.5.40000 > 192.168.1.120.7070: Flags [.], ack 8, win 65535, options [nop,nop,sack 1 {5:9}], length 0',
    frame()
      .ipv4(CLIENT, VIP)
      .tcp(40000, 7070, { ack: 8, options: [1, 1, 5, 10, 0, 0, 0, 5, 0, 0, 0, 9] }),
  ],
  [
    'IP 10.0.0.5.40000 > 192.168.1.120.7070: Flags [none], win 65535, length 0',
    frame().ipv4(CLIENT, VIP).tcp(40000, 7070),
  ],
  [
    'IP 10.0.0.5.40000 > 192.168.1.120.5300: UDP, length 8',
    frame().ethernet({ padTo: 60 }).ipv4(CLIENT, VIP).udp(40000, 5300, { payload: 'question' }),
  ],
  [
    'IP 10.0.0.5 > 192.168.1.120: ICMP echo request, id 7, seq 2, length 12',
    frame().ipv4(CLIENT, VIP).icmpEchoRequest({ id: 7, sequence: 2, payload: 'ping' }),
  ],
  [
    'IP 192.168.1.120 > 10.0.0.5: ICMP echo reply, id 7, seq 2, length 8',
    frame().ipv4(VIP, CLIENT).icmpEchoReply({ id: 7, sequence: 2 }),
  ],
  [
    'IP 192.168.1.120 > 10.0.0.5: ICMP 192.168.1.120 udp port 5300 unreachable, length 44',
    frame().ipv4(VIP, CLIENT).icmpError(3, 3, udpProbe),
  ],
  [
    'IP 10.9.0.1 > 10.0.0.5: ICMP 192.168.1.120 unreachable - need to frag (mtu 1400), length 44',
    frame().ipv4('10.9.0.1', CLIENT).icmpError(3, 4, udpProbe, { mtu: 1400 }),
  ],
  [
    'IP 10.9.0.1 > 10.0.0.5: ICMP host 192.168.1.120 unreachable, length 44',
    frame().ipv4('10.9.0.1', CLIENT).icmpError(3, 1, udpProbe),
  ],
  [
    'IP 10.9.0.1 > 10.0.0.5: ICMP time exceeded in-transit, length 44',
    frame().ipv4('10.9.0.1', CLIENT).icmpError(11, 0, udpProbe),
  ],
  [
    'ARP, Request who-has 192.168.1.120 tell 10.0.0.5, length 28',
    frame().arp({ operation: 'request', senderMac: '02:00:00:00:00:01', senderIp: CLIENT, targetIp: VIP }),
  ],
  [
    'ARP, Reply 192.168.1.120 is-at 02:00:00:00:00:02, length 28',
    frame().arp({ operation: 'reply', senderMac: '02:00:00:00:00:02', senderIp: VIP, targetIp: CLIENT }),
  ],
  [
    'IP 10.1.0.1 > 10.1.0.11: IP 10.0.0.5.40000 > 192.168.1.120.5300: UDP, length 2',
    frame().ipv4('10.1.0.1', '10.1.0.11').ipv4(CLIENT, VIP).udp(40000, 5300, { payload: 'hi' }),
  ],
  [
    'IP6 fd00::5.40000 > fd00:1::120.7070: Flags [S], seq 1, win 65535, length 0',
    frame().ipv6(CLIENT6, VIP6).tcp(40000, 7070, { syn: true }),
  ],
  [
    'IP6 fd00::5 > fd00:1::120: ICMP6, echo request, id 7, seq 2, length 12',
    frame().ipv6(CLIENT6, VIP6).icmpEchoRequest({ id: 7, sequence: 2, payload: 'ping' }),
  ],
  [
    'IP6 fd00:1::120 > fd00::5: ICMP6, destination unreachable, unreachable port, fd00:1::120 udp port 5300, length 64',
    frame().ipv6(VIP6, CLIENT6).icmpError(1, 4, udpProbe6),
  ],
  [
    'IP6 fd00::1 > fd00::5: ICMP6, packet too big, mtu 1280, length 64',
    frame().ipv6('fd00::1', CLIENT6).icmpError(2, 0, udpProbe6, { mtu: 1280 }),
  ],
  [
    'IP6 fd00::5 > fd00:1::120: frag (0|24) 40000 > 5300: UDP, length 500',
    frame()
      .ipv6(CLIENT6, VIP6, { fragment: { offset: 0, more: true, id: 9 } })
      .udp(40000, 5300, { payload: new Uint8Array(16), length: 508 }),
  ],
  [
    'IP6 fd00::5 > fd00:1::120: frag (1448|20)',
    frame()
      .ipv6(CLIENT6, VIP6, { fragment: { offset: 1448, more: false, id: 9 } })
      .payload(17, new Uint8Array(20)),
  ],
  [
    'IP6 fd00::5 > fd00:1::120: HBH ICMP6, echo request, id 1, seq 1, length 8',
    frame()
      .ipv6(CLIENT6, VIP6, { extensions: [{ type: 0, body: [1, 4, 0, 0, 0, 0] }] })
      .icmpEchoRequest(),
  ],
];

describe('a line per packet', () => {
  test.each(sameAsTcpdump)('%s', (line, bytes) => {
    expect(formatFrame(bytes)).toBe(line);
  });

  test.skipIf(spawnSync('tcpdump', ['--version']).status !== 0)('tcpdump prints the same lines', () => {
    const writer = new PcapWriter({ linkType: LinkType.ETHERNET });
    const file = Buffer.concat([writer.header(), ...sameAsTcpdump.map(([, bytes]) => writer.packet(bytes, 0n))]);
    const printed = execFileSync('tcpdump', ['-n', '-S', '-t', '-r', '-'], {
      input: file,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    expect(printed.toString().trim().split('\n')).toEqual(sameAsTcpdump.map(([line]) => line));
  });

  test('tells fragments of IPv4 by id, length and offset', () => {
    const whole = frame()
      .ipv4(CLIENT, VIP, { id: 77 })
      .udp(40000, 5300, { payload: new Uint8Array(2000) });
    expect(fragmentsOf(whole, 1500).map((piece) => formatFrame(piece))).toEqual([
      'IP 10.0.0.5.40000 > 192.168.1.120.5300: UDP, length 2000 (frag 77:1480@0+)',
      'IP 10.0.0.5 > 192.168.1.120: udp (frag 77:528@1480)',
    ]);
  });

  test('tells a packet without a link header the same way', () => {
    const bytes = frame().ipv4(CLIENT, VIP).tcp(1, 2, { syn: true });
    expect(formatFrame(bytes)).toBe(formatPacket(ipPacketOf(bytes)));
    expect(formatPacket(udpProbe6)).toBe('IP6 fd00::5.40000 > fd00:1::120.5300: UDP, length 8');
  });

  test('names what is cut off, foreign or tagged', () => {
    const bytes = frame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true });
    expect(formatFrame(bytes.slice(0, 10))).toBe('[|ether]');
    expect(formatFrame(bytes.slice(0, 30))).toBe('IP [|ip]');
    expect(formatFrame(bytes.slice(0, 40))).toBe(
      'IP truncated-ip - 14 bytes missing! 10.0.0.5.40000 > 192.168.1.120.80: [|tcp]',
    );
    expect(formatFrame(frame().ethernet({ vlan: 5 }).ipv4(CLIENT, VIP).tcp(1, 2, { rst: true }))).toBe(
      'vlan 5, IP 10.0.0.5.1 > 192.168.1.120.2: Flags [R], seq 1, win 65535, length 0',
    );
    expect(formatFrame(frame().ethernet({ type: 0x88b5 }).ipv4(CLIENT, VIP).payload(99, 'x'))).toBe(
      'ethertype 0x88b5, length 21',
    );
    expect(formatFrame(frame().ipv4(CLIENT, VIP).payload(47, 'xxxx'))).toBe(
      'IP 10.0.0.5 > 192.168.1.120: gre, length 4',
    );
  });

  test('any bytes give one line and are left as they were', () => {
    const random = Random.fromEnvironment();
    const frames = sameAsTcpdump.map(([, bytes]) => bytes);
    for (let i = 0; i < 20_000; i++) {
      const bytes = i % 10 === 0 ? random.bytes(random.below(120)) : mutate(random, random.pick(frames), frames);
      // Surrounded by other bytes: whatever is read beyond the frame would show as a difference.
      const inArena = new Uint8Array(bytes.length + 64).fill(random.below(256));
      inArena.set(bytes, 32);
      const line = formatFrame(inArena, 32, 32 + bytes.length);
      expect(line, `seed ${random.seed}`).toBe(formatFrame(bytes));
      expect(line, `seed ${random.seed}`).not.toMatch(/\n|undefined|NaN/);
      expect(inArena.subarray(32, 32 + bytes.length), `seed ${random.seed}`).toEqual(bytes);
    }
  });
});
