/**
 * Connections that a fast path carries for the engine: handed over, settled, taken back. What the fast path has
 * carried is added where each packet would have been counted, and the timer runs from the last of them, so nobody who
 * asks can tell the difference. Everything that may change what becomes of their packets takes them back first.
 */
import type { FastPath, FlowCounts } from '../wire/fast-path.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import { ConnectionFlag, FLAGS, KIND, METHOD_MASQUERADE, PACKETS, ROW_SHIFT, STATE } from './connection.ts';
import type { EngineContext } from './context.ts';
import { belongsTo, waysToHandOver } from './fast-offer.ts';
import { FlowDraft } from './flow-draft.ts';
import { restartTimerSince } from './lifetime.ts';
import type { Neighbor } from './neighbor.ts';
import type { Packet } from './packet.ts';
import { TCP_ESTABLISHED } from './protocols/tcp-states.ts';
import { addInbound, addOutbound } from './statistics.ts';
import { assure } from './transition.ts';
import { TRANSMIT, type Verdict } from './verdict.ts';

/** A connection is offered at every so many packets of its client: short ones are not worth the trouble. */
export const OFFER_PACKETS = 16;
/** Each connection is settled about as often. */
const SWEEP_MS = 1000;
const ADVANCE_MS = 100;
/** One that carried nothing for so long makes room for others. */
export const FAST_IDLE_MS = 10_000;

const NO_FLOW = -1;
const NOT_USED = -1;

/** What is known of a handed-over connection beside its row. */
interface FastConnection {
  readonly row: number;
  readonly inbound: number;
  /** NO_FLOW: replies are not handed over. */
  readonly outbound: number;
  readonly server: Hop;
  readonly client: Hop | null;
  /** When a packet was carried last. */
  carriedMs: number;
  /** Place among all. */
  index: number;
}

/** A next hop, how often it had changed when flows were made with its MAC, and when they used it, if not known yet. */
interface Hop {
  readonly neighbor: Neighbor;
  readonly changes: number;
  usedMs: number;
}

export class FastFlows {
  readonly #context: EngineContext;
  readonly #fastPath: FastPath;
  readonly #byRow = new Map<number, FastConnection>();
  readonly #all: FastConnection[] = [];
  readonly #draft = new FlowDraft();
  readonly #counts: FlowCounts = { packets: 0, bytes: 0, lastMs: 0 };
  #isAllowed = true;
  #neighborChanges = 0;
  #next = 0;
  #sweptMs = 0;
  /** Connections that the sweep owes, below one. */
  #debt = 0;
  /** Carried since the engine was made. */
  packets = 0;
  bytes = 0;

  constructor(context: EngineContext, fastPath: FastPath) {
    this.#context = context;
    this.#fastPath = fastPath;
  }

  /** Connections that are handed over now. */
  get count(): number {
    return this.#all.length;
  }

  /** False: everything comes back, and nothing is handed over any more. */
  allow(allowed: boolean): void {
    this.#isAllowed = allowed;
    if (!allowed) this.takeAllBack();
  }

  /** `packet` of the client of connection `row` went through the engine: it may be time to hand over, or to take back. */
  afterRequest(row: number, packet: Packet, verdict: Verdict): void {
    const { rows } = this.#context.connections;
    const base = row << ROW_SHIFT;
    if (((rows[base + FLAGS] as number) & ConnectionFlag.FAST) !== 0) this.#watchState(row);
    else if (verdict === TRANSMIT && (rows[base + PACKETS] as number) % OFFER_PACKETS === 0) this.#offer(row, packet);
  }

