import { describe, expect, test } from 'vitest';
import { Counters } from '../../src/balance/counters.ts';
import { readVectors } from './support.ts';

type Five = readonly [number, number, number, number, number];
interface Tick {
  readonly delta: Five;
  readonly shown: { cps: number; inpps: number; outpps: number; inbps: number; outbps: number };
}

/** Counts so many connections, packets and bytes; bytes come with the first packet, or with one that is taken off. */
function count(counters: Counters, [connections, inPackets, outPackets, inBytes, outBytes]: Five): void {
  for (let i = 0; i < connections; i++) counters.countConnection();
  for (let i = 0; i < inPackets; i++) counters.countIn(i === 0 ? inBytes : 0);
  for (let i = 0; i < outPackets; i++) counters.countOut(i === 0 ? outBytes : 0);
}

describe('the estimator shows the known rates', () => {
  const { cases } = readVectors<{ cases: readonly (readonly Tick[])[] }>('estimator');
  test.each(cases.map((ticks, index) => ({ index, ticks })))('in case $index', ({ ticks }) => {
    const counters = new Counters();
    for (const { delta, shown } of ticks) {
      count(counters, delta);
      counters.estimate();
      expect(counters.rates()).toEqual({
        connectionsPerSecond: shown.cps,
        inPacketsPerSecond: shown.inpps,
        outPacketsPerSecond: shown.outpps,
        inBytesPerSecond: shown.inbps,
        outBytesPerSecond: shown.outbps,
      });
    }
  });
});

test('what is shown is what the last tick read', () => {
  const counters = new Counters();
  count(counters, [1, 2, 3, 400, 500]);
  expect(counters.statistics().inPackets).toBe(0);
  counters.estimate();
  count(counters, [1, 1, 1, 1, 1]);
  expect(counters.statistics()).toEqual({
    connections: 1,
    inPackets: 2,
    outPackets: 3,
    inBytes: 400,
    outBytes: 500,
  });
});

test('zeroing starts from the last tick: what was counted since then appears after it', () => {
  const counters = new Counters();
  count(counters, [100, 0, 0, 0, 0]);
  counters.estimate();
  count(counters, [7, 0, 0, 0, 0]);
  counters.zero();
  expect(counters.statistics().connections).toBe(0);
  expect(counters.rates().connectionsPerSecond).toBe(0);
  counters.estimate();
  expect(counters.statistics().connections).toBe(7);
  // 7 connections in two seconds, a quarter of them at once: 0.875 a second, shown as 1.
  expect(counters.rates().connectionsPerSecond).toBe(1);
});

test('one hundred connections and then silence fade out as seen on a kernel', () => {
  const counters = new Counters();
  count(counters, [100, 0, 0, 0, 0]);
  const shown = Array.from({ length: 13 }, () => {
    counters.estimate();
    return counters.rates().connectionsPerSecond;
  });
  expect(shown).toEqual([12, 9, 7, 5, 4, 3, 2, 2, 1, 1, 1, 1, 0]);
});
