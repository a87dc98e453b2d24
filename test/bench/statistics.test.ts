import { describe, expect, test } from 'vitest';
import { median, percentile, summarize } from '../../bench/statistics.ts';
import { meanWithoutSlowest } from '../../bench/stopwatch.ts';

describe('the middle of figures', () => {
  test('is the middle one, or the mean of the two in the middle, whatever their order', () => {
    expect(median([5, 1, 9])).toBe(5);
    expect(median([8, 2, 4, 6])).toBe(5);
    expect(median([100, 9])).toBe(54.5);
  });

  test('of nothing is not a number', () => {
    expect(median([])).toBeNaN();
  });
});

describe('a percentile', () => {
  test('is a figure that was measured, not one between two', () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect(percentile(hundred, 0.5)).toBe(50);
    expect(percentile(hundred, 0.99)).toBe(99);
    expect(percentile(hundred, 0.999)).toBe(100);
    expect(percentile([7], 0.5)).toBe(7);
    expect(percentile([10, 9, 100], 0)).toBe(9);
  });

  test('of nothing is not a number', () => {
    expect(percentile([], 0.5)).toBeNaN();
  });
});

describe('a summary', () => {
  test('tells the middle, the ends, and half of the way between them as a share', () => {
    expect(summarize([90, 100, 120])).toEqual({
      median: 100,
      lowest: 90,
      highest: 120,
      spread: 0.15,
      values: [90, 100, 120],
    });
  });

  test('of one figure has no spread, of none there is no summary', () => {
    expect(summarize([3])?.spread).toBe(0);
    expect(summarize([0, 0])?.spread).toBe(0);
    expect(summarize([])).toBeNull();
  });
});

describe('a stopwatch', () => {
  test('leaves out the slowest, when others had the processor', () => {
    const times = [...Array.from({ length: 99 }, () => 10), 1_000_000];
    expect(meanWithoutSlowest(times, 0.99)).toBe(10);
    expect(meanWithoutSlowest([10, 30], 1)).toBe(20);
    expect(meanWithoutSlowest([42], 0.5)).toBe(42);
    expect(meanWithoutSlowest([], 0.99)).toBeNaN();
  });
});
