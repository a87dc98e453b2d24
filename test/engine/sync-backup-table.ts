/** A connection table of objects behind `SyncTable`, as much of one as the backup's recordings need. */
import type { Destination } from '../../src/balance/destination.ts';
import type { ServiceTable } from '../../src/balance/service-table.ts';
import { ConnectionFlag, METHOD_DIRECT, METHOD_MASQUERADE, METHOD_TUNNEL } from '../../src/engine/connection.ts';
import { SCTP_STATE_NAMES } from '../../src/engine/protocols/sctp-states.ts';
import { TCP_STATE_NAMES, TCP_TIMEOUT_SECONDS } from '../../src/engine/protocols/tcp-states.ts';
import { boundFlags, findSyncDestination, type SyncTable } from '../../src/engine/sync-backup.ts';
import type { SyncConnection } from '../../src/wire/sync-message.ts';

const TICKS_PER_SECOND = 250;
const PROTOCOLS: Readonly<Record<number, string>> = { 0: 'IP', 6: 'TCP', 17: 'UDP', 132: 'SCTP' };
const METHODS: Readonly<Record<string, [number: number, listed: string]>> = {
  masquerade: [METHOD_MASQUERADE, 'Masq'],
  direct: [METHOD_DIRECT, 'Route'],
  tunnel: [METHOD_TUNNEL, 'Tunnel'],
};

interface Entry {
  /** Family, protocol and endpoints of client and virtual service; templates have their engine's data behind it. */
  readonly key: string;
  readonly serverKey: string;
  readonly line: string;
  readonly protocol: number;
  flags: number;
  state: number;
  destination: Destination | null;
  expiresTick: number;
  readonly engine: string;
}

export class BackupOfRecording implements SyncTable {
  readonly #services: ServiceTable;
  readonly #entries: (Entry | null)[] = [];
  #nowTick = 0;

  constructor(services: ServiceTable) {
    this.#services = services;
  }

