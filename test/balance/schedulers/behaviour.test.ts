import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findScheduler, SCHEDULERS, SCHEDULERS_DEBIAN_LACKS } from '../../../src/balance/schedulers/index.ts';
import { IpvsError } from '../../../src/model/errors.ts';
import { destinationSpec, LetteredService, letterOf, seededRandom, spell, WEB, type Weighted } from '../support.ts';

/** `A3 B2 C1`: added in this order. */
function added(text: string): Weighted[] {
  return text.split(' ').map((item) => ({ dest: item[0] as string, weight: Number(item.slice(1)) }));
}

describe('a service that is built up one destination at a time', () => {
  test.each([
    ['wrr', 'A3 B2 C1', 'C B A A B A C B A A B A C B A'],
    ['wrr', 'A4 B2 C2', 'C B A A C B A A'],
    ['wrr', 'A10 B5', 'B A A B A A'],
    ['wrr', 'A6 B0 C4', 'C A A C A C A A C A'],
    ['rr', 'A1 B1 C1', 'C B A C B A'],
  ])('%s with %s picks %s', (scheduler, destinations, picks) => {
    expect(spell(new LetteredService(scheduler, added(destinations)).picks(picks.split(' ').length))).toBe(picks);
  });

  test.each([
    ['wlc', 'A3 B2 C1', 'C B A A B A C B A A B A C B'],
    ['sed', 'A3 B2 C1', 'A B A C B A A B A C B A A B'],
    ['nq', 'A3 B2 C1', 'C B A A B A A B A C B A A B'],
    ['ovf', 'A3 B2 C1', 'A A A A B B B C C -'],
    ['fo', 'A1 B7 C7', 'C C C'],
  ])('%s with %s picks %s while every connection stays active', (scheduler, destinations, picks) => {
    const web = new LetteredService(scheduler, added(destinations));
    expect(spell(web.picks(picks.split(' ').length, true))).toBe(picks);
  });
});

test('wrr set on a service that has its destinations starts with the highest weight', () => {
  const web = new LetteredService('rr', added('A3 B2 C1'));
  web.edit({ scheduler: 'wrr' });
  expect(spell(web.picks(12))).toBe('A B A C B A A B A C B A');
});

test('editing a service without another scheduler does not start the scheduler afresh', () => {
  const web = new LetteredService('rr', added('A1 B1 C1'));
  expect(spell(web.picks(1))).toBe('C');
  web.edit({ onePacket: true });
  expect(spell(web.picks(2))).toBe('B A');
});

test('rr passes by a destination whose weight became 0', () => {
  const web = new LetteredService('rr', added('A1 B1 C1'));
  expect(spell(web.picks(7))).toBe('C B A C B A C');
  web.setWeight('B', 0);
  expect(spell(web.picks(5))).toBe('A C A C A');
});

test('wrr picks at once when only a light destination is left beside very heavy ones', () => {
  const web = new LetteredService('wrr', added('A2147483647 B1 C2147483646'));
  web.get('A').overloaded = true;
  web.get('C').overloaded = true;
  expect(spell(web.picks(3))).toBe('B B B');
  web.get('B').overloaded = true;
  expect(spell(web.picks(3))).toBe('- - -');
});

