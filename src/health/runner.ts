/**
 * Makes checks again and again, all of them side by side. The next one of a kind begins one interval after the
 * last one began (but not without a pause after a slow one), so a server that dies is noticed within one interval
 * and one timeout, however many others there are. Equal checks are made once and everybody hears the result.
 */
import { type Checker, type CheckResult, type CheckTarget, unhealthy } from './checker.ts';
import type { Clock } from './clock.ts';

/** After a check that took longer than its interval. */
const PAUSE_AFTER_SLOW_MS = 1_000;
/** An interval is shortened by up to this share of it, so that checks do not march in step for ever. */
const JITTER_SHARE = 0.05;
/** What a check gets beyond its own time before it is given up. */
const GRACE_MS = 500;

export interface Check {
  /** Checkers are told apart by object, targets by content. */
  readonly checker: Checker;
  readonly target: CheckTarget;
  readonly intervalMs: number;
  /** All checks of one lane share its bound. */
  readonly lane: string;
  readonly concurrencyMax: number;
  listener(result: CheckResult): void;
}

export interface RunnerOptions {
  readonly clock: Clock;
  /** 0..1, for the jitter. */
  readonly random: () => number;
}

interface Series {
  readonly check: Check;
  readonly listeners: ((result: CheckResult) => void)[];
  cancelTimer: () => void;
  abort: AbortController | null;
}

interface Lane {
  readonly max: number;
  running: number;
  readonly waiting: Series[];
}

export class CheckRunner {
  readonly #clock: Clock;
  readonly #random: () => number;
  #series: Series[] = [];
  #lanes = new Map<string, Lane>();

  constructor({ clock, random }: RunnerOptions) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Begins every check at once. What was running is stopped first; its results are no longer heard. */
  start(checks: readonly Check[]): void {
    this.stop();
    const numbers = new Map<Checker, number>();
    const known = new Map<string, Series>();
    for (const check of checks) {
      if (!numbers.has(check.checker)) numbers.set(check.checker, numbers.size);
      const identity = JSON.stringify([numbers.get(check.checker), check.intervalMs, check.target]);
      const series = known.get(identity);
      if (series !== undefined) {
        series.listeners.push(check.listener);
        continue;
      }
      const fresh: Series = { check, listeners: [check.listener], cancelTimer: () => {}, abort: null };
      known.set(identity, fresh);
      this.#series.push(fresh);
      if (!this.#lanes.has(check.lane)) {
        this.#lanes.set(check.lane, { max: check.concurrencyMax, running: 0, waiting: [] });
      }
    }
    for (const series of this.#series) this.#enter(series);
  }

  stop(): void {
    for (const series of this.#series) {
      series.listeners.length = 0;
      series.cancelTimer();
      series.abort?.abort(new Error('stopped'));
    }
    this.#series = [];
    this.#lanes = new Map();
  }

  #enter(series: Series): void {
    const lane = this.#lanes.get(series.check.lane)!;
    if (lane.running >= lane.max) lane.waiting.push(series);
    else void this.#run(series, lane);
  }

  async #run(series: Series, lane: Lane): Promise<void> {
    lane.running += 1;
    const startedMs = this.#clock.nowMs();
    const result = await this.#checkOnce(series);
    lane.running -= 1;
    const next = lane.waiting.shift();
    if (next !== undefined) void this.#run(next, lane);
    if (series.listeners.length === 0) return;
    for (const listener of [...series.listeners]) listener(result);
    if (series.listeners.length === 0) return;
    const nowMs = this.#clock.nowMs();
    const { intervalMs } = series.check;
    const intervalLeftMs = startedMs + intervalMs * (1 - JITTER_SHARE * this.#random()) - nowMs;
    const delayMs = Math.max(intervalLeftMs, Math.min(intervalMs, PAUSE_AFTER_SLOW_MS), 0);
    series.cancelTimer = this.#clock.after(delayMs, () => this.#enter(series));
  }

  /** One check, given up when it does not keep its own time. */
  async #checkOnce(series: Series): Promise<CheckResult> {
    const { checker, target } = series.check;
    const abort = new AbortController();
    series.abort = abort;
    const limitMs = target.timeoutMs * (target.attempts ?? 1) + GRACE_MS;
    const cancelLimit = this.#clock.after(limitMs, () => abort.abort(new Error(`no result after ${limitMs} ms`)));
    const aborted = new Promise<CheckResult>((resolve) => {
      abort.signal.addEventListener('abort', () => resolve(unhealthy((abort.signal.reason as Error).message)));
    });
    try {
      return await Promise.race([checker.check(target, abort.signal), aborted]);
    } catch (error) {
      return unhealthy((error as Error).message);
    } finally {
      cancelLimit();
      series.abort = null;
    }
  }
}
