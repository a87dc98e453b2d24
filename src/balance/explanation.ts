/**
 * What a scheduler weighs for one new connection, with its numbers, and whom it would take. Every scheduler says it
 * (`Scheduler.explain`), and saying it changes nothing: asked again, or asked for real, the answer is the same.
 */
import type { Destination } from './destination.ts';

export interface Candidate {
  readonly destination: Destination;
  /** The arithmetic, as it is written on paper: `(3*256+10)/1 = 778`; `null`: nothing is computed for it. */
  readonly sum: string | null;
  /** Why it is passed by, `null`: it may be taken. */
  readonly passedBy: string | null;
}

export interface Explanation {
  /** `null`: nobody can take the connection. */
  readonly chosen: Destination | null;
  /** The rule in one sentence. */
  readonly rule: string;
  /** What was computed or remembered, in order; empty where the candidates say it all. */
  readonly steps: readonly string[];
  /** In list order, which breaks every tie. */
  readonly candidates: readonly Candidate[];
}

/** Every destination with its arithmetic and the reason why it is passed by, if there is one. */
export function candidatesOf(
  destinations: readonly Destination[],
  sumOf: (destination: Destination) => string | null,
  whyNot: (destination: Destination) => string | null = whyNotUsable,
): Candidate[] {
  return destinations.map((destination) => {
    const passedBy = whyNot(destination);
    return { destination, sum: passedBy === null ? sumOf(destination) : null, passedBy };
  });
}

/** As `isUsable` in schedulers/load.ts, in words. */
export function whyNotUsable(destination: Destination): string | null {
  if (!destination.available) return 'deleted';
  if (destination.weight === 0) return 'weight 0 takes nothing new';
  return whyOverloaded(destination);
}

export function whyOverloaded(destination: Destination): string | null {
  if (!destination.overloaded) return null;
  return `overloaded: it reached its upper threshold of ${destination.upperThreshold}`;
}

export function endpointOf({ address, port, ipv6 }: Destination): string {
  return ipv6 ? `[${address}]:${port}` : `${address}:${port}`;
}

/** `(3*256+10)/2 = 389` */
export function overheadSum({ activeConnections, inactiveConnections, weight }: Destination): string {
  return `(${activeConnections}*256+${inactiveConnections})/${weight} = ${quotient(activeConnections * 256 + inactiveConnections, weight)}`;
}

/** `(3+1)/2 = 2` */
export function delaySum({ activeConnections, weight }: Destination): string {
  return `(${activeConnections}+1)/${weight} = ${quotient(activeConnections + 1, weight)}`;
}

/** At most two places behind the point; schedulers compare products, so nothing is rounded when it counts. */
export function quotient(dividend: number, divisor: number): string {
  return divisor === 0 ? '-' : String(Math.round((dividend / divisor) * 100) / 100);
}

export function hexWord(word: number): string {
  return `0x${(word >>> 0).toString(16).padStart(8, '0')}`;
}
