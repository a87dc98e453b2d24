/**
 * Destination hashing: the address the client asked for decides. 256 buckets are dealt out to the destinations in
 * list order, one each in turn; weights only matter when they are 0. There is no second choice.
 * Behaviour: ipvsadm(8), scheduler `dh`.
 */
import type { Destination } from '../destination.ts';
import type { DestinationChange, Flow, Scheduler, SchedulerKind } from '../scheduler.ts';
import { foldAddress, hash32 } from './hashing.ts';
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
    const fold = foldAddress(flow.virtual0, flow.virtual1, flow.virtual2, flow.virtual3);
    const choice = this.#buckets[hash32(fold, TABLE_BITS)] as Destination | null;
    return choice !== null && isUsable(choice) ? choice : null;
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
