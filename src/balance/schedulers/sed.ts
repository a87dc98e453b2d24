/**
 * Shortest expected delay: as weighted least-connection, with the connection to come counted in and inactive
 * connections left out. Behaviour: ipvsadm(8), scheduler `sed`.
 */
import type { Destination } from '../destination.ts';
import { candidatesOf, delaySum, type Explanation } from '../explanation.ts';
import type { Flow, Scheduler, SchedulerKind } from '../scheduler.ts';
import { expectedDelay, weightedLeast } from './load.ts';

export const sed: SchedulerKind = {
  name: 'sed',
  summary: 'shortest expected delay',
  create: (service) => new ShortestExpectedDelay(service.destinations),
};

class ShortestExpectedDelay implements Scheduler {
  readonly #destinations: readonly Destination[];

  constructor(destinations: readonly Destination[]) {
    this.#destinations = destinations;
  }

  pick(_flow: Flow): Destination | null {
    return weightedLeast(this.#destinations, expectedDelay);
  }

  explain(): Explanation {
    return {
      chosen: weightedLeast(this.#destinations, expectedDelay),
      rule: 'the least (active + 1)/weight; of equals the first in the list',
      steps: [],
      candidates: candidatesOf(this.#destinations, delaySum),
    };
  }

  destinationsChanged(): void {} // Nothing remembered, nothing to forget.
}
