/**
 * What a program that checks real servers knows about them, as it tells it to the daemon and the daemon tells it to
 * everybody. Times are ISO 8601, UTC, of the computer's clock.
 */
import type { ServiceKey } from './service.ts';

/** `unknown`: no check has told yet. `maintenance`: taken out by the operator, whatever checks say. */
export type HealthState = 'up' | 'down' | 'unknown' | 'maintenance';
export const HEALTH_STATES: readonly HealthState[] = ['up', 'down', 'unknown', 'maintenance'];

/** A server became `state`, and why. */
export interface HealthChange {
  /** Counts all changes that this program told since it was started, from 1. */
  readonly number: number;
  readonly at: string;
  readonly state: HealthState;
  /** One sentence. */
  readonly reason: string;
}

/** The last result of a server's check. */
export interface HealthResult {
  readonly at: string;
  readonly healthy: boolean;
  /** One sentence: what was answered, or why it did not work. */
  readonly reason: string;
  /** From the question to the result; `null`: nobody was asked. */
  readonly latencyMs: number | null;
}

export interface HealthOfServer {
  readonly address: string;
  readonly port: number;
  readonly state: HealthState;
  readonly since: string;
  /** `null`: none yet. */
  readonly result: HealthResult | null;
  /** Failures in a row, and how many of them take an up server out. */
  readonly failures: number;
  readonly failuresMax: number;
  /** `null`: it is not checked at the moment. */
  readonly nextCheckAt: string | null;
  /** The newest last; no more than `HEALTH_CHANGES_MAX` are kept. */
  readonly changes: readonly HealthChange[];
}

export interface HealthOfService {
  readonly key: ServiceKey;
  /** `ping every 2 s, timeout 10 s` */
  readonly check: string;
  /** `address:port` of the server that stands in while no other is up; `null`: there is none. */
  readonly fallback: string | null;
  readonly fallbackInUse: boolean;
  readonly servers: readonly HealthOfServer[];
}

/** Everything one program knows. It replaces what the same program told before. */
export interface HealthReport {
  /** `uldirectord` */
  readonly program: string;
  readonly pid: number;
  /** The file it works by. */
  readonly configuration: string;
  readonly startedAt: string;
  /** The report comes again after so many seconds at the latest. */
  readonly renewSeconds: number;
  readonly services: readonly HealthOfService[];
}

/** A report as the daemon holds it. */
export interface HeldHealthReport {
  /** What the program calls itself in the API: one report is held for each. */
  readonly source: string;
  readonly receivedAt: string;
  /** It should have come again and did not: what it says may not be true any more. */
  readonly stale: boolean;
  readonly report: HealthReport;
}

/** Told by the daemon for every change that a report brings. */
export interface HealthEvent {
  readonly type: 'health';
  readonly source: string;
  readonly service: ServiceKey;
  readonly address: string;
  readonly port: number;
  readonly change: HealthChange;
}
