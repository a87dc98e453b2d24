/**
 * `uipvs migrate`: hands a running table over to another data plane of the same host: services, servers, timeouts,
 * settings, synchronisation daemons, and the connections that the other one can take. Until the new one has everything
 * the old one carries the traffic; what fails before that is taken back.
 */
import { applyChanges, readActual } from '../control/apply-changes.ts';
import { type DesiredBalancer, NOBODY_OUTSIDE, planChanges } from '../control/change-plan.ts';
import { allServices, walkConnections } from '../control/pages.ts';
import type { SyncDaemonSpec } from '../model/commands.ts';
import type { ConnectionStatus } from '../model/connection-status.ts';
import type { DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import { formatMarkRule } from '../model/mark-rule.ts';
import { familyOfService, formatServiceKey, type ServiceStatus } from '../model/service.ts';
import type { SettingName } from '../model/settings.ts';
import { type Cli, type ConnectedDaemon, toJson } from './cli.ts';
import { USAGE_EXIT_CODE, type Word } from './command-line.ts';

export const MIGRATION_TARGETS = ['kernel', 'packet'] as const;
export type MigrationTarget = (typeof MIGRATION_TARGETS)[number];

/** What a migration needs of concrete data planes; the program in `bin/` brings it. */
export interface MigrationTools {
  /** Whether IPVS is in the kernel already. */
  kernelIsLoaded(): Promise<boolean>;
  /** The kernel's IPVS, without a daemon. Rejects with an IpvsError. */
  openKernel(): Promise<DataPlane>;
  /** `null`, or why the packet engine cannot work here. */
  packetUnavailable(): Promise<string | null>;
  /** Starts uipvsd with these words, detached. Rejects with an IpvsError. */
  startDaemon(words: readonly string[]): Promise<ConnectedDaemon>;
  /** Ends it and waits until it is gone. Rejects with an IpvsError. */
  stopDaemon(daemon: { readonly pid: number; readonly socket: string }): Promise<void>;
  writeHandOver(
    connections: Iterable<ConnectionStatus>,
    services: readonly ServiceStatus[],
    syncId: number,
  ): { readonly datagrams: readonly Uint8Array[]; readonly kept: number; readonly left: ReadonlyMap<string, number> };
  /** The daemon that hears what `send` says, on an interface that this data plane has for it. */
  listener(target: MigrationTarget, syncId: number): SyncDaemonSpec;
  send(target: MigrationTarget, datagrams: readonly Uint8Array[], listener: SyncDaemonSpec): Promise<void>;
  /** Whether the host forwards packets, without which a kernel does no NAT. */
  forwards(family: 'ipv4' | 'ipv6'): boolean;
}

/** How long the other one may take to note what it was told. */
const TAKE_OVER_MS = 5_000;
const LOOK_EVERY_MS = 100;
const NAMES: Readonly<Record<MigrationTarget, string>> = { kernel: 'kernel IPVS', packet: 'packet engine' };

interface State {
  readonly services: readonly ServiceStatus[];
  readonly actual: Awaited<ReturnType<typeof readActual>>;
}

interface Source {
  readonly plane: DataPlane;
  /** Absent: the kernel without a uipvsd. */
  readonly daemon: ConnectedDaemon | null;
}

interface Report {
  readonly from: string;
  readonly to: string;
  readonly done: boolean;
  readonly services: number;
  readonly destinations: number;
  readonly connections: { readonly kept: number; readonly left: Readonly<Record<string, number>> };
  /** What is not as it was, or should be looked after. */
  readonly remarks: readonly string[];
}

export function migrateWord(cli: Cli): Word {
  return {
    name: 'migrate',
    summary: "hand the running table over to another data plane: the kernel's IPVS, or the packet engine",
    operands: '[WORD...]',
    options: [
      { flags: '--to <data plane>', description: 'who shall carry the traffic', choices: MIGRATION_TARGETS },
      { flags: '--dry-run', description: 'say what would be handed over; change nothing' },
      { flags: '--drop-connections', description: 'do not keep connections' },
      { flags: '--json', description: 'print JSON' },
    ],
    notes: `Handed over are services, servers with weights, timeouts, settings, synchronisation daemons, mark rules, and
connections, by synchronisation messages on an interface inside this host. Counters begin again at 0. The other table
must be empty. When something is refused on the way, everything is taken back and the old data plane goes on.

From the kernel it needs no uipvsd: what ipvsadm typed is found there. WORDs behind -- go to the new uipvsd:
uipvs migrate --to packet -- --link eth0. A uipvsd that systemd started is ended; change its --data-plane there, too.

Keys of --json: from, to, done, services, destinations, connections (kept, left: reason and count), remarks.

Exit codes: 0 done, 1 it could not be done and nothing has changed unless it says so, 2 the words were not understood.`,
    async run(options) {
      const to = options['to'] as MigrationTarget | undefined;
      const tools = await cli.migration?.();
      if (tools === undefined) throw new IpvsError('EOPNOTSUPP', 'this program cannot migrate');
      if (to === undefined) {
        await cli.stderr(`uipvs migrate: say where: --to ${MIGRATION_TARGETS.join(' or --to ')}\n`);
        return USAGE_EXIT_CODE;
      }
      const words = (options['operands'] as readonly string[] | undefined) ?? [];
      const report = await new Migration(cli, tools, to, words, options['dropConnections'] === true).run(
        options['dryRun'] === true,
      );
      await cli.stdout(options['json'] ? toJson(report) : reportText(report));
      return 0;
    },
  };
}

class Migration {
  readonly #cli: Cli;
  readonly #tools: MigrationTools;
  readonly #to: MigrationTarget;
  readonly #words: readonly string[];
  readonly #dropConnections: boolean;
  readonly #remarks: string[] = [];

  constructor(
    cli: Cli,
    tools: MigrationTools,
    to: MigrationTarget,
    words: readonly string[],
    dropConnections: boolean,
  ) {
    this.#cli = cli;
    this.#tools = tools;
    this.#to = to;
    this.#words = words;
    this.#dropConnections = dropConnections;
  }

  async run(dryRun: boolean): Promise<Report> {
    const source = await this.#findSource();
    try {
      const from = source.plane.capabilities.name;
      if (from === NAMES[this.#to]) {
        throw new IpvsError('EEXIST', `the ${from} carries the traffic already`);
      }
      const state: State = { services: await allServices(source.plane), actual: await readActual(source.plane) };
      this.#refuseWhatCannotGo(state);
      await this.#lookAtTarget(state);
      const before = await this.#handOver(source.plane, state, 1);
      const after = dryRun ? before : await this.#carryOut(source, state);
      return {
        from,
        to: NAMES[this.#to],
        done: !dryRun,
        services: state.services.length,
        destinations: state.services.reduce((sum, { destinations }) => sum + destinations.length, 0),
        connections: { kept: after.kept, left: Object.fromEntries(after.left) },
        remarks: this.#remarks,
      };
    } finally {
      await source.plane.close();
    }
  }

  async #findSource(): Promise<Source> {
    try {
      const daemon = await this.#cli.connect();
      return { plane: daemon, daemon };
    } catch (error) {
      const nobody = error instanceof IpvsError && error.code === 'ENOPROTOOPT';
      if (!nobody || this.#to !== 'packet' || !(await this.#tools.kernelIsLoaded())) throw error;
      return { plane: await this.#tools.openKernel(), daemon: null };
    }
  }

  #refuseWhatCannotGo({ services, actual }: State): void {
    if (this.#to !== 'kernel') return;
    const translated = services.filter(({ spec }) => (spec.sourceNat ?? 'none') !== 'none');
    if (translated.length > 0) {
      const names = translated.map(({ spec }) => formatServiceKey(spec.key)).join(', ');
      throw new IpvsError(
        'EOPNOTSUPP',
        `the kernel's IPVS has no source NAT of its own, which these services use: ${names}; ` +
          'set their sourceNat to none, and use conntrack=1 with a MASQUERADE rule',
      );
    }
    const [rule] = actual.markRules;
    if (rule === undefined) return;
    throw new IpvsError(
      'EOPNOTSUPP',
      `in front of the kernel's IPVS marks are given by iptables or nft, not by mark rules: ${formatMarkRule(rule)}`,
    );
  }

  async #lookAtTarget({ services }: State): Promise<void> {
    if (this.#to === 'packet') {
      const reason = await this.#tools.packetUnavailable();
      if (reason !== null) throw new IpvsError('EOPNOTSUPP', `the packet engine does not work here: ${reason}`);
      return;
    }
    const kernel = await this.#tools.openKernel();
    try {
      const there = await allServices(kernel);
      if (there.length > 0) {
        throw new IpvsError(
          'EEXIST',
          `the kernel's table has ${there.length} services already; empty it first (ipvsadm -C)`,
        );
      }
    } finally {
      await kernel.close();
    }
    for (const family of ['ipv4', 'ipv6'] as const) {
      const translates = ({ spec, destinations }: ServiceStatus) =>
        familyOfService(spec.key) === family && destinations.some((each) => each.spec.method === 'masquerade');
      if (this.#tools.forwards(family) || !services.some(translates)) continue;
      const name = family === 'ipv4' ? 'net.ipv4.ip_forward' : 'net.ipv6.conf.all.forwarding';
      this.#remarks.push(`for NAT the kernel must forward: sysctl -w ${name}=1`);
    }
  }

  async #handOver(plane: DataPlane, { services }: State, syncId: number) {
    if (this.#dropConnections) return { datagrams: [], kept: 0, left: new Map<string, number>() };
    const connections: ConnectionStatus[] = [];
    for await (const connection of walkConnections(plane)) connections.push(connection);
    return this.#tools.writeHandOver(connections, services, syncId);
  }

  #carryOut(source: Source, state: State) {
    return this.#to === 'kernel' ? this.#toKernel(source, state) : this.#toPacket(source, state);
  }

  /** The kernel gets everything while the old one still carries the traffic, and the packets once that is gone. */
  async #toKernel(source: Source, state: State) {
    const { daemon } = await (source.daemon as ConnectedDaemon).status();
    const kernel = await this.#tools.openKernel();
    let handed: Awaited<ReturnType<Migration['handOverTo']>>;
    try {
      const undo = await this.#fill(kernel, state);
      try {
        handed = await this.handOverTo(kernel, source.plane, state);
        await this.#startDaemons(kernel, state.actual.syncDaemons, () => this.#tools.stopDaemon(daemon));
      } catch (error) {
        await undo();
        throw error;
      }
    } finally {
      await kernel.close();
    }
    try {
      await (await this.#tools.startDaemon(['--data-plane', 'kernel', ...this.#words])).close();
    } catch (error) {
      this.#remarks.push(
        `the kernel carries the traffic, but uipvsd did not start (${(error as Error).message}); ` +
          'type: uipvsd --data-plane kernel',
      );
    }
    return handed;
  }

  /** The kernel carries the traffic until the packet engine knows the services, and is emptied then. */
  async #toPacket(source: Source, state: State) {
    if (source.daemon !== null) await this.#tools.stopDaemon((await source.daemon.status()).daemon);
    const kernel = await this.#tools.openKernel();
    try {
      const target = await this.#startOrGoBack(source, ['--data-plane', 'packet', ...this.#words]);
      try {
        // Known before the first packet comes, and bound to their servers afterwards.
        await this.handOverTo(target, kernel, state);
        await this.#fill(target, state);
        const handed = await this.handOverTo(target, kernel, state);
        await this.#startDaemons(target, state.actual.syncDaemons, async () => {});
        await this.#empty(kernel, state);
        return handed;
      } catch (error) {
        await this.#tools.stopDaemon((await target.status()).daemon);
        await this.#goBack(source);
        throw error;
      } finally {
        await target.close();
      }
    } finally {
      await kernel.close();
    }
  }

  /** The new one carries everything by now: what is left behind is told, and changes nothing about that. */
  async #empty(kernel: DataPlane, { actual }: State): Promise<void> {
    try {
      await kernel.execute({ name: 'flush' });
      for (const { role } of actual.syncDaemons) await kernel.execute({ name: 'stopSyncDaemon', role });
    } catch (error) {
      this.#remarks.push(`the kernel's table was not emptied: ${(error as Error).message}`);
    }
  }

  async #startOrGoBack(source: Source, words: readonly string[]): Promise<ConnectedDaemon> {
    try {
      return await this.#tools.startDaemon(words);
    } catch (error) {
      await this.#goBack(source);
      throw error;
    }
  }

  /** The kernel has carried the traffic all the time; its uipvsd comes back. */
  async #goBack({ daemon }: Source): Promise<void> {
    if (daemon !== null) await (await this.#tools.startDaemon(['--data-plane', 'kernel'])).close();
  }

  /** Everything but connections and daemons; gives back what takes it away again. All of it or an IpvsError. */
  async #fill(target: DataPlane, { services, actual }: State): Promise<() => Promise<void>> {
    const there = await readActual(target);
    const settings: Partial<Record<SettingName, string>> = {};
    for (const [name, value] of Object.entries(actual.settings) as [SettingName, string][]) {
      // Its default follows from the memory of the machine.
      if (name === 'sync_qlen_max' || there.settings[name] === value) continue;
      if (there.settings[name] !== undefined) settings[name] = value;
      else this.#remarks.push(`the setting ${name}=${value} is not there in the ${target.capabilities.name}`);
    }
    const desired: DesiredBalancer = {
      // Listings have the newest first; added in this order they come out the same.
      services: [...services].reverse().map(({ spec, destinations }) => ({
        spec,
        destinations: [...destinations].reverse().map((each) => each.spec),
        checked: false,
        fallback: null,
      })),
      timeouts: actual.timeouts,
      settings,
      markRules: actual.markRules,
      syncDaemons: [],
    };
    const nothing = () => false;
    const mayDelete = { service: nothing, markRule: nothing, syncDaemon: nothing };
    const { steps } = planChanges(desired, there, { mayDelete, outside: NOBODY_OUTSIDE });
    const outcome = await applyChanges(target, steps);
    if (outcome.type !== 'applied') {
      throw new IpvsError('EIO', `the ${target.capabilities.name} refused: ${outcome.reason}; nothing has changed`);
    }
    return async () => {
      for (const { inverse } of [...steps].reverse()) for (const command of inverse) await target.execute(command);
    };
  }

  /** What the source has by now. Rejects when the target did not take all that it could. */
  async handOverTo(target: DataPlane, source: DataPlane, state: State) {
    const syncId = 1 + Math.floor(Math.random() * 254);
    const handed = await this.#handOver(source, state, syncId);
    if (handed.kept === 0) return handed;
    const listener = this.#tools.listener(this.#to, syncId);
    await target.execute({ name: 'startSyncDaemon', daemon: listener });
    try {
      await this.#tools.send(this.#to, handed.datagrams, listener);
      const taken = await this.#waitFor(target, handed.kept);
      if (taken >= handed.kept) return handed;
      const sentence = `only ${taken} of ${handed.kept} connections arrived in the ${target.capabilities.name}`;
      throw new IpvsError('EIO', `${sentence}; --drop-connections migrates without them`);
    } finally {
      await target.execute({ name: 'stopSyncDaemon', role: 'backup' });
    }
  }

  async #waitFor(target: DataPlane, wanted: number): Promise<number> {
    for (let waitedMs = 0; ; waitedMs += LOOK_EVERY_MS) {
      let taken = 0;
      for await (const { origin } of walkConnections(target)) if (origin === 'SYNC') taken++;
      if (taken >= wanted || waitedMs >= TAKE_OVER_MS) return taken;
      if (!(await this.#cli.pause(LOOK_EVERY_MS))) throw new IpvsError('EIO', 'interrupted; nothing has changed');
    }
  }

  /** Starts them and does `then`; those that were started end again when something fails. */
  async #startDaemons(target: DataPlane, daemons: readonly SyncDaemonSpec[], then: () => Promise<void>): Promise<void> {
    const started: SyncDaemonSpec[] = [];
    try {
      for (const daemon of daemons) {
        await target.execute({ name: 'startSyncDaemon', daemon });
        started.push(daemon);
      }
      await then();
    } catch (error) {
      for (const { role } of started) await target.execute({ name: 'stopSyncDaemon', role });
      throw error;
    }
  }
}

function reportText({ from, to, done, services, destinations, connections, remarks }: Report): string {
  const left = Object.entries(connections.left).map(([reason, count]) => `  lost: ${count} (${reason})\n`);
  const lines = [
    `from ${from} to ${to}: ${services} services, ${destinations} servers, ${connections.kept} connections kept\n`,
    ...left,
    ...remarks.map((remark) => `  note: ${remark}\n`),
  ];
  if (!done) lines.push('nothing was changed (--dry-run)\n');
  return lines.join('');
}
