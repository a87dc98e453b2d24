/**
 * Least connection: the destination with the least load, whatever the weights (0 takes none).
 * Behaviour: ipvsadm(8), scheduler `lc`.
 */
import type { Destination } from '../destination.ts';
import { candidatesOf, type Explanation } from '../explanation.ts';
import type { Flow, Scheduler, SchedulerKind } from '../scheduler.ts';
import { isUsable, overhead } from './load.ts';

export const lc: SchedulerKind = {
  name: 'lc',
  summary: 'least connection',
  create: (service) => new LeastConnection(service.destinations),
};

class LeastConnection implements Scheduler {
  readonly #destinations: readonly Destination[];

  constructor(destinations: readonly Destination[]) {
    this.#destinations = destinations;
  }

  pick(_flow?: Flow): Destination | null {
    let best: Destination | null = null;
    let bestLoad = 0;
    for (let i = 0; i < this.#destinations.length; i++) {
      const candidate = this.#destinations[i] as Destination;
      if (!isUsable(candidate)) continue;
      const load = overhead(candidate);
      if (best === null || load < bestLoad) {
        best = candidate;
        bestLoad = load;
      }
    }
    return best;
  }

  explain(): Explanation {
    return {
      chosen: this.pick(),
      rule: 'the least active*256 + inactive, whatever the weights; of equals the first in the list',
      steps: [],
      candidates: candidatesOf(
        this.#destinations,
        (each) => `${each.activeConnections}*256+${each.inactiveConnections} = ${overhead(each)}`,
      ),
    };
  }

  destinationsChanged(): void {} // Nothing remembered, nothing to forget.
}
