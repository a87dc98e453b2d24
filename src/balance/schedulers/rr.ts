/**
 * Round robin: the destinations take turns in list order, whatever their weights (0 takes no turn).
 * Behaviour: ipvsadm(8), scheduler `rr`.
 */
import type { Destination } from '../destination.ts';
import { candidatesOf, type Explanation, endpointOf } from '../explanation.ts';
import type { Flow, Scheduler, SchedulerKind } from '../scheduler.ts';
import { isUsable } from './load.ts';

export const rr: SchedulerKind = {
  name: 'rr',
  summary: 'round robin',
  create: (service) => new RoundRobin(service.destinations),
};

/** Before the first destination. */
const HEAD = -1;

class RoundRobin implements Scheduler {
  readonly #destinations: readonly Destination[];
  /** The last choice, and its place in the list; `null` and HEAD before the first one. */
  #last: Destination | null = null;
  #lastIndex = HEAD;

  constructor(destinations: readonly Destination[]) {
    this.#destinations = destinations;
  }

  pick(_flow: Flow): Destination | null {
    const index = this.#next();
    if (index === HEAD) return null;
    this.#last = this.#destinations[index] as Destination;
    this.#lastIndex = index;
    return this.#last;
  }

  explain(): Explanation {
    const index = this.#next();
    const last = this.#last === null ? 'nobody was chosen yet' : `the last one was ${endpointOf(this.#last)}`;
    return {
      chosen: index === HEAD ? null : (this.#destinations[index] as Destination),
      rule: 'the next in the circle that takes connections, whatever its weight',
      steps: [`${last}, place ${this.#lastIndex + 1} of ${this.#destinations.length}; the search begins behind it`],
      candidates: candidatesOf(
        this.#destinations,
        (each) => `place ${this.#destinations.indexOf(each) + 1} in the circle`,
      ),
    };
  }

  /** Keeps the place in the circle; when the last choice is gone, its predecessor stands for it. */
  destinationsChanged(): void {
    if (this.#last === null) return;
    const index = this.#destinations.indexOf(this.#last);
    this.#lastIndex = index >= 0 ? index : this.#lastIndex - 1;
    this.#last = this.#destinations[this.#lastIndex] ?? null;
  }

  /** Place of the next in the circle, HEAD: nobody. */
  #next(): number {
    const destinations = this.#destinations;
    for (let index = this.#lastIndex + 1; index < destinations.length; index++) {
      if (isUsable(destinations[index] as Destination)) return index;
    }
    // The second half of the circle ends with the last choice itself.
    for (let index = 0; index <= this.#lastIndex; index++) {
      if (isUsable(destinations[index] as Destination)) return index;
    }
    return HEAD;
  }
}
