import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatIpv4 } from '../../src/wire/address.ts';
import { readInt32 } from '../../src/wire/bytes.ts';
import {
  decrementIpv4Ttl,
  fillIpv4Checksum,
  ipv4ChecksumIsRight,
  ipv4Destination,
  ipv4DontFragment,
  ipv4FragmentOffset,
  ipv4HeaderBytes,
  ipv4Protocol,
  ipv4Source,
  ipv4Tos,
  ipv4TotalLength,
  ipv4Ttl,
  isIpv4Fragment,
  setIpv4Destination,
  setIpv4Source,
  writeIpv4Header,
} from '../../src/wire/ipv4.ts';
import { ipBytes } from '../support/addresses.ts';
import { expectPacket, ipv4, other } from '../support/expect-frame.ts';
import { packet } from '../support/frames.ts';
import { referenceIpv4 } from '../support/reference.ts';

const CLIENT = '10.0.0.5';
const VIP = '192.168.1.120';
const AT = 5;

const options = fc.array(fc.nat(255), { maxLength: 40 });
const packets = fc
  .record({
    from: fc.ipV4(),
    to: fc.ipV4(),
    tos: fc.nat(255),
    id: fc.nat(0xffff),
    df: fc.boolean(),
    ttl: fc.nat(255),
    protocol: fc.nat(255),
    offset: fc.nat(0x1fff).map((units) => units * 8),
    more: fc.boolean(),
    options,
    data: fc.uint8Array({ maxLength: 40 }),
  })
  .map((fields) => ({
    ...fields,
    bytes: packet()
      .ipv4(fields.from, fields.to, { ...fields, fragment: { offset: fields.offset, more: fields.more } })
      .payload(fields.protocol, fields.data),
  }));

/** The packet at `AT` of a larger array; `touched` answers the packet and checks that the rest stayed as it was. */
function arenaOf(bytes: Uint8Array): { arena: Uint8Array; touched: () => Uint8Array } {
  const arena = new Uint8Array(AT + bytes.length + 3).fill(0xee);
  arena.set(bytes, AT);
  const touched = () => {
    const around = [...arena.subarray(0, AT), ...arena.subarray(AT + bytes.length)];
    expect(around.every((byte) => byte === 0xee)).toBe(true);
    return arena.slice(AT, AT + bytes.length);
  };
  return { arena, touched };
}

const wordOf = (address: string) => readInt32(ipBytes(address), 0);

describe('an IPv4 header', () => {
  test('is read field by field as it was built', () => {
    fc.assert(
      fc.property(packets, (fields) => {
        const { arena } = arenaOf(fields.bytes);
        const headerBytes = ipv4HeaderBytes(arena, AT, AT + fields.bytes.length);
        expect(headerBytes).toBe(20 + Math.ceil(fields.options.length / 4) * 4);
        expect(ipv4TotalLength(arena, AT)).toBe(fields.bytes.length);
        expect(ipv4Tos(arena, AT)).toBe(fields.tos);
        expect(ipv4Ttl(arena, AT)).toBe(fields.ttl);
        expect(ipv4Protocol(arena, AT)).toBe(fields.protocol);
        expect(formatIpv4(ipv4Source(arena, AT))).toBe(fields.from);
        expect(formatIpv4(ipv4Destination(arena, AT))).toBe(fields.to);
        expect(ipv4DontFragment(arena, AT)).toBe(fields.df);
        expect(isIpv4Fragment(arena, AT)).toBe(fields.more || fields.offset > 0);
        expect(ipv4FragmentOffset(arena, AT)).toBe(fields.offset);
        expect(ipv4ChecksumIsRight(arena, AT, headerBytes)).toBe(true);
      }),
    );
  });

  test('is read as the package ip-packet reads it', () => {
    fc.assert(
      fc.property(packets, (fields) => {
        fc.pre(fields.options.length === 0);
        const reference = referenceIpv4(fields.bytes);
        expect(ipv4TotalLength(fields.bytes, 0)).toBe(reference.length);
        expect(ipv4Tos(fields.bytes, 0)).toBe((reference.dscp << 2) | reference.ecn);
        expect(ipv4Ttl(fields.bytes, 0)).toBe(reference.ttl);
        expect(ipv4Protocol(fields.bytes, 0)).toBe(reference.protocol);
        expect(ipv4FragmentOffset(fields.bytes, 0)).toBe(reference.fragmentOffset * 8);
        expect(formatIpv4(ipv4Source(fields.bytes, 0))).toBe(reference.sourceIp);
        expect(formatIpv4(ipv4Destination(fields.bytes, 0))).toBe(reference.destinationIp);
      }),
    );
  });

  test('must be whole, of version 4 and as long as it says', () => {
    const bytes = packet()
      .ipv4(CLIENT, VIP, { options: [1, 1, 1, 1] })
      .payload(99, '');
    expect(ipv4HeaderBytes(bytes, 0, 24)).toBe(24);
    expect(ipv4HeaderBytes(bytes, 0, 23)).toBe(0);
    expect(ipv4HeaderBytes(bytes, 0, 19)).toBe(0);
    expect(ipv4HeaderBytes(bytes, 0, 0)).toBe(0);
    for (const [first, headerBytes] of [
      [0x44, 0],
      [0x45, 20],
      [0x46, 24],
      [0x47, 0],
      [0x4f, 0],
      [0x65, 0],
      [0x05, 0],
    ] as const) {
      bytes[0] = first;
      expect(ipv4HeaderBytes(bytes, 0, 24), first.toString(16)).toBe(headerBytes);
    }
  });

  test('has a wrong checksum when any bit of it is turned round', () => {
    fc.assert(
      fc.property(packets, fc.nat(19), fc.nat(7), (fields, at, bit) => {
        const headerBytes = ipv4HeaderBytes(fields.bytes, 0, fields.bytes.length);
        fields.bytes[at] = (fields.bytes[at] as number) ^ (1 << bit);
        expect(ipv4ChecksumIsRight(fields.bytes, 0, headerBytes)).toBe(false);
      }),
    );
  });
});

