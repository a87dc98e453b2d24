import { describe, expect, test } from 'vitest';
import { getLibc, type Libc } from '../../src/native/libc.ts';
import { NativeReserve } from '../../src/native/native-reserve.ts';

function libcOrReason(): { libc: Libc | null; reason: string } {
  try {
    return { libc: getLibc(), reason: '' };
  } catch (error) {
    return { libc: null, reason: ` (skipped: ${(error as Error).message})` };
  }
}
const { libc, reason } = libcOrReason();
const PAGE = 4096;

describe.skipIf(libc === null)(`a reserve of addresses${reason}`, () => {
  const reserve = () => new NativeReserve(libc as Libc, 16 * PAGE);

  test('reads zeros everywhere, before anything lies there and after it has gone', () => {
    const { bytes } = reserve();
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    const used = reserve();
    const at = used.layMemory(3 * PAGE);
    used.bytes.fill(7, at, at + 3 * PAGE);
    expect(used.bytes[at + 3 * PAGE]).toBe(0);
    used.lift(at, 3 * PAGE);
    expect(used.bytes.every((byte) => byte === 0)).toBe(true);
  });

  test('gives places that do not overlap, in whole pages, until it is full', () => {
    const full = reserve();
    const places = [1, PAGE, PAGE + 1, 12 * PAGE].map((bytes) => full.layMemory(bytes));
    expect(places).toEqual([0, PAGE, 2 * PAGE, 4 * PAGE]);
    expect(full.layMemory(1)).toBe(-1);
  });

  test('uses places again, and joins neighbours that are free', () => {
    const used = reserve();
    const [a, b, c] = [5, 5, 6].map((pages) => used.layMemory(pages * PAGE)) as [number, number, number];
    used.lift(a, 5 * PAGE);
    used.lift(c, 6 * PAGE);
    expect(used.layMemory(7 * PAGE)).toBe(-1);
    used.lift(b, 5 * PAGE);
    expect(used.layMemory(16 * PAGE)).toBe(0);
  });
});
