import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Destination } from '../../../src/balance/destination.ts';
import type { DestinationHashing } from '../../../src/balance/schedulers/dh.ts';
import { type MaglevHashing, maglevClaims } from '../../../src/balance/schedulers/mh.ts';
import type { SourceHashing } from '../../../src/balance/schedulers/sh.ts';
import type { WeightedRoundRobin } from '../../../src/balance/schedulers/wrr.ts';
import type { SchedulerFlag } from '../../../src/model/service.ts';
import { LetteredService, letterOf, readVectors, type Weighted } from '../support.ts';

type Pick = string | null;

interface Operation {
  readonly op: string;
  readonly dest: string;
  readonly weight: number;
  readonly value: boolean;
  readonly times: number;
  readonly picks: readonly Pick[];
  readonly list_order: readonly string[];
  readonly weights: readonly number[];
  readonly state_after?: WrrState;
  readonly state_now?: WrrState;
}

interface WrrState {
  readonly cl: string | null;
  readonly cw: number;
  readonly mw: number;
  readonly di: number;
}

function play(scheduler: string, operations: readonly Operation[]): void {
  const rebuilt = operations[0]?.op === 'dests-exist-then-scheduler-set';
  const web = new LetteredService(rebuilt ? 'lc' : scheduler);
  for (const operation of operations) {
    switch (operation.op) {
      case 'add':
        web.add(operation.dest, operation.weight);
        break;
      case 'delete':
        web.delete(operation.dest);
        break;
      case 'set-weight':
        web.setWeight(operation.dest, operation.weight);
        break;
      case 'overload-flag':
        web.get(operation.dest).overloaded = operation.value;
        break;
      case 'schedule':
        expect(web.picks(operation.times)).toEqual(operation.picks);
        break;
      case 'dests-exist-then-scheduler-set':
        for (const [place, letter] of [...operation.list_order.entries()].reverse()) {
          web.add(letter, operation.weights[place] as number);
        }
        expect(web.service.destinations.map(letterOf)).toEqual(operation.list_order);
        web.edit({ scheduler });
        break;
      case 'note':
        break;
      default:
        throw new Error(`unknown operation ${operation.op}`);
    }
    const state = operation.state_after ?? operation.state_now;
    if (state !== undefined) expect(wrrState(web)).toEqual(state);
  }
}

function wrrState(web: LetteredService): WrrState {
  const { lastIndex, current, maximum, step } = (web.service.scheduler as WeightedRoundRobin).state();
  return { cl: letterOf(web.service.destinations[lastIndex] ?? null), cw: current, mw: maximum, di: step };
}

describe.each(['rr', 'wrr'])('%s makes the recorded choices', (scheduler) => {
  const { cases } = readVectors<{ cases: readonly (readonly Operation[])[] }>(`sched-${scheduler}`);
  test.each(cases.map((operations, index) => ({ index, operations })))('in case $index', ({ operations }) => {
    play(scheduler, operations);
  });
});

interface Load extends Weighted {
  readonly active: number;
  readonly inactive: number;
  readonly overload?: boolean;
}

/** Destinations given in list order, so the last is added first. */
function loaded(scheduler: string, listOrder: readonly Load[], random?: () => number): LetteredService {
  const web = new LetteredService(scheduler, [...listOrder].reverse(), random);
  for (const { dest, active, inactive, overload } of listOrder) {
    const destination = web.get(dest);
    destination.activeConnections = active;
    destination.inactiveConnections = inactive;
    destination.overloaded = overload ?? false;
  }
  return web;
}

describe('the schedulers that look at load', () => {
  const vectors = readVectors<{
    runs: readonly { scheduler: string; added_in_order: readonly Weighted[]; picks: readonly Pick[] }[];
    snapshots: readonly { list_order: readonly Load[]; picks: Record<string, Pick> }[];
    twos: readonly { list_order: readonly Load[]; r1: number; r2: number; pick: Pick }[];
  }>('sched-least');

  test('make the recorded choices while every connection stays', () => {
    for (const { scheduler, added_in_order, picks } of vectors.runs) {
      const web = new LetteredService(scheduler, added_in_order);
      expect(web.picks(picks.length, true), JSON.stringify({ scheduler, added_in_order })).toEqual(picks);
    }
  });

  test('make the recorded choice for a given load', () => {
    for (const { list_order, picks } of vectors.snapshots) {
      for (const [scheduler, pick] of Object.entries(picks)) {
        expect(letterOf(loaded(scheduler, list_order).pick()), JSON.stringify({ scheduler, list_order })).toBe(pick);
      }
    }
  });

  test('twos chooses as computed for every pair of random numbers', () => {
    for (const { list_order, r1, r2, pick } of vectors.twos) {
      const total = list_order.reduce((sum, { weight }) => sum + weight, 0);
      // The first number is drawn when the table is made.
      const drawn = [0, (r1 + 0.5) / (total + 1), (r2 + 0.5) / (total + 1)];
      const web = loaded('twos', list_order, () => drawn.shift() as number);
      expect(letterOf(web.pick()), JSON.stringify({ list_order, r1, r2 })).toBe(pick);
      expect(drawn).toEqual([]);
    }
  });
});

