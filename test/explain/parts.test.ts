/** The parts of the room: filters, typed packets, layers, checksums on paper. */
import { describe, expect, test } from 'vitest';
import { PacketPairing } from '../../src/engine/pairing.ts';
import { checksumRepairs, formatRepair } from '../../src/explain/checksum-repair.ts';
import { compareFrames } from '../../src/explain/difference.ts';
import { layersOf } from '../../src/explain/layers.ts';
import { tellStory } from '../../src/explain/story.ts';
import { buildTypedPacket } from '../../src/explain/typed-packet.ts';
import { IpvsError } from '../../src/model/errors.ts';
import { type FilteredEnd, parsePacketFilter } from '../../src/model/packet-filter.ts';
import { parseAddress } from '../../src/wire/address.ts';
import { decodePacket } from '../support/decode.ts';
import { frame } from '../support/frames.ts';
import { Random } from '../support/random.ts';
import { CLIENT, clientFrame, REAL1, VIP, World } from '../support/world.ts';

function end(side: FilteredEnd['side'], address: string, port: number): FilteredEnd {
  const { family, words } = parseAddress(address)!;
  const [address0, address1, address2, address3] = [...words] as [number, number, number, number];
  return { side, ipv6: family === 'ipv6', address0, address1, address2, address3, port };
}

describe('a filter', () => {
  const packet = {
    isIp: true,
    ipv6: false,
    protocol: 6,
    ends: [end('source', '10.0.0.5', 40000), end('destination', '10.0.0.100', 80), end('other', '10.1.0.11', 8080)],
  };
  test.each([
    ['', true],
    ['tcp', true],
    ['udp', false],
    ['icmp or tcp', true],
    ['ip6', false],
    ['host 10.1.0.11', true],
    ['10.0.0.5', true],
    ['src host 10.0.0.5', true],
    ['dst 10.0.0.5', false],
    ['dst host 10.1.0.11', false],
    ['net 10.1.0.0/24', true],
    ['src net 10.1.0.0/24', false],
    ['host fd00::1', false],
    ['port 80', true],
    ['tcp port 8080', true],
    ['udp port 80', false],
    ['dst port 80 and src port 40000', true],
    ['portrange 79-81', true],
    ['portrange 81-90', false],
    ['not port 80', false],
    ['!port 81 && !(udp || icmp)', true],
    ['tcp and (port 1 or port 80)', true],
    ['not not tcp', true],
    ['udp or tcp and port 81', false],
  ])('%s: %s', (text, passes) => {
    expect(parsePacketFilter(text)(packet)).toBe(passes);
  });

  test('lets nothing but IP through conditions about IP', () => {
    const arp = { isIp: false, ipv6: false, protocol: 0, ends: [] };
    expect(parsePacketFilter('not tcp')(arp)).toBe(true);
    expect(parsePacketFilter('host 10.0.0.5')(arp)).toBe(false);
  });

  test.each([
    'and',
    'tcp and',
    'port',
    'port 65536',
    'port -1',
    'host',
    'host www',
    'net 10.0.0.0/40',
    '(tcp',
    'tcp)',
    'tcp & udp',
    '()',
    'portrange 80',
    'portrange 1-2-3',
    'src',
    'x'.repeat(1001),
    '('.repeat(60),
    'not '.repeat(150),
  ])('refuses %s', (text) => {
    expect(() => parsePacketFilter(text)).toThrow(IpvsError);
  });

  test('of any words is refused or understood, and never anything else', () => {
    const random = new Random(5);
    const words = [
      'tcp',
      'not',
      'and',
      'or',
      '(',
      ')',
      'port',
      '80',
      'host',
      '10.0.0.5',
      'net',
      '10.0.0.0/8',
      'src',
      'dst',
      '!',
      '&&',
    ];
    let understood = 0;
    for (let i = 0; i < 5_000; i++) {
      const text = Array.from({ length: random.below(8) }, () => words[random.below(words.length)]).join(' ');
      try {
        expect(typeof parsePacketFilter(text)(packet)).toBe('boolean');
        understood++;
      } catch (error) {
        expect(error).toBeInstanceOf(IpvsError);
      }
    }
    expect(understood).toBeGreaterThan(100);
  });
});

