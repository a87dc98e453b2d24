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
import { ASSUMED_UP, forceDown, type HealthEvent, judge, UNKNOWN, type Verdict } from '../health/monitor.ts';
import { CheckRunner, type CheckTiming } from '../health/runner.ts';
import type { Command } from '../model/commands.ts';
import type { DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import type { HealthOfService } from '../model/health.ts';
import type { ServiceKey, ServiceStatus } from '../model/service.ts';
import type { CheckBench } from './check-bench.ts';
import { virtualIdentity, virtualName } from './config/effective.ts';
import type { Configuration, RealServer, VirtualServer } from './config/types.ts';
import { HealthBook } from './health-book.ts';
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
  stepsForLeaving,
  stepsForServers,
  stepsForStop,
  stepsForTransition,
} from './plan.ts';

const FIRST_ROUND_MS = 1_000;
const RETRY_MS = 1_000;
/** How often the table is looked at, in case the data plane was restarted in between. */
const PROBE_MS = 1_000;
/** How long a server that is not configured any more may serve the connections it has. */
const DRAIN_MS_MAX = 60_000;

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
  /** Called when a server has gone up or down, or others are checked now. `health` tells. */
  healthChanged?(): void;
  /** Milliseconds since 1970, for `health`. Absent: the computer's. */
  epochMs?(): number;
}

/** Nobody answers, or the answer was lost: nothing is known about the table any more, so it is applied anew. */
const UNREACHABLE_CODES: ReadonlySet<string> = new Set(['ENOPROTOOPT', 'EIO']);