  /** A packet of its server. The first one of a connection that had none so far brings it back, to be offered whole. */
  afterReply(row: number): void {
    const flags = this.#context.connections.rows[(row << ROW_SHIFT) + FLAGS] as number;
    if ((flags & ConnectionFlag.FAST) === 0) return;
    const isMasquerade = (flags & ConnectionFlag.METHOD_MASK) === METHOD_MASQUERADE;
    if (isMasquerade && this.#byRow.get(row)?.outbound === NO_FLOW) this.takeBack(row);
    else this.#watchState(row);
  }

  /** Adds what was carried for this connection so far. */
  settle(row: number): void {
    const connection = this.#byRow.get(row);
    if (connection !== undefined) this.#settle(connection);
  }

  settleAll(): void {
    for (const connection of this.#all) this.#settle(connection);
  }

  takeBack(row: number): void {
    const connection = this.#byRow.get(row);
    if (connection !== undefined) this.#takeBack(connection);
  }

  takeAllBack(): void {
    for (let last = this.#all.at(-1); last !== undefined; last = this.#all.at(-1)) this.#takeBack(last);
  }

  /** Before connection `row` is entered in the table: what it will be found for instead of others comes back. */
  makeWay(row: number): void {
    if (this.#all.length === 0) return;
    const { connections } = this.#context;
    const draft = this.#draft;
    draft.fillReply(connections, row);
    this.takeBack(connections.findOutbound(draft));
    this.takeBack(connections.findLocal(draft));
    this.takeBack(connections.findInbound(draft));
  }

  /** Some of the sweep's work: settles, keeps next hops known, gives back who is silent. */
  advance(): void {
    this.watchNeighbors();
    const { nowMs } = this.#context;
    this.#debt += (this.#all.length * (nowMs - this.#sweptMs)) / SWEEP_MS;
    this.#sweptMs = nowMs;
    let portion = Math.min(Math.floor(this.#debt), this.#all.length);
    this.#debt -= Math.floor(this.#debt);
    for (; portion > 0; portion--) {
      if (this.#next >= this.#all.length) this.#next = 0;
      const connection = this.#all[this.#next] as FastConnection;
      this.#settle(connection);
      this.#refresh(connection.server);
      if (connection.client !== null) this.#refresh(connection.client);
      // The last one takes the place of one that goes.
      if (nowMs - connection.carriedMs >= FAST_IDLE_MS) this.#takeBack(connection);
      else this.#next++;
    }
  }

  nextDeadlineMs(): number {
    return this.#all.length > 0 ? this.#context.nowMs + ADVANCE_MS : Number.POSITIVE_INFINITY;
  }

  /** Flows carry MAC addresses: those of a hop that has another one now, or none, come back. */
  watchNeighbors(): void {
    const { changes } = this.#context.neighbors;
    if (changes === this.#neighborChanges) return;
    this.#neighborChanges = changes;
    // From the end: the last one takes the place of one that goes.
    for (let index = this.#all.length - 1; index >= 0; index--) {
      const connection = this.#all[index] as FastConnection;
      const { server, client } = connection;
      if (hasChanged(server) || (client !== null && hasChanged(client))) this.#takeBack(connection);
    }
  }

  /** A packet that moved the state ends what was decided once and for all. */
  #watchState(row: number): void {
    const { rows } = this.#context.connections;
    const base = row << ROW_SHIFT;
    if (((rows[base + KIND] as number) & 0xff) !== PROTOCOL_TCP) return;
    if (rows[base + STATE] !== TCP_ESTABLISHED) this.takeBack(row);
  }

  #offer(row: number, packet: Packet): void {
    const context = this.#context;
    const ways = this.#isAllowed ? waysToHandOver(context, row, packet) : null;
    if (ways === null) return;
    const { connections, nowMs } = context;
    const draft = this.#draft;
    let outbound = NO_FLOW;
    if (ways.client !== null) {
      draft.fillOutbound(connections, row, ways.client);
      if (!belongsTo(context, row, draft)) return;
      outbound = this.#fastPath.add(draft);
      if (outbound < 0) return;
    }
    draft.fillInbound(connections, row, ways.server);
    const inbound = this.#fastPath.add(draft);
    const connection: FastConnection = {
      row,
      inbound: inbound < 0 ? NO_FLOW : inbound,
      outbound,
      server: hopTo(ways.server.neighbor as Neighbor),
      client: ways.client === null ? null : hopTo(ways.client.neighbor as Neighbor),
      carriedMs: nowMs,
      index: this.#all.length,
    };
    if (this.#all.length === 0) this.#sweptMs = nowMs;
    this.#all.push(connection);
    this.#byRow.set(row, connection);
    const at = (row << ROW_SHIFT) + FLAGS;
    connections.rows[at] = (connections.rows[at] as number) | ConnectionFlag.FAST;
    // One direction alone is not handed over; what it may have carried meanwhile counts.
    if (inbound < 0) this.#takeBack(connection);
  }

  #settle(connection: FastConnection): void {
    const context = this.#context;
    const { row, inbound, outbound, server, client } = connection;
    const { rows } = context.connections;
    const base = row << ROW_SHIFT;
    const before = connection.carriedMs;
    if (this.#take(connection, inbound, server)) {
      const { packets, bytes } = this.#counts;
      addInbound(context, row, packets, bytes);
      rows[base + PACKETS] = (rows[base + PACKETS] as number) + packets;
    }
    if (client !== null && this.#take(connection, outbound, client)) {
      const { packets, bytes } = this.#counts;
      addOutbound(context, row, packets, bytes);
      if (((rows[base + KIND] as number) & 0xff) === PROTOCOL_UDP) assure(rows, base);
    }
    if (connection.carriedMs > before) restartTimerSince(context, row, context.tickOf(connection.carriedMs));
  }

  /** True: `#counts` says what `flow` has carried, towards `hop`. */
  #take(connection: FastConnection, flow: number, hop: Hop): boolean {
    const counts = this.#counts;
    if (flow === NO_FLOW || !this.#fastPath.take(flow, counts)) return false;
    const { packets, bytes } = counts;
    this.packets += packets;
    this.bytes += bytes;
    this.#context.verdictCounts[TRANSMIT]! += packets;
    hop.usedMs = counts.lastMs;
    connection.carriedMs = Math.max(connection.carriedMs, counts.lastMs);
    return true;
  }

  #takeBack(connection: FastConnection): void {
    const { row, inbound, outbound, index } = connection;
    if (inbound !== NO_FLOW) this.#fastPath.remove(inbound);
    if (outbound !== NO_FLOW) this.#fastPath.remove(outbound);
    this.#settle(connection);
    const last = this.#all.pop() as FastConnection;
    if (last !== connection) {
      this.#all[index] = last;
      last.index = index;
    }
    this.#byRow.delete(row);
    const { rows } = this.#context.connections;
    const at = (row << ROW_SHIFT) + FLAGS;
    rows[at] = (rows[at] as number) & ~ConnectionFlag.FAST;
  }

  /** A hop in use is asked again from time to time, as every packet through the engine would. */
  #refresh(hop: Hop): void {
    if (hop.usedMs === NOT_USED) return;
    this.#context.neighbors.refresh(this.#context, hop.neighbor, hop.usedMs);
    hop.usedMs = NOT_USED;
  }
}

function hopTo(neighbor: Neighbor): Hop {
  return { neighbor, changes: neighbor.changes, usedMs: NOT_USED };
}

function hasChanged({ neighbor, changes }: Hop): boolean {
  return neighbor.changes !== changes;
}
