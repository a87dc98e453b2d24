/**
 * Step 3: ICMP errors. Whose they are is told by the datagram they quote; for NAT that quote is translated too,
 * so that the receiver recognises its own packet. Sources: RFC 792, RFC 4443, RFC 5508 sections 4.2 and 4.3.
 */
import { writeInt32, writeUint16 } from '../wire/bytes.ts';
import { fillIcmpChecksum, icmpChecksumIsRight, icmpType, isIcmpError } from '../wire/icmp.ts';
import { fillIcmpv6Checksum, icmpv6ChecksumIsRight, icmpv6Type, isIcmpv6Error } from '../wire/icmpv6.ts';
import { fillIpv4Checksum } from '../wire/ipv4.ts';
import { IPV6_DESTINATION, IPV6_SOURCE, writeIpv6Address } from '../wire/ipv6.ts';
import { type Admission, admitFlow } from './admit.ts';
import {
  CLIENT_AND_VIRTUAL_PORT,
  CLIENT0,
  CLIENT3,
  ConnectionFlag,
  DESTINATION,
  DESTINATION_AND_LOCAL_PORT,
  FLAGS,
  LOCAL3,
  METHOD_MASQUERADE,
  NO_ROW,
  ROW_SHIFT,
  SERVER0,
  SERVER3,
  VIRTUAL0,
  VIRTUAL3,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import { give } from './dissect.ts';
import { egressOfServer, forwardUnchanged, methodOf } from './forward.ts';
import { isForwardable, mayLeave, nobody, stepTtl, unreachable } from './forwarding/checks.ts';
import { egressOfClient } from './forwarding/masquerade.ts';
import { restartTimer } from './lifetime.ts';
import type { Packet } from './packet.ts';
import { INPUT, OUTPUT } from './protocols/tcp-states.ts';
import { Quote, readQuote } from './quote.ts';
import { sendBy, sendToHost } from './send.ts';
import { countInbound, countOutbound } from './statistics.ts';
import { relateTunnelError } from './tunnel-error.ts';
import { CONTINUE, DROP, PASS, REASON, type Verdict } from './verdict.ts';

const quote = new Quote();
const admission: Admission = { verdict: CONTINUE };

/** A verdict for an ICMP message: errors about our connections are handled here, everything else passes. */
export function relateError(context: EngineContext, packet: Packet): Verdict {
  const type = packet.ipv6 ? icmpv6Type(packet.bytes, packet.transportAt) : icmpType(packet.bytes, packet.transportAt);
  if (packet.ipv6 ? !isIcmpv6Error(type) : !isIcmpError(type)) return give(packet, PASS, REASON.icmp);
  if (!packet.ipv6) {
    const verdict = relateTunnelError(context, packet);
    if (verdict !== CONTINUE) return verdict;
  }
  if (!readQuote(packet, quote)) return give(packet, PASS, REASON.icmp);
  const { connections } = context;
  let row = connections.findOutbound(quote);
  if (row === NO_ROW) row = connections.findLocal(quote);
  if (row !== NO_ROW) return errorFromServerSide(context, row, packet);
  if (context.paused) return give(packet, PASS, REASON['backup-only']);
  row = connections.findInbound(quote);
  if (row !== NO_ROW) return errorFromClientSide(context, row, packet);
  if (context.settings.schedule_icmp === 0) return give(packet, PASS, REASON.icmp);
  row = admitFlow(context, packet, quote, true, admission);
  if (row === NO_ROW) return admission.verdict;
  context.observation?.opened();
  const verdict = errorFromClientSide(context, row, packet);
  restartTimer(context, row);
  return verdict;
}

/** The quote is a packet we sent to the server; the error goes on to the client, from the VIP. */
function errorFromServerSide(context: EngineContext, row: number, packet: Packet): Verdict {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const ipBytes = packet.end - packet.ipAt;
  context.observation?.belongs(row, OUTPUT, true);
  if (methodOf(context, row) !== METHOD_MASQUERADE) {
    countOutbound(context, row, ipBytes);
    return give(packet, PASS, REASON.icmp);
  }
  const fromThisHost = packet.ingress === context.network.cable?.link.index;
  const egress = egressOfClient(context, row, packet.ipv6);
  // As for every reply: what no router would forward does not get here in a kernel.
  if (context.network.cable === null && egress.kind === 'remote' && !isForwardable(packet, egress.mtu)) {
    return give(packet, PASS, REASON.ttl);
  }
  if (!checksumIsRight(packet)) return give(packet, DROP, REASON['icmp-checksum']);
  countOutbound(context, row, ipBytes);
  if (egress.kind === 'none') return unreachable(context, packet, nobody);
  const leaves = egress.kind === 'remote' && !fromThisHost;
  if (leaves) {
    const verdict = mayLeave(context, packet, egress.mtu, nobody);
    if (verdict !== CONTINUE) return verdict;
    stepTtl(packet);
  }
  const ports = rows[base + CLIENT_AND_VIRTUAL_PORT] as number;
  const fullNat = ((rows[base + FLAGS] as number) & ConnectionFlag.FULL_NAT) !== 0;
  setAddress(packet, packet.ipAt, true, rows, base + VIRTUAL0, rows, base + VIRTUAL3);
  if (fullNat) {
    setAddress(packet, packet.ipAt, false, rows, base + CLIENT0, rows, base + CLIENT3);
    setQuotedSource(packet, rows, base + CLIENT0, rows, base + CLIENT3, ports >>> 16);
  }
  setQuotedDestination(packet, rows, base + VIRTUAL0, base + VIRTUAL3, ports & 0xffff);
  fillChecksums(packet);
  return egress.kind === 'local' ? sendToHost(context, packet) : sendBy(context, packet, egress);
}

/** The quote is a packet we sent to the client; the error goes on to the server. */
function errorFromClientSide(context: EngineContext, row: number, packet: Packet): Verdict {
  const { connections } = context;
  const { rows } = connections;
  const base = row << ROW_SHIFT;
  const destination = rows[base + DESTINATION] as number;
  context.observation?.belongs(row, INPUT, true);
  if (destination !== NO_ROW && !context.services.destinationAt(destination).available) {
    return give(packet, DROP, REASON['destination-gone']);
  }
  countInbound(context, row, packet.end - packet.ipAt);
  if (methodOf(context, row) !== METHOD_MASQUERADE) return forwardUnchanged(context, row, packet, true);
  if (!checksumIsRight(packet)) return give(packet, DROP, REASON['icmp-checksum']);
  const egress = egressOfServer(context, row);
  if (egress.kind === 'none') return unreachable(context, packet, nobody);
  const leaves = egress.kind === 'remote';
  if (leaves) {
    const verdict = mayLeave(context, packet, egress.mtu, nobody);
    if (verdict !== CONTINUE) return verdict;
    stepTtl(packet);
  }
  const ports = rows[base + DESTINATION_AND_LOCAL_PORT] as number;
  setAddress(packet, packet.ipAt, false, rows, base + SERVER0, rows, base + SERVER3);
  setQuotedSource(packet, rows, base + SERVER0, rows, base + SERVER3, ports >>> 16);
  if (((rows[base + FLAGS] as number) & ConnectionFlag.FULL_NAT) !== 0) {
    setAddress(packet, packet.ipAt, true, connections.localPrefixes, 3 * row, rows, base + LOCAL3);
    setAddress(packet, quote.ipAt, false, connections.localPrefixes, 3 * row, rows, base + LOCAL3);
    if (!quote.ipsec) writeUint16(packet.bytes, quote.transportAt + 2, ports & 0xffff);
  }
  fillChecksums(packet);
  return leaves ? sendBy(context, packet, egress) : sendToHost(context, packet);
}

function checksumIsRight(packet: Packet): boolean {
  const { bytes, ipAt, transportAt, end } = packet;
  return packet.ipv6
    ? icmpv6ChecksumIsRight(bytes, ipAt, transportAt, end)
    : icmpChecksumIsRight(bytes, transportAt, end);
}

/** Writes the source or destination of the header at `at`; of IPv4 only the last word counts. */
function setAddress(
  packet: Packet,
  at: number,
  isSource: boolean,
  prefix: Int32Array,
  prefixAt: number,
  rows: Int32Array,
  lastAt: number,
): void {
  const { bytes } = packet;
  const last = rows[lastAt] as number;
  if (!packet.ipv6) {
    writeInt32(bytes, at + (isSource ? 12 : 16), last);
    return;
  }
  const addressAt = at + (isSource ? IPV6_SOURCE : IPV6_DESTINATION);
  writeIpv6Address(
    bytes,
    addressAt,
    prefix[prefixAt] as number,
    prefix[prefixAt + 1] as number,
    prefix[prefixAt + 2] as number,
    last,
  );
}

/**
 * New ends for the quoted datagram. Its own transport checksum is left as it is, as the kernel leaves it: most
 * quotes are cut and nobody could verify it.
 */
function setQuotedSource(
  packet: Packet,
  prefix: Int32Array,
  prefixAt: number,
  rows: Int32Array,
  lastAt: number,
  port: number,
): void {
  setAddress(packet, quote.ipAt, true, prefix, prefixAt, rows, lastAt);
  if (!quote.ipsec) writeUint16(packet.bytes, quote.transportAt, port);
}

function setQuotedDestination(packet: Packet, rows: Int32Array, prefixAt: number, lastAt: number, port: number): void {
  setAddress(packet, quote.ipAt, false, rows, prefixAt, rows, lastAt);
  if (!quote.ipsec) writeUint16(packet.bytes, quote.transportAt + 2, port);
}

function fillChecksums(packet: Packet): void {
  const { bytes, ipAt, transportAt, end } = packet;
  if (packet.ipv6) {
    fillIcmpv6Checksum(bytes, ipAt, transportAt, end);
    return;
  }
  fillIpv4Checksum(bytes, quote.ipAt, quote.transportAt - quote.ipAt);
  fillIcmpChecksum(bytes, transportAt, end);
  fillIpv4Checksum(bytes, ipAt, transportAt - ipAt);
}
