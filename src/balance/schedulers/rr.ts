/**
 * Round robin: the destinations take turns in list order, whatever their weights (0 takes no turn).
 * Behaviour: ipvsadm(8), scheduler `rr`.
 */
import type { Destination } from '../destination.ts';
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
    const count = this.#destinations.length;
    for (let index = this.#lastIndex + 1; index < count; index++) {
      if (this.#take(index)) return this.#last;
    }
    // The second half of the circle ends with the last choice itself.
    for (let index = 0; index <= this.#lastIndex; index++) {
      if (this.#take(index)) return this.#last;
    }
    return null;
  }

  /** Keeps the place in the circle; when the last choice is gone, its predecessor stands for it. */
  destinationsChanged(): void {
    if (this.#last === null) return;
    const index = this.#destinations.indexOf(this.#last);
    this.#lastIndex = index >= 0 ? index : this.#lastIndex - 1;
    this.#last = this.#destinations[this.#lastIndex] ?? null;
  }

  #take(index: number): boolean {
    const candidate = this.#destinations[index] as Destination;
    if (!isUsable(candidate)) return false;
    this.#last = candidate;
    this.#lastIndex = index;
    return true;
  }
}
