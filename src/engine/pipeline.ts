/** The seven steps of a packet, in order. Every branch is here; the steps hold none of each other's business. */
import { ETHERTYPE_ARP } from '../wire/ethernet.ts';
import { PROTOCOL_ICMP, PROTOCOL_TCP } from '../wire/ipv4.ts';
import { TCP_SYN } from '../wire/tcp.ts';
import { admit } from './admit.ts';
import { answerNeighbor } from './answer-neighbor.ts';
import { CONTROLLED, CONTROLLER, DESTINATION, NO_ROW, PACKETS, ROW_SHIFT, STATE } from './connection.ts';
import type { EngineContext } from './context.ts';
import { dissect, give } from './dissect.ts';
import { forwardInbound, forwardOutbound } from './forward.ts';
import { removeConnection, restartTimer } from './lifetime.ts';
import type { Packet } from './packet.ts';
import { INPUT, OUTPUT, TCP_CLOSE, TCP_TIME_WAIT } from './protocols/tcp-states.ts';
import { relateError } from './related.ts';
import { transition } from './transition.ts';
import { CONTINUE, DROP, REASON, type Verdict } from './verdict.ts';

const admission: { verdict: Verdict } = { verdict: CONTINUE };

export function processPacket(context: EngineContext, packet: Packet): Verdict {
  const verdict = dissect(context, packet);
  if (verdict !== CONTINUE) return verdict;
  if (packet.etherType === ETHERTYPE_ARP) return answerNeighbor(context, packet);
  if (packet.protocol === PROTOCOL_ICMP) return relateError(context, packet);

  const { connections } = context;
  // What goes to a VIP is looked up as a request first, all else as a reply: a lookup in vain costs a cache miss.
  const toService = isToService(context, packet);
  let row = toService ? connections.findInbound(packet) : NO_ROW;
  if (row === NO_ROW) {
    row = connections.findOutbound(packet);
    if (row === NO_ROW) row = connections.findLocal(packet);
    if (row !== NO_ROW) return reply(context, row, packet);
    if (!toService) row = connections.findInbound(packet);
  }
  if (row !== NO_ROW && startsAnew(context, row, packet)) {
    removeConnection(context, row);
    row = NO_ROW;
  }
  if (row !== NO_ROW && destinationIsGone(context, row)) return give(packet, DROP, REASON['destination-gone']);
  if (row === NO_ROW) {
    row = admit(context, packet, admission);
    if (row === NO_ROW) return admission.verdict;
  }
  return request(context, row, packet);
}

/** From the client: counted before it is sent, as everything that comes for a connection is. */
function request(context: EngineContext, row: number, packet: Packet): Verdict {
  const base = row << ROW_SHIFT;
  const { rows } = context.connections;
  const { ipBytes } = packet;
  const destination = context.services.destinationAt(rows[base + DESTINATION] as number);
  destination.counters.countIn(ipBytes);
  destination.service.counters.countIn(ipBytes);
  context.services.totals.countIn(ipBytes);
  transition(context, row, packet, INPUT);
  const verdict = forwardInbound(context, row, packet);
  rows[base + PACKETS] = (rows[base + PACKETS] as number) + 1;
  restartTimer(context, row);
  return verdict;
}

/**
 * From the server. A reply that may not leave for its size or time to live was refused as by a router, before it
 * got here: it counts for nothing. Deleted destinations are counted no more.
 */
function reply(context: EngineContext, row: number, packet: Packet): Verdict {
  const { ipBytes } = packet;
  const verdict = forwardOutbound(context, row, packet);
  if (verdict === DROP) return verdict;
  const destination = context.services.destinationAt(
    context.connections.rows[(row << ROW_SHIFT) + DESTINATION] as number,
  );
  if (destination.available) {
    destination.counters.countOut(ipBytes);
    destination.service.counters.countOut(ipBytes);
    context.services.totals.countOut(ipBytes);
  }
  transition(context, row, packet, OUTPUT);
  restartTimer(context, row);
  return verdict;
}

/** A SYN on a connection that has ended: the client uses its port again (conn_reuse_mode 1). */
function startsAnew(context: EngineContext, row: number, packet: Packet): boolean {
  if (packet.protocol !== PROTOCOL_TCP || (packet.tcpFlags & TCP_SYN) === 0) return false;
  const base = row << ROW_SHIFT;
  const { rows } = context.connections;
  if (rows[base + CONTROLLER] !== NO_ROW || (rows[base + CONTROLLED] as number) > 0) return false;
  const state = rows[base + STATE];
  return state === TCP_TIME_WAIT || state === TCP_CLOSE;
}

function isToService(context: EngineContext, packet: Packet): boolean {
  return context.services.isServiceAddress(
    packet.ipv6,
    packet.destination0,
    packet.destination1,
    packet.destination2,
    packet.destination3,
  );
}

function destinationIsGone(context: EngineContext, row: number): boolean {
  const index = context.connections.rows[(row << ROW_SHIFT) + DESTINATION] as number;
  return index !== NO_ROW && !context.services.destinationAt(index).available;
}
