/**
 * Power of two choices: two destinations drawn by weight, and the less loaded of them for its weight.
 * Behaviour: ipvsadm(8), scheduler `twos`. Both ends of the range that is drawn from are included, which makes
 * the first destination in the list slightly more likely.
 */
import type { Destination } from '../destination.ts';
import type { Flow, Scheduler, SchedulerEnvironment, SchedulerKind } from '../scheduler.ts';
import { isUsable, overhead } from './load.ts';

export const twos: SchedulerKind = {
  name: 'twos',
  summary: 'weighted random twos choice least-connection',
  create: (service, environment) => new TwoChoices(service.destinations, environment),
};

class TwoChoices implements Scheduler {
  readonly #destinations: readonly Destination[];
  readonly #environment: SchedulerEnvironment;

  constructor(destinations: readonly Destination[], environment: SchedulerEnvironment) {
    this.#destinations = destinations;
    this.#environment = environment;
  }

  pick(_flow: Flow): Destination | null {
    let total = 0;
    for (let i = 0; i < this.#destinations.length; i++) {
      const candidate = this.#destinations[i] as Destination;
      if (isUsable(candidate)) total += candidate.weight;
    }
    if (total === 0) return null;
    const first = this.#draw(total);
    const second = this.#draw(total);
    if (first === null || second === null) return first ?? second;
    // 32-bit products, as the kernel makes them.
    const firstCost = Math.imul(second.weight, overhead(first));
    const secondCost = Math.imul(first.weight, overhead(second));
    return firstCost > secondCost ? second : first;
  }

  destinationsChanged(): void {} // Nothing remembered, nothing to forget.

  /** The destination at which a random number from 0 to `total`, both included, is used up. */
  #draw(total: number): Destination | null {
    let rest = Math.floor(this.#environment.random() * (total + 1));
    for (let i = 0; i < this.#destinations.length; i++) {
      const candidate = this.#destinations[i] as Destination;
      if (!isUsable(candidate)) continue;
      rest -= candidate.weight;
      if (rest <= 0) return candidate;
    }
    return null;
  }
}
