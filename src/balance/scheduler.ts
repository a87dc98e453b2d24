/** How a service chooses a destination for a new connection, and what a scheduler gets to see. */
import type { Destination } from './destination.ts';
import type { Explanation } from './explanation.ts';
import type { VirtualService } from './virtual-service.ts';

/** Who talks to whom. One record is filled again for every choice: nobody may keep it. */
export class Flow {
  ipv6 = false;
  /** IP protocol number. */
  protocol = 0;
  /** Addresses as four int32 words, IPv4 in the last and 0 in the others; ports in host order. */
  client0 = 0;
  client1 = 0;
  client2 = 0;
  client3 = 0;
  clientPort = 0;
  virtual0 = 0;
  virtual1 = 0;
  virtual2 = 0;
  virtual3 = 0;
  virtualPort = 0;
  /** Firewall mark, 0 for none. */
  mark = 0;
}

export type DestinationChange = 'add' | 'delete' | 'edit';

/** The state of one scheduler for one service. */
export interface Scheduler {
  /** The destination for a new connection, `null` when nobody can take it. Time is in ticks (4 ms). */
  pick(flow: Flow, nowTicks: number): Destination | null;
  /** Whom `pick` would take now, and by which arithmetic. Changes nothing. */
  explain(flow: Flow, nowTicks: number): Explanation;
  /** Called after the service's list has changed, or a destination in it. */
  destinationsChanged(change: DestinationChange, destination: Destination): void;
  /** Housekeeping that is due by now; absent when there is none. */
  advance?(nowTicks: number): void;
}

/** What a scheduler may know about the world. Read when needed: settings may change. */
export interface SchedulerEnvironment {
  /** At least 0, below 1. */
  random(): number;
  /** A source of the numbers that `random` will give next, which uses none of them up; absent: nobody can tell. */
  peekRandom?(): () => number;
  /** The latest time anybody told: what a scheduler's first deadline is counted from. */
  readonly nowTicks: number;
  /** net.ipv4.vs.lblc_expiration and lblcr_expiration. */
  readonly lblcExpirationSeconds: number;
  readonly lblcrExpirationSeconds: number;
}

/** One line in the registry: `schedulers/index.ts`. */
export interface SchedulerKind {
  readonly name: string;
  /** For help texts. */
  readonly summary: string;
  /**
   * State for a service that may have destinations already. Throws an IpvsError when the scheduler cannot serve
   * it; the service then keeps the scheduler it has.
   */
  create(service: VirtualService, environment: SchedulerEnvironment): Scheduler;
}

/** Never picks anybody: the scheduler `none`. */
export const NO_SCHEDULER: Scheduler = {
  pick: () => null,
  explain: () => ({
    chosen: null,
    rule: 'the scheduler none never chooses anybody; give the service another one (ipvsadm -E ... -s wlc)',
    steps: [],
    candidates: [],
  }),
  destinationsChanged() {},
};