describe('rewriting an IPv4 header', () => {
  test('gives the header that would have been built so, to the byte', () => {
    fc.assert(
      fc.property(packets, fc.ipV4(), fc.ipV4(), fc.boolean(), (fields, from, to, decrement) => {
        fc.pre(fields.ttl > 1);
        const { arena, touched } = arenaOf(fields.bytes);
        setIpv4Source(arena, AT, wordOf(from));
        setIpv4Destination(arena, AT, wordOf(to));
        if (decrement) decrementIpv4Ttl(arena, AT);
        const ttl = fields.ttl - (decrement ? 1 : 0);
        const expected = packet()
          .ipv4(from, to, { ...fields, ttl, fragment: { offset: fields.offset, more: fields.more } })
          .payload(fields.protocol, fields.data);
        expect(touched()).toEqual(expected);
      }),
    );
  });

  test('keeps a wrong checksum wrong: what came damaged is not repaired', () => {
    const { arena, touched } = arenaOf(packet().ipv4(CLIENT, VIP, { checksum: 'broken' }).payload(99, 'x'));
    setIpv4Destination(arena, AT, wordOf('10.1.0.11'));
    decrementIpv4Ttl(arena, AT);
    expectPacket(touched(), ipv4({ to: '10.1.0.11', ttl: 63, checksum: 'broken' }));
    fillIpv4Checksum(arena, AT, 20);
    expectPacket(touched(), ipv4({ to: '10.1.0.11', ttl: 63, checksum: 'valid' }));
  });

  test('computes a checksum anew over options, too', () => {
    fc.assert(
      fc.property(packets, (fields) => {
        const { arena, touched } = arenaOf(fields.bytes);
        arena.set([0x12, 0x34], AT + 10);
        fillIpv4Checksum(arena, AT, ipv4HeaderBytes(fields.bytes, 0, fields.bytes.length));
        expect(touched()).toEqual(fields.bytes);
      }),
    );
  });

  test('writes a whole header over anything', () => {
    const { arena, touched } = arenaOf(new Uint8Array(24).fill(0xff));
    writeIpv4Header(arena, AT, {
      tos: 0x10,
      totalLength: 24,
      id: 0xabcd,
      ttl: 9,
      protocol: 99,
      source: wordOf(CLIENT),
      destination: wordOf(VIP),
    });
    expectPacket(
      touched(),
      ipv4({ from: CLIENT, to: VIP, tos: 0x10, id: 0xabcd, ttl: 9, protocol: 99, length: 24, df: false, options: [] }),
      other({ payload: Uint8Array.of(255, 255, 255, 255) }),
    );
  });
});
