/**
 * Power of two choices: two destinations drawn by weight, and the less loaded of them for its weight.
 * Behaviour: ipvsadm(8), scheduler `twos`. Both ends of the range that is drawn from are included, which makes
 * the first destination in the list slightly more likely.
 */
import type { Destination } from '../destination.ts';
import { candidatesOf, type Explanation, endpointOf } from '../explanation.ts';
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
    const total = this.#totalWeight();
    if (total === 0) return null;
    const first = this.#draw(total, this.#environment.random());
    const second = this.#draw(total, this.#environment.random());
    return lessLoaded(first, second);
  }

  /** The numbers that would be drawn are looked at and not used up. */
  explain(): Explanation {
    const rule = 'two are drawn by weight, and the one with less (active*256 + inactive)/weight is taken';
    const total = this.#totalWeight();
    const candidates = candidatesOf(this.#destinations, (each) => `${each.weight} of ${total} chances`);
    const random = this.#environment.peekRandom?.();
    if (total === 0) return { chosen: null, rule, steps: ['nobody has a weight'], candidates };
    if (random === undefined) {
      return { chosen: null, rule, steps: ['whom chance would draw cannot be told beforehand'], candidates };
    }
    const first = this.#draw(total, random());
    const second = this.#draw(total, random());
    const steps = [first, second].map((each, index) => {
      const name = each === null ? 'nobody' : endpointOf(each);
      return `${index === 0 ? 'first' : 'second'} draw: ${name}${each === null ? '' : `, load ${overhead(each)}, weight ${each.weight}`}`;
    });
    if (first !== null && second !== null) {
      const left = Math.imul(second.weight, overhead(first));
      const right = Math.imul(first.weight, overhead(second));
      steps.push(
        `crosswise: ${left} ${left > right ? '>' : '<='} ${right}, so the ${left > right ? 'second' : 'first'}`,
      );
    }
    return { chosen: lessLoaded(first, second), rule, steps, candidates };
  }

  destinationsChanged(): void {} // Nothing remembered, nothing to forget.

  #totalWeight(): number {
    let total = 0;
    for (let i = 0; i < this.#destinations.length; i++) {
      const candidate = this.#destinations[i] as Destination;
      if (isUsable(candidate)) total += candidate.weight;
    }
    return total;
  }

  /** The destination at which a random number from 0 to `total`, both included, is used up; `random` is from 0 to 1. */
  #draw(total: number, random: number): Destination | null {
    let rest = Math.floor(random * (total + 1));
    for (let i = 0; i < this.#destinations.length; i++) {
      const candidate = this.#destinations[i] as Destination;
      if (!isUsable(candidate)) continue;
      rest -= candidate.weight;
      if (rest <= 0) return candidate;
    }
    return null;
  }
}

function lessLoaded(first: Destination | null, second: Destination | null): Destination | null {
  if (first === null || second === null) return first ?? second;
  // 32-bit products, as the kernel makes them.
  const firstCost = Math.imul(second.weight, overhead(first));
  const secondCost = Math.imul(first.weight, overhead(second));
  return firstCost > secondCost ? second : first;
}
