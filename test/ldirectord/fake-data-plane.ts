/** A data plane that is nothing but a table: the errors of the kernel, no traffic. */
import type { Answer, Command, CommandName } from '../../src/model/commands.ts';
import type { Capabilities, DataPlane } from '../../src/model/data-plane.ts';
import type { DestinationKey, DestinationSpec } from '../../src/model/destination.ts';
import { IpvsError } from '../../src/model/errors.ts';
import {
  formatEndpoint,
  formatServiceKey,
  isMarkKey,
  type ServiceKey,
  type ServiceSpec,
  type ServiceStatus,
} from '../../src/model/service.ts';

const STATISTICS = { connections: 0, inPackets: 0, outPackets: 0, inBytes: 0, outBytes: 0 };
const RATES = {
  connectionsPerSecond: 0,
  inPacketsPerSecond: 0,
  outPacketsPerSecond: 0,
  inBytesPerSecond: 0,
  outBytesPerSecond: 0,
};
const METHOD_NAMES: Record<string, string> = { masquerade: 'Masq', direct: 'Route', tunnel: 'Tunnel' };

interface Row {
  spec: ServiceSpec;
  /** Newest first. */
  destinations: DestinationSpec[];
}

export class FakeDataPlane implements DataPlane {
  readonly capabilities = {} as Capabilities;
  readonly #rows = new Map<string, Row>();
  /** Every changing command, in order. */
  readonly commands: Command[] = [];
  /** While true nothing answers, as when the daemon is away. */
  away = false;
  pageSize = 2;
  refuse: (command: Command) => IpvsError | null = () => null;
  /** Awaited before each command. */
  before: (command: Command) => Promise<void> = () => Promise.resolve();
  /** Active connections of servers, by `address:port`. */
  readonly connections = new Map<string, number>();

  async execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>> {
    await this.before(command as Command);
    if (this.away) throw new IpvsError('ENOPROTOOPT', 'nobody answers');
    const refusal = this.refuse(command as Command);
    if (refusal !== null) throw refusal;
    return this.#answer(command as Command) as Answer<N>;
  }

  watch(): () => void {
    return () => {};
  }

  async close(): Promise<void> {}

  /** As after a restart of the daemon. */
  lose(): void {
    this.#rows.clear();
  }

  /** `ipvsadm -L -n` without its heading, addresses in order. */
  listing(): string[] {
    const lines: string[] = [];
    for (const { spec, destinations } of this.#rows.values()) {
      const { key } = spec;
      const name = isMarkKey(key)
        ? `FWM  ${key.mark}`
        : `${key.protocol.toUpperCase().padEnd(4)} ${formatEndpoint(key.address, key.port)}`;
      lines.push(`${name} ${spec.scheduler}`);
      const sorted = [...destinations].sort((a, b) => formatEndpoint(a.address, a.port).localeCompare(b.address));
      const rows = sorted.map((each) => {
        const server = formatEndpoint(each.address, each.port).padEnd(28);
        return `  -> ${server} ${METHOD_NAMES[each.method].padEnd(7)} ${String(each.weight).padEnd(6)} 0          0`;
      });
      lines.push(...rows.sort());
    }
    return lines;
  }

  #answer(command: Command): unknown {
    switch (command.name) {
      case 'info':
        return { version: '1.2.1', connectionTableSize: 4096 };
      case 'getService':
        return status(this.#row(command.key), this.connections);
      case 'listServices':
        return this.#page(Number(command.cursor ?? 0));
    }
    this.commands.push(command);
    switch (command.name) {
      case 'addService': {
        const id = formatServiceKey(command.service.key);
        if (this.#rows.has(id)) throw new IpvsError('EEXIST', `service ${id} is already defined`);
        this.#rows.set(id, { spec: command.service, destinations: [] });
        return null;
      }
      case 'editService':
        this.#row(command.service.key).spec = command.service;
        return null;
      case 'deleteService':
        this.#row(command.key);
        this.#rows.delete(formatServiceKey(command.key));
        return null;
      case 'addDestination': {
        const { destinations } = this.#row(command.service);
        if (destinations.some((each) => same(each, command.destination)))
          throw new IpvsError('EEXIST', 'already there');
        destinations.unshift(command.destination);
        return null;
      }
      case 'editDestination':
      case 'deleteDestination': {
        const row = this.#row(command.service);
        const at = row.destinations.findIndex((each) => same(each, command.destination));
        if (at < 0) throw new IpvsError('ENOENT', 'no such destination');
        if (command.name === 'editDestination') row.destinations[at] = command.destination;
        else row.destinations.splice(at, 1);
        return null;
      }
      default:
        throw new IpvsError('EOPNOTSUPP', command.name);
    }
  }

  #row(key: ServiceKey): Row {
    const row = this.#rows.get(formatServiceKey(key));
    if (row === undefined) throw new IpvsError('ESRCH', 'no such service');
    return row;
  }

  #page(at: number): unknown {
    const all = [...this.#rows.values()].map((row) => status(row, this.connections));
    const end = at + this.pageSize;
    return { items: all.slice(at, end), next: end < all.length ? String(end) : null };
  }
}

function same(left: DestinationKey, right: DestinationKey): boolean {
  return left.address === right.address && left.port === right.port;
}

function status({ spec, destinations }: Row, connections: ReadonlyMap<string, number>): ServiceStatus {
  return {
    spec,
    statistics: STATISTICS,
    rates: RATES,
    destinations: destinations.map((each) => ({
      spec: each,
      activeConnections: connections.get(formatEndpoint(each.address, each.port)) ?? 0,
      inactiveConnections: 0,
      persistentConnections: 0,
      statistics: STATISTICS,
      rates: RATES,
    })),
  };
}