  advance(nowMs: number): void {
    this.#nowTick = Math.floor((nowMs * TICKS_PER_SECOND) / 1000);
    for (const [row, entry] of this.#entries.entries()) {
      if (entry !== null && entry.expiresTick <= this.#nowTick) this.expireNow(row);
    }
  }

  hasEngine(name: string): boolean {
    return name === 'sip';
  }

  timeoutTicks(protocol: number, state: number): number {
    const seconds = protocol === 6 ? TCP_TIMEOUT_SECONDS[state] : protocol === 17 ? 300 : 0;
    return (seconds as number) * TICKS_PER_SECOND;
  }

  findConnection(connection: SyncConnection): number {
    return this.#find(keyOf(connection), false);
  }

  findTemplate(connection: SyncConnection): number {
    return this.#find(keyOf(connection) + engineOf(connection), true);
  }

  #find(key: string, template: boolean): number {
    return this.#entries.findIndex(
      (entry) => entry?.key === key && ((entry.flags & ConnectionFlag.TEMPLATE) !== 0) === template,
    );
  }

  leadsTo(row: number, connection: SyncConnection): boolean {
    return this.#at(row).serverKey === serverKeyOf(connection);
  }

  expireNow(row: number): void {
    const { destination, flags } = this.#at(row);
    this.#entries[row] = null;
    destination?.unbind((flags & ConnectionFlag.INACTIVE) !== 0, (flags & ConnectionFlag.TEMPLATE) !== 0);
  }

  flagsOf(row: number): number {
    return this.#at(row).flags;
  }

  renew(row: number, flags: number, connection: SyncConnection): void {
    const entry = this.#at(row);
    const inactive = (flags & ConnectionFlag.INACTIVE) !== 0;
    const changed = ((entry.flags ^ flags) & ConnectionFlag.INACTIVE) !== 0;
    if (changed && (flags & ConnectionFlag.TEMPLATE) === 0) entry.destination?.setInactive(inactive);
    entry.flags = flags;
    if (entry.destination === null) this.#bind(entry, connection);
  }

  create(connection: SyncConnection, flags: number): number {
    const template = (flags & ConnectionFlag.TEMPLATE) !== 0;
    const entry: Entry = {
      key: keyOf(connection) + (template ? engineOf(connection) : ''),
      serverKey: serverKeyOf(connection),
      line: lineOf(connection),
      protocol: connection.protocol,
      flags,
      state: 0,
      destination: null,
      expiresTick: 0,
      engine: template ? engineOf(connection) : '',
    };
    this.#bind(entry, connection);
    return this.#entries.push(entry) - 1;
  }

  #bind(entry: Entry, connection: SyncConnection): void {
    const destination = findSyncDestination(this.#services, connection);
    if (destination === null) return;
    entry.destination = destination;
    entry.flags = boundFlags(entry.flags, (METHODS[destination.method] as [number, string])[0]);
    destination.bind((entry.flags & ConnectionFlag.INACTIVE) !== 0, (entry.flags & ConnectionFlag.TEMPLATE) !== 0);
  }

  settle(row: number, connection: SyncConnection, timeoutTicks: number): void {
    const entry = this.#at(row);
    entry.state = connection.state;
    entry.expiresTick = this.#nowTick + timeoutTicks;
  }

  /** As in /proc/net/ip_vs_conn. */
  lines(): string[] {
    return this.#entries
      .filter((entry) => entry !== null)
      .map((entry) => {
        const seconds = Math.floor((entry.expiresTick - this.#nowTick) / TICKS_PER_SECOND);
        return `${entry.line} ${stateOf(entry)} ${seconds}${entry.engine}`;
      });
  }

  flags(): number[] {
    return this.#entries.filter((entry) => entry !== null).map((entry) => entry.flags);
  }

  /** Server to method, active and inactive connections. */
  counts(): Record<string, [string, number, number]> {
    const all: Record<string, [string, number, number]> = {};
    for (const { address, port, method, activeConnections, inactiveConnections } of this.#destinations()) {
      const host = address.includes(':') ? `[${address}]` : address;
      all[`${host}:${port}`] = [(METHODS[method] as [number, string])[1], activeConnections, inactiveConnections];
    }
    return all;
  }

  #destinations(): readonly Destination[] {
    return this.#services.services().flatMap(({ destinations }) => destinations);
  }

  /** What the entries say that their destinations must have counted. */
  bound(): { active: number; inactive: number; persistent: number } {
    const result = { active: 0, inactive: 0, persistent: 0 };
    for (const entry of this.#entries) {
      if (entry === null || entry.destination === null) continue;
      if ((entry.flags & ConnectionFlag.TEMPLATE) !== 0) result.persistent++;
      else if ((entry.flags & ConnectionFlag.INACTIVE) !== 0) result.inactive++;
      else result.active++;
    }
    return result;
  }

  #at(row: number): Entry {
    return this.#entries[row] as Entry;
  }
}

function stateOf({ flags, protocol, state }: Entry): string {
  if ((flags & ConnectionFlag.TEMPLATE) !== 0) return ['NONE', 'ASSURED'][state] ?? 'ERR!';
  if (protocol === 6) return TCP_STATE_NAMES[state] as string;
  return protocol === 17 ? 'UDP' : protocol === 132 ? (SCTP_STATE_NAMES[state] as string) : 'NONE';
}

const hex = (number: number, digits: number) => (number >>> 0).toString(16).padStart(digits, '0');
const port = (number: number) => hex(number, 4).toUpperCase();

function address(ipv6: boolean, words: Int32Array): string {
  if (!ipv6) return hex(words[3] as number, 8).toUpperCase();
  const digits = Array.from(words, (word) => hex(word, 8)).join('');
  return (digits.match(/.{4}/g) as string[]).join(':');
}

function keyOf({ ipv6, protocol, client, clientPort, virtual, virtualPort }: SyncConnection): string {
  return `${PROTOCOLS[protocol] ?? protocol} ${address(ipv6, client)} ${port(clientPort)} ${address(ipv6, virtual)} ${port(virtualPort)}`;
}

function serverKeyOf({ ipv6, destination, destinationPort }: SyncConnection): string {
  return `${address(ipv6, destination)} ${port(destinationPort)}`;
}

function lineOf(connection: SyncConnection): string {
  return `${keyOf(connection)} ${serverKeyOf(connection)}`;
}

function engineOf({ engineData, engineName }: SyncConnection): string {
  return engineData.length === 0 ? '' : ` ${engineName} ${Buffer.from(engineData).toString('latin1')}`;
}
