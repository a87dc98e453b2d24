/**
 * What has to be told to the data plane so that one service stands as its configuration and the health of its
 * servers demand, and how the log says it. Pure. The words are ldirectord's: people search logs for them.
 */

import type { Health } from '../health/monitor.ts';
import type { Command } from '../model/commands.ts';
import type { DestinationKey, DestinationSpec, DestinationStatus } from '../model/destination.ts';
import { formatEndpoint, formatServiceKey, type ServiceKey, type ServiceStatus } from '../model/service.ts';
import { identityOfCheck } from './check-words.ts';
import { virtualName } from './config/effective.ts';
import type { RealServer, VirtualServer } from './config/types.ts';
import { destinationSpec, fallbackSpec, serviceSpec } from './specs.ts';

export interface Step {
  readonly command: Command;
  /** Log line once it has been done. */
  readonly words: string;
  /** This step gives traffic to that server: it is left out when the server goes down before it is taken. */
  readonly opens?: PlannedServer;
}

export interface PlannedServer {
  readonly server: RealServer;
  readonly spec: DestinationSpec;
  /** How it is checked: what is known about a server stays true for as long as this stays the same. */
  readonly checkIdentity: string;
  health: Health;
  /** The operator has put it into maintenance, where it is down whatever its checks say. */
  inMaintenance: boolean;
  /** Whether traffic that the table sends it already shows that it is up, while nothing else is known. */
  readonly adoptable: boolean;
}

/** What is known about a server from before. */
export type KnownServer = Pick<PlannedServer, 'health' | 'inMaintenance' | 'adoptable'>;

export interface PlannedService {
  readonly virtual: VirtualServer;
  /** By `address:port` in the table, in file order. A repeated server is there once. */
  readonly servers: ReadonlyMap<string, PlannedServer>;
}

export function planService(
  virtual: VirtualServer,
  known: (key: string, server: RealServer, checkIdentity: string) => KnownServer,
): PlannedService {
  const servers = new Map<string, PlannedServer>();
  for (const server of virtual.real) {
    const spec = destinationSpec(virtual, server);
    const key = keyOf(spec);
    if (servers.has(key)) continue;
    const checkIdentity = identityOfCheck(virtual, server);
    const { health, inMaintenance, adoptable } = known(key, server, checkIdentity);
    servers.set(key, { server, spec, checkIdentity, health, inMaintenance, adoptable });
  }
  return { virtual, servers };
}

export function keyOf({ address, port }: DestinationKey): string {
  return formatEndpoint(address, port);
}

export function anyUp({ servers }: PlannedService): boolean {
  return [...servers.values()].some(({ health }) => health.state === 'up');
}

/** `actual` `null`: the table does not have it. Always said, also when nothing changed, as in the original. */
export function stepForService({ virtual }: PlannedService, actual: ServiceStatus | null): Step {
  const name = virtualName(virtual.key);
  const service = serviceSpec(virtual);
  return actual === null
    ? { command: { name: 'addService', service }, words: `Added virtual server: ${name}` }
    : { command: { name: 'editService', service }, words: `Changed virtual server: ${name}` };
}

/**
 * Brings all destinations of a service into their final state, each at once. Strangers among them go; those that
 * have connections are `leaving`: weight 0 first, because a connection whose destination is deleted is cut.
 */
export function stepsForServers(
  service: PlannedService,
  actual: ServiceStatus | null,
): { readonly steps: readonly Step[]; readonly leaving: readonly DestinationKey[] } {
  const table = new TablePlan(service, actual);
  const servers = [...service.servers.values()];
  const fallback = fallbackSpec(service.virtual);
  // Whoever takes traffic comes first, so that the service is not without servers in between.
  for (const server of servers) if (server.health.state === 'up') settleServer(table, server, 'enter');
  for (const server of servers) if (server.health.state !== 'up') settleServer(table, server, 'enter');
  const busy = new Set((actual?.destinations ?? []).filter(isBusy).map(({ spec }) => keyOf(spec)));
  const leaving: DestinationKey[] = [];
  for (const spec of table.strangers(fallback)) {
    if (!busy.has(keyOf(spec))) {
      table.delete(spec, `Purged real server (start): ${table.named(spec)}`);
      continue;
    }
    leaving.push(spec);
    if (spec.weight > 0) {
      table.set({ ...spec, weight: 0 }, `Draining real server before it is purged: ${table.named(spec)}`);
    }
  }
  settleFallback(table);
  return { steps: table.steps, leaving };
}

