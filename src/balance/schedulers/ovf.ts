/**
 * Weighted overflow: the destination of the highest weight takes active connections until it has more than its
 * weight says, so one more than one would think; then the next one does. UDP connections are never active and
 * never overflow. Behaviour: ipvsadm(8), scheduler `ovf`.
 */
import type { Destination } from '../destination.ts';
import { candidatesOf, type Explanation, whyNotUsable } from '../explanation.ts';
import type { Flow, Scheduler, SchedulerKind } from '../scheduler.ts';

export const ovf: SchedulerKind = {
  name: 'ovf',
  summary: 'weighted overflow',
  create: (service) => new Overflow(service.destinations),
};

class Overflow implements Scheduler {
  readonly #destinations: readonly Destination[];

  constructor(destinations: readonly Destination[]) {
    this.#destinations = destinations;
  }

  pick(_flow?: Flow): Destination | null {
    let best: Destination | null = null;
    let highest = 0;
    for (let i = 0; i < this.#destinations.length; i++) {
      const candidate = this.#destinations[i] as Destination;
      if (candidate.overloaded || candidate.activeConnections > candidate.weight) continue;
      if (candidate.weight > highest) {
        best = candidate;
        highest = candidate.weight;
      }
    }
    return best;
  }

  explain(): Explanation {
    return {
      chosen: this.pick(),
      rule: 'the highest weight of those whose active connections are not more than their weight',
      steps: [],
      candidates: candidatesOf(
        this.#destinations,
        (each) => `${each.activeConnections} active of ${each.weight}`,
        (each) =>
          whyNotUsable(each) ??
          (each.activeConnections > each.weight
            ? `full: ${each.activeConnections} active, weight ${each.weight}`
            : null),
      ),
    };
  }

  destinationsChanged(): void {} // Nothing remembered, nothing to forget.
}
