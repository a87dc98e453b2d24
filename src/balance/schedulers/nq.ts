/**
 * Never queue: the first destination in the list without an active connection, whatever its weight; when all are
 * busy, the shortest expected delay. Behaviour: ipvsadm(8), scheduler `nq`.
 */
import type { Destination } from '../destination.ts';
import { candidatesOf, delaySum, type Explanation } from '../explanation.ts';
import type { Flow, Scheduler, SchedulerKind } from '../scheduler.ts';
import { expectedDelay, isUsable, weightedLeast } from './load.ts';

export const nq: SchedulerKind = {
  name: 'nq',
  summary: 'never queue',
  create: (service) => new NeverQueue(service.destinations),
};

class NeverQueue implements Scheduler {
  readonly #destinations: readonly Destination[];

  constructor(destinations: readonly Destination[]) {
    this.#destinations = destinations;
  }

  pick(_flow?: Flow): Destination | null {
    for (let i = 0; i < this.#destinations.length; i++) {
      const candidate = this.#destinations[i] as Destination;
      if (candidate.activeConnections === 0 && isUsable(candidate)) return candidate;
    }
    return weightedLeast(this.#destinations, expectedDelay);
  }

  explain(): Explanation {
    const idle = this.#destinations.some((each) => each.activeConnections === 0 && isUsable(each));
    return {
      chosen: this.pick(),
      rule: 'the first without an active connection; when all are busy, the least (active + 1)/weight',
      steps: [idle ? 'one of them is idle' : 'all of them are busy'],
      candidates: candidatesOf(this.#destinations, (each) =>
        idle ? `${each.activeConnections} active` : delaySum(each),
      ),
    };
  }

  destinationsChanged(): void {} // Nothing remembered, nothing to forget.
}
