/**
 * Maglev hashing: the client's address decides, with the flag `port` its port too, over a table in which a change
 * of one destination moves few clients of the others. With the flag `fallback` a client whose destination cannot
 * take it is hashed again. The table follows the last weight that was not 0, so quiescing moves nobody else.
 * Behaviour: ipvsadm(8), scheduler `mh`; D. E. Eisenbud and others, "Maglev: A Fast and Reliable Software Network
 * Load Balancer", 2016, section 3.4.
 */
import { IpvsError } from '../../model/errors.ts';
import type { Destination } from '../destination.ts';
import { candidatesOf, type Explanation, endpointOf, hexWord, whyNotUsable } from '../explanation.ts';
import type { Flow, Scheduler, SchedulerKind } from '../scheduler.ts';
import { ServiceFlag, type VirtualService } from '../virtual-service.ts';
import { clientPortOf, foldAddress, share, sipHash13 } from './hashing.ts';
import { greatestCommonDivisor, isUsable } from './load.ts';

export const mh: SchedulerKind = {
  name: 'mh',
  summary: 'Maglev hashing',
  create: (service) => new MaglevHashing(service),
};

/** A prime, and the bits that weights are cut to. */
const TABLE_SIZE = 4093;
const WEIGHT_BITS = 6;
const KEY_1 = 2654435761;
const KEY_2 = 2654446892;
const FALLBACK = ServiceFlag.SCHEDULER_1;
const PORT = ServiceFlag.SCHEDULER_2;

/** How one destination claims slots: first `offset`, then on by `skip`, `turns` slots in every round. */
export interface MaglevClaim {
  readonly destination: Destination;
  readonly offset: number;
  readonly skip: number;
  readonly turns: number;
}

export class MaglevHashing implements Scheduler {
  readonly #service: VirtualService;
  #slots: (Destination | null)[] = [];

  constructor(service: VirtualService) {
    this.#service = service;
    if (!this.#populate()) {
      throw new IpvsError('EINVAL', `scheduler mh takes at most ${TABLE_SIZE} destinations`);
    }
  }

  pick(flow: Flow): Destination | null {
    const flags = this.#service.flags;
    const port = (flags & PORT) !== 0 ? clientPortOf(flow) : 0;
    const base = port + foldAddress(flow.client0, flow.client1, flow.client2, flow.client3);
    const slot = sipHash13(base, KEY_1) % TABLE_SIZE;
    const choice = this.#slots[slot] as Destination | null;
    if (choice === null || isUsable(choice)) return choice;
    return (flags & FALLBACK) !== 0 ? this.#fallBack(base, slot) : null;
  }

  explain(flow: Flow): Explanation {
    const { flags, destinations } = this.#service;
    const port = (flags & PORT) !== 0 ? clientPortOf(flow) : 0;
    const fold = foldAddress(flow.client0, flow.client1, flow.client2, flow.client3);
    const slot = sipHash13(port + fold, KEY_1) % TABLE_SIZE;
    const owner = this.#slots[slot] as Destination | null;
    const whyNot = owner === null ? null : whyNotUsable(owner);
    const chosen = this.pick(flow);
    const steps = [
      `the client's address as one word: ${hexWord(fold)}${(flags & PORT) !== 0 ? `, plus its port ${port}` : ''}`,
      `its SipHash modulo ${TABLE_SIZE}: slot ${slot}`,
      owner === null ? 'the slot is empty' : `the slot belongs to ${endpointOf(owner)}`,
    ];
    if (whyNot !== null) {
      const onwards = chosen === null ? 'and hashing again finds nobody' : 'hashed again until somebody can take it';
      steps.push(
        `it is passed by: ${whyNot}; ${(flags & FALLBACK) !== 0 ? onwards : 'without the flag mh-fallback there is no second choice'}`,
      );
    }
    return {
      chosen,
      rule: 'the client decides, over a table in which a change of one server moves few clients of the others',
      steps,
      candidates: candidatesOf(destinations, (each) => share(this.#slots, each)),
    };
  }

  destinationsChanged(): void {
    // With too many destinations the table stays as it was, as in the kernel.
    this.#populate();
  }

  /** For tests: the destination of each slot. */
  get slots(): readonly (Destination | null)[] {
    return this.#slots;
  }

  #fallBack(base: number, slot: number): Destination | null {
    for (let step = 0; step < TABLE_SIZE; step++) {
      const offset = (step + slot) % TABLE_SIZE;
      const choice = this.#slots[sipHash13(base + offset, KEY_1) % TABLE_SIZE] as Destination | null;
      if (choice === null || isUsable(choice)) return choice;
    }
    return null;
  }

  #populate(): boolean {
    const destinations = this.#service.destinations;
    if (destinations.length > TABLE_SIZE) return false;
    const slots = new Array<Destination | null>(TABLE_SIZE).fill(null);
    const { claims } = maglevClaims(destinations);
    const next = claims.map((claim) => claim.offset);
    let free = claims.length === 0 ? 0 : TABLE_SIZE;
    while (free > 0) {
      for (const [index, { destination, skip, turns }] of claims.entries()) {
        for (let turn = 0; turn < turns && free > 0; turn++) {
          let slot = next[index] as number;
          while (slots[slot] !== null) slot = (slot + skip) % TABLE_SIZE;
          slots[slot] = destination;
          next[index] = slot;
          free--;
        }
      }
    }
    this.#slots = slots;
    return true;
  }
}

/** The claims in list order, with the divisor and shift that made turns of weights; none when all weights are 0. */
export function maglevClaims(destinations: readonly Destination[]): {
  readonly divisor: number;
  readonly shift: number;
  readonly claims: readonly MaglevClaim[];
} {
  let divisor = 0;
  let highest = 0;
  for (const { lastWeight } of destinations) {
    divisor = greatestCommonDivisor(divisor, lastWeight);
    highest = Math.max(highest, lastWeight);
  }
  if (divisor === 0) return { divisor, shift: 0, claims: [] };
  const bits = 32 - Math.clz32(highest / divisor);
  const shift = Math.max(bits - WEIGHT_BITS, 0);
  const claims = destinations.map((destination) => {
    const { address0, address1, address2, address3, port, lastWeight } = destination;
    const base = port + foldAddress(address0, address1, address2, address3);
    return {
      destination,
      offset: sipHash13(base, KEY_1) % TABLE_SIZE,
      skip: (sipHash13(base, KEY_2) % (TABLE_SIZE - 1)) + 1,
      turns: lastWeight === 0 ? 0 : Math.max((lastWeight / divisor) >> shift, 1),
    };
  });
  return { divisor, shift, claims };
}