const IN_MAINTENANCE: CheckResult = { healthy: false, message: 'Server in maintenance' };

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
  /** By service: what is not configured any more but has connections, by `address:port`. */
  readonly #leaving = new Map<string, { readonly servers: ReadonlySet<string>; readonly untilMs: number }>();
  /** Servers whose transition is still to be applied. */
  readonly #moved = new Map<PlannedService, Set<PlannedServer>>();
  readonly #book: HealthBook;
  /** Services of an earlier configuration that are still to be deleted. */
  #gone: readonly ServiceKey[] = [];
  /** The last words of each service's `fallbackcommand`. */
  readonly #fallbackCommandRan = new Map<string, string>();
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
    this.#book = new HealthBook(options.epochMs ?? Date.now, () => options.healthChanged?.());
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

  /** What is known about every server, and how it came to be. */
  health(): readonly HealthOfService[] {
    return this.#book.read();
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
    this.#cancelTimer();
    let table: ReadonlyMap<string, ServiceStatus> = new Map();
    await this.#enqueue(async () => {
      table = await this.#table();
    });
    // From here to the start of the checks nothing is waited for, so no result falls between old and new.
    this.#configuration = configuration;
    this.#replaceServices(planServices(configuration, this.#services));
    this.#adopt(table);
    this.#lookForMaintenance();
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

  /** What moved and was not applied yet is still to be applied. */
  #replaceServices(services: Map<string, PlannedService>): void {
    const moved = [...this.#moved].map(([service, servers]) => [identityOf(service), servers] as const);
    this.#services = services;
    this.#moved.clear();
    this.#book.keep(services, identityOf);
    for (const [identity, servers] of moved) {
      const service = services.get(identity);
      for (const { spec } of servers) {
        const server = service?.servers.get(keyOf(spec));
        if (service !== undefined && server !== undefined) this.#noteMoved(service, server);
      }
    }
  }

  /** Begins all checks; answers when every server without a history has a result, or after a second. */
  async #firstChecks(): Promise<void> {
    if (this.#stopped) return;
    const { bench, clock } = this.#options;
    const servers = [...this.#services.values()].flatMap((service) =>
      [...service.servers.values()].map((server) => ({ service, server })),
    );
    const checks = bench.checksFor(
      servers,
      (...heard) => this.#hear(...heard),
      ({ server }) => !this.#inMaintenance(server),
    );
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

  #hear(service: PlannedService, server: PlannedServer, found: CheckResult, timing: CheckTiming): void {
    // The file may have come while the check was under way.
    const forced = this.#inMaintenance(server.server);
    const result = forced ? IN_MAINTENANCE : found;
    server.inMaintenance = forced;
    this.#options.record?.(service.virtual, server.server, result);
    const verdict = forced
      ? forceDown(server.health)
      : judge(server.health, result, service.virtual.effective.failureCount);
    this.#takeVerdict(service, server, verdict);
    this.#book.note(service, server, result, forced ? null : timing);
  }

  /** Servers in maintenance are down at once, and are not asked until they are out of it. */
  #lookForMaintenance(): void {
    for (const service of this.#services.values()) {
      for (const server of service.servers.values()) {
        const before = server.inMaintenance;
        server.inMaintenance = this.#inMaintenance(server.server);
        if (!server.inMaintenance || (before && server.health.state === 'down')) continue;
        this.#options.record?.(service.virtual, server.server, IN_MAINTENANCE);
        this.#takeVerdict(service, server, forceDown(server.health));
        this.#book.note(service, server, IN_MAINTENANCE, null);
      }
    }
  }

  #inMaintenance(server: RealServer): boolean {
    return this.#options.inMaintenance?.(server) ?? false;
  }

  #takeVerdict(service: PlannedService, server: PlannedServer, { health, events }: Verdict): void {
    server.health = health;
    for (const event of events)
      if (event.type !== 'up' && event.type !== 'down') this.#logSoftFailure(service, server, event);
    const moved = events.some(({ type }) => type === 'up' || type === 'down');
    if (this.#firstRound?.waiting.delete(server)) {
      if (this.#firstRound.waiting.size === 0) this.#firstRound.done();
    } else if (moved && this.#present.has(identityOf(service))) this.#noteMoved(service, server);
  }

  /** Those of one service that move together are applied together. */
  #noteMoved(service: PlannedService, server: PlannedServer): void {
    const others = this.#moved.get(service);
    if (others !== undefined) {
      others.add(server);
      return;
    }
    this.#moved.set(service, new Set([server]));
    void this.#enqueue(() => this.#applyTransition(service));
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
      await this.#fill(identity, service, table.get(identity) ?? null);
      this.#runFallbackCommand(identity, service);
    }
    for (const key of this.#gone) {
      await this.#purge(key);
      // A reload may have named others meanwhile.
      this.#gone = this.#gone.filter((each) => each !== key);
    }
  }

  async #fill(identity: string, service: PlannedService, actual: ServiceStatus | null): Promise<void> {
    const { steps, leaving } = stepsForServers(service, actual);
    this.#leaving.delete(identity);
    if (leaving.length > 0) {
      const untilMs = this.#options.clock.nowMs() + DRAIN_MS_MAX;
      this.#leaving.set(identity, { servers: new Set(leaving.map(keyOf)), untilMs });
    }
    await this.#carryOut(steps);
  }

  /** Servers that are not configured any more go when their connections have ended, or their time is over. */
  async #purgeLeaving(): Promise<void> {
    for (const [identity, { servers, untilMs }] of [...this.#leaving]) {
      const service = this.#services.get(identity);
      const actual = service === undefined ? null : await this.#find(service.virtual.key);
      this.#leaving.delete(identity);
      if (service === undefined || actual === null) continue;
      const { steps, left } = stepsForLeaving(service, servers, actual, this.#options.clock.nowMs() >= untilMs);
      if (left.size > 0) this.#leaving.set(identity, { servers: left, untilMs });
      await this.#carryOut(steps);
    }
  }

  /** Servers without a history that already get traffic count as up. */
  #adopt(table: ReadonlyMap<string, ServiceStatus>): void {
    for (const [identity, service] of this.#services) {
      for (const { spec } of table.get(identity)?.destinations ?? []) {
        const server = service.servers.get(keyOf(spec));
        if (server?.health.state !== 'unknown' || !server.adoptable || spec.weight === 0) continue;
        server.health = ASSUMED_UP;
        this.#book.noteAssumedUp(service, server);
      }
    }
  }

  async #applyTransition(service: PlannedService): Promise<void> {
    const identity = identityOf(service);
    const servers = [...(this.#moved.get(service) ?? [])];
    this.#moved.delete(service);
    // A reload may have replaced it while this waited.
    if (this.#services.get(identity) !== service) return;
    const actual = await this.#find(service.virtual.key);
    if (actual === null) {
      if (!(await this.#applyAgainIfLost())) this.#present.delete(identity);
      return;
    }
    const { readdQuiescent } = this.#configuration.globals;
    await this.#carryOut(stepsForTransition(service, servers, actual, readdQuiescent));
    this.#runFallbackCommand(identity, service);
  }

  async #purge(key: ServiceKey): Promise<void> {
    const identity = virtualIdentity(key);
    this.#present.delete(identity);
    this.#leaving.delete(identity);
    this.#fallbackCommandRan.delete(identity);
    if ((await this.#find(key)) !== null) await this.#carryOut([stepForPurge(key)]);
  }

  /** Once when the last server goes down, once when the first comes up, and once at the start. */
  #runFallbackCommand(identity: string, service: PlannedService): void {
    const { effective, key, protocol } = service.virtual;
    if (effective.fallbackCommand === null) return;
    const word = anyUp(service) ? 'stop' : 'start';
    const command = `${effective.fallbackCommand} ${word} ${virtualName(key)} ${protocol}`;
    if (this.#fallbackCommandRan.get(identity) === command) return;
    this.#fallbackCommandRan.set(identity, command);
    this.#options.runCommand?.(command);
  }

  /** Answers whether every step was accepted. A refusal is logged and does not keep the others back. */
  async #carryOut(steps: readonly Step[]): Promise<boolean> {
    let accepted = true;
    for (const { command, words, opens } of steps) {
      // It went down since the steps were made; its own transition is waiting behind this.
      if (opens !== undefined && opens.health.state !== 'up') continue;
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
    this.#lookForMaintenance();
    if (this.#complained) return this.#applyAll();
    await this.#purgeLeaving();
    const [identity] = this.#present;
    const service = identity === undefined ? undefined : this.#services.get(identity);
    if (service === undefined) {
      await this.#ask({ name: 'info' });
      return;
    }
    if ((await this.#find(service.virtual.key)) !== null) return;
    if (!(await this.#applyAgainIfLost())) this.#present.delete(identity);
  }

  /**
   * A service that is missing may have been deleted by hand, which is to be respected. All of them gone is a restart
   * of the data plane; then everything is applied again, and the answer is true.
   */
  async #applyAgainIfLost(): Promise<boolean> {
    const table = await this.#table();
    if ([...this.#present].some((each) => table.has(each))) return false;
    this.#options.log('The data plane has lost the configured services; they are added again');
    await this.#applyAll();
    return true;
  }
}

/** Servers that stay what they are, checked as they are, keep what is known about them, whichever service they are in. */
function planServices(
  { virtuals }: Configuration,
  before: ReadonlyMap<string, PlannedService>,
): Map<string, PlannedService> {
  const elsewhere = new Map<string, PlannedServer>();
  for (const service of before.values()) {
    for (const server of service.servers.values()) elsewhere.set(hostAndCheck(server), server);
  }
  const services = new Map<string, PlannedService>();
  for (const virtual of virtuals) {
    const identity = virtualIdentity(virtual.key);
    const old = before.get(identity)?.servers;
    const service = planService(virtual, (key, server, checkIdentity) => {
      const own = old?.get(key);
      if (own?.checkIdentity === checkIdentity) return own;
      const other = elsewhere.get(hostAndCheck({ server, checkIdentity }));
      if (other !== undefined) return other;
      // Dead as far as was known, and now checked in another way: only a good check brings it back.
      const adoptable = own === undefined || (own.health.state !== 'down' && own.adoptable);
      return { health: UNKNOWN, inMaintenance: false, adoptable };
    });
    services.set(identity, service);
  }
  return services;
}

function identityOf({ virtual }: PlannedService): string {
  return virtualIdentity(virtual.key);
}

function hostAndCheck({ server, checkIdentity }: Pick<PlannedServer, 'server' | 'checkIdentity'>): string {
  return `${server.address} ${server.port} ${checkIdentity}`;
}
