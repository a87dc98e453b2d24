/** The checkers of one director: opened when first wanted, shared by all its services, closed with it. */
import type { Checker, CheckerKind, CheckResult } from '../health/checker.ts';
import { combine } from '../health/checkers/combined.ts';
import { CHECKERS, type CheckerName } from '../health/checkers/index.ts';
import type { Check, CheckTiming } from '../health/runner.ts';
import { type PlannedCheck, planCheck } from './checks.ts';
import type { PlannedServer, PlannedService } from './plan.ts';

export interface ServerOfService {
  readonly service: PlannedService;
  readonly server: PlannedServer;
}

export interface BenchedCheck {
  readonly server: PlannedServer;
  readonly check: Check;
}

export class CheckBench {
  readonly #kinds: Readonly<Record<CheckerName, CheckerKind>>;
  readonly #open = new Map<CheckerName, Checker>();
  /** By plan. They count, so they stay as long as somebody is checked by them. */
  #combined = new Map<string, Checker>();

  constructor(kinds: Readonly<Record<CheckerName, CheckerKind>> = CHECKERS) {
    this.#kinds = kinds;
  }

  /** One check for every server that is checked at all; equal ones are merged by the runner. */
  checksFor(
    servers: readonly ServerOfService[],
    hear: (service: PlannedService, server: PlannedServer, result: CheckResult, timing: CheckTiming) => void,
    wanted: (server: PlannedServer) => boolean,
  ): BenchedCheck[] {
    const combined = new Map<string, Checker>();
    const checks: BenchedCheck[] = [];
    for (const { service, server } of servers) {
      const plan = planCheck(service.virtual, server.server);
      if (plan === null) continue;
      const check: Check = {
        checker: this.#checkerFor(plan, combined),
        target: plan.target,
        intervalMs: service.virtual.effective.checkIntervalSeconds * 1_000,
        lane: plan.checker,
        concurrencyMax: this.#kinds[plan.checker].concurrencyMax,
        listener: (result, timing) => hear(service, server, result, timing),
        wanted: () => wanted(server),
      };
      checks.push({ server, check });
    }
    this.#combined = combined;
    return checks;
  }

  close(): void {
    for (const checker of this.#open.values()) checker.close?.();
    this.#open.clear();
    this.#combined.clear();
  }

  #checkerFor(plan: PlannedCheck, combined: Map<string, Checker>): Checker {
    const thorough = this.#checker(plan.checker);
    const { cheap, target } = plan;
    if (cheap === undefined) return thorough;
    // Equal plans share one counter, so that they are one check.
    const identity = JSON.stringify(plan);
    let checker = combined.get(identity) ?? this.#combined.get(identity);
    if (checker === undefined) {
      checker = combine(
        { checker: thorough, timeoutMs: plan.thoroughTimeoutMs ?? target.timeoutMs },
        { checker: this.#checker(cheap.checker), timeoutMs: cheap.timeoutMs },
        cheap.count,
      );
    }
    combined.set(identity, checker);
    return checker;
  }

  #checker(name: CheckerName): Checker {
    let checker = this.#open.get(name);
    if (checker === undefined) {
      checker = this.#kinds[name].create();
      this.#open.set(name, checker);
    }
    return checker;
  }
}