test('wrr chooses as the plain algorithm does, whatever is overloaded and changed', () => {
  const operation = fc.oneof(
    fc.record({ kind: fc.constant('pick' as const), times: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ kind: fc.constant('weight' as const), place: fc.nat(4), weight: fc.integer({ min: 0, max: 40 }) }),
    fc.record({ kind: fc.constant('overload' as const), place: fc.nat(4), value: fc.boolean() }),
  );
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 5 }),
      fc.array(operation, { maxLength: 30 }),
      (weights, operations) => {
        const web = new LetteredService('wrr');
        const plain = new PlainWeightedRoundRobin();
        for (const [index, weight] of weights.entries()) {
          const letter = String.fromCharCode(65 + index);
          web.add(letter, weight);
          plain.list.unshift({ letter, weight, overloaded: false });
          plain.changed();
        }
        for (const step of operations) {
          const item = plain.list['place' in step ? step.place % plain.list.length : 0]!;
          if (step.kind === 'pick') {
            expect(web.picks(step.times)).toEqual(Array.from({ length: step.times }, () => plain.pick()));
          } else if (step.kind === 'weight') {
            item.weight = step.weight;
            // Without thresholds an edit takes the flag away.
            item.overloaded = false;
            plain.changed();
            web.setWeight(item.letter, step.weight);
          } else {
            item.overloaded = step.value;
            web.get(item.letter).overloaded = step.value;
          }
        }
      },
    ),
  );
});

/** The algorithm as it is described, with every pass made. */
class PlainWeightedRoundRobin {
  list: { letter: string; weight: number; overloaded: boolean }[] = [];
  last = -1;
  current = 0;
  maximum = 0;
  step = 1;

  changed(): void {
    const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
    this.step = this.list.reduce((sum, { weight }) => divisor(sum, weight), 0) || 1;
    this.maximum = Math.max(0, ...this.list.map(({ weight }) => weight)) - (this.step - 1);
    this.last = -1;
    if (this.current > this.maximum || this.current === 0) this.current = this.maximum;
    else if (this.step > 1) this.current = Math.floor(this.current / this.step) * this.step + 1;
  }

  pick(): string | null {
    if (this.maximum === 0) return null;
    const first = this.last;
    let stop = -1;
    let [lastPass, restarted] = [false, false];
    for (let from = first + 1; ; from = 0) {
      for (let i = from; i < this.list.length; i++) {
        const item = this.list[i]!;
        if (!item.overloaded && item.weight >= this.current) {
          this.last = i;
          return item.letter;
        }
        if (i === stop) {
          this.last = i;
          return null;
        }
      }
      this.current -= this.step;
      if (this.current <= 0) {
        this.current = this.maximum;
        if (lastPass || first === -1) {
          this.last = -1;
          return null;
        }
        restarted = true;
      }
      lastPass = this.current <= this.step;
      if (lastPass && restarted && first !== -1) stop = first;
    }
  }
}

test.each(['wrr', 'wlc', 'sed'])('the shares of %s follow the weights', (scheduler) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 6 }), (weights) => {
      const web = new LetteredService(
        scheduler,
        weights.map((weight, index) => ({ dest: String.fromCharCode(65 + index), weight })),
      );
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const picks = web.picks(total * 10, true);
      for (const [index, weight] of weights.entries()) {
        const share = picks.filter((letter) => letter === String.fromCharCode(65 + index)).length;
        expect(Math.abs(share - weight * 10)).toBeLessThanOrEqual(weight + 1);
      }
    }),
    { numRuns: 50 },
  );
});

test('the shares of mh and twos follow the weights roughly', () => {
  const random = seededRandom(7);
  for (const scheduler of ['mh', 'twos']) {
    const web = new LetteredService(scheduler, added('A3 B2 C1'), random);
    const counts: Record<string, number> = {};
    for (let i = 0; i < 6000; i++) {
      web.flow.client3 = i * 7919;
      const destination = web.pick()!;
      destination.bind(false, false);
      counts[letterOf(destination)!] = (counts[letterOf(destination)!] ?? 0) + 1;
    }
    expect(counts['A']! / 6000, scheduler).toBeCloseTo(3 / 6, 1);
    expect(counts['B']! / 6000, scheduler).toBeCloseTo(2 / 6, 1);
  }
});

