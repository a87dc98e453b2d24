/** Control connections that need help (FTP): their state, and what a packet of one leads to. */
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import { ControlConnection, ControlState, HELPER_DATA_CONNECTION, HELPER_DROP, HelperOutcome } from './apps/helper.ts';
import { findHelper, helpInbound, helpOutbound } from './apps/index.ts';
import type { SequenceShift } from './apps/sequence.ts';
import {
  CLIENT_AND_VIRTUAL_PORT,
  CLIENT0,
  CLIENT3,
  ConnectionFlag,
  DESTINATION,
  DESTINATION_AND_LOCAL_PORT,
  FLAGS,
  KIND,
  KIND_IPV6,
  NO_ROW,
  ROW_SHIFT,
  SERVER0,
  SERVER3,
  STATE,
  TIMEOUT_TICKS,
  VIRTUAL0,
  VIRTUAL3,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import { createDataConnection, control as takeControl } from './create-connection.ts';
import { restartTimer } from './lifetime.ts';
import type { Packet } from './packet.ts';
import { TCP_ESTABLISHED, TCP_LISTEN } from './protocols/tcp-states.ts';

const ends = new ControlConnection();
const outcome = new HelperOutcome();

export class HelperStates {
  readonly #states = new Map<number, ControlState>();

  get connections(): number {
    return this.#states.size;
  }

  of(row: number): ControlState {
    let state = this.#states.get(row);
    if (state === undefined) {
      state = new ControlState();
      this.#states.set(row, state);
    }
    return state;
  }

  forget(row: number): void {
    if (this.#states.size !== 0) this.#states.delete(row);
  }

  /** Takes over what another knows of its row `from`. */
  copyFrom(other: HelperStates, from: number, row: number): void {
    const known = other.#states.get(from);
    if (known === undefined) return;
    const state = this.of(row);
    state.mode = known.mode;
    state.passiveReply = known.passiveReply;
    Object.assign(state.inbound, known.inbound);
    Object.assign(state.outbound, known.outbound);
  }

  /** Requests, then replies: first number, shift, shift before. */
  describeSequences(row: number, into: Int32Array): void {
    const state = this.#states.get(row);
    into.fill(0);
    if (state === undefined) return;
    put(state.inbound, into, 0);
    put(state.outbound, into, 3);
  }

  /** From a synchronisation message. */
  takeSequences(row: number, from: Int32Array, flags: number): void {
    const state = this.of(row);
    get(state.inbound, from, 0, (flags & ConnectionFlag.IN_SEQUENCE) !== 0);
    get(state.outbound, from, 3, (flags & ConnectionFlag.OUT_SEQUENCE) !== 0);
  }
}

function put(shift: SequenceShift, into: Int32Array, at: number): void {
  into[at] = shift.initial;
  into[at + 1] = shift.delta;
  into[at + 2] = shift.previousDelta;
}

function get(shift: SequenceShift, from: Int32Array, at: number, active: boolean): void {
  shift.active = active;
  shift.initial = from[at] as number;
  shift.delta = from[at + 1] as number;
  shift.previousDelta = from[at + 2] as number;
}

/** Before the packet's own addresses are translated. False: drop it. `inbound`: from the client. */
export function help(context: EngineContext, row: number, packet: Packet, inbound: boolean): boolean {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const virtualPort = (rows[base + CLIENT_AND_VIRTUAL_PORT] as number) & 0xffff;
  const helper = findHelper(PROTOCOL_TCP, virtualPort);
  if (helper === null) return true;
  const state = context.helpers.of(row);
  fillEnds(rows, base);
  const established = rows[base + STATE] === TCP_ESTABLISHED;
  const { batch, slot } = packet;
  const answer = inbound
    ? helpInbound(helper, state, ends, established, packet, outcome)
    : helpOutbound(helper, state, ends, established, packet, batch.ceiling[slot] as number, outcome);
  if (answer === HELPER_DROP) return false;
  packet.end = outcome.end;
  batch.end[slot] = outcome.end;
  if (state.outbound.active) rows[base + FLAGS] = (rows[base + FLAGS] as number) | ConnectionFlag.OUT_SEQUENCE;
  if (answer === HELPER_DATA_CONNECTION) announce(context, row, inbound);
  return true;
}

/** The data connection, made unless it is there, waits for its first packet. */
function announce(context: EngineContext, row: number, inbound: boolean): void {
  const { connections } = context;
  const { rows } = connections;
  const base = row << ROW_SHIFT;
  key.ipv6 = ends.ipv6;
  setKey(outcome.client, outcome.clientPort, outcome.virtual, outcome.virtualPort);
  let data = NO_ROW;
  if (inbound) data = connections.findInbound(key);
  else {
    setKey(outcome.server, outcome.serverPort, outcome.client, outcome.clientPort);
    data = connections.findOutbound(key);
    setKey(outcome.client, outcome.clientPort, outcome.virtual, outcome.virtualPort);
  }
  if (data === NO_ROW) {
    const index = rows[base + DESTINATION] as number;
    if (index === NO_ROW) return;
    const destination = context.services.destinationAt(index);
    const { server, serverPort } = outcome;
    data = createDataConnection(context, key, destination, server, serverPort, outcome.clientPort === 0);
    if (data === NO_ROW) return;
    takeControl(context, row, data);
  }
  rows[(data << ROW_SHIFT) + STATE] = TCP_LISTEN;
  rows[(data << ROW_SHIFT) + TIMEOUT_TICKS] = context.tcpTimeoutTicks[TCP_LISTEN] as number;
  restartTimer(context, data);
}

const key = {
  ipv6: false,
  protocol: PROTOCOL_TCP,
  source0: 0,
  source1: 0,
  source2: 0,
  source3: 0,
  sourcePort: 0,
  destination0: 0,
  destination1: 0,
  destination2: 0,
  destination3: 0,
  destinationPort: 0,
};

function setKey(source: Int32Array, sourcePort: number, destination: Int32Array, destinationPort: number): void {
  key.source0 = source[0] as number;
  key.source1 = source[1] as number;
  key.source2 = source[2] as number;
  key.source3 = source[3] as number;
  key.sourcePort = sourcePort;
  key.destination0 = destination[0] as number;
  key.destination1 = destination[1] as number;
  key.destination2 = destination[2] as number;
  key.destination3 = destination[3] as number;
  key.destinationPort = destinationPort;
}

function fillEnds(rows: Int32Array, base: number): void {
  ends.ipv6 = ((rows[base + KIND] as number) & KIND_IPV6) !== 0;
  copy(rows, base + CLIENT0, base + CLIENT3, ends.client);
  copy(rows, base + VIRTUAL0, base + VIRTUAL3, ends.virtual);
  copy(rows, base + SERVER0, base + SERVER3, ends.server);
  ends.virtualPort = (rows[base + CLIENT_AND_VIRTUAL_PORT] as number) & 0xffff;
  ends.serverPort = (rows[base + DESTINATION_AND_LOCAL_PORT] as number) >>> 16;
}

function copy(rows: Int32Array, prefixAt: number, lastAt: number, into: Int32Array): void {
  into[0] = rows[prefixAt] as number;
  into[1] = rows[prefixAt + 1] as number;
  into[2] = rows[prefixAt + 2] as number;
  into[3] = rows[lastAt] as number;
}

/** The first packet of a passive data connection says which port the client uses. */
export function learnClientPort(context: EngineContext, row: number, packet: Packet): void {
  const { connections } = context;
  const { rows } = connections;
  const base = row << ROW_SHIFT;
  connections.remove(row);
  const virtualPort = (rows[base + CLIENT_AND_VIRTUAL_PORT] as number) & 0xffff;
  rows[base + CLIENT_AND_VIRTUAL_PORT] = (packet.sourcePort << 16) | virtualPort;
  rows[base + FLAGS] = (rows[base + FLAGS] as number) & ~ConnectionFlag.NO_CLIENT_PORT;
  context.fastFlows?.makeWay(row);
  connections.insert(row);
}