const spellTable = (table: readonly (Destination | null)[]): string => table.map((it) => letterOf(it) ?? '.').join('');
const FLAGS: Readonly<Record<string, readonly SchedulerFlag[]>> = {
  plain: [],
  port: [2],
  fallback: [1],
  port_fallback: [1, 2],
};

function expectHashedPicks(
  web: LetteredService,
  prefix: string,
  picks: readonly Record<string, string | number>[],
): void {
  for (const [name, schedulerFlags] of Object.entries(FLAGS)) {
    web.edit({ schedulerFlags });
    for (const pick of picks) {
      web.from(pick['client'] as string, pick['port'] as number);
      const expected = pick[name === 'plain' ? name : `${prefix}_${name}`];
      expect(letterOf(web.pick()), JSON.stringify({ name, pick })).toBe(expected);
    }
  }
}

test('sh fills its buckets and makes the recorded choices with all flags', () => {
  const { cases } = readVectors<{
    cases: readonly { added_in_order: Weighted[]; table: string; picks: Record<string, string | number>[] }[];
  }>('sched-sh');
  for (const { added_in_order, table, picks } of cases) {
    const web = new LetteredService('sh', added_in_order);
    expect(spellTable((web.service.scheduler as SourceHashing).buckets)).toBe(table);
    expectHashedPicks(web, 'sh', picks);
  }
});

test('sh falls back from twice the hash on', () => {
  const { fallback_bucket_order } = readVectors<{
    fallback_bucket_order: { client: string; first_bucket: number; next_10: number[] }[];
  }>('sched-sh');
  // One destination for each bucket; only the one under test can take the client.
  for (const { client, first_bucket, next_10 } of fallback_bucket_order) {
    const web = new LetteredService('sh');
    for (let bucket = 255; bucket >= 0; bucket--) web.add(String.fromCharCode(64 + bucket), 1);
    web.edit({ schedulerFlags: [1] });
    web.from(client, 1);
    const { destinations } = web.service;
    expect(web.pick()).toBe(destinations[first_bucket]);
    const walked: number[] = [];
    destinations[first_bucket]!.overloaded = true;
    for (let step = 0; step < next_10.length; step++) {
      const choice = web.pick() as Destination;
      walked.push(destinations.indexOf(choice));
      choice.overloaded = true;
    }
    expect(walked).toEqual(next_10.filter((bucket) => bucket !== first_bucket));
  }
});

test('dh fills its buckets and makes the recorded choices', () => {
  const { cases } = readVectors<{
    cases: readonly { added_in_order: Weighted[]; table: string; picks: { daddr: string; pick: Pick }[] }[];
  }>('sched-dh');
  for (const { added_in_order, table, picks } of cases) {
    const web = new LetteredService('dh', added_in_order);
    expect(spellTable((web.service.scheduler as DestinationHashing).buckets)).toBe(table);
    for (const { daddr, pick } of picks) expect(letterOf(web.to(daddr).pick())).toBe(pick);
  }
});

interface MaglevCase {
  readonly added_in_order: readonly (Weighted & { last_weight: number })[];
  readonly gcd: number;
  readonly rshift: number;
  readonly dest_setup: readonly { name: string; offset: number; skip: number; turns: number }[];
  readonly slots: Readonly<Record<string, number>>;
  readonly table_first_120: string;
  readonly table_sha256: string;
  readonly picks: readonly Record<string, string | number>[];
}

test('mh fills its table and makes the recorded choices with all flags', () => {
  for (const vector of readVectors<{ cases: readonly MaglevCase[] }>('sched-mh').cases) {
    const web = new LetteredService(
      'mh',
      vector.added_in_order.map(({ dest, last_weight }) => ({ dest, weight: last_weight })),
    );
    for (const { dest, weight, last_weight } of vector.added_in_order) {
      if (weight !== last_weight) web.setWeight(dest, weight);
    }
    const { divisor, shift, claims } = maglevClaims(web.service.destinations);
    expect({ divisor, shift }).toEqual({ divisor: vector.gcd, shift: vector.rshift });
    expect(claims.map(({ destination, ...claim }) => ({ name: letterOf(destination), ...claim }))).toEqual(
      vector.dest_setup,
    );
    const table = spellTable((web.service.scheduler as MaglevHashing).slots);
    expect(table.slice(0, 120)).toBe(vector.table_first_120);
    expect(createHash('sha256').update(table).digest('hex')).toBe(vector.table_sha256);
    for (const [letter, count] of Object.entries(vector.slots)) expect(table.split(letter).length - 1).toBe(count);
    expectHashedPicks(web, 'mh', vector.picks);
  }
});

test('lblc and lblcr make the recorded choices while every connection stays', () => {
  const { cases } = readVectors<{
    cases: { scheduler: string; added_in_order: Weighted[]; steps: { daddr: string; pick: Pick }[] }[];
  }>('sched-lblc');
  for (const { scheduler, added_in_order, steps } of cases) {
    const web = new LetteredService(scheduler, added_in_order);
    for (const [step, { daddr, pick }] of steps.entries()) {
      const destination = web.to(daddr).pick();
      destination?.bind(false, false);
      expect(letterOf(destination), JSON.stringify({ scheduler, added_in_order, step })).toBe(pick);
    }
  }
});
