/**
 * Results in, up or down out. Pure: a state, a result and the number of failures it takes give the next state and
 * what is worth saying. A server starts `unknown`, which is not up; its first result decides at once.
 */
import type { CheckResult } from './checker.ts';

export interface Health {
  readonly state: 'unknown' | 'up' | 'down';
  /** Failures in a row. */
  readonly failures: number;
}

export const UNKNOWN: Health = { state: 'unknown', failures: 0 };
/** Taken over from a table that already sends it traffic: up until its checks say otherwise. */
export const ASSUMED_UP: Health = { state: 'up', failures: 0 };

export type HealthEvent =
  | { readonly type: 'up' }
  | { readonly type: 'down' }
  /** Failed, but not yet often enough. */
  | { readonly type: 'soft-failure'; readonly failures: number; readonly failuresMax: number }
  /** A success after failures. Comes before `up` when it is a recovery. */
  | { readonly type: 'failures-reset' };

export interface Verdict {
  readonly health: Health;
  readonly events: readonly HealthEvent[];
}

/** `failuresToDown`: failures in a row before an up server counts as down, from 1. */
export function judge(health: Health, result: Pick<CheckResult, 'healthy'>, failuresToDown: number): Verdict {
  return result.healthy ? succeeded(health) : failed(health, failuresToDown);
}

/** Down at once, however many failures would be allowed: an operator's wish. */
export function forceDown(health: Health): Verdict {
  const events: HealthEvent[] = health.state === 'down' ? [] : [{ type: 'down' }];
  return { health: { state: 'down', failures: Math.max(1, health.failures) }, events };
}

function succeeded(health: Health): Verdict {
  const events: HealthEvent[] = [];
  if (health.failures > 0) events.push({ type: 'failures-reset' });
  if (health.state !== 'up') events.push({ type: 'up' });
  return { health: { state: 'up', failures: 0 }, events };
}

function failed(health: Health, failuresToDown: number): Verdict {
  const failures = health.failures + 1;
  if (health.state === 'down') return { health: { state: 'down', failures }, events: [] };
  if (health.state === 'up' && failures < failuresToDown) {
    const event: HealthEvent = { type: 'soft-failure', failures, failuresMax: failuresToDown };
    return { health: { state: 'up', failures }, events: [event] };
  }
  return { health: { state: 'down', failures }, events: [{ type: 'down' }] };
}