test('no scheduler picks a quiesced, overloaded or deleted destination, or picks nobody while one is left', () => {
  const state = fc.record({
    weight: fc.integer({ min: 0, max: 5 }),
    overloaded: fc.boolean(),
    active: fc.nat(3),
    deleted: fc.boolean(),
  });
  const mayMiss = new Set(['dh', 'sh', 'mh', 'ovf', 'none']);
  const names = Object.keys(SCHEDULERS);
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.array(state, { maxLength: 5 }), fc.integer(), (name, states, client) => {
      const web = new LetteredService(name);
      const letters = states.map((_, index) => String.fromCharCode(65 + index));
      for (const [index, { weight, active }] of states.entries()) {
        const destination = web.add(letters[index]!, weight);
        for (let i = 0; i < active; i++) destination.bind(false, false);
      }
      web.flow.client3 = client;
      for (const [index, { overloaded, deleted }] of states.entries()) {
        web.get(letters[index]!).overloaded = overloaded;
        if (deleted) web.delete(letters[index]!);
      }
      const usable = web.service.destinations.filter((it) => it.weight > 0 && !it.overloaded);
      for (let i = 0; i < 4; i++) {
        const pick = web.pick();
        if (pick !== null) expect(usable).toContain(pick);
        else if (!mayMiss.has(name)) expect(usable).toEqual([]);
      }
    }),
    { numRuns: 500 },
  );
});

test('loads and weights beyond 2^53 are compared exactly', () => {
  const highest = 2 ** 31 - 1;
  const web = new LetteredService('wlc', added(`A${highest - 1} B${highest - 2}`));
  for (const [letter, inactive] of [
    ['A', 255],
    ['B', 254],
  ] as const) {
    web.get(letter).activeConnections = 2 ** 23 - 1;
    web.get(letter).inactiveConnections = inactive;
  }
  // (h-1)(h-1) is one more than h(h-2), so A is the better one; as doubles the products are the same.
  expect((highest - 1) ** 2).toBe(highest * (highest - 2));
  expect(letterOf(web.pick())).toBe('A');
});

describe('lblc', () => {
  test('keeps an address with its destination until that is too busy and another half idle', () => {
    const web = new LetteredService('lblc', added('A2 B4')).to('192.0.2.129');
    expect(spell(web.picks(5, true))).toBe('B B B B B');
    // B has 5 active for weight 4, and A none of 2.
    expect(spell(web.picks(1, true))).toBe('A');
    expect(spell(web.to('192.0.2.130').picks(1))).toBe('A');
  });

  test('goes on with a destination it remembers that became overloaded, but not with a deleted or quiesced one', () => {
    const web = new LetteredService('lblc', added('A1 B1')).to('192.0.2.129');
    expect(spell(web.picks(1))).toBe('B');
    web.get('B').overloaded = true;
    expect(spell(web.picks(1))).toBe('B');
    web.setWeight('B', 0);
    expect(spell(web.picks(1))).toBe('A');
    web.delete('A');
    expect(spell(web.picks(1))).toBe('-');
  });

  test('forgets an address that nobody asked for during the expiration', () => {
    const web = new LetteredService('lblc', added('A1 B1')).to('192.0.2.129');
    web.table.environment.lblcExpirationSeconds = 600;
    expect(spell(web.picks(1))).toBe('B');
    web.get('B').bind(false, false);
    const minute = 60 * 250;
    // The 29th sweep is not a full one, the 30th is.
    web.table.advance(29 * minute);
    expect(letterOf(web.pick(0))).toBe('B');
    web.table.advance(30 * minute);
    expect(letterOf(web.pick(30 * minute))).toBe('A');
    web.get('A').bind(false, false);
    web.get('B').unbind(false, false);
    web.table.advance(59 * minute);
    expect(letterOf(web.pick(30 * minute))).toBe('A');
    web.table.advance(60 * minute);
    expect(letterOf(web.pick(60 * minute))).toBe('B');
  });
});

