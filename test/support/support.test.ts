/** The tools of the tests are programs, too: packets of a real kernel on one side, failures that name the field on the other. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ipBytes, ipText, macBytes, macText } from './addresses.ts';
import { decodePacket } from './decode.ts';
import {
  arp,
  ethernet,
  expectFrame,
  expectPacket,
  icmp,
  ipv4,
  ipv6,
  type LayerExpectation,
  other,
  tcp,
  udp,
} from './expect-frame.ts';
import { fragmentsOf, frame, ipPacketOf, packet } from './frames.ts';
import { mutate, mutators, Random } from './random.ts';
import { referenceIpv4, referenceIpv4Checksum } from './reference.ts';

const CLIENT = '10.0.0.5';
const VIP = '192.168.1.120';
const SYN_OPTIONS = [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7];

/** Packets that a Linux kernel sent, and the calls that must build the same bytes. */
const ofTheKernel: readonly [name: string, hex: string, built: Uint8Array][] = [
  [
    'TCP with options over IPv6',
    '600000000028063f20010db8001f000000000000000074a3fd000001000000000000000000000011d1f30050000003e800000000a002faf0d7540000020405b40402080a000000010000000001030307',
    packet()
      .ipv6('2001:db8:1f::74a3', 'fd00:1::11', { hopLimit: 63 })
      .tcp(53747, 80, { syn: true, seq: 1000, window: 64240, options: SYN_OPTIONS }),
  ],
  [
    'IP in IP',
    '4500003c000040003f0427b10a0100010a01000b45000028100140003f06f63dc63364fa0a00006494a6005000000001000000005002faf0f85c0000',
    packet()
      .ipv4('10.1.0.1', '10.1.0.11', { df: true, ttl: 63 })
      .ipv4('198.51.100.250', '10.0.0.100', { id: 4097, df: true, ttl: 63 })
      .tcp(38054, 80, { syn: true, window: 64240, checksum: 0xf85c }),
  ],
  [
    'IPv4 in IPv6',
    '60000000003c043ffd000001000000000000000000000001fd0000010000000000000000000000114500003c100140003f065f50c00002070a000064ea6a0050000003e800000000a002faf092000000020405b40402080a000000010000000001030307',
    packet()
      .ipv6('fd00:1::1', 'fd00:1::11', { hopLimit: 63 })
      .ipv4('192.0.2.7', '10.0.0.100', { id: 4097, df: true, ttl: 63 })
      .tcp(60010, 80, { syn: true, seq: 1000, window: 64240, options: SYN_OPTIONS }),
  ],
  [
    'ICMP "protocol unreachable" about a tunnel',
    '45c000585afc00004001d87f0a000064cb0071050302c985000000004500003c100240004004e452cb0071050a000064450000281001400040065e62c00002090a00006404d2005000000001000000005002faf0e3610000',
    packet()
      .ipv4('10.0.0.100', '203.0.113.5', { tos: 0xc0, id: 23292 })
      .icmpError(
        3,
        2,
        packet()
          .ipv4('203.0.113.5', '10.0.0.100', { id: 4098, df: true })
          .ipv4('192.0.2.9', '10.0.0.100', { id: 4097, df: true })
          .tcp(1234, 80, { syn: true, window: 64240 }),
      ),
  ],
  [
    'ICMPv6 "port unreachable" that quotes a cut-off packet',
    '60000000004c3a3f20010db8002f000000000000000052bdfd00000000000000000000000000010001040884000000006000000004c40640fd00000000000000000000000000010020010db8002f000000000000000052bd0050340700001389000003e95010faf0e5c400004444444444444444',
    packet()
      .ipv6('2001:db8:2f::52bd', 'fd00::100', { hopLimit: 63 })
      .icmpError(
        1,
        4,
        packet()
          .ipv6('fd00::100', '2001:db8:2f::52bd')
          .tcp(80, 13319, { seq: 5001, ack: 1001, window: 64240, payload: new Uint8Array(1200).fill(0x44) }),
        { quoteBytes: 68 },
      ),
  ],
  [
    'UDP over IPv6',
    '600000000048113ffd000001000000000000000000000001fd000001000000000000000000000011e2c515b30048987900290000600000000014063f20010db8004d000000000000000032c6fd000000000000000000000000000100476b005000000001000000005002faf01c5d0000',
    packet()
      .ipv6('fd00:1::1', 'fd00:1::11', { hopLimit: 63 })
      .udp(58053, 5555, {
        payload: Buffer.from(
          '00290000600000000014063f20010db8004d000000000000000032c6fd000000000000000000000000000100476b005000000001000000005002faf01c5d0000',
          'hex',
        ),
      }),
  ],
];

