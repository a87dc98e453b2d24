/** What is simulated: who comes when, what a request costs, which servers there are, and what happens to them. */

/** Requests a second on average. `constant`: evenly spaced; `poisson`: at random; `burst`: `size` of them at once. */
export type Arrivals =
  | { readonly kind: 'constant' | 'poisson'; readonly perSecond: number }
  | { readonly kind: 'burst'; readonly perSecond: number; readonly size: number };

/** Seconds of work a request costs a server of speed 1. `pareto` has a heavy tail: one request in a hundred costs much. */
export interface ServiceTime {
  readonly kind: 'constant' | 'exponential' | 'pareto';
  readonly meanSeconds: number;
}

export interface SimulatedServer {
  readonly weight: number;
  /** 2 does the same work in half the time. */
  readonly speed: number;
  /** Requests it works at side by side; others wait in a queue. */
  readonly workers: number;
}

export type Change =
  /** Taken out of the table; what it has it finishes. */
  | { readonly kind: 'down' | 'up'; readonly atSeconds: number; readonly server: number }
  /** 0: quiescent. */
  | { readonly kind: 'weight'; readonly atSeconds: number; readonly server: number; readonly weight: number };

export interface Scenario {
  readonly servers: readonly SimulatedServer[];
  readonly arrivals: Arrivals;
  readonly serviceTime: ServiceTime;
  /** Client addresses. */
  readonly clients: number;
  /** How unevenly they come: 0 all alike; 1: the second comes half as often as the first, the third a third, ... */
  readonly zipf: number;
  readonly seconds: number;
  /** In order of time. */
  readonly changes: readonly Change[];
  /** Seconds for which a finished connection still counts as inactive, as in TIME_WAIT. */
  readonly lingerSeconds: number;
  /** Options of the schedulers `sh` and `mh`. */
  readonly schedulerFlags: readonly (1 | 2 | 3)[];
  readonly seed: number;
}

/** `rs1`, `rs2`, ... */
export function serverName(index: number): string {
  return `rs${index + 1}`;
}
