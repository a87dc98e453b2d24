/**
 * Weighted round robin: in every round a destination takes as many turns as its weight says, spread by a
 * current weight that sinks from the highest weight in steps of the greatest common divisor.
 * Behaviour: ipvsadm(8), scheduler `wrr`. A service that is built up one destination at a time starts with a
 * current weight of 1, because every change recomputes the rest around it.
 */
import type { Destination } from '../destination.ts';
import { candidatesOf, type Explanation, endpointOf } from '../explanation.ts';
import type { Flow, Scheduler, SchedulerKind } from '../scheduler.ts';
import { greatestCommonDivisor } from './load.ts';

export const wrr: SchedulerKind = {
  name: 'wrr',
  summary: 'weighted round robin',
  create: (service) => new WeightedRoundRobin(service.destinations),
};

/** Before the first destination. */
const HEAD = -1;

export class WeightedRoundRobin implements Scheduler {
  readonly #destinations: readonly Destination[];
  /** Place of the last choice. */
  #lastIndex = HEAD;
  /** Destinations of at least this weight have a turn. */
  #current: number;
  /** Where a round starts: the highest weight, lowered so that it meets the steps; 0: all are quiesced. */
  #maximum = 0;
  #step = 1;

  constructor(destinations: readonly Destination[]) {
    this.#destinations = destinations;
    this.#measure();
    this.#current = this.#maximum;
  }

  pick(_flow: Flow): Destination | null {
    if (this.#maximum === 0) return null;
    const destinations = this.#destinations;
    const started = this.#lastIndex;
    let stop = HEAD;
    let lastPass = false;
    let restarted = false;
    let index = started + 1;
    for (;;) {
      for (; index < destinations.length; index++) {
        const candidate = destinations[index] as Destination;
        if (!candidate.overloaded && candidate.weight >= this.#current) {
          this.#lastIndex = index;
          return candidate;
        }
        if (index === stop) {
          this.#lastIndex = index;
          return null;
        }
      }
      this.#sink();
      if (this.#current <= 0) {
        this.#current = this.#maximum;
        if (lastPass || started === HEAD) {
          this.#lastIndex = HEAD;
          return null;
        }
        restarted = true;
      }
      lastPass = this.#current <= this.#step;
      // Everything from the top was tried once more; only what lies before the last choice is left.
      if (lastPass && restarted && started !== HEAD) stop = started;
      index = 0;
    }
  }

  /** Picks, and puts back what that moved. */
  explain(flow: Flow): Explanation {
    const lastIndex = this.#lastIndex;
    const current = this.#current;
    const chosen = this.pick(flow);
    const turn = this.#current;
    this.#lastIndex = lastIndex;
    this.#current = current;
    const last = this.#destinations[lastIndex];
    return {
      chosen,
      rule: 'a round begins at the highest weight and sinks by the divisor; who has at least the current weight is next',
      steps: [
        `highest weight ${this.#maximum + this.#step - 1}, greatest common divisor ${this.#step}`,
        `the current weight was ${current}, ${last === undefined ? 'at the top of the list' : `behind ${endpointOf(last)}`}`,
        ...(chosen === null ? [] : [`chosen at current weight ${turn}`]),
      ],
      candidates: candidatesOf(
        this.#destinations,
        (each) => `weight ${each.weight} ${each.weight >= turn ? '>=' : '<'} ${turn}`,
      ),
    };
  }

  destinationsChanged(): void {
    this.#lastIndex = HEAD;
    this.#measure();
    if (this.#current > this.#maximum || this.#current === 0) this.#current = this.#maximum;
    else if (this.#step > 1) this.#current = Math.floor(this.#current / this.#step) * this.#step + 1;
  }

  /** For tests: place of the last choice (-1: none), current and highest weight, step. */
  state(): { lastIndex: number; current: number; maximum: number; step: number } {
    return { lastIndex: this.#lastIndex, current: this.#current, maximum: this.#maximum, step: this.#step };
  }

  #measure(): void {
    let divisor = 0;
    let highest = 0;
    for (const { weight } of this.#destinations) {
      divisor = greatestCommonDivisor(divisor, weight);
      highest = Math.max(highest, weight);
    }
    this.#step = divisor || 1;
    this.#maximum = highest - (this.#step - 1);
  }

  /**
   * Lowers the current weight by a step, and on by as many as nobody could take a turn at: with a heavy
   * destination overloaded and a light one left, that saves up to two thousand million empty passes.
   */
  #sink(): void {
    this.#current -= this.#step;
    let highest = this.#step;
    for (const destination of this.#destinations) {
      if (!destination.overloaded) highest = Math.max(highest, destination.weight);
    }
    if (this.#current > highest) this.#current -= Math.ceil((this.#current - highest) / this.#step) * this.#step;
  }
}
