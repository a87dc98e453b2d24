/**
 * Destination hashing: the address the client asked for decides. 256 buckets are dealt out to the destinations in
 * list order, one each in turn; weights only matter when they are 0. There is no second choice.
 * Behaviour: ipvsadm(8), scheduler `dh`.
 */
import type { Destination } from '../destination.ts';
import { candidatesOf, type Explanation, endpointOf, hexWord, whyNotUsable } from '../explanation.ts';
import type { DestinationChange, Flow, Scheduler, SchedulerKind } from '../scheduler.ts';
import { foldAddress, hash32, share } from './hashing.ts';
import { isUsable } from './load.ts';

export const dh: SchedulerKind = {
  name: 'dh',
  summary: 'destination hashing',
  create: (service) => new DestinationHashing(service.destinations),
};

const TABLE_BITS = 8;

export class DestinationHashing implements Scheduler {
  readonly #destinations: readonly Destination[];
  readonly #buckets: (Destination | null)[] = new Array<Destination | null>(1 << TABLE_BITS).fill(null);

  constructor(destinations: readonly Destination[]) {
    this.#destinations = destinations;
    this.#deal();
  }

  pick(flow: Flow): Destination | null {
    const choice = this.#buckets[hash32(foldOf(flow), TABLE_BITS)] as Destination | null;
    return choice !== null && isUsable(choice) ? choice : null;
  }

  explain(flow: Flow): Explanation {
    const fold = foldOf(flow);
    const bucket = hash32(fold, TABLE_BITS);
    const owner = this.#buckets[bucket] as Destination | null;
    const whyNot = owner === null ? null : whyNotUsable(owner);
    return {
      chosen: this.pick(flow),
      rule: 'the address that the client asked for decides, and there is no second choice',
      steps: [
        `the address as one word: ${hexWord(fold)}; its hash, ${1 << TABLE_BITS} buckets: bucket ${bucket}`,
        owner === null ? 'the bucket is empty' : `the bucket belongs to ${endpointOf(owner)}${reason(whyNot)}`,
      ],
      candidates: candidatesOf(this.#destinations, (each) => share(this.#buckets, each)),
    };
  }

  destinationsChanged(change: DestinationChange): void {
    if (change !== 'edit') this.#deal();
  }

  /** For tests: the destination of each bucket. */
  get buckets(): readonly (Destination | null)[] {
    return this.#buckets;
  }

  #deal(): void {
    const count = this.#destinations.length;
    for (let bucket = 0; bucket < this.#buckets.length; bucket++) {
      this.#buckets[bucket] = count === 0 ? null : (this.#destinations[bucket % count] as Destination);
    }
  }
}

function foldOf(flow: Flow): number {
  return foldAddress(flow.virtual0, flow.virtual1, flow.virtual2, flow.virtual3);
}

function reason(whyNot: string | null): string {
  return whyNot === null ? '' : `, which is passed by (${whyNot})`;
}
