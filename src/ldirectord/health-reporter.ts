/**
 * Tells the daemon what is known about the real servers: soon after a change, and now and then, over a connection of
 * its own. Nobody waits for it: a daemon that is away, is slow or does not know of health costs nothing but the view.
 */
import { basename } from 'node:path';
import { type Clock, systemClock } from '../health/clock.ts';
import { IpvsError } from '../model/errors.ts';
import type { HealthOfService, HealthReport } from '../model/health.ts';

/** What can be told to a daemon; `control/client.ts` has it. */
export interface HealthDesk {
  reportHealth(source: string, report: HealthReport): Promise<void>;
  withdrawHealth(source: string): Promise<void>;
  close(): Promise<void>;
}

const NAME_CHARACTERS_MAX = 80;
/** The report comes again after so long at the latest; mostly after the pause. */
const RENEW_SECONDS = 5;
const PAUSE_MS = 2_000;
/** Changes that come together are told together. */
const GATHER_MS = 100;
/** A long report is told the less often the longer that takes: this many times as long is rested, within limits. */
const REST_FACTOR = 9;
/** A daemon that knows nothing of health may be replaced by a newer one. */
const UNKNOWN_REST_MS = 60_000;
/** Answers of a daemon that has no such route. */
const UNKNOWN_CODES: ReadonlySet<string> = new Set(['ENOENT', 'EOPNOTSUPP']);
/** How long the end waits for the good-bye. */
const WITHDRAW_MS_MAX = 1_000;

export interface HealthReporterOptions {
  readonly clock: Clock;
  /** Letters, digits, dots, dashes and underscores. */
  readonly source: string;
  read(): HealthReport;
  /** Rejects while no daemon answers. */
  connect(): Promise<HealthDesk>;
}

/** The reporter of this process, for the configuration at `path`; `null` without somewhere to tell. */
export function createReporter(
  path: string,
  connect: (() => Promise<HealthDesk>) | undefined,
  health: () => readonly HealthOfService[],
): HealthReporter | null {
  if (connect === undefined) return null;
  const startedAt = new Date().toISOString();
  const name = basename(path).replace(/[^A-Za-z0-9._-]/g, '_');
  return new HealthReporter({
    clock: systemClock,
    source: `uldirectord-${name.slice(0, NAME_CHARACTERS_MAX)}`,
    connect,
    read: () => ({
      program: 'uldirectord',
      pid: process.pid,
      configuration: path,
      startedAt,
      renewSeconds: RENEW_SECONDS,
      services: health(),
    }),
  });
}

export class HealthReporter {
  readonly #options: HealthReporterOptions;
  #desk: HealthDesk | null = null;
  #stopped = false;
  #cancelTimer: () => void = () => {};
  #dueMs = Number.POSITIVE_INFINITY;
  #restUntilMs = 0;
  /** The telling under way. */
  #telling: Promise<void> | null = null;
  #changedMeanwhile = false;
  #toldOnce = false;

  constructor(options: HealthReporterOptions) {
    this.#options = options;
  }

  /** Something changed, or there is something to tell for the first time. */
  changed(): void {
    if (this.#telling === null) this.#tellWithin(GATHER_MS);
    else this.#changedMeanwhile = true;
  }

  /** Takes the report back. Settles within a second whatever the daemon does. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    const { clock, source } = this.#options;
    const goodBye = async (): Promise<void> => {
      await this.#telling;
      if (this.#toldOnce) await this.#desk?.withdrawHealth(source);
    };
    await new Promise<void>((resolve) => {
      const cancel = clock.after(WITHDRAW_MS_MAX, resolve);
      const done = (): void => {
        cancel();
        resolve();
      };
      goodBye().then(done, done);
    });
    void this.#desk?.close().catch(() => {});
  }

  #tellWithin(delayMs: number): void {
    if (this.#stopped) return;
    const { clock } = this.#options;
    const dueMs = Math.max(clock.nowMs() + delayMs, this.#restUntilMs);
    if (dueMs >= this.#dueMs) return;
    this.#cancelTimer();
    this.#dueMs = dueMs;
    this.#cancelTimer = clock.after(dueMs - clock.nowMs(), () => this.#begin());
  }

  #begin(): void {
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#telling = this.#tell().finally(() => {
      this.#telling = null;
      this.#tellWithin(this.#changedMeanwhile ? GATHER_MS : PAUSE_MS);
      this.#changedMeanwhile = false;
    });
  }

  /** Never rejects. */
  async #tell(): Promise<void> {
    const { clock, source, read, connect } = this.#options;
    const startedMs = clock.nowMs();
    try {
      this.#desk ??= await connect();
      await this.#desk.reportHealth(source, read());
      this.#toldOnce = true;
      const restMs = Math.min(REST_FACTOR * (clock.nowMs() - startedMs), RENEW_SECONDS * 1_000);
      this.#restUntilMs = clock.nowMs() + restMs;
    } catch (error) {
      void this.#desk?.close().catch(() => {});
      this.#desk = null;
      const unknown = error instanceof IpvsError && UNKNOWN_CODES.has(error.code);
      this.#restUntilMs = clock.nowMs() + (unknown ? UNKNOWN_REST_MS : RENEW_SECONDS * 1_000);
    }
  }
}
