/**
 * The latest health report of every program that checks real servers. What is not renewed is called stale, and
 * dropped in the end. Changes that a report brings are told, each once.
 */
import { IpvsError } from '../model/errors.ts';
import type { HealthEvent, HealthReport, HeldHealthReport } from '../model/health.ts';
import { HEALTH_SOURCES_MAX } from '../model/limits.ts';

/** A report is stale when it failed to come so often. */
const MISSED_MAX = 3;
/** And dropped after so long. */
const KEPT_MS = 10 * 60_000;

interface Held {
  readonly report: HealthReport;
  readonly receivedMs: number;
  /** Changes up to this number were told. */
  readonly toldNumber: number;
}

export interface HealthBoardOptions {
  /** Milliseconds since 1970. */
  readonly epochMs: () => number;
  readonly tell: (event: HealthEvent) => void;
}

export class HealthBoard {
  readonly #options: HealthBoardOptions;
  /** Of a program that was never heard before, older changes are no news. */
  readonly #openedMs: number;
  readonly #held = new Map<string, Held>();

  constructor(options: HealthBoardOptions) {
    this.#options = options;
    this.#openedMs = options.epochMs();
  }

  /** Takes the place of what the source told before. Throws ENOBUFS when there are too many sources. */
  put(source: string, report: HealthReport): void {
    this.#dropOld();
    const before = this.#held.get(source);
    if (before === undefined && this.#held.size >= HEALTH_SOURCES_MAX) {
      throw new IpvsError('ENOBUFS', `${HEALTH_SOURCES_MAX} programs tell of health already`);
    }
    const same = before !== undefined && before.report.startedAt === report.startedAt;
    const toldNumber = this.#tellChanges(source, report, same ? before.toldNumber : 0);
    this.#held.set(source, { report, receivedMs: this.#options.epochMs(), toldNumber });
  }

  /** Throws ENOENT when the source is not known. */
  remove(source: string): void {
    this.#dropOld();
    if (!this.#held.delete(source)) throw new IpvsError('ENOENT', `nothing called "${source}" tells of health`);
  }

  /** In the order in which they first came. */
  list(): HeldHealthReport[] {
    this.#dropOld();
    const nowMs = this.#options.epochMs();
    return [...this.#held].map(([source, { report, receivedMs }]) => ({
      source,
      receivedAt: new Date(receivedMs).toISOString(),
      stale: nowMs - receivedMs > report.renewSeconds * MISSED_MAX * 1_000,
      report,
    }));
  }

  /** Answers the number of the last change there is. */
  #tellChanges(source: string, report: HealthReport, toldNumber: number): number {
    const events: HealthEvent[] = [];
    let lastNumber = toldNumber;
    for (const { key: service, servers } of report.services) {
      for (const { address, port, changes } of servers) {
        for (const change of changes) {
          if (change.number <= toldNumber || Date.parse(change.at) < this.#openedMs) continue;
          lastNumber = Math.max(lastNumber, change.number);
          events.push({ type: 'health', source, service, address, port, change });
        }
      }
    }
    for (const event of events.sort((a, b) => a.change.number - b.change.number)) this.#options.tell(event);
    return lastNumber;
  }

  #dropOld(): void {
    const nowMs = this.#options.epochMs();
    for (const [source, { receivedMs }] of this.#held) {
      if (nowMs - receivedMs > KEPT_MS) this.#held.delete(source);
    }
  }
}
