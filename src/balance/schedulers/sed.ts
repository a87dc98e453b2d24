/**
 * Shortest expected delay: as weighted least-connection, with the connection to come counted in and inactive
 * connections left out. Behaviour: ipvsadm(8), scheduler `sed`.
 */
import type { Destination } from '../destination.ts';
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

  destinationsChanged(): void {} // Nothing remembered, nothing to forget.
}
