import { expect, test } from 'vitest';
import { mergeCaptures } from '../../src/lab/capture.ts';

/** A capture with one packet of one byte for each `[seconds, microseconds, byte]`. */
function capture(packets: readonly (readonly [number, number, number])[]): Buffer {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  const records = packets.map(([seconds, microseconds, byte]) => {
    const record = Buffer.alloc(17);
    record.writeUInt32LE(seconds, 0);
    record.writeUInt32LE(microseconds, 4);
    record.writeUInt32LE(1, 8);
    record.writeUInt32LE(1, 12);
    record[16] = byte;
    return record;
  });
  return Buffer.concat([header, ...records]);
}

test('captures of two links become one in order of time', () => {
  const merged = mergeCaptures([
    capture([
      [1, 5, 10],
      [3, 0, 30],
    ]),
    capture([
      [1, 6, 11],
      [2, 999_999, 20],
    ]),
  ]);
  expect(merged.packets).toBe(4);
  expect([40, 57, 74, 91].map((at) => merged.bytes[at])).toEqual([10, 11, 20, 30]);
});

test('half a packet at the end is left out', () => {
  const whole = capture([
    [1, 0, 1],
    [2, 0, 2],
  ]);
  expect(mergeCaptures([whole.subarray(0, whole.length - 1)]).packets).toBe(1);
});

test('a file of another kind is refused', () => {
  expect(() => mergeCaptures([Buffer.alloc(24)])).toThrow('unknown kind');
});