describe('built packets', () => {
  test.each(ofTheKernel)('%s: the same bytes as from a kernel', (_, hex, built) => {
    expect(Buffer.from(built).toString('hex')).toBe(hex);
  });

  test('have the header that ip-packet reads and sums up', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV4(), fc.nat(255), fc.nat(0xffff), fc.boolean(), (from, to, ttl, id, df) => {
        const bytes = packet().ipv4(from, to, { ttl, id, df, tos: 0xb9 }).udp(1, 2, { payload: 'x' });
        const reference = referenceIpv4(bytes);
        expect(reference).toMatchObject({ sourceIp: from, destinationIp: to, ttl, identification: id, protocol: 17 });
        expect(reference).toMatchObject({ dscp: 46, ecn: 1, length: 29, flags: df ? 2 : 0, fragmentOffset: 0 });
        expect(reference.checksum).toBe(referenceIpv4Checksum(bytes));
      }),
    );
  });

  test('are cut into fragments that make the whole again', () => {
    const whole = frame()
      .ipv4(CLIENT, VIP, { id: 9 })
      .udp(1, 2, { payload: Buffer.alloc(3000, 'abc') });
    const pieces = fragmentsOf(whole, 1500);
    expect(pieces.map((piece) => piece.length)).toEqual([1514, 1514, 34 + 3008 - 2960]);
    expectFrame(pieces[0], ipv4({ id: 9, moreFragments: true, fragmentOffset: 0 }), udp({ checksum: 'unverifiable' }));
    expectFrame(pieces[2], ipv4({ id: 9, moreFragments: false, fragmentOffset: 2960 }));
    expect(Buffer.concat(pieces.map((piece) => piece.subarray(34)))).toEqual(Buffer.from(whole.subarray(34)));
  });
});

describe('addresses', () => {
  test('come back from bytes as they were, in canonical form', () => {
    for (const text of [
      '::',
      '::1',
      '1::',
      'fd00::5',
      '1:0:0:2::3',
      'fd00:0:1:2:3:4:5:6',
      '1:2:3:4:5:6:7:8',
      '10.0.0.5',
    ]) {
      expect(ipText(ipBytes(text))).toBe(text);
    }
    expect(ipText(ipBytes('::ffff:192.0.2.1'))).toBe('::ffff:c000:201');
    expect(macText(macBytes('02:00:00:00:ab:01'))).toBe('02:00:00:00:ab:01');
    for (const text of ['1::2::3', '1:2:3', '1:2:3:4:5:6:7::8:9', '300.1.1.1', '1.2.3'])
      expect(() => ipBytes(text)).toThrow();
  });
});

