/**
 * NAT: the destination becomes the real server on the way in, the source the virtual service on the way back.
 * With FULL_NAT the server sees an address of the director instead of the client's.
 */
import {
  CLIENT_AND_VIRTUAL_PORT,
  CLIENT_EGRESS,
  CLIENT3,
  ConnectionFlag,
  DESTINATION_AND_LOCAL_PORT,
  FLAGS,
  LOCAL3,
  ROW_SHIFT,
  SERVER3,
  VIRTUAL3,
} from '../connection.ts';
import type { EngineContext } from '../context.ts';
import { give } from '../dissect.ts';
import type { Egress } from '../egress.ts';
import type { Packet } from '../packet.ts';
import { rewriteIpv4 } from '../rewrite.ts';
import { sendBy, sendToHost } from '../send.ts';
import { CONTINUE, DROP, REASON, type Verdict } from '../verdict.ts';
import { mayLeave, unreachable, virtualAddressForErrors } from './checks.ts';

const LOOPBACK_NETWORK = 127;

export function masqueradeInbound(context: EngineContext, row: number, packet: Packet, egress: Egress): Verdict {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const server = rows[base + SERVER3] as number;
  const ports = rows[base + DESTINATION_AND_LOCAL_PORT] as number;
  const fullNat = ((rows[base + FLAGS] as number) & ConnectionFlag.FULL_NAT) !== 0;
  const source = fullNat ? (rows[base + LOCAL3] as number) : packet.source3;
  const sourcePort = fullNat ? ports & 0xffff : packet.sourcePort;
  if (egress.kind === 'none') return unreachable(context, packet, virtualAddressForErrors(context, packet));
  if (egress.kind === 'local') {
    const reachable = fullNat || (context.network.cable === null && server >>> 24 !== LOOPBACK_NETWORK);
    if (!reachable) return give(packet, DROP, REASON['local-refused']);
    rewriteIpv4(packet, source, sourcePort, server, ports >>> 16, 0);
    return sendToHost(context, packet);
  }
  const verdict = mayLeave(context, packet, egress.mtu, virtualAddressForErrors(context, packet), false);
  if (verdict !== CONTINUE) return verdict;
  rewriteIpv4(packet, source, sourcePort, server, ports >>> 16, 1);
  return sendBy(context, packet, egress);
}

/**
 * The way back. Time to live and size are checked as by a router, before the translation: errors go to the server
 * from the address it knows this host by.
 */
export function masqueradeOutbound(context: EngineContext, row: number, packet: Packet): Verdict {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const client = rows[base + CLIENT3] as number;
  const ports = rows[base + CLIENT_AND_VIRTUAL_PORT] as number;
  const virtual = rows[base + VIRTUAL3] as number;
  const egress = context.egresses.byId(context, rows[base + CLIENT_EGRESS] as number, client);
  rows[base + CLIENT_EGRESS] = egress.id;
  if (egress.kind === 'none') return unreachable(context, packet, addressTowards(context, packet));
  if (egress.kind === 'local') {
    rewriteIpv4(packet, virtual, ports & 0xffff, client, ports >>> 16, 0);
    return sendToHost(context, packet);
  }
  const fromThisHost = packet.ingress === context.network.cable?.link.index;
  if (!fromThisHost) {
    const verdict = mayLeave(context, packet, egress.mtu, addressTowards(context, packet), false);
    if (verdict !== CONTINUE) return verdict;
  }
  rewriteIpv4(packet, virtual, ports & 0xffff, client, ports >>> 16, fromThisHost ? 0 : 1);
  return sendBy(context, packet, egress);
}

/** This host's own address on the link the packet came by. */
export function addressTowards(context: EngineContext, packet: Packet): number {
  const addresses = context.network.link(packet.ingress)?.addresses ?? [];
  for (const { address, mask } of addresses) {
    if (mask !== -1 && (address & mask) === (packet.source3 & mask)) return address;
  }
  return addresses[0]?.address ?? 0;
}
