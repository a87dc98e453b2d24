/**
 * A data plane that carries no traffic: a table in memory with the error codes of the real one. For tests of
 * whoever speaks to a data plane. Commands can be held back, made to fail, and are written down.
 */
import type { Answer, Command, CommandName, Page } from '../../src/model/commands.ts';
import type { ConnectionStatus } from '../../src/model/connection-status.ts';
import type { Capabilities, DataPlane } from '../../src/model/data-plane.ts';
import type { DestinationKey, DestinationSpec } from '../../src/model/destination.ts';
import { IpvsError, notSupportedYet } from '../../src/model/errors.ts';
import type { DataPlaneEvent } from '../../src/model/events.ts';
import { PLAIN_TUNNEL } from '../../src/model/forwarding.ts';
import { formatEndpoint, formatServiceKey, type ServiceKey, type ServiceSpec } from '../../src/model/service.ts';
import {
  DEFAULT_TIMEOUTS,
  defaultSettings,
  readSetting,
  requireSettingName,
  SETTING_NAMES,
  type Timeouts,
  writeSetting,
} from '../../src/model/settings.ts';
import type { SourceNatReport } from '../../src/model/source-nat-rule.ts';
import type { Rates, Statistics } from '../../src/model/statistics.ts';

export const NO_STATISTICS: Statistics = { connections: 0, inPackets: 0, outPackets: 0, inBytes: 0, outBytes: 0 };
export const NO_RATES: Rates = {
  connectionsPerSecond: 0,
  inPacketsPerSecond: 0,
  outPacketsPerSecond: 0,
  inBytesPerSecond: 0,
  outBytesPerSecond: 0,
};

export function tcpService(address: string, port: number, more: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    key: { protocol: 'tcp', address, port },
    scheduler: 'wlc',
    schedulerFlags: [],
    persistenceTimeoutSeconds: null,
    netmask: '255.255.255.255',
    persistenceEngine: null,
    onePacket: false,
    ...more,
  };
}

export function server(address: string, port: number, more: Partial<DestinationSpec> = {}): DestinationSpec {
  return {
    address,
    port,
    method: 'masquerade',
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    tunnel: PLAIN_TUNNEL,
    ...more,
  };
}

interface Entry {
  spec: ServiceSpec;
  readonly destinations: Map<string, DestinationSpec>;
}

export class FakeDataPlane implements DataPlane {
  readonly capabilities: Capabilities = {
    name: 'fake',
    families: ['ipv4', 'ipv6'],
    protocols: ['tcp', 'udp', 'sctp'],
    methods: ['masquerade', 'direct', 'tunnel', 'local', 'bypass'],
    schedulers: ['wlc', 'rr'],
    fullNat: true,
    persistence: true,
    persistenceEngines: true,
    wildcards: true,
    marks: true,
    sync: false,
  };
  /** Every command that came, in order. */
  readonly commands: Command[] = [];
  connections: ConnectionStatus[] = [];
  /** `null`: it knows nothing of such rules. */
  sourceNat: SourceNatReport | null = null;
  closed = 0;
  watchers = 0;
  pageItems = 2;
  /** Awaited before each command. */
  before: (command: Command) => Promise<void> | void = () => {};
  #frames = 0;
  #timeouts: Timeouts = DEFAULT_TIMEOUTS;
  readonly #settings = defaultSettings();
  readonly #services = new Map<string, Entry>();
  readonly #listeners = new Set<(event: DataPlaneEvent) => void>();

  get services(): number {
    return this.#services.size;
  }

  async execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>> {
    this.commands.push(command as Command);
    await this.before(command as Command);
    return this.#carryOut(command as Command) as Answer<N>;
  }

  watch(listener: (event: DataPlaneEvent) => void): () => void {
    this.#listeners.add(listener);
    this.watchers = this.#listeners.size;
    return () => {
      this.#listeners.delete(listener);
      this.watchers = this.#listeners.size;
    };
  }

  async close(): Promise<void> {
    this.closed++;
  }

