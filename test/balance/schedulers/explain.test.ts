/** Every scheduler says its arithmetic: what it says it would do is what it then does, and saying it changes nothing. */
import { describe, expect, test } from 'vitest';
import type { Destination } from '../../../src/balance/destination.ts';
import { Flow } from '../../../src/balance/scheduler.ts';
import { SCHEDULERS } from '../../../src/balance/schedulers/index.ts';
import { ServiceTable } from '../../../src/balance/service-table.ts';
import { Random } from '../../../src/engine/random.ts';
import { addressOf, destinationSpec, letterOf, seededRandom, serviceSpec, WEB } from '../support.ts';

const ROUNDS = 600;

/** Two tables with the same history; only the first is asked to explain. */
class Pair {
  readonly tables = [tableOf(7), tableOf(7)] as const;
  readonly services;

  constructor(scheduler: string, flags: readonly (1 | 2)[]) {
    this.services = this.tables.map((table) =>
      table.addService(serviceSpec({ scheduler, schedulerFlags: [...flags] }), 0),
    );
  }

  each(work: (table: ServiceTable, index: number) => void): void {
    this.tables.forEach(work);
  }

  destinations(index: number): readonly Destination[] {
    return this.services[index]!.destinations;
  }
}

function tableOf(seed: number): ServiceTable {
  const random = new Random(seed);
  return new ServiceTable({
    random: () => random.fraction(),
    peekRandom: () => {
      const copy = random.copy();
      return () => copy.fraction();
    },
    defaultSourceNat: 'none',
    nowTicks: 0,
  });
}

describe.each(Object.keys(SCHEDULERS))('%s', (scheduler) => {
  test.each([[[]], [[1]], [[1, 2]]] as (1 | 2)[][][])('with the flags %j', (flags) => {
    const pair = new Pair(scheduler, flags);
    const random = seededRandom(scheduler.length * 100 + flags.length);
    const below = (bound: number): number => Math.floor(random() * bound);
    const flow = new Flow();
    flow.protocol = 6;
    let told = 0;
    for (let round = 0; round < ROUNDS; round++) {
      change(pair, random, below);
      flow.client3 = below(40);
      flow.clientPort = 1024 + below(5);
      flow.virtual3 = below(6);
      const nowTicks = round * 20_000;
      const [first, second] = pair.services;
      const explanation = first!.scheduler.explain(flow, nowTicks);
      expect(first!.scheduler.explain(flow, nowTicks)).toEqual(explanation);
      const picked = first!.scheduler.pick(flow, nowTicks);
      expect(letterOf(explanation.chosen)).toBe(letterOf(picked));
      // The one that was never asked does the same.
      const other = second!.scheduler.pick(flow, nowTicks);
      expect(letterOf(other)).toBe(letterOf(picked));
      expect(explanation.rule).not.toBe('');
      if (picked === null) continue;
      const candidate = explanation.candidates.find(({ destination }) => destination === picked);
      expect(candidate?.passedBy ?? null, `${scheduler} passes by whom it takes`).toBe(
        mayBeOverloaded(scheduler, picked),
      );
      if (picked.weight > 0 && candidate?.passedBy === null) expect(candidate.sum).toMatch(/\d/);
      told++;
      for (const destination of [picked, other!]) destination.bind(false, false);
    }
    if (scheduler === 'none') expect(told).toBe(0);
    else expect(told).toBeGreaterThan(ROUNDS / 4);
  });
});

/** lblc keeps a remembered destination that has reached its threshold; then the table says why others would not. */
function mayBeOverloaded(scheduler: string, { overloaded, upperThreshold }: Destination): string | null {
  const keeps = scheduler === 'lblc' && overloaded;
  return keeps ? `overloaded: it reached its upper threshold of ${upperThreshold}` : null;
}

function change(pair: Pair, random: () => number, below: (bound: number) => number): void {
  const letter = String.fromCharCode(65 + below(5));
  const spec = destinationSpec({
    address: addressOf(letter),
    weight: random() < 0.15 ? 0 : 1 + below(6),
    upperThreshold: random() < 0.3 ? 4 + below(8) : 0,
  });
  const isThere = pair.destinations(0).some((each) => letterOf(each) === letter);
  const what = random();
  pair.each((table, index) => {
    if (!isThere) table.addDestination(WEB, spec, 0);
    else if (what < 0.05) table.deleteDestination(WEB, { address: spec.address, port: spec.port }, 0);
    else if (what < 0.3) table.editDestination(WEB, spec, 0);
    else {
      const destination = pair.destinations(index)[0] as Destination;
      if (destination.activeConnections > 0 && what < 0.9) destination.unbind(false, false);
    }
  });
}

describe('the arithmetic', () => {
  test('of wlc is (active*256 + inactive)/weight, of sed (active + 1)/weight', () => {
    for (const [scheduler, sums] of [
      ['wlc', ['(1*256+0)/2 = 128', '(3*256+10)/1 = 778']],
      ['sed', ['(1+1)/2 = 1', '(3+1)/1 = 4']],
    ] as const) {
      const table = tableOf(1);
      const service = table.addService(serviceSpec({ scheduler }), 0);
      const heavy = table.addDestination(WEB, destinationSpec({ address: addressOf('A'), weight: 1 }), 0);
      const light = table.addDestination(WEB, destinationSpec({ address: addressOf('B'), weight: 2 }), 0);
      for (let i = 0; i < 3; i++) heavy.bind(false, false);
      for (let i = 0; i < 10; i++) heavy.bind(true, false);
      light.bind(false, false);
      const { candidates, chosen } = service.scheduler.explain(new Flow(), 0);
      expect(candidates.map(({ sum }) => sum)).toEqual(sums);
      expect(letterOf(chosen)).toBe('B');
    }
  });

  test('says why a server is passed by', () => {
    const table = tableOf(1);
    const service = table.addService(serviceSpec({ scheduler: 'wlc' }), 0);
    table.addDestination(WEB, destinationSpec({ address: addressOf('A'), weight: 0 }), 0);
    table.addDestination(WEB, destinationSpec({ address: addressOf('B'), upperThreshold: 1 }), 0).bind(false, false);
    expect(service.scheduler.explain(new Flow(), 0)).toMatchObject({
      chosen: null,
      candidates: [
        { sum: null, passedBy: 'overloaded: it reached its upper threshold of 1' },
        { sum: null, passedBy: 'weight 0 takes nothing new' },
      ],
    });
  });
});
