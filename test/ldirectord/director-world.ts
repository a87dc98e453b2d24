/** A director over a table, with servers that live and die when the test says so. */
import type { Checker, CheckerKind, CheckResult, CheckTarget } from '../../src/health/checker.ts';
import { CHECKERS, type CheckerName } from '../../src/health/checkers/index.ts';
import { CheckBench } from '../../src/ldirectord/check-bench.ts';
import { systemEnvironment } from '../../src/ldirectord/config/environment.ts';
import type { Configuration } from '../../src/ldirectord/config/types.ts';
import { parseConfiguration } from '../../src/ldirectord/config.ts';
import { Director, type DirectorOptions } from '../../src/ldirectord/director.ts';
import { VirtualClock } from '../health/virtual-clock.ts';
import { FakeDataPlane } from './fake-data-plane.ts';

const environment = { ...systemEnvironment, refusesAppend: () => null };

/** The meaning of a configuration's text. */
export function parsed(text: string): Promise<Configuration> {
  return parseConfiguration(text, environment);
}

export class World {
  readonly clock = new VirtualClock();
  readonly table = new FakeDataPlane();
  readonly log: string[] = [];
  readonly shell: string[] = [];
  readonly maintenance = new Set<string>();
  readonly checks: CheckTarget[] = [];
  /** How often something happened that `uipvs health` should show. */
  healthChanges = 0;
  /** Addresses that do not answer; everybody else answers at once. */
  readonly dead = new Set<string>();
  /** Hears every result that was not broken off. */
  onResult: (check: string, address: string, healthy: boolean) => void = () => {};
  director!: Director;

  async start(text: string): Promise<boolean> {
    const configuration = await parsed(text);
    this.director = new Director(configuration, this.options());
    let applied = false;
    const started = this.director.start().then((answer) => {
      applied = answer;
    });
    await this.#passUntil(started);
    return applied;
  }

  async reload(text: string): Promise<void> {
    const done = this.director.reload(await parsed(text));
    await this.#passUntil(done);
  }

  /** Lets a second pass, and more when that was not enough. */
  async #passUntil(work: Promise<void>): Promise<void> {
    let done = false;
    void work.then(() => {
      done = true;
    });
    do await this.clock.advance(1_000);
    while (!done);
  }

  /** Log lines since the last call. */
  said(): string[] {
    return this.log.splice(0);
  }

  options(): DirectorOptions {
    return {
      clock: this.clock,
      random: () => 0,
      bench: new CheckBench(this.#kinds()),
      log: (text) => this.log.push(text),
      connect: async () => {
        if (this.table.away) throw new Error('no socket');
        return this.table;
      },
      runCommand: (command) => this.shell.push(command),
      inMaintenance: ({ address }) => this.maintenance.has(address),
      healthChanged: () => {
        this.healthChanges += 1;
      },
      epochMs: () => this.clock.nowMs(),
    };
  }

  /** Every kind of check becomes: the address is alive, or there is silence until the time is over. */
  #kinds(): Record<CheckerName, CheckerKind> {
    const kinds = Object.entries(CHECKERS).map(([name, kind]) => {
      const checker: Checker = {
        check: async (target, signal) => {
          const result = await this.#check(target, signal);
          if (!signal.aborted) this.onResult(name, target.address, result.healthy);
          return result;
        },
      };
      return [name, { ...kind, create: () => checker }];
    });
    return Object.fromEntries(kinds) as Record<CheckerName, CheckerKind>;
  }

  #check(target: CheckTarget, signal: AbortSignal): Promise<CheckResult> {
    this.checks.push(target);
    if (!this.dead.has(target.address)) return Promise.resolve({ healthy: true, message: '' });
    return new Promise((resolve) => {
      const silent = (): void => resolve({ healthy: false, message: 'silent' });
      const cancel = this.clock.after(target.timeoutMs * (target.attempts ?? 1), silent);
      signal.addEventListener('abort', () => {
        cancel();
        silent();
      });
    });
  }
}
