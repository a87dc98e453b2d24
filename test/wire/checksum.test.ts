import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readInt32, readUint16, writeInt32, writeUint16 } from '../../src/wire/bytes.ts';
import {
  addBytes,
  addInt32,
  adjustChecksum,
  adjustPartialChecksum,
  changeOf16,
  changeOf32,
  checksum,
  fold,
  foldSmall,
  pseudoHeaderSum,
} from '../../src/wire/checksum.ts';
import { ipBytes } from '../support/addresses.ts';
import { internetChecksum, onesComplementSum, pseudoHeader } from '../support/internet-checksum.ts';

/** At least one byte that is not 0, as in every header: then a sum is never 0. */
const headers = fc.uint8Array({ minLength: 4, maxLength: 128 }).filter((bytes) => bytes.some((byte) => byte !== 0));
const words = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const halves = fc.integer({ min: 0, max: 0xffff });

function wordAt(address: string): number {
  return readInt32(ipBytes(address), 0);
}

describe('the internet checksum', () => {
  test('of the example in RFC 1071, section 3', () => {
    const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
    expect(fold(addBytes(0, bytes, 0, 8))).toBe(0xddf2);
    expect(checksum(bytes, 0, 8)).toBe(0x220d);
  });

  test('of a header out of a textbook', () => {
    const header = Buffer.from('45000073000040004011b861c0a80001c0a800c7', 'hex');
    expect(checksum(header, 0, 20)).toBe(0);
    header.set([0, 0], 10);
    expect(checksum(header, 0, 20)).toBe(0xb861);
  });

  test('is that of a second program, for any bytes at any place', () => {
    fc.assert(
      fc.property(headers, fc.nat(9), (bytes, before) => {
        const inside = new Uint8Array(before + bytes.length + 5).fill(0xee);
        inside.set(bytes, before);
        expect(checksum(inside, before, before + bytes.length)).toBe(internetChecksum(bytes));
      }),
    );
  });

  test('of two parts is that of both, when the first has whole words', () => {
    fc.assert(
      fc.property(headers, headers, (first, second) => {
        const even = first.subarray(0, first.length & ~1);
        expect(fold(addBytes(addBytes(0, even, 0, even.length), second, 0, second.length))).toBe(
          onesComplementSum(even, second),
        );
      }),
    );
  });

  test('covers the pseudo-header', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV4(), fc.nat(255), halves, headers, (from, to, protocol, transportBytes, data) => {
        const sum = pseudoHeaderSum(wordAt(from), wordAt(to), protocol, transportBytes);
        const pseudo = pseudoHeader(ipBytes(from), ipBytes(to), protocol, transportBytes);
        expect(fold(sum)).toBe(onesComplementSum(pseudo));
        expect(checksum(data, 0, data.length, sum)).toBe(internetChecksum(pseudo, data));
      }),
    );
  });

  test('of the longest packet does not overflow', () => {
    const bytes = new Uint8Array(65_535).fill(0xff);
    expect(fold(addBytes(0, bytes, 0, 65_535))).toBe(onesComplementSum(bytes));
    expect(fold(Number.MAX_SAFE_INTEGER)).toBeLessThanOrEqual(0xffff);
  });
});

describe('folding', () => {
  test('in the short way and in the long way is the same', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7fff_ffff }), (sum) => {
        expect(foldSmall(sum)).toBe(fold(sum));
        expect(fold(sum) % 0xffff).toBe(sum % 0xffff);
      }),
    );
    for (const sum of [0, 1, 0xffff, 0x10000, 0x1fffe, 0x1ffff, 0xffff0000 >>> 1, 0x7fffffff]) {
      expect(foldSmall(sum)).toBe(fold(sum));
    }
  });

  test('takes both halves of a signed word', () => {
    expect(addInt32(0, -1)).toBe(0x1fffe);
    expect(addInt32(5, 0x0001_0002)).toBe(8);
  });
});

describe('an adjusted checksum', () => {
  test('is the one computed anew, for any change of 16 and of 32 bits', () => {
    fc.assert(
      fc.property(headers, halves, words, (bytes, half, word) => {
        const data = new Uint8Array([...bytes.subarray(0, bytes.length & ~1), 0x45, 0, 0, 0, 0, 0, 0, 0]);
        const end = data.length;
        const before = checksum(data, 0, end);
        const change = changeOf16(readUint16(data, end - 6), half) + changeOf32(readInt32(data, end - 4), word);
        writeUint16(data, end - 6, half);
        writeInt32(data, end - 4, word);
        expect(adjustChecksum(before, change)).toBe(checksum(data, 0, end));
      }),
    );
  });

  test('comes back when the change is undone', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xfffe }), words, words, (check, before, after) => {
        const there = adjustChecksum(check, changeOf32(before, after));
        expect(adjustChecksum(there, changeOf32(after, before))).toBe(check);
      }),
    );
  });

  test('follows the example in RFC 1624, section 4', () => {
    expect(adjustChecksum(0xdd2f, changeOf16(0x5555, 0x3285))).toBe(0x0000);
  });

  test('that is unfinished holds the new pseudo-header', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV4(), fc.ipV4(), halves, (from, to, other, transportBytes) => {
        fc.pre(to !== '0.0.0.0' && from !== '0.0.0.0');
        const before = fold(pseudoHeaderSum(wordAt(from), wordAt(to), 6, transportBytes));
        const after = fold(pseudoHeaderSum(wordAt(from), wordAt(other), 6, transportBytes));
        expect(adjustPartialChecksum(before, changeOf32(wordAt(to), wordAt(other)))).toBe(after);
      }),
    );
  });
});
