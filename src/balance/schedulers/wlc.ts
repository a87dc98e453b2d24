/**
 * Weighted least-connection: the destination with the least load for its weight.
 * Behaviour: ipvsadm(8), scheduler `wlc`.
 */
import type { Destination } from '../destination.ts';
import { candidatesOf, type Explanation, overheadSum } from '../explanation.ts';
import type { Flow, Scheduler, SchedulerKind } from '../scheduler.ts';
import { overhead, weightedLeast } from './load.ts';

export const wlc: SchedulerKind = {
  name: 'wlc',
  summary: 'weighted least-connection',
  create: (service) => new WeightedLeastConnection(service.destinations),
};

class WeightedLeastConnection implements Scheduler {
  readonly #destinations: readonly Destination[];

  constructor(destinations: readonly Destination[]) {
    this.#destinations = destinations;
  }

  pick(_flow: Flow): Destination | null {
    return weightedLeast(this.#destinations, overhead);
  }

  explain(): Explanation {
    return {
      chosen: weightedLeast(this.#destinations, overhead),
      rule: 'the least (active*256 + inactive)/weight; of equals the first in the list',
      steps: [],
      candidates: candidatesOf(this.#destinations, overheadSum),
    };
  }

  destinationsChanged(): void {} // Nothing remembered, nothing to forget.
}
