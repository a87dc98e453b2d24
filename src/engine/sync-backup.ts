/** The backup: makes connections of what a master tells. The engine does the work on its table, by `SyncTable`. */
import type { Destination } from '../balance/destination.ts';
import type { ServiceTable } from '../balance/service-table.ts';
import { TICKS_PER_SECOND } from '../model/settings.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import { SYNC_FLAGS_SEQUENCE, SyncConnection } from '../wire/sync-message.ts';
import { SYNC_CONNECTION, SYNC_END, SyncMessageReader } from '../wire/sync-message-reader.ts';
import { ConnectionFlag, METHOD_MASQUERADE } from './connection.ts';
import { SCTP_STATE_NAMES } from './protocols/sctp-states.ts';
import { TCP_STATE_NAMES } from './protocols/tcp-states.ts';

/** What the backup asks of the engine; connections by row, -1 for none. */
export interface SyncTable {
  hasEngine(name: string): boolean;
  /** Ticks of a protocol's state; 0: the protocol has no timeouts. */
  timeoutTicks(protocol: number, state: number): number;
  /** As a packet from this client would find it. */
  findConnection(connection: SyncConnection): number;
  /** By client network, virtual endpoint or mark, and engine data if there is any. */
  findTemplate(connection: SyncConnection): number;
  /** The row's server has the address and port of `connection`. */
  leadsTo(row: number, connection: SyncConnection): boolean;
  expireNow(row: number): void;
  flagsOf(row: number): number;
  /**
   * Gives the row new flags. When INACTIVE changes and the row has a destination and is no template, it moves from
   * one of the destination's counters to the other; when it has no destination, it is bound to one if there is one
   * by now (as for `create`).
   */
  renew(row: number, flags: number, connection: SyncConnection): void;
  /**
   * Makes a connection or template, bound to `findSyncDestination(...)` with `boundFlags(...)` if there is one, and
   * counted there by its flags, else with `flags` as they are and counted nowhere; it does not count as a new
   * connection. -1: the table is full.
   */
  create(connection: SyncConnection, flags: number): number;
  /**
   * Sets state and last told state to `connection.state`, the timeout, and the packets to `sync_threshold`; takes over
   * the sequences if `hasSequences`; restarts the timer.
   */
  settle(row: number, connection: SyncConnection, timeoutTicks: number): void;
}

/** Bits that a message changes in a connection that is there already. */
const RENEWED_FLAGS = ConnectionFlag.INACTIVE | SYNC_FLAGS_SEQUENCE;
/** When neither the message nor the protocol says. */
const TIMEOUT_SECONDS_DEFAULT = 180;
/** The longest time that 32 bits of milliseconds can show. */
const TIMEOUT_TICKS_MAX = Math.floor((2 ** 32 - 1000) / (1000 / TICKS_PER_SECOND));

const PROTOCOL_ESP = 50;
const PROTOCOL_AH = 51;
const STATE_COUNTS: Readonly<Record<number, number>> = {
  [PROTOCOL_TCP]: TCP_STATE_NAMES.length,
  [PROTOCOL_UDP]: 1,
  [PROTOCOL_SCTP]: SCTP_STATE_NAMES.length,
  [PROTOCOL_ESP]: 1,
  [PROTOCOL_AH]: 1,
};

const reader = new SyncMessageReader();
const connection = new SyncConnection();

/**
 * Takes in the datagram `[at, end)` and answers how many connections came of it. `syncId`: ours, 0 to hear every
 * master. Nothing in the datagram can do harm: what is malformed ends the reading, what is unknown is left out.
 */
export function receiveSyncMessage(
  bytes: Uint8Array,
  at: number,
  end: number,
  syncId: number,
  table: SyncTable,
): number {
  let taken = 0;
  if (!reader.open(bytes, at, end, syncId)) return taken;
  for (let answer = reader.next(connection); answer !== SYNC_END; answer = reader.next(connection)) {
    if (answer === SYNC_CONNECTION && takeOver(connection, table)) taken++;
  }
  return taken;
}

function takeOver(connection: SyncConnection, table: SyncTable): boolean {
  const flags = connection.flags | ConnectionFlag.SYNC;
  const isTemplate = (flags & ConnectionFlag.TEMPLATE) !== 0;
  const { protocol, state, engineData, engineName } = connection;
  if (!isTemplate && state >= (STATE_COUNTS[protocol] ?? 0)) return false;
  if (engineData.length > 0 && (engineName === '' || !table.hasEngine(engineName))) return false;

  let row = isTemplate ? table.findTemplate(connection) : table.findConnection(connection);
  if (row >= 0 && !isTemplate && !table.leadsTo(row, connection)) {
    // Late news of a connection that was replaced here since.
    if ((flags & ConnectionFlag.INACTIVE) !== 0) return false;
    table.expireNow(row);
    row = -1;
  }
  if (row >= 0) {
    const kept = table.flagsOf(row) & ~RENEWED_FLAGS;
    table.renew(row, kept | (flags & RENEWED_FLAGS), connection);
  } else {
    // A one-packet connection ends with its packet: there is nothing to take over.
    if ((flags & ConnectionFlag.ONE_PACKET) !== 0) return false;
    row = table.create(connection, flags);
    if (row < 0) return false;
  }
  table.settle(row, connection, timeoutTicksOf(connection, isTemplate, table));
  return true;
}

function timeoutTicksOf(connection: SyncConnection, isTemplate: boolean, table: SyncTable): number {
  const { timeoutSeconds, protocol, state } = connection;
  if (timeoutSeconds !== 0) return Math.min(timeoutSeconds * TICKS_PER_SECOND, TIMEOUT_TICKS_MAX);
  const ticks = isTemplate ? 0 : table.timeoutTicks(protocol, state);
  return ticks !== 0 ? ticks : TIMEOUT_SECONDS_DEFAULT * TICKS_PER_SECOND;
}

/** The destination that `connection` belongs to by the services here, or `null`. */
export function findSyncDestination(services: ServiceTable, connection: SyncConnection): Destination | null {
  const { ipv6, mark, protocol, virtualPort, destinationPort } = connection;
  const [v0, v1, v2, v3] = connection.virtual as unknown as [number, number, number, number];
  const service = services.findService(mark, ipv6, protocol, v0, v1, v2, v3, virtualPort);
  if (service === null) return null;
  const [d0, d1, d2, d3] = connection.destination as unknown as [number, number, number, number];
  // Without NAT a service by mark leaves the port alone, whatever its destination says.
  const isMasquerade = (connection.flags & ConnectionFlag.METHOD_MASK) === METHOD_MASQUERADE;
  const port = mark !== 0 && !isMasquerade ? 0 : destinationPort;
  return (
    service.findDestination(ipv6, d0, d1, d2, d3, port) ??
    service.findDestination(ipv6, d0, d1, d2, d3, port === 0 ? destinationPort : 0)
  );
}

/**
 * Flags of a connection from a message that is bound to a destination with this forwarding method (by number): the
 * method is the destination's, not the message's; templates always count as inactive.
 */
export function boundFlags(flags: number, method: number): number {
  const bare = flags & ~(ConnectionFlag.METHOD_MASK | ConnectionFlag.NO_OUTPUT);
  const noOutput = method === METHOD_MASQUERADE ? 0 : ConnectionFlag.NO_OUTPUT;
  const inactive = (flags & ConnectionFlag.TEMPLATE) !== 0 ? ConnectionFlag.INACTIVE : 0;
  return bare | method | noOutput | inactive;
}