describe('a typed packet', () => {
  test.each([
    ['tcp 10.0.0.5:40000 > 10.0.0.100:80 S.', { fromPort: 40000, toPort: 80, syn: true, ack: true, rst: false }],
    ['tcp 10.0.0.5:1 10.0.0.100:80 none len=7', { fromPort: 1, syn: false, ack: false }],
    ['udp 10.0.0.5:1 10.0.0.100:53 len=3', { toPort: 53 }],
    ['udp [fd00::5]:1 > [fd00::100]:53 ttl=3', { toPort: 53 }],
    ['tcp [fd00::5]:1 > [fd00::100]:80 F.', { fin: true, ack: true }],
  ])('%s', (text, fields) => {
    const layers = decodePacket(buildTypedPacket([text]));
    expect(layers.at(-1)?.fields).toMatchObject({ ...fields, checksum: 'valid' });
    if (layers[0]?.name === 'ipv4') expect(layers[0].fields).toMatchObject({ from: '10.0.0.5', checksum: 'valid' });
    if (text.includes('ttl=3')) expect(layers[0]?.fields).toMatchObject({ hopLimit: 3 });
  });

  test.each([
    'icmp 10.1.0.11 > 10.0.0.5 unreachable-port about udp 10.0.0.5:5000 > 10.1.0.11:53',
    'icmp 10.1.0.11 > 10.0.0.5 too-big=1400 about tcp 10.0.0.5:5000 > 10.1.0.11:80',
    'icmp fd00::11 > fd00::5 time-exceeded about udp [fd00::5]:5000 > [fd00::11]:53',
    'icmp 10.0.0.5 10.0.0.100 echo',
  ])('%s', (text) => {
    const bytes = buildTypedPacket(text.split(' '));
    const layers = layersOf(
      Buffer.concat([Buffer.from(`${'00'.repeat(12)}${bytes[0]! >>> 4 === 6 ? '86dd' : '0800'}`, 'hex'), bytes]),
    );
    const kinds = layers.map(({ kind, quoted }) => `${kind}${quoted ? ' quoted' : ''}`).join(', ');
    expect(kinds).toMatch(text.includes('about') ? /icmp(v6)?, ipv[46] quoted, (udp|tcp) quoted/ : /icmp/);
    expect(decodePacket(bytes).find(({ name }) => name === 'icmp')?.fields).toMatchObject({ checksum: 'valid' });
  });
});

test('layers of any bytes lie inside the frame, and their fields inside their headers', () => {
  const random = new Random(11);
  const whole = frame().ethernet({}).ipv4('10.0.0.5', '10.0.0.100').tcp(1, 80, { syn: true });
  for (let i = 0; i < 3_000; i++) {
    const bytes = whole.slice(0, random.below(whole.length + 1));
    for (let n = random.below(6); n > 0 && bytes.length > 0; n--) bytes[random.below(bytes.length)] = random.below(256);
    for (const { at, headerEnd, end, fields } of layersOf(bytes, { guePort: 80 })) {
      expect(at <= headerEnd && headerEnd <= bytes.length && end <= bytes.length).toBe(true);
      for (const field of fields) expect(field.at >= at && field.at + field.bytes <= headerEnd).toBe(true);
    }
  }
});

describe('a checksum on paper', () => {
  const ethernet = (ip: Uint8Array) => Buffer.concat([Buffer.from(`${'00'.repeat(12)}0800`, 'hex'), ip]);
  const repairsOf = (before: Uint8Array, after: Uint8Array) => {
    const { headers } = compareFrames(before, after, { guePort: null }, () => '');
    return checksumRepairs(headers, before, after, { partial: false });
  };

  test('comes out as the packet has it, and says when it does not', () => {
    const before = ethernet(buildTypedPacket(['tcp 10.0.0.5:1 10.0.0.100:80']));
    const after = ethernet(buildTypedPacket(['tcp 10.0.0.5:1 10.1.0.11:8080 ttl=63']));
    const repairs = repairsOf(before, after);
    expect(repairs.map(({ name, agrees }) => [name, agrees])).toEqual([
      ['IPv4 header checksum', true],
      ['TCP checksum', true],
    ]);
    expect(repairs[1]?.words.map(({ name }) => name)).toEqual([
      'destination address',
      'destination address',
      'destination port',
    ]);
    // A damaged one is noticed.
    after[14 + 20 + 17]! ^= 1;
    const [, damaged] = repairsOf(before, after);
    expect(damaged?.agrees).toBe(false);
    expect(formatRepair(damaged!).join(' ')).toContain('the packet carries another value');
  });

  test('of RFC 1624, section 4: 0xDD2F, 0x5555 becomes 0x3285, gives 0x0000 and not 0xFFFF', () => {
    const header = (word: string, check: string) =>
      ethernet(Buffer.from(`4500${word}00000000${'0000'}${check}0000000000000000`, 'hex'));
    const [repair] = repairsOf(header('5555', 'dd2f'), header('3285', '0000'));
    expect(repair).toMatchObject({
      before: 0xdd2f,
      computed: 0,
      agrees: true,
      words: [{ before: 0x5555, after: 0x3285 }],
    });
  });

  test('is not repaired where none came', () => {
    const before = ethernet(buildTypedPacket(['udp 10.0.0.5:1 10.0.0.100:53']));
    before.writeUInt16BE(0, 14 + 20 + 6);
    const after = ethernet(buildTypedPacket(['udp 10.0.0.5:1 10.1.0.11:53 ttl=63']));
    const udp = repairsOf(before, after).find(({ name }) => name.startsWith('UDP'));
    expect(udp).toMatchObject({ computed: null, remark: expect.stringContaining('computed anew') });
  });
});

test('an unfinished checksum holds the addresses only, and is adjusted without complements', () => {
  const world = new World();
  world.addService('rr', [[REAL1]]);
  const pairing = new PacketPairing(world.engine);
  const bytes = clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true, checksum: 'partial' });
  const { trace } = pairing.process({ bytes, linkIndex: 1, partialChecksum: true }, world.nowMs);
  pairing.close();
  const [, tcp] = tellStory(trace).outputs[0]?.checksums ?? [];
  expect(tcp).toMatchObject({
    name: 'TCP checksum',
    agrees: true,
    remark: expect.stringContaining('without complements'),
  });
  expect(tcp?.words.map(({ name }) => name)).toEqual(['destination address', 'destination address']);
});
