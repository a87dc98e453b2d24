/**
 * A data plane without traffic: services, destinations, timeouts and sync daemons with the kernel's rules of refusal.
 * Counters are what a test puts there.
 */

import type { CommandOutcome, IpvsadmTable } from '../../src/ipvsadm/io.ts';
import type { Answer, Command, CommandName, SyncDaemonSpec } from '../../src/model/commands.ts';
import type { ConnectionStatus } from '../../src/model/connection-status.ts';
import type { DestinationKey, DestinationSpec, DestinationStatus } from '../../src/model/destination.ts';
import { type ErrorCode, IpvsError } from '../../src/model/errors.ts';
import { PLAIN_TUNNEL } from '../../src/model/forwarding.ts';
import {
  familyOfAddress,
  familyOfService,
  formatServiceKey,
  isMarkKey,
  type ServiceKey,
  type ServiceSpec,
  type ServiceStatus,
} from '../../src/model/service.ts';
import { DEFAULT_TIMEOUTS, type Timeouts } from '../../src/model/settings.ts';
import type { Rates, Statistics } from '../../src/model/statistics.ts';

export const NO_STATISTICS: Statistics = { connections: 0, inPackets: 0, outPackets: 0, inBytes: 0, outBytes: 0 };
export const NO_RATES: Rates = {
  connectionsPerSecond: 0,
  inPacketsPerSecond: 0,
  outPacketsPerSecond: 0,
  inBytesPerSecond: 0,
  outBytesPerSecond: 0,
};
const SCHEDULERS = ['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'dh', 'sh', 'sed', 'nq', 'fo', 'ovf', 'mh', 'none'];

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
export type TestDestination = Mutable<DestinationStatus>;
export type TestService = Mutable<Omit<ServiceStatus, 'destinations'>> & { destinations: TestDestination[] };

export interface TestLink {
  readonly name: string;
  readonly mtu: number;
  /** With prefix lengths: `10.0.0.1/24`. */
  readonly addrs: readonly string[];
}

export class TestTable implements IpvsadmTable {
  /** Newest first, marks behind all others. */
  services: TestService[] = [];
  connections: ConnectionStatus[] = [];
  version = '1.2.1';
  /** Services in one page. */
  pageSize = 256;
  /** Commands that are refused, and with what. */
  readonly refusals = new Map<CommandName, ErrorCode>();
  /** Message length of sync daemons that were not told one, instead of the kernel's rule. */
  syncMaxLength: number | null = null;
  readonly asked: Command[] = [];
  batches = 0;
  closed = false;
  #timeouts: Timeouts = DEFAULT_TIMEOUTS;
  #daemons: SyncDaemonSpec[] = [];
  readonly #links: readonly TestLink[];

  constructor(links: readonly TestLink[] = []) {
    this.#links = [...links, { name: 'lo', mtu: 65_536, addrs: ['127.0.0.1/8', '::1/128'] }];
  }

  async execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>> {
    this.asked.push(command as Command);
    const refusal = this.refusals.get(command.name);
    if (refusal !== undefined) throw new IpvsError(refusal, '');
    return structuredClone(this.#carryOut(command as Command)) as Answer<N>;
  }

  async executeAll(commands: readonly Command[]): Promise<CommandOutcome[]> {
    this.batches++;
    const outcomes: CommandOutcome[] = [];
    for (const command of commands) {
      try {
        outcomes.push({ answer: await this.execute(command) });
      } catch (error) {
        outcomes.push({ error: error as IpvsError });
      }
    }
    return outcomes;
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  #carryOut(command: Command): Answer<CommandName> {
    switch (command.name) {
      case 'info':
        return { version: this.version, connectionTableSize: 4096 };
      case 'addService':
        return this.#addService(command.service);
      case 'editService': {
        const service = this.#find(command.service.key);
        checkService(command.service);
        service.spec = command.service;
        return null;
      }
      case 'deleteService': {
        const service = this.#find(command.key);
        this.services = this.services.filter((other) => other !== service);
        return null;
      }
      case 'flush':
        this.services = [];
        return null;
      case 'addDestination':
        return this.#addDestination(this.#find(command.service), command.destination);
      case 'editDestination': {
        const service = this.#find(command.service);
        this.#checkDestination(service, command.destination);
        findDestination(service, command.destination).spec = command.destination;
        return null;
      }
      case 'deleteDestination': {
        const service = this.#find(command.service);
        const destination = findDestination(service, command.destination);
        service.destinations = service.destinations.filter((other) => other !== destination);
        return null;
      }
      case 'getService':
        return this.#find(command.key);
      case 'listServices': {
        const from = Number(command.cursor ?? 0);
        const to = from + this.pageSize;
        return { items: this.services.slice(from, to), next: to < this.services.length ? String(to) : null };
      }
      case 'listConnections': {
        const from = Number(command.cursor ?? 0);
        const to = from + (command.limit ?? 256);
        return { items: this.connections.slice(from, to), next: to < this.connections.length ? String(to) : null };
      }
      case 'zero': {
        const zeroed = command.key === undefined ? this.services : [this.#find(command.key)];
        for (const status of zeroed.flatMap((service) => [service, ...service.destinations])) {
          status.statistics = NO_STATISTICS;
          status.rates = NO_RATES;
        }
        return null;
      }
      case 'getTimeouts':
        return this.#timeouts;
      case 'setTimeouts': {
        const { tcpSeconds, tcpFinSeconds, udpSeconds } = command.timeouts;
        this.#timeouts = {
          tcpSeconds: tcpSeconds || this.#timeouts.tcpSeconds,
          tcpFinSeconds: tcpFinSeconds || this.#timeouts.tcpFinSeconds,
          udpSeconds: udpSeconds || this.#timeouts.udpSeconds,
        };
        return null;
      }
      case 'listSyncDaemons':
        return { daemons: this.#daemons };
      case 'startSyncDaemon':
        return this.#startSyncDaemon(command.daemon);
      case 'stopSyncDaemon': {
        if (!this.#daemons.some((daemon) => daemon.role === command.role)) refuse('ESRCH');
        this.#daemons = this.#daemons.filter((daemon) => daemon.role !== command.role);
        return null;
      }
      default:
        throw new TypeError(`no test asks for ${command.name}`);
    }
  }

  #find(key: ServiceKey): TestService {
    const wanted = formatServiceKey(key);
    return this.services.find((service) => formatServiceKey(service.spec.key) === wanted) ?? refuse('ESRCH');
  }

  #addService(spec: ServiceSpec): null {
    const wanted = formatServiceKey(spec.key);
    if (this.services.some((service) => formatServiceKey(service.spec.key) === wanted)) refuse('EEXIST');
    checkService(spec);
    const service: TestService = { spec, statistics: NO_STATISTICS, rates: NO_RATES, destinations: [] };
    const firstMarkAt = this.services.findIndex((other) => isMarkKey(other.spec.key));
    if (!isMarkKey(spec.key) || firstMarkAt < 0)
      this.services.splice(isMarkKey(spec.key) ? this.services.length : 0, 0, service);
    else this.services.splice(firstMarkAt, 0, service);
    return null;
  }

  #checkDestination(service: TestService, spec: DestinationSpec): void {
    if (familyOfAddress(spec.address) !== familyOfService(service.spec.key)) {
      if (this.#daemons.length > 0 || spec.method !== 'tunnel') refuse('EINVAL');
    }
    if (spec.lowerThreshold > spec.upperThreshold) refuse('ERANGE');
    if (spec.tunnel.type === 'gue' && spec.tunnel.port === 0) refuse('EINVAL');
  }

  #addDestination(service: TestService, spec: DestinationSpec): null {
    this.#checkDestination(service, spec);
    if (service.destinations.some((other) => sameDestination(other.spec, spec))) refuse('EEXIST');
    if (!this.#isUsable(spec.address)) refuse('EINVAL');
    service.destinations.unshift({
      spec: { ...spec, tunnel: spec.method === 'tunnel' ? spec.tunnel : PLAIN_TUNNEL },
      activeConnections: 0,
      inactiveConnections: 0,
      persistentConnections: 0,
      statistics: NO_STATISTICS,
      rates: NO_RATES,
    });
    return null;
  }

  /** Unicast, or an address of this host. */
  #isUsable(address: string): boolean {
    if (this.#links.some((link) => link.addrs.some((own) => own.startsWith(`${address}/`)))) return true;
    if (familyOfAddress(address) === 'ipv6') return !/^(ff|fe[89ab]|::$)/.test(address);
    return !/^(0\.|22[4-9]\.|23\d\.|255\.255\.255\.255$)/.test(address);
  }

  #startSyncDaemon(spec: SyncDaemonSpec): null {
    const mixed = this.services.some((service) =>
      service.destinations.some((other) => familyOfAddress(other.spec.address) !== familyOfService(service.spec.key)),
    );
    if (mixed) refuse('EINVAL');
    if (this.#daemons.some((daemon) => daemon.role === spec.role)) refuse('EEXIST');
    const link = this.#links.find((other) => other.name === spec.interface) ?? refuse('ENODEV');
    const headerBytes = spec.group.includes(':') ? 48 : 28;
    const backup = spec.role === 'backup';
    const mtu = backup ? Math.min(Math.max(link.mtu, 1500), 65_535) : 1500;
    const chosen = Math.min(Math.max(spec.maxLength, backup ? 1024 : 1), 65_535 - headerBytes);
    const maxLength = spec.maxLength > 0 ? chosen : (this.syncMaxLength ?? mtu - headerBytes);
    this.#daemons.push({ ...spec, maxLength });
    return null;
  }
}

function checkService(spec: ServiceSpec): void {
  if (!SCHEDULERS.includes(spec.scheduler)) refuse('ENOENT');
  if (spec.persistenceEngine !== null && spec.persistenceEngine !== 'sip') refuse('ENOENT');
}

function sameDestination(a: DestinationKey, b: DestinationKey): boolean {
  return a.address === b.address && a.port === b.port;
}

function findDestination(service: TestService, key: DestinationKey): TestDestination {
  return service.destinations.find((destination) => sameDestination(destination.spec, key)) ?? refuse('ENOENT');
}

function refuse(code: ErrorCode): never {
  throw new IpvsError(code, `refused with ${code}`);
}