function isBusy({ activeConnections, inactiveConnections }: DestinationStatus): boolean {
  return activeConnections + inactiveConnections > 0;
}

/** Deletes those of `leaving` that have no connection left, or all of them when it is `late`; `left` wait on. */
export function stepsForLeaving(
  service: PlannedService,
  leaving: ReadonlySet<string>,
  actual: ServiceStatus,
  late: boolean,
): { readonly steps: readonly Step[]; readonly left: ReadonlySet<string> } {
  const table = new TablePlan(service, actual);
  const left = new Set<string>();
  const connections = new Map(actual.destinations.map((each) => [keyOf(each.spec), each.activeConnections]));
  for (const spec of table.strangers(fallbackSpec(service.virtual))) {
    const key = keyOf(spec);
    if (!leaving.has(key)) continue;
    if (connections.get(key) === 0 || late) table.delete(spec, `Purged real server (start): ${table.named(spec)}`);
    else left.add(key);
  }
  return { steps: table.steps, left };
}

/** These servers went up or down. Nobody else is touched, so what an operator changed by hand stays. */
export function stepsForTransition(
  service: PlannedService,
  servers: readonly PlannedServer[],
  actual: ServiceStatus,
  readdQuiescent: boolean,
): readonly Step[] {
  const table = new TablePlan(service, actual);
  // Whoever takes traffic comes first, so that the service is not without servers in between.
  const inOrder = [...servers].sort((a, b) => Number(b.health.state === 'up') - Number(a.health.state === 'up'));
  for (const server of inOrder) settleServer(table, server, readdQuiescent ? 'readd' : 'leave');
  settleFallback(table);
  return table.steps;
}

/** Servers that are down are not mentioned: they go with their service. */
export function stepsForStop(service: PlannedService): Step[] {
  const { key } = service.virtual;
  const up = [...service.servers.values()].filter(({ health }) => health.state === 'up');
  return [
    ...up.map(({ spec }) => deletion(key, spec, `Purged real server (stop): ${named(service, spec)}`)),
    { command: { name: 'deleteService', key }, words: `Purged virtual server (stop): ${virtualName(key)}` },
  ];
}

export function stepForPurge(key: ServiceKey): Step {
  return { command: { name: 'deleteService', key }, words: `Purged virtual server (start): ${virtualName(key)}` };
}

/** The destinations of one service as they will be after the steps collected so far. */
class TablePlan {
  readonly service: PlannedService;
  readonly steps: Step[] = [];
  readonly #table: Map<string, DestinationSpec>;

  constructor(service: PlannedService, actual: ServiceStatus | null) {
    this.service = service;
    this.#table = new Map((actual?.destinations ?? []).map(({ spec }) => [keyOf(spec), spec]));
  }

  find(key: DestinationKey): DestinationSpec | undefined {
    return this.#table.get(keyOf(key));
  }

  /** Whoever is neither configured nor the fallback. */
  strangers(fallback: DestinationKey | null): DestinationSpec[] {
    return [...this.#table.values()].filter(
      (spec) => !this.service.servers.has(keyOf(spec)) && (fallback === null || keyOf(spec) !== keyOf(fallback)),
    );
  }

