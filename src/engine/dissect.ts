/** Step 1: headers to offsets and endpoints on the Packet. Checks every length once, so later steps need not. */
import { readUint16 } from '../wire/bytes.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherType,
  isGroupAddressed,
  isSentTo,
} from '../wire/ethernet.ts';
import { ICMP_HEADER_BYTES } from '../wire/icmp.ts';
import {
  IPV4_HEADER_BYTES_MIN,
  ipv4ChecksumIsRight,
  ipv4Destination,
  ipv4HeaderBytes,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
  isIpv4Fragment,
  PROTOCOL_AH,
  PROTOCOL_ESP,
  PROTOCOL_ICMP,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import {
  IPV6_HEADER_BYTES,
  Ipv6Walk,
  ipv6DestinationWord,
  ipv6PayloadLength,
  ipv6SourceWord,
  isIpv6Header,
  PROTOCOL_ICMPV6,
  walkIpv6,
} from '../wire/ipv6.ts';
import { FrameFlag } from '../wire/packet-batch.ts';
import { TCP_HEADER_BYTES_MIN, tcpFlags, tcpHeaderBytes } from '../wire/tcp.ts';
import { UDP_HEADER_BYTES } from '../wire/udp.ts';
import type { EngineContext } from './context.ts';
import type { Packet } from './packet.ts';
import { CONTINUE, DROP, PASS, REASON, type Verdict } from './verdict.ts';

/** Not a verdict: the packet is a fragment and has to be put together first. */
export const FRAGMENT = -2;

const SCTP_HEADER_BYTES = 12;
const ISAKMP_PORT = 500;

export function dissect(context: EngineContext, packet: Packet): Verdict | typeof FRAGMENT {
  const { bytes, start } = packet;
  if (packet.end - start < ETHERNET_HEADER_BYTES) {
    const foreign = ((packet.batch.flags[packet.slot] as number) & FrameFlag.OTHER_SHARD) !== 0;
    return give(packet, DROP, foreign ? REASON['other-shard'] : REASON.truncated);
  }
  const link = context.network.link(packet.ingress);
  packet.etherType = etherType(bytes, start);
  packet.ipAt = start + ETHERNET_HEADER_BYTES;
  if (link === null || !isSentTo(bytes, start, link.mac)) {
    const asksForNeighbor = packet.etherType === ETHERTYPE_ARP || packet.etherType === ETHERTYPE_IPV6;
    if (!asksForNeighbor || !isGroupAddressed(bytes, start)) {
      return give(packet, PASS, REASON['other-host']);
    }
  }
  if (packet.etherType === ETHERTYPE_IPV4) return dissectIpv4(packet);
  if (packet.etherType === ETHERTYPE_IPV6) return dissectIpv6(packet);
  if (packet.etherType === ETHERTYPE_ARP) return CONTINUE;
  return give(packet, PASS, REASON['not-ip']);
}

const walk = new Ipv6Walk();

function dissectIpv6(packet: Packet): Verdict | typeof FRAGMENT {
  const { bytes, ipAt } = packet;
  if (!isIpv6Header(bytes, ipAt, packet.end)) return give(packet, DROP, REASON.truncated);
  const end = ipAt + IPV6_HEADER_BYTES + ipv6PayloadLength(bytes, ipAt);
  if (end > packet.end) return give(packet, DROP, REASON.truncated);
  packet.end = end;
  packet.batch.end[packet.slot] = end;
  packet.ipv6 = true;
  packet.source0 = ipv6SourceWord(bytes, ipAt, 0);
  packet.source1 = ipv6SourceWord(bytes, ipAt, 1);
  packet.source2 = ipv6SourceWord(bytes, ipAt, 2);
  packet.source3 = ipv6SourceWord(bytes, ipAt, 3);
  packet.destination0 = ipv6DestinationWord(bytes, ipAt, 0);
  packet.destination1 = ipv6DestinationWord(bytes, ipAt, 1);
  packet.destination2 = ipv6DestinationWord(bytes, ipAt, 2);
  packet.destination3 = ipv6DestinationWord(bytes, ipAt, 3);
  if (!walkIpv6(bytes, ipAt, end, walk)) return give(packet, DROP, REASON.truncated);
  packet.protocol = walk.protocol;
  packet.transportAt = walk.transportAt;
  if (walk.fragmentAt >= 0 && packet.largestFragmentBytes === 0) {
    packet.fragmentAt = walk.fragmentAt;
    packet.fragmentFieldAt = walk.fragmentFieldAt;
    return FRAGMENT;
  }
  return dissectTransport(packet);
}

function dissectIpv4(packet: Packet): Verdict | typeof FRAGMENT {
  const { bytes, ipAt } = packet;
  const headerBytes = ipv4HeaderBytes(bytes, ipAt, packet.end);
  if (headerBytes === 0) return give(packet, DROP, REASON.truncated);
  const totalLength = ipv4TotalLength(bytes, ipAt);
  if (totalLength < headerBytes || ipAt + totalLength > packet.end) return give(packet, DROP, REASON.truncated);
  if (!ipv4ChecksumIsRight(bytes, ipAt, headerBytes)) return give(packet, DROP, REASON['ip-checksum']);
  // What follows the datagram is padding of the link.
  packet.end = ipAt + totalLength;
  packet.batch.end[packet.slot] = packet.end;
  packet.ipv6 = false;
  packet.hasOptions = headerBytes !== IPV4_HEADER_BYTES_MIN;
  packet.source0 = packet.source1 = packet.source2 = 0;
  packet.destination0 = packet.destination1 = packet.destination2 = 0;
  packet.source3 = ipv4Source(bytes, ipAt);
  packet.destination3 = ipv4Destination(bytes, ipAt);
  packet.protocol = ipv4Protocol(bytes, ipAt);
  packet.transportAt = ipAt + headerBytes;
  if (isIpv4Fragment(bytes, ipAt)) return FRAGMENT;
  return dissectTransport(packet);
}

function dissectTransport(packet: Packet): Verdict {
  const { bytes, transportAt, end } = packet;
  if (packet.protocol === PROTOCOL_TCP) {
    const headerBytes = tcpHeaderBytes(bytes, transportAt, end);
    if (headerBytes === 0) return give(packet, DROP, REASON.truncated);
    packet.tcpFlags = tcpFlags(bytes, transportAt);
    packet.stateFlags = packet.tcpFlags;
    if (packet.ipv6 && transportAt !== packet.ipAt + IPV6_HEADER_BYTES)
      packet.stateFlags = flagsBehindFixedHeader(packet);
    packet.headerBytes = transportAt - packet.ipAt + headerBytes;
  } else if (packet.protocol === PROTOCOL_UDP) {
    if (end - transportAt < UDP_HEADER_BYTES) return give(packet, DROP, REASON.truncated);
    packet.headerBytes = transportAt - packet.ipAt + UDP_HEADER_BYTES;
  } else if (packet.protocol === (packet.ipv6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP)) {
    return end - transportAt < ICMP_HEADER_BYTES ? give(packet, DROP, REASON.truncated) : CONTINUE;
  } else if (packet.protocol === PROTOCOL_SCTP) {
    if (end - transportAt < SCTP_HEADER_BYTES) return give(packet, DROP, REASON.truncated);
    packet.headerBytes = transportAt - packet.ipAt + SCTP_HEADER_BYTES;
  } else if (packet.protocol === PROTOCOL_AH || packet.protocol === PROTOCOL_ESP) {
    // IPsec goes where the key exchange between the same two went (UDP port 500).
    packet.ipsec = true;
    packet.protocol = PROTOCOL_UDP;
    packet.sourcePort = ISAKMP_PORT;
    packet.destinationPort = ISAKMP_PORT;
    return CONTINUE;
  } else {
    return give(packet, PASS, REASON.protocol);
  }
  packet.sourcePort = readUint16(bytes, transportAt);
  packet.destinationPort = readUint16(bytes, transportAt + 2);
  return CONTINUE;
}

/** The kernel looks for the TCP header of an IPv6 packet here when it follows the state, whatever is there. */
function flagsBehindFixedHeader(packet: Packet): number {
  const at = packet.ipAt + IPV6_HEADER_BYTES;
  return packet.end - at < TCP_HEADER_BYTES_MIN ? -1 : tcpFlags(packet.bytes, at);
}

/** A verdict with its reason. */
export function give(packet: Packet, verdict: Verdict, reason: number): Verdict {
  packet.reason = reason;
  return verdict;
}