  tell(event: DataPlaneEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  #carryOut(command: Command): unknown {
    switch (command.name) {
      case 'info':
        return { version: '1.2.1', connectionTableSize: 4096 };
      case 'addService': {
        const key = formatServiceKey(command.service.key);
        if (this.#services.has(key)) throw new IpvsError('EEXIST', `service ${key} is already defined`);
        this.#services.set(key, { spec: command.service, destinations: new Map() });
        this.tell({ type: 'service-added', service: command.service });
        return null;
      }
      case 'editService': {
        const entry = this.#find(command.service.key);
        const kept = entry.spec.sourceNat === undefined ? {} : { sourceNat: entry.spec.sourceNat };
        entry.spec = { ...kept, ...command.service };
        return null;
      }
      case 'deleteService':
        this.#find(command.key);
        this.#services.delete(formatServiceKey(command.key));
        this.tell({ type: 'service-deleted', key: command.key });
        return null;
      case 'flush':
        this.#services.clear();
        this.tell({ type: 'flushed' });
        return null;
      case 'addDestination':
      case 'editDestination': {
        const { destinations } = this.#find(command.service);
        const key = destinationName(command.destination);
        const there = destinations.has(key);
        if (command.name === 'addDestination' && there) throw new IpvsError('EEXIST', `destination ${key} is there`);
        if (command.name === 'editDestination' && !there) throw new IpvsError('ENOENT', `no destination ${key}`);
        destinations.set(key, command.destination);
        return null;
      }
      case 'deleteDestination':
        if (!this.#find(command.service).destinations.delete(destinationName(command.destination))) {
          throw new IpvsError('ENOENT', `no destination ${destinationName(command.destination)}`);
        }
        return null;
      case 'getService':
        return status(this.#find(command.key));
      case 'listServices':
        return this.#page([...this.#services.values()].map(status), command);
      case 'listConnections':
        return this.#page(this.connections, command);
      case 'zero':
        if (command.key) this.#find(command.key);
        return null;
      case 'getSetting':
        return { value: readSetting(this.#settings, requireSettingName(command.setting)) };
      case 'setSetting':
        writeSetting(this.#settings, requireSettingName(command.setting), command.value);
        return null;
      case 'listSettings':
        return {
          settings: Object.fromEntries(SETTING_NAMES.map((name) => [name, readSetting(this.#settings, name)])),
        };
      case 'getPerCpu':
        return { processors: [{ processor: 0, counted: NO_STATISTICS }] };
      case 'listHelpers':
        return { helpers: [{ name: 'ftp', protocol: 'tcp', port: 21, connections: 2 }] };
      case 'getTotals':
        return { statistics: NO_STATISTICS, rates: NO_RATES };
      case 'getTimeouts':
        return this.#timeouts;
      case 'setTimeouts':
        this.#timeouts = command.timeouts;
        return null;
      case 'getCounters':
        return {
          verdicts: { TRANSMIT: 7 },
          drops: {},
          passes: {},
          connections: this.connections.length,
          connectionsMax: 1024,
        };
      case 'getLinkCounters':
        // As if so many frames had passed since the last time it was asked.
        this.#frames += 1_000;
        return {
          links: [
            {
              link: 'eth0',
              received: this.#frames,
              transmitted: 0,
              receiveDrops: 3,
              transmitErrors: {},
              ring: { waiting: 12, peak: 300, slots: 4096 },
            },
            { link: 'lo', received: 0, transmitted: 9, receiveDrops: 0, transmitErrors: { ENOBUFS: 2 }, ring: null },
          ],
        };
      case 'listSourceNatRules':
        if (this.sourceNat === null) throw notSupportedYet(command.name);
        return this.sourceNat;
      default:
        throw notSupportedYet(command.name);
    }
  }

  #find(key: ServiceKey): Entry {
    const entry = this.#services.get(formatServiceKey(key));
    if (entry === undefined) throw new IpvsError('ESRCH', `there is no service ${formatServiceKey(key)}`);
    return entry;
  }

  #page<T>(all: readonly T[], { cursor, limit }: { cursor?: string; limit?: number }): Page<T> {
    const from = Number(cursor ?? 0);
    const to = from + Math.min(limit ?? this.pageItems, this.pageItems);
    return { items: all.slice(from, to), next: to < all.length ? String(to) : null };
  }
}

function destinationName({ address, port }: DestinationKey): string {
  return formatEndpoint(address, port);
}

function status({ spec, destinations }: Entry): unknown {
  return {
    spec,
    statistics: NO_STATISTICS,
    rates: NO_RATES,
    // Newest first, as the kernel lists them.
    destinations: [...destinations.values()].reverse().map((destination) => ({
      spec: destination,
      activeConnections: 0,
      inactiveConnections: 0,
      persistentConnections: 0,
      statistics: NO_STATISTICS,
      rates: NO_RATES,
    })),
  };
}
