/** The seven steps of a packet, in order. Every branch is here; the steps hold none of each other's business. */
import { ETHERTYPE_ARP } from '../wire/ethernet.ts';
import { PROTOCOL_ICMP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import { PROTOCOL_ICMPV6 } from '../wire/ipv6.ts';
import { type Admission, admit } from './admit.ts';
import { answerArpMessage, answerNeighborMessage, isNeighborDiscovery } from './answer-neighbor.ts';
import {
  CONTROLLER,
  ConnectionFlag,
  DESTINATION,
  FLAGS,
  METHOD_MASQUERADE,
  NO_ROW,
  PACKETS,
  ROW_SHIFT,
  VIRTUAL3,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import { dissect, FRAGMENT, give } from './dissect.ts';
import { forwardInbound, methodOf } from './forward.ts';
import { egressOfClient, masqueradeOutbound, replyMayLeave } from './forwarding/masquerade.ts';
import { help } from './helper-step.ts';
import { expireSoon, removeConnection, restartTimer } from './lifetime.ts';
import { fillOptions, isSourceRouted } from './options.ts';
import type { Packet } from './packet.ts';
import { INPUT, OUTPUT } from './protocols/tcp-states.ts';
import { takeFragment } from './reassembly.ts';
import { relateError } from './related.ts';
import { isTracked, opens, RESCHEDULE, reuse, WAIT } from './reuse.ts';
import { requestFromServer } from './server-request.ts';
import { countInbound, countOutbound } from './statistics.ts';
import { refusesStrayReply } from './stray-reply.ts';
import { takeSyncFrame } from './sync-frames.ts';
import { transition } from './transition.ts';
import { CONTINUE, DROP, PASS, REASON, type Verdict } from './verdict.ts';

const admission: Admission = { verdict: CONTINUE };

export function processPacket(context: EngineContext, packet: Packet): Verdict {
  if (context.sync.backupDaemon !== null && takeSyncFrame(context, packet)) return give(packet, PASS, REASON.sync);
  let verdict = dissect(context, packet);
  if (verdict === FRAGMENT) {
    verdict = takeFragment(context, packet);
    if (verdict === CONTINUE) context.observation?.remark(`put together from ${packet.pieces.length} fragments`);
  }
  if (verdict !== CONTINUE) return verdict;
  if (packet.etherType === ETHERTYPE_ARP) return answerArpMessage(context, packet);
  return processDatagram(context, packet);
}

/** A whole IP packet, dissected. */
function processDatagram(context: EngineContext, packet: Packet): Verdict {
  context.observation?.recognised(packet);
  if (packet.protocol === PROTOCOL_ICMPV6 && packet.ipv6 && isNeighborDiscovery(packet)) {
    return answerNeighborMessage(context, packet);
  }
  if (context.markRules.size > 0) context.markRules.classify(context, packet);
  // Without a service of its family nothing is looked at, whatever the table still holds.
  if (context.services.serviceCountOf(packet.ipv6) === 0) return give(packet, PASS, REASON['no-service']);
  if (packet.hasOptions && isSourceRouted(packet)) return give(packet, DROP, REASON['source-routed']);
  if (packet.protocol === PROTOCOL_ICMP && !packet.ipv6) return relateError(context, packet);
  if (packet.protocol === PROTOCOL_ICMPV6 && packet.ipv6) return relateError(context, packet);
  const { connections } = context;
  // What goes to a VIP is looked up as a request first, all else as a reply: a lookup in vain costs a cache miss.
  const toService = isToService(context, packet);
  let row = toService ? connections.findInbound(packet) : NO_ROW;
  if (row === NO_ROW) {
    row = connections.findOutbound(packet);
    if (row === NO_ROW) row = connections.findLocal(packet);
    if (row === NO_ROW && packet.protocol === PROTOCOL_UDP && !toService && serversMayBegin(context)) {
      row = requestFromServer(context, packet);
    }
    if (row !== NO_ROW) return reply(context, row, packet);
    if (refusesStrayReply(context, packet)) return give(packet, DROP, REASON['stray-reply']);
    if (context.paused) return give(packet, PASS, REASON['backup-only']);
    if (!toService) row = connections.findInbound(packet);
  }
  if (row !== NO_ROW && opens(packet)) {
    const what = reuse(context, row, packet);
    if (what === WAIT) return give(packet, DROP, REASON['tracked-connection']);
    if (what === RESCHEDULE) {
      context.observation?.remark('the old connection of these two ends is over: this opens a new one');
      row = NO_ROW;
    }
  }
  if (row !== NO_ROW && destinationIsGone(context, row)) {
    if (context.settings.expire_nodest_conn === 0) return give(packet, DROP, REASON['destination-gone']);
    context.observation?.remark('the server of its connection was deleted (expire_nodest_conn): it is scheduled anew');
    expireSoon(context, row);
    if (isTracked(context, row)) return give(packet, DROP, REASON['destination-gone']);
    row = NO_ROW;
  }
  if (row === NO_ROW) {
    row = admit(context, packet, admission);
    if (row === NO_ROW) return admission.verdict;
    context.observation?.opened();
  }
  return request(context, row, packet);
}

/** From the client: counted before it is sent, as everything that comes for a connection is. */
function request(context: EngineContext, row: number, packet: Packet): Verdict {
  const base = row << ROW_SHIFT;
  const { rows } = context.connections;
  context.observation?.belongs(row, INPUT);
  countInbound(context, row, packet.end - packet.ipAt);
  if (packet.hasOptions) fillOptions(context, packet, packet.destination3);
  transition(context, row, packet, INPUT);
  context.observation?.moved(row);
  const verdict = forwardInbound(context, row, packet);
  if (((rows[base + FLAGS] as number) & ConnectionFlag.ONE_PACKET) !== 0) return finishOnePacket(context, row, verdict);
  const packets = (rows[base + PACKETS] as number) + 1;
  rows[base + PACKETS] = packets;
  if (context.sync.master !== null) context.sync.master.consider(row, packets, context.nowTick, context.nowMs);
  restartTimer(context, row);
  if (context.fastFlows !== null) context.fastFlows.afterRequest(row, packet, verdict);
  return verdict;
}

/** The packet of a one-packet connection counts for its template; the connection is done. */
function finishOnePacket(context: EngineContext, row: number, verdict: Verdict): Verdict {
  const { rows } = context.connections;
  const controller = rows[(row << ROW_SHIFT) + CONTROLLER] as number;
  if (controller !== NO_ROW) {
    const base = controller << ROW_SHIFT;
    rows[base + PACKETS] = (rows[base + PACKETS] as number) + 1;
  }
  context.sync.master?.consider(row, context.settings.sync_threshold[0], context.nowTick, context.nowMs);
  removeConnection(context, row);
  return verdict;
}

/**
 * From the server. Only NAT changes replies; those of other methods are counted and go on as if we were not there.
 * Deleted destinations are counted no more.
 */
function reply(context: EngineContext, row: number, packet: Packet): Verdict {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const ipBytes = packet.end - packet.ipAt;
  const masquerade = methodOf(context, row) === METHOD_MASQUERADE;
  let verdict: Verdict = CONTINUE;
  context.observation?.belongs(row, OUTPUT);
  if (masquerade) {
    const egress = egressOfClient(context, row, packet.ipv6);
    verdict = replyMayLeave(context, packet, egress);
    if (verdict !== CONTINUE) return verdict;
    if (packet.hasOptions) fillOptions(context, packet, rows[base + VIRTUAL3] as number);
    if (((rows[base + FLAGS] as number) & ConnectionFlag.HAS_HELPER) !== 0 && !help(context, row, packet, false)) {
      return give(packet, DROP, REASON.helper);
    }
    verdict = masqueradeOutbound(context, row, packet, egress);
  } else {
    verdict = give(packet, PASS, REASON.none);
  }
  countOutbound(context, row, ipBytes);
  transition(context, row, packet, OUTPUT);
  context.observation?.moved(row);
  if (((rows[base + FLAGS] as number) & ConnectionFlag.ONE_PACKET) !== 0) {
    removeConnection(context, row);
    return verdict;
  }
  restartTimer(context, row);
  if (context.fastFlows !== null) context.fastFlows.afterReply(row);
  return verdict;
}

/** Some service has a persistence engine that knows what packets of servers belong to. */
function serversMayBegin(context: EngineContext): boolean {
  return context.services.usesPersistenceEngines;
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
