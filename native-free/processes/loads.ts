/** What processes that share the ports of a proxy tell each other about the servers: what was counted, and the load. */
import type { Destination } from '../../src/balance/destination.ts';
import type { ServiceTable } from '../../src/balance/service-table.ts';
import { formatEndpoint, formatServiceKey } from '../../src/model/service.ts';
import type { Statistics } from '../../src/model/statistics.ts';

/** One server of one service. */
export interface Load {
  readonly name: string;
  readonly active: number;
  readonly inactive: number;
}

export interface CountedLoad extends Load {
  /** Since the process began. */
  readonly counted: Statistics;
}

/** Servers by the names of service and server, in table order. */
function byName(table: ServiceTable): Map<string, Destination> {
  const found = new Map<string, Destination>();
  for (const service of table.services()) {
    const prefix = formatServiceKey(service.key);
    for (const destination of service.destinations) {
      found.set(`${prefix} ${formatEndpoint(destination.address, destination.port)}`, destination);
    }
  }
  return found;
}

/** The load that others carry, as it was last told, within the table of this process. */
export class ForeignLoads {
  readonly #table: ServiceTable;
  #known = new Map<Destination, { readonly active: number; readonly inactive: number }>();

  constructor(table: ServiceTable) {
    this.#table = table;
  }

  /** Takes the place of what was told before; what is not named any more is no load. */
  set(loads: readonly Load[]): void {
    const servers = byName(this.#table);
    const before = this.#known;
    this.#known = new Map();
    for (const { name, active, inactive } of loads) {
      const destination = servers.get(name);
      if (destination === undefined) continue;
      const was = before.get(destination);
      before.delete(destination);
      destination.shift(active - (was?.active ?? 0), inactive - (was?.inactive ?? 0));
      this.#known.set(destination, { active, inactive });
    }
    for (const [destination, { active, inactive }] of before) destination.shift(-active, -inactive);
  }

  of(destination: Destination): { readonly active: number; readonly inactive: number } {
    return this.#known.get(destination) ?? NOTHING;
  }
}

const NOTHING = { active: 0, inactive: 0 };

/** What this process itself counts and carries. */
export function ownLoads(table: ServiceTable, foreign: ForeignLoads): CountedLoad[] {
  return [...byName(table)].map(([name, destination]) => {
    const { active, inactive } = foreign.of(destination);
    return {
      name,
      active: destination.activeConnections - active,
      inactive: destination.inactiveConnections - inactive,
      counted: destination.counters.counted(),
    };
  });
}

/** Adds what another process has counted since it was last asked to the counters of this one. */
export class ForeignCounters {
  readonly #table: ServiceTable;
  #before = new Map<string, Statistics>();

  constructor(table: ServiceTable) {
    this.#table = table;
  }

  set(loads: readonly CountedLoad[]): void {
    const servers = byName(this.#table);
    const before = this.#before;
    this.#before = new Map();
    for (const { name, counted } of loads) {
      this.#before.set(name, counted);
      const destination = servers.get(name);
      if (destination === undefined) continue;
      const since = difference(counted, before.get(name));
      destination.counters.add(since);
      destination.service.counters.add(since);
      this.#table.totals.add(since);
    }
  }
}

/** A server that was deleted and added again begins anew. */
function difference(now: Statistics, before: Statistics | undefined): Statistics {
  if (before === undefined || now.connections < before.connections || now.inBytes < before.inBytes) return now;
  return {
    connections: now.connections - before.connections,
    inPackets: now.inPackets - before.inPackets,
    outPackets: now.outPackets - before.outPackets,
    inBytes: now.inBytes - before.inBytes,
    outBytes: now.outBytes - before.outBytes,
  };
}
