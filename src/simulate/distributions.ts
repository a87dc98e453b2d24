/** Random times and clients, drawn from one seeded generator. */
import type { Random } from '../engine/random.ts';
import type { Arrivals, ServiceTime } from './scenario.ts';

/** Exponent of the heavy tail: the mean exists, the variance does not. */
const PARETO_SHAPE = 1.5;

/** Seconds until the next arrival. */
export function nextArrivalSeconds(arrivals: Arrivals, count: number, random: Random): number {
  const mean = 1 / arrivals.perSecond;
  // The last of a burst waits for the next burst.
  if (arrivals.kind === 'burst') return count % arrivals.size === 0 ? mean * arrivals.size : 0;
  return arrivals.kind === 'poisson' ? exponential(mean, random) : mean;
}

export function workSeconds({ kind, meanSeconds }: ServiceTime, random: Random): number {
  if (kind === 'constant') return meanSeconds;
  if (kind === 'exponential') return exponential(meanSeconds, random);
  const least = (meanSeconds * (PARETO_SHAPE - 1)) / PARETO_SHAPE;
  return least / (1 - random.fraction()) ** (1 / PARETO_SHAPE);
}

function exponential(mean: number, random: Random): number {
  return -mean * Math.log(1 - random.fraction());
}

/** Draws clients by Zipf's law: number k comes in proportion to 1 / k^exponent. */
export class Clients {
  readonly #sums: Float64Array;

  constructor(count: number, exponent: number) {
    this.#sums = new Float64Array(count);
    let sum = 0;
    for (let k = 0; k < count; k++) {
      sum += 1 / (k + 1) ** exponent;
      this.#sums[k] = sum;
    }
  }

  /** 0 is the most frequent. */
  draw(random: Random): number {
    const sums = this.#sums;
    const wanted = random.fraction() * (sums[sums.length - 1] as number);
    let low = 0;
    let high = sums.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sums[middle] as number) > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
