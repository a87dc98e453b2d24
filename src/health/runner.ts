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
/** The first one by more: checks that began together are spread out. */
const FIRST_JITTER_SHARE = 0.5;
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
  listener(result: CheckResult, timing: CheckTiming): void;
  /** `false`: left out this time. A check that several share is made as long as one of them wants it. */
  wanted?(): boolean;
}

export interface CheckTiming {
  /** From the question to the result. */
  readonly latencyMs: number;
  /** How long until the next one begins, if its lane is free then. */
  readonly nextInMs: number;
}

export interface RunnerOptions {
  readonly clock: Clock;
  /** 0..1, for the jitter. */
  readonly random: () => number;
}

/** A check that is made again and again, for everybody who asked for the same. */
interface Series {
  readonly identity: string;
  readonly check: Check;
  /** Empty: stopped. */
  askers: readonly Check[];
  /** Whether there was no result yet. */
  first: boolean;
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
  readonly #numbers = new WeakMap<Checker, number>();
  #checkers = 0;
  #series = new Map<string, Series>();
  readonly #lanes = new Map<string, Lane>();

  constructor({ clock, random }: RunnerOptions) {
    this.#clock = clock;
    this.#random = random;
  }

  /**
   * From now on these checks. New ones begin at once; one that was there before goes on in its rhythm, also when it
   * is under way, so that however often the list is replaced a silent host is found silent. The rest is stopped; its
   * results are not heard any more.
   */
  start(checks: readonly Check[]): void {
    const askers = new Map<string, Check[]>();
    for (const check of checks) {
      const identity = JSON.stringify([this.#numberOf(check.checker), check.lane, check.intervalMs, check.target]);
      const same = askers.get(identity);
      if (same === undefined) askers.set(identity, [check]);
      else same.push(check);
    }
    for (const series of this.#series.values()) if (!askers.has(series.identity)) this.#end(series);
    const fresh: Series[] = [];
    for (const [identity, same] of askers) {
      const going = this.#series.get(identity);
      if (going !== undefined) {
        going.askers = same;
        continue;
      }
      const series: Series = {
        identity,
        check: same[0],
        askers: same,
        first: true,
        cancelTimer: () => {},
        abort: null,
      };
      this.#series.set(identity, series);
      fresh.push(series);
    }
    for (const series of fresh) this.#enter(series);
  }

  stop(): void {
    this.start([]);
  }

  /** Checks that are made, equal ones counted once. */
  get size(): number {
    return this.#series.size;
  }

  #numberOf(checker: Checker): number {
    const known = this.#numbers.get(checker);
    if (known !== undefined) return known;
    this.#numbers.set(checker, ++this.#checkers);
    return this.#checkers;
  }

  #end(series: Series): void {
    this.#series.delete(series.identity);
    series.askers = [];
    series.cancelTimer();
    series.abort?.abort(new Error('stopped'));
  }

  #laneOf({ lane: name, concurrencyMax: max }: Check): Lane {
    let lane = this.#lanes.get(name);
    if (lane === undefined) {
      lane = { max, running: 0, waiting: [] };
      this.#lanes.set(name, lane);
    }
    return lane;
  }

  #enter(series: Series): void {
    if (series.askers.every(({ wanted }) => wanted?.() === false)) {
      this.#schedule(series, series.check.intervalMs);
      return;
    }
    const lane = this.#laneOf(series.check);
    if (lane.running >= lane.max) lane.waiting.push(series);
    else void this.#run(series, lane);
  }

  async #run(series: Series, lane: Lane): Promise<void> {
    lane.running += 1;
    const startedMs = this.#clock.nowMs();
    const result = await this.#checkOnce(series);
    lane.running -= 1;
    this.#letIn(lane);
    if (series.askers.length === 0) return;
    const latencyMs = this.#clock.nowMs() - startedMs;
    const nextInMs = this.#pauseAfter(series, latencyMs);
    series.first = false;
    for (const { listener } of series.askers) listener(result, { latencyMs, nextInMs });
    // A listener may have replaced the list.
    if (series.askers.length > 0) this.#schedule(series, nextInMs);
  }

  #letIn(lane: Lane): void {
    while (lane.running < lane.max) {
      const next = lane.waiting.shift();
      if (next === undefined) return;
      // Whoever was stopped while waiting is passed over.
      if (next.askers.length > 0) void this.#run(next, lane);
    }
  }

  #schedule(series: Series, delayMs: number): void {
    series.cancelTimer = this.#clock.after(delayMs, () => this.#enter(series));
  }

  #pauseAfter({ check: { intervalMs }, first }: Series, latencyMs: number): number {
    const share = (first ? FIRST_JITTER_SHARE : JITTER_SHARE) * this.#random();
    return Math.max(intervalMs * (1 - share) - latencyMs, Math.min(intervalMs, PAUSE_AFTER_SLOW_MS), 0);
  }

  /** One check, given up when it does not keep its own time. */
  async #checkOnce(series: Series): Promise<CheckResult> {
    const { checker, target } = series.check;
    const abort = new AbortController();
    series.abort = abort;
    const limitMs = target.timeoutMs * (target.attempts ?? 1) + GRACE_MS;
    const cancelLimit = this.#clock.after(limitMs, () => abort.abort(new Error(`no result after ${limitMs} ms`)));
    const aborted = new Promise<CheckResult>((resolve) => {
      abort.signal.addEventListener('abort', () => resolve(unhealthy((abort.signal.reason as Error).message)), {
        once: true,
      });
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
