/**
 * Configuration and health -> the table of a data plane, kept that way. The truth about services stays in the
 * data plane: before each change it is asked, and only what differs is said.
 *
 * A server gets no traffic before its first good check. At the start the first round of checks is awaited for
 * at most a second, then every server enters the table once, in its final state: up with its weight; down or not
 * known yet with weight 0 (`quiescent=yes`) or not at all. Servers the table already sends traffic to count as up
 * until a check says otherwise, so a restart interrupts nobody.
 */
import type { CheckResult } from '../health/checker.ts';
import type { Clock } from '../health/clock.ts';
import { ASSUMED_UP, forceDown, type HealthEvent, judge, UNKNOWN } from '../health/monitor.ts';
import { CheckRunner } from '../health/runner.ts';
import type { Command } from '../model/commands.ts';
import type { DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import type { ServiceKey, ServiceStatus } from '../model/service.ts';
import type { CheckBench } from './check-bench.ts';
import { virtualIdentity, virtualName } from './config/effective.ts';
import type { Configuration, RealServer, VirtualServer } from './config/types.ts';
import {
  anyUp,
  describeCommand,
  keyOf,
  type PlannedServer,
  type PlannedService,
  planService,
  type Step,
  stepForPurge,
  stepForService,
  stepsForServers,
  stepsForStop,
  stepsForTransition,
} from './plan.ts';

const FIRST_ROUND_MS = 1_000;
const RETRY_MS = 1_000;
/** How often the table is looked at, in case the data plane was restarted in between. */
const PROBE_MS = 1_000;

export interface DirectorOptions {
  readonly clock: Clock;
  /** 0..1. */
  readonly random: () => number;
  readonly bench: CheckBench;
  log(text: string): void;
  /** Rejects while no data plane answers. */
  connect(): Promise<DataPlane>;
  /** Runs a `fallbackcommand` through the shell. */
  runCommand?(command: string): void;
  /** Whether the operator has put the server into maintenance. */
  inMaintenance?(server: RealServer): boolean;
  /** Hears every result, for the monitor file and debugging. */
  record?(virtual: VirtualServer, server: RealServer, result: CheckResult): void;
}

/** Nobody answers, or the answer was lost: nothing is known about the table any more, so it is applied anew. */
const UNREACHABLE_CODES: ReadonlySet<string> = new Set(['ENOPROTOOPT', 'EIO']);

/** The data plane does not answer any more. */
class Unreachable extends Error {
  override readonly name = 'Unreachable';
}

export class Director {
  readonly #options: DirectorOptions;
  readonly #runner: CheckRunner;
  #configuration: Configuration;
  #services = new Map<string, PlannedService>();
  /** Services the table had when they were last applied. */
  readonly #present = new Set<string>();
  /** Services of an earlier configuration that are still to be deleted. */
  #gone: readonly ServiceKey[] = [];
  readonly #fallbackCommandRan = new Map<string, 'start' | 'stop'>();
  #dataPlane: DataPlane | null = null;
  #complained = false;
  #stopped = false;
  #queue: Promise<void> = Promise.resolve();
  #cancelTimer: () => void = () => {};
  #firstRound: { readonly waiting: Set<PlannedServer>; readonly done: () => void } | null = null;

  constructor(configuration: Configuration, options: DirectorOptions) {
    this.#configuration = configuration;
    this.#options = options;
    this.#runner = new CheckRunner(options);
  }

  /**
   * Begins to check and applies the table. Answers whether the table was applied: when the data plane cannot be
   * reached this goes on trying every second by itself.
   */
  async start(): Promise<boolean> {
    return this.#take(this.#configuration);
  }

  /** Goes over to another configuration. Servers that stay keep their health; services that went are deleted. */
  async reload(configuration: Configuration): Promise<void> {
    const wanted = new Set(configuration.virtuals.map((virtual) => virtualIdentity(virtual.key)));
    const configured = [...this.#gone, ...this.#configuration.virtuals.map(({ key }) => key)];
    this.#gone = configured.filter((key) => !wanted.has(virtualIdentity(key)));
    await this.#take(configuration);
  }

  /** Checks end; services are removed unless `cleanstop=no`. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#runner.stop();
    this.#firstRound?.done();
    this.#cancelTimer();
    await this.#enqueue(async () => {
      for (const service of this.#services.values()) {
        if (service.virtual.effective.cleanStop) await this.#carryOut(stepsForStop(service));
      }
    });
    this.#options.bench.close();
    await this.#dataPlane?.close().catch(() => {});
    this.#dataPlane = null;
  }

  async #take(configuration: Configuration): Promise<boolean> {
    const before = this.#services;
    this.#runner.stop();
    this.#cancelTimer();
    this.#configuration = configuration;
    this.#services = new Map();
    for (const virtual of configuration.virtuals) {
      const identity = virtualIdentity(virtual.key);
      const old = before.get(identity)?.servers;
      this.#services.set(
        identity,
        planService(virtual, (key) => old?.get(key)?.health ?? UNKNOWN),
      );
    }
    await this.#enqueue(async () => this.#adopt(await this.#table()));
    await this.#firstChecks();
    let applied = false;
    await this.#enqueue(async () => {
      if (this.#stopped) return;
      await this.#applyAll();
      applied = true;
    });
    this.#scheduleProbe();
    return applied;
  }

  /** Begins all checks; answers when every server without a history has a result, or after a second. */
  async #firstChecks(): Promise<void> {
    const { bench, clock } = this.#options;
    const servers = [...this.#services.values()].flatMap((service) =>
      [...service.servers.values()].map((server) => ({ service, server })),
    );
    const checks = bench.checksFor(servers, (service, server, result) => this.#hear(service, server, result));
    const checked = new Set(checks.map(({ server }) => server));
    const waiting = new Set(
      servers.map(({ server }) => server).filter((server) => checked.has(server) && server.health.state === 'unknown'),
    );
    await new Promise<void>((resolve) => {
      const cancel = clock.after(FIRST_ROUND_MS, resolve);
      const done = (): void => {
        cancel();
        resolve();
      };
      this.#firstRound = { waiting, done };
      this.#runner.start(checks.map(({ check }) => check));
      if (waiting.size === 0) done();
    });
    this.#firstRound = null;
  }

  #hear(service: PlannedService, server: PlannedServer, result: CheckResult): void {
    const { inMaintenance, record } = this.#options;
    const forced = inMaintenance?.(server.server) ?? false;
    const effective = forced ? { healthy: false, message: 'Server in maintenance' } : result;
    record?.(service.virtual, server.server, effective);
    const verdict = forced
      ? forceDown(server.health)
      : judge(server.health, effective, service.virtual.effective.failureCount);
    server.health = verdict.health;
    let moved = false;
    for (const event of verdict.events) {
      if (event.type === 'up' || event.type === 'down') moved = true;
      else this.#logSoftFailure(service, server, event);
    }
    if (this.#firstRound !== null) {
      this.#firstRound.waiting.delete(server);
      if (this.#firstRound.waiting.size === 0) this.#firstRound.done();
    } else if (moved) {
      void this.#enqueue(() => this.#applyTransition(service, server));
    }
  }

  #logSoftFailure(service: PlannedService, server: PlannedServer, event: HealthEvent): void {
    const protocol = service.virtual.protocol;
    const name = `${keyOf(server.spec)} (${protocol}:${virtualName(service.virtual.key)})`;
    if (event.type === 'failures-reset') this.#options.log(`Resetting soft failure count: ${name}`);
    if (event.type === 'soft-failure') {
      this.#options.log(`Soft failure real server: ${name} failure ${event.failures}/${event.failuresMax}`);
    }
  }

  async #applyAll(): Promise<void> {
    const table = await this.#table();
    this.#adopt(table);
    const services = [...this.#services];
    for (const [identity, service] of services) {
      const applied = await this.#carryOut([stepForService(service, table.get(identity) ?? null)]);
      if (applied) this.#present.add(identity);
      else this.#present.delete(identity);
    }
    for (const [identity, service] of services) {
      if (!this.#present.has(identity)) continue;
      await this.#carryOut(stepsForServers(service, table.get(identity) ?? null));
      this.#runFallbackCommand(identity, service);
    }
    for (const key of this.#gone) await this.#purge(key);
    this.#gone = [];
  }

  /** Servers without a history that already get traffic count as up. */
  #adopt(table: ReadonlyMap<string, ServiceStatus>): void {
    for (const [identity, service] of this.#services) {
      for (const { spec } of table.get(identity)?.destinations ?? []) {
        const server = service.servers.get(keyOf(spec));
        if (server?.health.state === 'unknown' && spec.weight > 0) server.health = ASSUMED_UP;
      }
    }
  }

  async #applyTransition(service: PlannedService, server: PlannedServer): Promise<void> {
    const identity = virtualIdentity(service.virtual.key);
    // A reload may have replaced it while this waited.
    if (this.#services.get(identity) !== service) return;
    const actual = await this.#find(service.virtual.key);
    if (actual === null) {
      if (!(await this.#carryOut([stepForService(service, null)]))) return;
      this.#present.add(identity);
      await this.#carryOut(stepsForServers(service, null));
    } else {
      const { readdQuiescent } = this.#configuration.globals;
      await this.#carryOut(stepsForTransition(service, server, actual, readdQuiescent));
    }
    this.#runFallbackCommand(identity, service);
  }

  async #purge(key: ServiceKey): Promise<void> {
    this.#present.delete(virtualIdentity(key));
    if ((await this.#find(key)) !== null) await this.#carryOut([stepForPurge(key)]);
  }

  /** Once when the last server goes down, once when the first comes up, and once at the start. */
  #runFallbackCommand(identity: string, service: PlannedService): void {
    const { effective, key, protocol } = service.virtual;
    const word = anyUp(service) ? 'stop' : 'start';
    if (effective.fallbackCommand === null || this.#fallbackCommandRan.get(identity) === word) return;
    this.#fallbackCommandRan.set(identity, word);
    this.#options.runCommand?.(`${effective.fallbackCommand} ${word} ${virtualName(key)} ${protocol}`);
  }

  /** Answers whether every step was accepted. A refusal is logged and does not keep the others back. */
  async #carryOut(steps: readonly Step[]): Promise<boolean> {
    let accepted = true;
    for (const { command, words } of steps) {
      try {
        await this.#ask(command);
        this.#options.log(words);
      } catch (error) {
        if (error instanceof Unreachable) throw error;
        accepted = false;
        this.#options.log(`system(${describeCommand(command)}) failed: ${(error as Error).message}`);
      }
    }
    return accepted;
  }

  async #find(key: ServiceKey): Promise<ServiceStatus | null> {
    try {
      return (await this.#ask({ name: 'getService', key })) as ServiceStatus;
    } catch (error) {
      if (error instanceof IpvsError && error.code === 'ESRCH') return null;
      throw error;
    }
  }

  async #table(): Promise<Map<string, ServiceStatus>> {
    const table = new Map<string, ServiceStatus>();
    let cursor: string | null = null;
    do {
      const page: { items: readonly ServiceStatus[]; next: string | null } = (await this.#ask({
        name: 'listServices',
        ...(cursor === null ? {} : { cursor }),
      })) as never;
      for (const service of page.items) table.set(virtualIdentity(service.spec.key), service);
      cursor = page.next;
    } while (cursor !== null);
    return table;
  }

  async #ask(command: Command): Promise<unknown> {
    const dataPlane = await this.#connected();
    try {
      return await dataPlane.execute(command);
    } catch (error) {
      if (error instanceof IpvsError && !UNREACHABLE_CODES.has(error.code)) throw error;
      this.#dataPlane = null;
      void dataPlane.close().catch(() => {});
      throw new Unreachable((error as Error).message, { cause: error });
    }
  }

  async #connected(): Promise<DataPlane> {
    if (this.#dataPlane !== null) return this.#dataPlane;
    try {
      this.#dataPlane = await this.#options.connect();
    } catch (error) {
      throw new Unreachable((error as Error).message, { cause: error });
    }
    if (this.#complained) this.#options.log('The data plane answers again');
    this.#complained = false;
    return this.#dataPlane;
  }

  /** One task at a time. Never rejects: a data plane that is away is tried again, everything else is logged. */
  #enqueue(task: () => Promise<void>): Promise<void> {
    this.#queue = this.#queue.then(task).catch((error: unknown) => {
      if (!(error instanceof Unreachable)) {
        this.#options.log(`internal error: ${(error as Error).stack ?? error}`);
        return;
      }
      this.#present.clear();
      if (!this.#complained) {
        this.#options.log(`The data plane does not answer (${error.message}); trying again every second`);
      }
      this.#complained = true;
    });
    return this.#queue;
  }

  /** Looks every second whether the table is still there, and applies everything again when it is not. */
  #scheduleProbe(): void {
    this.#cancelTimer();
    if (this.#stopped) return;
    const delayMs = this.#complained ? RETRY_MS : PROBE_MS;
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      void this.#enqueue(() => this.#probe()).then(() => this.#scheduleProbe());
    });
  }

  async #probe(): Promise<void> {
    if (this.#stopped || this.#firstRound !== null) return;
    if (this.#complained) return this.#applyAll();
    const [identity] = this.#present;
    const service = identity === undefined ? undefined : this.#services.get(identity);
    if (service === undefined) {
      await this.#ask({ name: 'info' });
      return;
    }
    if ((await this.#find(service.virtual.key)) !== null) return;
    // One service may have been deleted by hand, which is to be respected. All of them gone is a restart.
    const table = await this.#table();
    if ([...this.#present].some((each) => table.has(each))) {
      this.#present.delete(identity);
      return;
    }
    this.#options.log('The data plane has lost the configured services; they are added again');
    await this.#applyAll();
  }
}
