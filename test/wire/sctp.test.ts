import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { finishPartialChecksum } from '../../src/wire/partial-checksum.ts';
import {
  crc32c,
  fillSctpChecksum,
  sctpChecksumIsRight,
  sctpFirstChunk,
  sctpSecondChunk,
  setSctpPorts,
} from '../../src/wire/sctp.ts';

const crcOf = (bytes: Uint8Array) => crc32c(bytes, 0, bytes.length) >>> 0;

describe('CRC32c', () => {
  test('has the values that RFC 3720, B.4 gives', () => {
    expect(crcOf(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crcOf(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crcOf(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
    expect(crcOf(Buffer.from('123456789'))).toBe(0xe3069283);
  });

  test('sees every flipped bit', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 12, maxLength: 80 }), fc.nat(), fc.nat(7), (bytes, where, bit) => {
        fillSctpChecksum(bytes, 0, bytes.length);
        expect(sctpChecksumIsRight(bytes, 0, bytes.length)).toBe(true);
        const at = where % bytes.length;
        bytes[at] = (bytes[at] as number) ^ (1 << bit);
        expect(sctpChecksumIsRight(bytes, 0, bytes.length)).toBe(false);
      }),
    );
  });
});

describe('new ports', () => {
  const packet = () => {
    const bytes = Uint8Array.from({ length: 24 }, (_, i) => i);
    bytes.set([0x10, 0x20, 0x30, 0x40, 1, 2, 3, 4, 9, 9, 9, 9]);
    return bytes;
  };

  test('bring a right checksum with them', () => {
    const bytes = packet();
    setSctpPorts(bytes, 0, bytes.length, 0x1020, 5, false);
    expect(sctpChecksumIsRight(bytes, 0, bytes.length)).toBe(true);
  });

  test('that are the old ones leave the packet as it is, unless its checksum is unfinished', () => {
    const bytes = packet();
    setSctpPorts(bytes, 0, bytes.length, 0x1020, 0x3040, false);
    expect(bytes).toEqual(packet());
    setSctpPorts(bytes, 0, bytes.length, 0x1020, 0x3040, true);
    expect(sctpChecksumIsRight(bytes, 0, bytes.length)).toBe(true);
    const other = packet();
    finishPartialChecksum(other, 0, other.length, 132);
    expect(other).toEqual(bytes);
  });
});

test('chunks are never read from outside the packet', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(16), fc.nat(16), (bytes, start, cut) => {
      const at = Math.min(start, bytes.length);
      const end = Math.max(at, bytes.length - cut);
      const other = bytes.map((byte, i) => (i >= at && i < end ? byte : ~byte));
      for (const read of [sctpFirstChunk, sctpSecondChunk]) {
        const chunk = read(bytes, at, end);
        expect(chunk).toBeGreaterThanOrEqual(-1);
        expect(chunk).toBeLessThanOrEqual(255);
        expect(read(other, at, end)).toBe(chunk);
      }
    }),
  );
});
