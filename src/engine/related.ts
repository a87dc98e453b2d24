/**
 * Step 3: ICMP errors. Whose they are is told by the datagram they quote; for NAT that quote is translated too,
 * so that the receiver recognises its own packet. Sources: RFC 792, RFC 5508 sections 4.2 and 4.3.
 */
import { readUint16, writeInt32, writeUint16 } from '../wire/bytes.ts';
import { fillIcmpChecksum, ICMP_HEADER_BYTES, icmpChecksumIsRight, icmpType, isIcmpError } from '../wire/icmp.ts';
import {
  fillIpv4Checksum,
  ipv4Destination,
  ipv4FragmentOffset,
  ipv4HeaderBytes,
  ipv4Protocol,
  ipv4Source,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import {
  CLIENT_AND_VIRTUAL_PORT,
  CLIENT_EGRESS,
  CLIENT3,
  ConnectionFlag,
  DESTINATION,
  DESTINATION_AND_LOCAL_PORT,
  FLAGS,
  LOCAL3,
  METHOD_DIRECT,
  METHOD_MASQUERADE,
  NO_ROW,
  ROW_SHIFT,
  SERVER3,
  VIRTUAL3,
} from './connection.ts';
import type { Endpoints } from './connection-table.ts';
import type { EngineContext } from './context.ts';
import { give } from './dissect.ts';
import { egressOfServer, methodOf } from './forward.ts';
import { mayLeave, unreachable } from './forwarding/checks.ts';
import { directInbound } from './forwarding/direct.ts';
import type { Packet } from './packet.ts';
import { sendBy, sendToHost } from './send.ts';
import { CONTINUE, DROP, PASS, REASON, type Verdict } from './verdict.ts';

/** The quoted datagram with its ends exchanged: the direction an answer to it would have. */
class Quote implements Endpoints {
  ipv6 = false;
  protocol = 0;
  source0 = 0;
  source1 = 0;
  source2 = 0;
  source3 = 0;
  sourcePort = 0;
  destination0 = 0;
  destination1 = 0;
  destination2 = 0;
  destination3 = 0;
  destinationPort = 0;
  ipAt = 0;
  headerBytes = 0;
}

const quote = new Quote();

/** Reads the quote of an ICMP error. False: it is cut short, a later fragment, or of no balanced protocol. */
function readQuote(packet: Packet): boolean {
  const { bytes, end } = packet;
  const at = packet.transportAt + ICMP_HEADER_BYTES;
  const headerBytes = ipv4HeaderBytes(bytes, at, end);
  if (headerBytes === 0 || ipv4FragmentOffset(bytes, at) !== 0) return false;
  const protocol = ipv4Protocol(bytes, at);
  if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP) return false;
  const portsAt = at + headerBytes;
  if (end - portsAt < 4) return false;
  quote.protocol = protocol;
  quote.ipAt = at;
  quote.headerBytes = headerBytes;
  quote.source3 = ipv4Destination(bytes, at);
  quote.destination3 = ipv4Source(bytes, at);
  quote.sourcePort = readUint16(bytes, portsAt + 2);
  quote.destinationPort = readUint16(bytes, portsAt);
  return true;
}

/** A verdict for an ICMP message: errors about our connections are handled here, everything else passes. */
export function relateError(context: EngineContext, packet: Packet): Verdict {
  if (!isIcmpError(icmpType(packet.bytes, packet.transportAt)) || !readQuote(packet)) {
    return give(packet, PASS, REASON.icmp);
  }
  const { connections } = context;
  let row = connections.findOutbound(quote);
  if (row === NO_ROW) row = connections.findLocal(quote);
  if (row !== NO_ROW) return errorFromServerSide(context, row, packet);
  row = connections.findInbound(quote);
  if (row !== NO_ROW) return errorFromClientSide(context, row, packet);
  return give(packet, PASS, REASON.icmp);
}