describe('an expectation that is not met names the field', () => {
  const segment = frame()
    .ethernet({ to: '02:00:00:00:00:0b' })
    .ipv4(CLIENT, VIP, { ttl: 63 })
    .tcp(40000, 80, { syn: true, payload: 'hello' });
  const echo = frame().ipv6('fd00::1', 'fd00::2').icmpEchoRequest({ id: 5, sequence: 6, payload: 'x' });
  const question = frame().ipv4(CLIENT, VIP).udp(1, 2, { payload: 'hi' });
  const problem = frame().ipv4(VIP, CLIENT).icmpError(3, 3, ipPacketOf(question));
  const request = frame().arp({
    operation: 'request',
    senderMac: '02:00:00:00:00:01',
    senderIp: CLIENT,
    targetIp: VIP,
  });
  const partial = frame().ipv4(CLIENT, VIP).tcp(1, 2, { checksum: 'partial' });

  test.each<[string, Uint8Array | readonly Uint8Array[] | null, LayerExpectation[]]>([
    [
      'ethernet.to: expected "02:00:00:00:00:01", found "02:00:00:00:00:0b"',
      segment,
      [ethernet({ to: '02:00:00:00:00:01' })],
    ],
    ['ipv4.ttl: expected 64, found 63', segment, [ipv4({ ttl: 64 })]],
    ['ipv4.to: expected "10.0.0.1", found "192.168.1.120"', segment, [ipv4({ to: '10.0.0.1' })]],
    ['tcp.toPort: expected 81, found 80', segment, [ipv4({}), tcp({ toPort: 81 })]],
    ['tcp.ack: expected true, found false', segment, [ipv4({}), tcp({ ack: true })]],
    ['tcp.payload: expected "6a", found "68656c6c6f"', segment, [ipv4({}), tcp({ payload: 'j' })]],
    ['layer: expected "udp", found "tcp"', segment, [ipv4({}), udp({})]],
    ['layer: expected "tcp", found "ipv4"', segment, [tcp({})]],
    ['layer: expected "udp", found "none"', segment, [ipv4({}), tcp({}), udp({})]],
    ['ipv6.hopLimit: expected 1, found 64', echo, [ipv6({ hopLimit: 1 })]],
    ['icmp.sequence: expected 7, found 6', echo, [ipv6({}), icmp({ sequence: 7 })]],
    ['udp.length: expected 11, found 10', question, [ipv4({}), udp({ length: 11 })]],
    [
      'icmp.quoted.udp.toPort: expected 3, found 2',
      problem,
      [ipv4({}), icmp({ quoted: [ipv4({}), udp({ toPort: 3 })] })],
    ],
    ['arp.targetIp: expected "10.0.0.5", found "192.168.1.120"', request, [arp({ targetIp: CLIENT })]],
    ['tcp.checksum: expected "valid", found "partial"', partial, [ipv4({}), tcp({})]],
    ['frames: expected 1, found 0', null, [ipv4({})]],
    ['frames: expected 1, found 2', [segment, segment], [ipv4({})]],
  ])('%s', (message, found, expected) => {
    expect(() => expectFrame(found, ...expected)).toThrow(message);
  });

  test.each<[string, Uint8Array, LayerExpectation[]]>([
    ['ipv4.checksum', packet().ipv4(CLIENT, VIP, { checksum: 'broken' }).payload(99, ''), [ipv4({})]],
    [
      'ipv4.checksum',
      packet()
        .ipv4(CLIENT, VIP, { checksum: 'broken', options: [1] })
        .payload(99, ''),
      [ipv4({})],
    ],
    ['tcp.checksum', packet().ipv4(CLIENT, VIP).tcp(1, 2, { checksum: 'broken' }), [ipv4({}), tcp({})]],
    ['udp.checksum', packet().ipv6('fd00::1', 'fd00::2').udp(1, 2, { checksum: 'broken' }), [ipv6({}), udp({})]],
    ['icmp.checksum', packet().ipv4(CLIENT, VIP).icmpEchoReply({ checksum: 'broken' }), [ipv4({}), icmp({})]],
    ['icmp.checksum', packet().ipv6('fd00::1', 'fd00::2').icmpEchoReply({ checksum: 'broken' }), [ipv6({}), icmp({})]],
  ])('%s: expected "valid", found "broken"', (field, found, expected) => {
    expect(() => expectPacket(found, ...expected)).toThrow(`${field}: expected "valid", found "broken"`);
    expectPacket(found, expected[0]?.layer === 'ipv4' ? ipv4({ checksum: 'any' }) : ipv6({}));
  });

  test('and one that is met says nothing', () => {
    expectFrame(
      segment,
      ipv4({ from: CLIENT, to: VIP }),
      tcp({ syn: true, ack: false, payload: 'hello', checksum: 'valid' }),
    );
    expectFrame([partial], ipv4({}), tcp({ checksum: 'partial' }));
    expectFrame(problem, ipv4({}), icmp({ type: 3, quoted: [ipv4({ from: CLIENT }), udp({ toPort: 2 })] }));
    expectPacket(packet().ipv4(CLIENT, VIP).payload(132, 'x'), ipv4({ protocol: 132 }), other({ payload: 'x' }));
  });
});

describe('spoiled frames', () => {
  const frames = ofTheKernel.map(([, , built]) => built);

  test.each(Object.entries(mutators))('%s changes copies only, and the same seed does it again', (_, mutator) => {
    const before = frames.map((bytes) => bytes.slice());
    const spoil = (seed: number) => {
      const random = new Random(seed);
      return Array.from({ length: 50 }, () => mutator(random, random.pick(frames), frames));
    };
    const first = spoil(1);
    expect(frames).toEqual(before);
    expect(spoil(1)).toEqual(first);
    expect(spoil(2)).not.toEqual(first);
  });

  test('are never too much for the decoder', () => {
    const random = Random.fromEnvironment();
    for (let i = 0; i < 5_000; i++) {
      const spoiled = mutate(random, random.pick(frames), frames);
      expect(() => decodePacket(spoiled), `seed ${random.seed}`).not.toThrow();
    }
  });

  test('come from even randomness', () => {
    const random = new Random(5);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) counts[random.below(10)]!++;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(500);
  });
});
