import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ADDRESS_KINDS, kindOfMark, linkNumber, markOf, numberOfMark } from '../../src/packet-io/tap-marks.ts';

test('a mark says which link and which kind of address it was made of, and is never a multicast address', () => {
  fc.assert(
    fc.property(fc.nat(0x7fffffff), fc.constantFrom(...ADDRESS_KINDS), (linkIndex, kind) => {
      const mark = markOf(linkNumber(linkIndex), kind);
      expect(numberOfMark(mark)).toBe(linkIndex % 4096);
      expect(kindOfMark(mark)).toBe(kind);
      expect(mark & 0x0100).toBe(0);
    }),
  );
});

test('all marks of 4096 links are different', () => {
  const marks = Array.from({ length: 4096 }, (_, number) => ADDRESS_KINDS.map((kind) => markOf(number, kind))).flat();
  expect(new Set(marks).size).toBe(4 * 4096);
});

test('addresses that are global, broadcast or multicast are no marks', () => {
  for (const first of [0x0000, 0x0050, 0x5254, 0xffff, 0x0100, 0x3333]) {
    const isMark = (first & 0x0300) === 0x0200;
    expect(numberOfMark(first) !== null).toBe(isMark);
  }
});