  /** Adds or changes. */
  set(destination: DestinationSpec, words: string, opens?: PlannedServer): void {
    const name = this.find(destination) === undefined ? 'addDestination' : 'editDestination';
    const command = { name, service: this.service.virtual.key, destination } as const;
    this.steps.push({ command, words, ...(opens === undefined ? {} : { opens }) });
    this.#table.set(keyOf(destination), destination);
  }

  delete(key: DestinationKey, words: string): void {
    this.steps.push(deletion(this.service.virtual.key, key, words));
    this.#table.delete(keyOf(key));
  }

  /** `192.0.2.11:80 (192.0.2.1:80)`: the server, and the service it belongs to. */
  named(key: DestinationKey): string {
    return named(this.service, key);
  }
}

/** `absent`: what happens to a quiescent server that is not in the table: it enters, it is added again, nothing. */
function settleServer(table: TablePlan, server: PlannedServer, absent: 'enter' | 'readd' | 'leave'): void {
  const { spec, health } = server;
  const current = table.find(spec);
  const name = table.named(spec);
  if (health.state === 'up') {
    if (current !== undefined && sameSettings(current, spec)) return;
    const verb = current === undefined ? 'Added' : 'Restored';
    table.set(spec, `${verb} real server: ${name} (Weight set to ${spec.weight})`, server);
    return;
  }
  const fallback = fallbackSpec(table.service.virtual);
  // Down, but at the same time the fallback that is needed now.
  if (fallback !== null && keyOf(fallback) === keyOf(spec) && !anyUp(table.service)) return;
  if (!table.service.virtual.effective.quiescent) {
    if (current !== undefined) table.delete(spec, `Deleted real server: ${name}`);
    return;
  }
  if (current === undefined && absent === 'leave') return;
  if (current !== undefined && current.weight === 0 && current.method === spec.method) return;
  const verb = current === undefined && absent === 'readd' ? 'Readd Quiescent' : 'Quiescent';
  // As with ipvsadm -e without -x and -y, the thresholds of a quiescent server are gone.
  const quiet = { ...spec, weight: 0, upperThreshold: 0, lowerThreshold: 0 };
  table.set(quiet, `${verb} real server: ${name} (Weight set to 0)`);
}

/** The fallback is in the table exactly while no server is up; it is never made quiescent. */
function settleFallback(table: TablePlan): void {
  const fallback = fallbackSpec(table.service.virtual);
  if (fallback === null) return;
  const current = table.find(fallback);
  const name = table.named(fallback);
  const asServer = table.service.servers.get(keyOf(fallback));
  if (!anyUp(table.service)) {
    if (current !== undefined && sameSettings(current, fallback)) return;
    table.set(fallback, `Added fallback server: ${name} (Weight set to ${fallback.weight})`);
  } else if (asServer !== undefined) {
    settleServer(table, asServer, 'leave');
  } else if (current !== undefined) {
    table.delete(fallback, `Deleted fallback server: ${name}`);
  }
}

function sameSettings(left: DestinationSpec, right: DestinationSpec): boolean {
  return (
    left.weight === right.weight &&
    left.method === right.method &&
    left.upperThreshold === right.upperThreshold &&
    left.lowerThreshold === right.lowerThreshold
  );
}

function named({ virtual }: PlannedService, key: DestinationKey): string {
  return `${keyOf(key)} (${virtualName(virtual.key)})`;
}

function deletion(service: ServiceKey, { address, port }: DestinationKey, words: string): Step {
  return { command: { name: 'deleteDestination', service, destination: { address, port } }, words };
}

/** `addDestination tcp 192.0.2.1:80 192.0.2.11:80`, for the log line of a command that was refused. */
export function describeCommand(command: Command): string {
  const words: string[] = [command.name];
  if ('service' in command)
    words.push(formatServiceKey('key' in command.service ? command.service.key : command.service));
  if ('key' in command && command.key !== undefined) words.push(formatServiceKey(command.key));
  if ('destination' in command) words.push(keyOf(command.destination));
  return words.join(' ');
}
