/**
 * Weighted failover: everything goes to the available destination of the highest weight; of equals the first in
 * the list. Behaviour: ipvsadm(8), scheduler `fo`.
 */
import type { Destination } from '../destination.ts';
import { candidatesOf, type Explanation } from '../explanation.ts';
import type { Flow, Scheduler, SchedulerKind } from '../scheduler.ts';

export const fo: SchedulerKind = {
  name: 'fo',
  summary: 'weighted failover',
  create: (service) => new Failover(service.destinations),
};

class Failover implements Scheduler {
  readonly #destinations: readonly Destination[];

  constructor(destinations: readonly Destination[]) {
    this.#destinations = destinations;
  }

  pick(_flow?: Flow): Destination | null {
    let best: Destination | null = null;
    let highest = 0;
    for (let i = 0; i < this.#destinations.length; i++) {
      const candidate = this.#destinations[i] as Destination;
      if (!candidate.overloaded && candidate.weight > highest) {
        best = candidate;
        highest = candidate.weight;
      }
    }
    return best;
  }

  explain(): Explanation {
    return {
      chosen: this.pick(),
      rule: 'the highest weight of those that are not overloaded; of equals the first in the list',
      steps: [],
      candidates: candidatesOf(this.#destinations, (each) => `weight ${each.weight}`),
    };
  }

  destinationsChanged(): void {} // Nothing remembered, nothing to forget.
}
