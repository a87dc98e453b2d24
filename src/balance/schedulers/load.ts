/** How loaded a destination is, and the comparisons that several schedulers share. */
import type { Destination } from '../destination.ts';

/** An active connection weighs as much as this many inactive ones. */
const ACTIVE_COST = 256;

export function overhead(destination: Destination): number {
  return destination.activeConnections * ACTIVE_COST + destination.inactiveConnections;
}

/** The active connections it would have with one more. */
export function expectedDelay(destination: Destination): number {
  return destination.activeConnections + 1;
}

/** May take new connections: neither quiesced nor overloaded nor, where old ones are remembered, deleted. */
export function isUsable(destination: Destination): boolean {
  return destination.weight > 0 && !destination.overloaded && destination.available;
}

/** a * b > c * d for whole numbers, exact beyond 2^53 too. */
export function productExceeds(a: number, b: number, c: number, d: number): boolean {
  const left = a * b;
  const right = c * d;
  if (left <= Number.MAX_SAFE_INTEGER && right <= Number.MAX_SAFE_INTEGER) return left > right;
  return BigInt(a) * BigInt(b) > BigInt(c) * BigInt(d);
}

/** The destination with the least cost for its weight among the usable ones; of equals the first in the list. */
export function weightedLeast(
  destinations: readonly Destination[],
  cost: (destination: Destination) => number,
): Destination | null {
  let best: Destination | null = null;
  let bestCost = 0;
  for (let i = 0; i < destinations.length; i++) {
    const candidate = destinations[i] as Destination;
    if (!isUsable(candidate)) continue;
    const candidateCost = cost(candidate);
    // cost / weight without dividing: a/x > b/y when a*y > b*x, for positive x and y.
    if (best === null || productExceeds(bestCost, candidate.weight, candidateCost, best.weight)) {
      best = candidate;
      bestCost = candidateCost;
    }
  }
  return best;
}

/** Greatest common divisor of two whole numbers, 0 taken as "none yet". */
export function greatestCommonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}
