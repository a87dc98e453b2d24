/**
 * What is known about every configured server and how it came to be: bounded, and kept over a reload. The director
 * writes, `uipvs health` reads in the end.
 */
import type { CheckResult } from '../health/checker.ts';
import type { CheckTiming } from '../health/runner.ts';
import type { HealthChange, HealthOfServer, HealthOfService, HealthResult, HealthState } from '../model/health.ts';
import { HEALTH_CHANGES_MAX, HEALTH_REASON_CHARACTERS_MAX } from '../model/limits.ts';
import { formatEndpoint } from '../model/service.ts';
import { describeCheck } from './check-words.ts';
import { anyUp, type PlannedServer, type PlannedService } from './plan.ts';
import { fallbackSpec } from './specs.ts';

/** What is shown of an answer. */
const ANSWER_CHARACTERS_MAX = 80;

interface Entry {
  state: HealthState;
  sinceMs: number;
  /** `atMs` is when the result came, `nextMs` when the next check is due; both by the computer's clock. */
  result: { readonly atMs: number; readonly healthy: boolean; readonly reason: string } | null;
  latencyMs: number | null;
  nextMs: number | null;
  readonly changes: HealthChange[];
}

export class HealthBook {
  readonly #epochMs: () => number;
  readonly #changed: () => void;
  /** By service, in the order of the file. */
  #pages = new Map<PlannedService, Map<PlannedServer, Entry>>();
  #number = 0;

  constructor(epochMs: () => number, changed: () => void) {
    this.#epochMs = epochMs;
    this.#changed = changed;
  }

  /** From now on these. What is known of a server that stays under the same name in the same service stays. */
  keep(services: ReadonlyMap<string, PlannedService>, nameOf: (service: PlannedService) => string): void {
    const known = new Map<string, Entry>();
    for (const [service, page] of this.#pages) {
      for (const [server, entry] of page) known.set(`${nameOf(service)} ${endpointOf(server)}`, entry);
    }
    this.#pages = new Map();
    for (const service of services.values()) {
      const page = new Map<PlannedServer, Entry>();
      for (const server of service.servers.values()) {
        const old = known.get(`${nameOf(service)} ${endpointOf(server)}`);
        const entry = old ?? this.#newEntry();
        page.set(server, entry);
        const reason = old === undefined ? 'known from another service' : 'the configuration has another check for it';
        this.#settle(entry, stateOf(server), reason);
      }
      this.#pages.set(service, page);
    }
    this.#changed();
  }

  /** A result came and was judged. `timing` `null`: nobody was asked. */
  note(service: PlannedService, server: PlannedServer, result: CheckResult, timing: CheckTiming | null): void {
    const entry = this.#pages.get(service)?.get(server);
    if (entry === undefined) return;
    const nowMs = this.#epochMs();
    const reason = asSentence(result);
    entry.result = { atMs: nowMs, healthy: result.healthy, reason };
    entry.latencyMs = timing?.latencyMs ?? null;
    entry.nextMs = timing === null ? null : nowMs + timing.nextInMs;
    if (this.#settle(entry, stateOf(server), reason)) this.#changed();
  }

  noteAssumedUp(service: PlannedService, server: PlannedServer): void {
    const entry = this.#pages.get(service)?.get(server);
    if (entry !== undefined && this.#settle(entry, 'up', 'the table already sent it traffic')) this.#changed();
  }

  read(): HealthOfService[] {
    return [...this.#pages].map(([service, page]) => {
      const fallback = fallbackSpec(service.virtual);
      return {
        key: service.virtual.key,
        check: describeCheck(service.virtual),
        fallback: fallback === null ? null : formatEndpoint(fallback.address, fallback.port),
        fallbackInUse: fallback !== null && !anyUp(service),
        servers: [...page].map(([server, entry]) => readEntry(service, server, entry)),
      };
    });
  }

  #newEntry(): Entry {
    return {
      state: 'unknown',
      sinceMs: this.#epochMs(),
      result: null,
      latencyMs: null,
      nextMs: null,
      changes: [],
    };
  }

  /** Answers whether that was a change. */
  #settle(entry: Entry, state: HealthState, reason: string): boolean {
    if (entry.state === state) return false;
    entry.state = state;
    entry.sinceMs = this.#epochMs();
    entry.changes.push({ number: ++this.#number, at: isoTime(entry.sinceMs), state, reason });
    if (entry.changes.length > HEALTH_CHANGES_MAX) entry.changes.shift();
    return true;
  }
}

function readEntry({ virtual }: PlannedService, server: PlannedServer, entry: Entry): HealthOfServer {
  const { address, port } = server.spec;
  const { result, latencyMs, nextMs } = entry;
  const told: HealthResult | null =
    result === null
      ? null
      : {
          at: isoTime(result.atMs),
          healthy: result.healthy,
          reason: result.reason,
          latencyMs: latencyMs === null ? null : Math.round(latencyMs * 1_000) / 1_000,
        };
  return {
    address,
    port,
    state: entry.state,
    since: isoTime(entry.sinceMs),
    result: told,
    failures: server.health.failures,
    failuresMax: virtual.effective.failureCount,
    nextCheckAt: nextMs === null ? null : isoTime(nextMs),
    changes: [...entry.changes],
  };
}

function stateOf({ inMaintenance, health }: PlannedServer): HealthState {
  return inMaintenance ? 'maintenance' : health.state;
}

/**
 * One line, whatever a server has answered; never empty. The message of an answer that does not match is the whole
 * answer, as the monitor file wants it.
 */
export function asSentence({ healthy, message }: CheckResult): string {
  const line = message.replace(/[\s\p{Cc}]+/gu, ' ').trim();
  if (line === '') return healthy ? 'answered' : 'failed without saying why';
  const isAnswer = !healthy && (/^[<{[]|\n./.test(message.trim()) || line.length > HEALTH_REASON_CHARACTERS_MAX);
  if (isAnswer) return `an answer that is not the expected one: "${shortened(line, ANSWER_CHARACTERS_MAX)}"`;
  return shortened(line, HEALTH_REASON_CHARACTERS_MAX);
}

function shortened(text: string, charactersMax: number): string {
  return text.length <= charactersMax ? text : `${text.slice(0, charactersMax - 3)}...`;
}

function endpointOf({ spec }: PlannedServer): string {
  return formatEndpoint(spec.address, spec.port);
}

function isoTime(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
