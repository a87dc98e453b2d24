/**
 * ICMP errors about our own tunnel packets: the client is told what became of its packet, which is quoted inside the
 * quote. IPv4 only, as in the kernel. Source: RFC 2003 section 4, and the behaviour of IPVS.
 */
import { readInt32, readUint8, readUint16 } from '../wire/bytes.ts';
import { PROTOCOL_IPV4_INSIDE, readTunnelHeaders, TunnelHeaders } from '../wire/encapsulation.ts';
import { ICMP_CODE_FRAGMENTATION_NEEDED, ICMP_HEADER_BYTES, ICMP_UNREACHABLE } from '../wire/icmp.ts';
import { ipv4Destination, ipv4DontFragment, ipv4HeaderBytes, ipv4Protocol, ipv4TotalLength } from '../wire/ipv4.ts';
import { NO_ROW } from './connection.ts';
import type { EngineContext } from './context.ts';
import { give } from './dissect.ts';
import { tunnelOverhead } from './forwarding/encapsulate.ts';
import { sendErrorAboutQuote } from './outgoing-icmp.ts';
import type { Packet } from './packet.ts';
import { Quote, readIpv4Quote } from './quote.ts';
import { countOutbound } from './statistics.ts';
import { CONSUME, CONTINUE, PASS, REASON, type Verdict } from './verdict.ts';

const headers = new TunnelHeaders();
const inner = new Quote();
const MTU_MIN = 68;

/** CONTINUE: it is not about a tunnel of ours. */
export function relateTunnelError(context: EngineContext, packet: Packet): Verdict {
  const { bytes, end } = packet;
  const at = packet.transportAt + ICMP_HEADER_BYTES;
  const headerBytes = ipv4HeaderBytes(bytes, at, end);
  if (headerBytes === 0) return CONTINUE;
  const protocol = ipv4Protocol(bytes, at);
  if (!readTunnelHeaders(bytes, at + headerBytes, end, protocol, headers)) return CONTINUE;
  const end3 = ipv4Destination(bytes, at);
  const destination = context.services.findTunnel(false, 0, 0, 0, end3, headers.port);
  if (destination === null || destination.tunnel.type !== headers.type) {
    return protocol === PROTOCOL_IPV4_INSIDE ? give(packet, PASS, REASON.icmp) : CONTINUE;
  }
  if (!readIpv4Quote(packet, headers.innerAt, inner)) return give(packet, PASS, REASON.icmp);
  exchange(inner);
  const row = context.connections.findInbound(inner);
  if (row === NO_ROW) return give(packet, PASS, REASON.icmp);
  const type = readUint8(bytes, packet.transportAt);
  const code = readUint8(bytes, packet.transportAt + 1);
  let info = readInt32(bytes, packet.transportAt + 4);
  if (type === ICMP_UNREACHABLE && code === ICMP_CODE_FRAGMENTATION_NEEDED) {
    const mtu = readUint16(bytes, packet.transportAt + 6);
    const egress = context.egresses.ofDestination(context, destination);
    // The kernel passes on what its route says: at first that is the link's, only then what was learned.
    const told = context.pathMtu.isKnown(destination.index)
      ? Math.min(mtu, egress.mtu)
      : egress.kind === 'remote'
        ? egress.mtu
        : mtu;
    context.pathMtu.learn(context, destination.index, mtu);
    if (!ipv4DontFragment(bytes, headers.innerAt)) return give(packet, CONSUME, REASON.none);
    const overhead = tunnelOverhead(destination.tunnel, false);
    info = told - overhead >= MTU_MIN ? told - overhead : told;
  }
  const quoted = Math.min(end - headers.innerAt, ipv4TotalLength(bytes, headers.innerAt));
  countOutbound(context, row, quoted);
  sendErrorAboutQuote(context, inner, bytes, headers.innerAt, headers.innerAt + quoted, type, code, info);
  return give(packet, CONSUME, REASON.none);
}

/** The packet inside the tunnel packet that an ICMP error quotes, as its client sent it. False: it quotes none. */
export function readTunnelQuote(packet: Packet, quote: Quote): boolean {
  const { bytes, end } = packet;
  const at = packet.transportAt + ICMP_HEADER_BYTES;
  const headerBytes = ipv4HeaderBytes(bytes, at, end);
  if (headerBytes === 0) return false;
  if (!readTunnelHeaders(bytes, at + headerBytes, end, ipv4Protocol(bytes, at), headers)) return false;
  if (!readIpv4Quote(packet, headers.innerAt, quote)) return false;
  exchange(quote);
  return true;
}

function exchange(quote: Quote): void {
  const { source3, sourcePort } = quote;
  quote.source3 = quote.destination3;
  quote.sourcePort = quote.destinationPort;
  quote.destination3 = source3;
  quote.destinationPort = sourcePort;
}
