/**
 * NAT: the destination becomes the real server on the way in, the source the virtual service on the way back.
 * With FULL_NAT the server sees an address of the director instead of the client's.
 */
import {
  CLIENT_AND_VIRTUAL_PORT,
  CLIENT_EGRESS,
  CLIENT0,
  CLIENT3,
  ConnectionFlag,
  DESTINATION_AND_LOCAL_PORT,
  FLAGS,
  LOCAL3,
  ROW_SHIFT,
  SERVER0,
  SERVER3,
  VIRTUAL0,
  VIRTUAL3,
} from '../connection.ts';
import type { EngineContext } from '../context.ts';
import { give } from '../dissect.ts';
import type { Egress } from '../egress.ts';
import { help, learnClientPort } from '../helper-step.ts';
import { isLoopback } from '../network.ts';
import { addressTowardsSender, virtualAddressForErrors } from '../outgoing-icmp.ts';
import type { Packet } from '../packet.ts';
import { rewriteIpv4, rewriteIpv6Destination, rewriteIpv6Source } from '../rewrite.ts';
import { sendBy, sendToHost } from '../send.ts';
import { CONTINUE, DROP, PASS, REASON, type Verdict } from '../verdict.ts';
import { isForwardable, mayLeave, stepTtl, unreachable } from './checks.ts';

export function masqueradeInbound(context: EngineContext, row: number, packet: Packet, egress: Egress): Verdict {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const fullNat = ((rows[base + FLAGS] as number) & ConnectionFlag.FULL_NAT) !== 0;
  if (egress.kind === 'none') return unreachable(context, packet, virtualAddressForErrors);
  const leaves = egress.kind === 'remote';
  if (leaves) {
    const verdict = mayLeave(context, packet, egress.mtu, virtualAddressForErrors);
    if (verdict !== CONTINUE) return verdict;
  } else if (!fullNat && !hostTakes(context, packet, base)) {
    return give(packet, DROP, REASON['local-refused']);
  }
  const flags = rows[base + FLAGS] as number;
  if ((flags & (ConnectionFlag.HAS_HELPER | ConnectionFlag.NO_CLIENT_PORT)) !== 0) {
    if ((flags & ConnectionFlag.NO_CLIENT_PORT) !== 0) learnClientPort(context, row, packet);
    if ((flags & ConnectionFlag.HAS_HELPER) !== 0 && !help(context, row, packet, true)) {
      return give(packet, DROP, REASON.helper);
    }
  }
  const ports = rows[base + DESTINATION_AND_LOCAL_PORT] as number;
  if (packet.ipv6) {
    rewriteIpv6Destination(packet, rows, base + SERVER0, base + SERVER3, ports >>> 16);
    if (fullNat) {
      const { connections } = context;
      rewriteIpv6Source(packet, connections.localPrefixes, 3 * row, base + LOCAL3, ports & 0xffff, rows);
    }
    if (leaves) stepTtl(packet);
  } else {
    const source = fullNat ? (rows[base + LOCAL3] as number) : packet.source3;
    const sourcePort = fullNat ? ports & 0xffff : packet.sourcePort;
    rewriteIpv4(packet, source, sourcePort, rows[base + SERVER3] as number, ports >>> 16, leaves ? 1 : 0);
  }
  return leaves ? sendBy(context, packet, egress) : sendToHost(context, packet);
}

/** A server on this host can be reached without full NAT only where nothing has to be handed over by cable. */
function hostTakes(context: EngineContext, packet: Packet, base: number): boolean {
  const { rows } = context.connections;
  return (
    context.network.cable === null &&
    !isLoopback(
      packet.ipv6,
      rows[base + SERVER0] as number,
      rows[base + SERVER0 + 1] as number,
      rows[base + SERVER0 + 2] as number,
      rows[base + SERVER3] as number,
    )
  );
}

/** The way back, after `replyMayLeave`. */
export function masqueradeOutbound(context: EngineContext, row: number, packet: Packet, egress: Egress): Verdict {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const ports = rows[base + CLIENT_AND_VIRTUAL_PORT] as number;
  const leaves = egress.kind === 'remote' && packet.ingress !== context.network.cable?.link.index;
  if (packet.ipv6) {
    rewriteIpv6Source(packet, rows, base + VIRTUAL0, base + VIRTUAL3, ports & 0xffff, rows);
    if (((rows[base + FLAGS] as number) & ConnectionFlag.FULL_NAT) !== 0) {
      rewriteIpv6Destination(packet, rows, base + CLIENT0, base + CLIENT3, ports >>> 16);
    }
    if (leaves) stepTtl(packet);
  } else {
    const virtual = rows[base + VIRTUAL3] as number;
    rewriteIpv4(packet, virtual, ports & 0xffff, rows[base + CLIENT3] as number, ports >>> 16, leaves ? 1 : 0);
  }
  return egress.kind === 'local' ? sendToHost(context, packet) : sendBy(context, packet, egress);
}

/** The way to the client of a connection, remembered in its row. */
export function egressOfClient(context: EngineContext, row: number, ipv6: boolean): Egress {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const known = context.egresses.byId(context, rows[base + CLIENT_EGRESS] as number);
  // The words of an IPv6 address lie in another cache line than the rest: they are read only when they must be.
  if (known !== null) return known;
  const egress = context.egresses.towards(
    context,
    ipv6,
    rows[base + CLIENT0] as number,
    rows[base + CLIENT0 + 1] as number,
    rows[base + CLIENT0 + 2] as number,
    rows[base + CLIENT3] as number,
  );
  rows[base + CLIENT_EGRESS] = egress.id;
  return egress;
}

/**
 * A reply that no router would forward - time to live, size, no route - never meets IPVS in a kernel: the host says
 * so itself. With a host link the host does not see the reply, so the engine says it, from the address that the
 * server knows this host by; without one the packet passes.
 */
export function replyMayLeave(context: EngineContext, packet: Packet, egress: Egress): Verdict {
  const { cable } = context.network;
  if (egress.kind === 'local' || (cable !== null && packet.ingress === cable.link.index)) return CONTINUE;
  if (cable !== null) {
    if (egress.kind === 'none') return unreachable(context, packet, addressTowardsSender);
    return mayLeave(context, packet, egress.mtu, addressTowardsSender);
  }
  if (egress.kind === 'none') return give(packet, PASS, REASON['no-route']);
  return isForwardable(packet, egress.mtu) ? CONTINUE : give(packet, PASS, REASON.ttl);
}