describe('lblcr', () => {
  /** B serves the address first, A joins; then there is room for all, and C is there too. */
  function replicated(): LetteredService {
    const web = new LetteredService('lblcr', added('A2 B2')).to('192.0.2.129');
    web.table.environment.lblcrExpirationSeconds = 10;
    expect(spell(web.picks(3, true))).toBe('B B B');
    // B has 3 active for weight 2, and A none.
    expect(spell(web.picks(1))).toBe('A');
    web.setWeight('A', 100);
    web.setWeight('B', 100);
    web.add('C', 100);
    return web;
  }

  test('serves an address by the least loaded of its set, of equals the newest member', () => {
    const web = replicated();
    web.get('A').activeConnections = 4;
    expect(letterOf(web.pick())).toBe('B');
    web.get('A').activeConnections = 3;
    expect(letterOf(web.pick())).toBe('A');
    web.get('A').activeConnections = 50;
    web.get('B').activeConnections = 50;
    expect(letterOf(web.pick())).toBe('A');
  });

  test('takes the busiest member out when the set has not changed for longer than the expiration', () => {
    const web = replicated();
    const load = (a: number, b: number) => {
      web.get('A').activeConnections = a;
      web.get('B').activeConnections = b;
    };
    load(10, 1);
    expect(letterOf(web.pick(2500))).toBe('B');
    load(10, 50);
    expect(letterOf(web.pick(2500))).toBe('A');
    load(10, 1);
    expect(letterOf(web.pick(2501))).toBe('B');
    // A is gone, though it would be the less loaded again.
    load(10, 50);
    expect(letterOf(web.pick(2501))).toBe('B');
  });

  test('goes on without members that were deleted', () => {
    const web = replicated();
    web.delete('A');
    expect(letterOf(web.pick())).toBe('B');
    web.delete('B');
    expect(letterOf(web.pick())).toBe('C');
  });
});

describe('mh', () => {
  test('moves nobody when a destination is quiesced by an edit, and only refuses its clients', () => {
    const web = new LetteredService('mh', added('A1 B1 C1'));
    const before = Array.from({ length: 300 }, (_, i) => letterOf(web.from(`203.0.113.${i & 255}`, i).pick()));
    web.setWeight('B', 0);
    const after = Array.from({ length: 300 }, (_, i) => letterOf(web.from(`203.0.113.${i & 255}`, i).pick()));
    expect(before).toContain('B');
    expect(after).toEqual(before.map((letter) => (letter === 'B' ? null : letter)));
  });

  test('refuses a service with more destinations than slots, which keeps its scheduler', () => {
    const web = new LetteredService('rr');
    for (let i = 0; i < 4094; i++) {
      const address = `10.1.${i >> 8}.${i & 255}`;
      web.table.addDestination(WEB, destinationSpec({ address }), 0);
    }
    expect(() => web.edit({ scheduler: 'mh' })).toThrow(IpvsError);
    expect(web.service.schedulerName).toBe('rr');
    expect(web.pick()).not.toBeNull();
  });
});

test('ports count only for protocols that have ports', () => {
  const web = new LetteredService('sh', added('A1 B1 C1'));
  web.edit({ schedulerFlags: [2] });
  const spread = (protocol: number) => {
    web.flow.protocol = protocol;
    return new Set(Array.from({ length: 50 }, (_, port) => letterOf(web.from('203.0.113.5', port * 100).pick())));
  };
  for (const protocol of [6, 17, 132]) expect(spread(protocol).size).toBe(3);
  expect(spread(50).size).toBe(1);
});

test('the registry knows its schedulers by their own names only', () => {
  for (const [name, kind] of Object.entries(SCHEDULERS)) expect(kind.name).toBe(name);
  expect(Object.keys(SCHEDULERS)).toHaveLength(15);
  expect(findScheduler('constructor')).toBeNull();
  for (const name of SCHEDULERS_DEBIAN_LACKS) expect(findScheduler(name)).not.toBeNull();
  expect(spell(new LetteredService('none', added('A1')).picks(2))).toBe('- -');
});
