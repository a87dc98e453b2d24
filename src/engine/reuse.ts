/** A packet that opens a connection, on one that exists: the client may be using its port again (conn_reuse_mode). */
import { PROTOCOL_SCTP, PROTOCOL_TCP } from '../wire/ipv4.ts';
import { TCP_SYN } from '../wire/tcp.ts';
import { CONTROLLED, CONTROLLER, ConnectionFlag, DESTINATION, FLAGS, NO_ROW, ROW_SHIFT, STATE } from './connection.ts';
import type { EngineContext } from './context.ts';
import { expireSoon, removeConnection } from './lifetime.ts';
import type { Packet } from './packet.ts';
import { opensSctpAssociation } from './protocols/sctp.ts';
import { SCTP_CLOSED } from './protocols/sctp-states.ts';
import { TCP_CLOSE, TCP_FIN_WAIT, TCP_TIME_WAIT } from './protocols/tcp-states.ts';

/** The packet goes on with its connection; begins anew; must be sent again by the client. */
export const KEEP = 0;
export const RESCHEDULE = 1;
export const WAIT = 2;

/** Bit of the setting: connections that wait in FIN_WAIT without having been answered may go too. */
const MODE_FIN_WAIT = 2;

export function opens(packet: Packet): boolean {
  if (packet.protocol === PROTOCOL_TCP) return (packet.tcpFlags & TCP_SYN) !== 0;
  if (packet.protocol !== PROTOCOL_SCTP) return false;
  return opensSctpAssociation(packet.bytes, packet.transportAt, packet.end);
}

export function reuse(context: EngineContext, row: number, packet: Packet): number {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const { settings } = context;
  const controls = (rows[base + CONTROLLED] as number) > 0;
  let tracked = false;
  if (settings.expire_nodest_conn !== 0 && isQuiesced(context, rows[base + DESTINATION] as number)) {
    tracked = isTracked(context, row);
  } else {
    if (settings.conn_reuse_mode === 0 || !hasEnded(context, base, packet.protocol)) return KEEP;
    tracked = isTracked(context, row);
    if (controls && tracked) return KEEP;
  }
  if (!controls) discard(context, row);
  return tracked ? WAIT : RESCHEDULE;
}

/** In a kernel with connection tracking an entry stands in the way of another server for the same two ends. */
export function isTracked(context: EngineContext, row: number): boolean {
  if (context.settings.conntrack === 0) return false;
  return ((context.connections.rows[(row << ROW_SHIFT) + FLAGS] as number) & ConnectionFlag.CONNTRACK) !== 0;
}

/** The next tick takes it; full NAT gives its source port back at once. */
function discard(context: EngineContext, row: number): void {
  const flags = context.connections.rows[(row << ROW_SHIFT) + FLAGS] as number;
  if ((flags & ConnectionFlag.FULL_NAT) !== 0) removeConnection(context, row);
  else expireSoon(context, row);
}

function isQuiesced(context: EngineContext, index: number): boolean {
  return index !== NO_ROW && context.services.destinationAt(index).weight === 0;
}

function hasEnded(context: EngineContext, base: number, protocol: number): boolean {
  const { rows } = context.connections;
  if (rows[base + CONTROLLER] !== NO_ROW) return false;
  const state = rows[base + STATE];
  if (protocol === PROTOCOL_SCTP) return state === SCTP_CLOSED;
  if (state === TCP_TIME_WAIT || state === TCP_CLOSE) return true;
  const unanswered = ((rows[base + FLAGS] as number) & ConnectionFlag.NO_OUTPUT) !== 0;
  return (context.settings.conn_reuse_mode & MODE_FIN_WAIT) !== 0 && state === TCP_FIN_WAIT && unanswered;
}
