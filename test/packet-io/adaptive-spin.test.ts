import { expect, test } from 'vitest';
import { AdaptiveSpin } from '../../src/packet-io/adaptive-spin.ts';

test('it begins after a short sleep, grows with each further one, and never beyond its bound', () => {
  const spin = new AdaptiveSpin(50);
  expect(spin.windowAfter(1)).toBe(0);
  const windows = [30, 49, 50, 10].map((us) => {
    spin.slept(us, true);
    return spin.windowAfter(1);
  });
  expect(windows).toEqual([10, 20, 40, 50]);
});

test('the first long sleep ends it, and one without frames does', () => {
  for (const [us, came] of [
    [51, true],
    [5, false],
  ] as const) {
    const spin = new AdaptiveSpin(50);
    spin.slept(30, true);
    expect(spin.windowAfter(1)).toBe(10);
    spin.slept(us, came);
    expect(spin.windowAfter(1)).toBe(0);
  }
});

test('with a bound of 0 it never looks', () => {
  const spin = new AdaptiveSpin(0);
  spin.slept(0, true);
  expect([spin.active, spin.windowAfter(1)]).toEqual([false, 0]);
});

test('after many frames it sleeps at once, and looks again when they have become few', () => {
  const spin = new AdaptiveSpin(50);
  spin.slept(30, true);
  expect([1, 4, 5, 64].map((frames) => spin.windowAfter(frames))).toEqual([10, 10, 0, 0]);
  expect(spin.windowAfter(2)).toBe(10);
});