/** The quote is a packet we sent to the server; the error goes on to the client, from the VIP. */
function errorFromServerSide(context: EngineContext, row: number, packet: Packet): Verdict {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const masquerade = methodOf(context, row) === METHOD_MASQUERADE;
  if (masquerade && !icmpChecksumIsRight(packet.bytes, packet.transportAt, packet.end)) {
    return give(packet, DROP, REASON['icmp-checksum']);
  }
  countRelated(context, row, packet, false);
  if (!masquerade) return give(packet, PASS, REASON.icmp);
  const client = rows[base + CLIENT3] as number;
  const virtual = rows[base + VIRTUAL3] as number;
  const ports = rows[base + CLIENT_AND_VIRTUAL_PORT] as number;
  const egress = context.egresses.byId(context, rows[base + CLIENT_EGRESS] as number, client);
  const fromThisHost = packet.ingress === context.network.cable?.link.index;
  if (egress.kind === 'none') return unreachable(context, packet, 0);
  const leaves = egress.kind === 'remote' && !fromThisHost;
  if (leaves) {
    const verdict = mayLeave(context, packet, egress.mtu, 0, true);
    if (verdict !== CONTINUE) return verdict;
  }
  const fullNat = ((rows[base + FLAGS] as number) & ConnectionFlag.FULL_NAT) !== 0;
  translate(packet, virtual, fullNat ? client : packet.destination3, leaves ? 1 : 0);
  translateQuote(packet, client, ports >>> 16, virtual, ports & 0xffff);
  return egress.kind === 'local' ? sendToHost(context, packet) : sendBy(context, packet, egress);
}

/** The quote is a packet we sent to the client; the error goes on to the server. */
function errorFromClientSide(context: EngineContext, row: number, packet: Packet): Verdict {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const destination = rows[base + DESTINATION] as number;
  if (destination !== NO_ROW && !context.services.destinationAt(destination).available) {
    return give(packet, DROP, REASON['destination-gone']);
  }
  const method = methodOf(context, row);
  const egress = egressOfServer(context, row);
  countRelated(context, row, packet, true);
  if (method === METHOD_DIRECT) return directInbound(context, packet, egress, true);
  if (method !== METHOD_MASQUERADE) return give(packet, DROP, REASON.method);
  if (!icmpChecksumIsRight(packet.bytes, packet.transportAt, packet.end)) {
    return give(packet, DROP, REASON['icmp-checksum']);
  }
  if (egress.kind === 'none') return unreachable(context, packet, 0);
  const leaves = egress.kind === 'remote';
  if (leaves) {
    const verdict = mayLeave(context, packet, egress.mtu, 0, true);
    if (verdict !== CONTINUE) return verdict;
  }
  const fullNat = ((rows[base + FLAGS] as number) & ConnectionFlag.FULL_NAT) !== 0;
  const server = rows[base + SERVER3] as number;
  const ports = rows[base + DESTINATION_AND_LOCAL_PORT] as number;
  const local = rows[base + LOCAL3] as number;
  translate(packet, fullNat ? local : packet.source3, server, leaves ? 1 : 0);
  translateQuote(
    packet,
    server,
    ports >>> 16,
    fullNat ? local : quote.source3,
    fullNat ? ports & 0xffff : quote.sourcePort,
  );
  return leaves ? sendBy(context, packet, egress) : sendToHost(context, packet);
}

/** New addresses and time to live for the outer header. */
function translate(packet: Packet, source: number, destination: number, ttlStep: number): void {
  const { bytes, ipAt } = packet;
  writeInt32(bytes, ipAt + 12, source);
  writeInt32(bytes, ipAt + 16, destination);
  bytes[ipAt + 8] = (bytes[ipAt + 8] as number) - ttlStep;
  fillIpv4Checksum(bytes, ipAt, packet.transportAt - ipAt);
}

/**
 * New endpoints for the quoted datagram. Its own transport checksum is left as it is, as the kernel leaves it: most
 * quotes are cut and nobody could verify it.
 */
function translateQuote(
  packet: Packet,
  source: number,
  sourcePort: number,
  destination: number,
  destinationPort: number,
): void {
  const { bytes } = packet;
  const at = quote.ipAt;
  writeInt32(bytes, at + 12, source);
  writeInt32(bytes, at + 16, destination);
  writeUint16(bytes, at + quote.headerBytes, sourcePort);
  writeUint16(bytes, at + quote.headerBytes + 2, destinationPort);
  fillIpv4Checksum(bytes, at, quote.headerBytes);
  fillIcmpChecksum(bytes, packet.transportAt, packet.end);
}

function countRelated(context: EngineContext, row: number, packet: Packet, inbound: boolean): void {
  const index = context.connections.rows[(row << ROW_SHIFT) + DESTINATION] as number;
  if (index === NO_ROW) return;
  const destination = context.services.destinationAt(index);
  if (!destination.available) return;
  const { ipBytes } = packet;
  if (inbound) {
    destination.counters.countIn(ipBytes);
    destination.service.counters.countIn(ipBytes);
    context.services.totals.countIn(ipBytes);
  } else {
    destination.counters.countOut(ipBytes);
    destination.service.counters.countOut(ipBytes);
    context.services.totals.countOut(ipBytes);
  }
}
