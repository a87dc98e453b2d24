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
  ipv4ChecksumIsRight,
  ipv4Destination,
  ipv4HeaderBytes,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
  isIpv4Fragment,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import { tcpFlags, tcpHeaderBytes } from '../wire/tcp.ts';
import { UDP_HEADER_BYTES } from '../wire/udp.ts';
import type { EngineContext } from './context.ts';
import type { Packet } from './packet.ts';
import { CONTINUE, DROP, PASS, REASON, type Verdict } from './verdict.ts';

export function dissect(context: EngineContext, packet: Packet): Verdict {
  const { bytes, start } = packet;
  if (packet.end - start < ETHERNET_HEADER_BYTES) return give(packet, DROP, REASON.truncated);
  const link = context.network.link(packet.ingress);
  packet.etherType = etherType(bytes, start);
  packet.ipAt = start + ETHERNET_HEADER_BYTES;
  if (link === null || !isSentTo(bytes, start, link.mac)) {
    if (packet.etherType !== ETHERTYPE_ARP || !isGroupAddressed(bytes, start)) {
      return give(packet, PASS, REASON['other-host']);
    }
  }
  if (packet.etherType === ETHERTYPE_IPV4) return dissectIpv4(packet);
  if (packet.etherType === ETHERTYPE_ARP) return CONTINUE;
  return give(packet, PASS, packet.etherType === ETHERTYPE_IPV6 ? REASON.ipv6 : REASON['not-ip']);
}

function dissectIpv4(packet: Packet): Verdict {
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
  packet.source0 = packet.source1 = packet.source2 = 0;
  packet.destination0 = packet.destination1 = packet.destination2 = 0;
  packet.source3 = ipv4Source(bytes, ipAt);
  packet.destination3 = ipv4Destination(bytes, ipAt);
  packet.protocol = ipv4Protocol(bytes, ipAt);
  packet.transportAt = ipAt + headerBytes;
  if (isIpv4Fragment(bytes, ipAt)) return give(packet, PASS, REASON.fragment);
  return dissectTransport(packet);
}

function dissectTransport(packet: Packet): Verdict {
  const { bytes, transportAt, end } = packet;
  if (packet.protocol === PROTOCOL_TCP) {
    const headerBytes = tcpHeaderBytes(bytes, transportAt, end);
    if (headerBytes === 0) return give(packet, DROP, REASON.truncated);
    packet.tcpFlags = tcpFlags(bytes, transportAt);
    packet.headerBytes = transportAt - packet.ipAt + headerBytes;
  } else if (packet.protocol === PROTOCOL_UDP) {
    if (end - transportAt < UDP_HEADER_BYTES) return give(packet, DROP, REASON.truncated);
    packet.headerBytes = transportAt - packet.ipAt + UDP_HEADER_BYTES;
  } else if (packet.protocol === PROTOCOL_ICMP) {
    return end - transportAt < ICMP_HEADER_BYTES ? give(packet, DROP, REASON.truncated) : CONTINUE;
  } else {
    return give(packet, PASS, REASON.protocol);
  }
  packet.sourcePort = readUint16(bytes, transportAt);
  packet.destinationPort = readUint16(bytes, transportAt + 2);
  return CONTINUE;
}

/** A verdict with its reason. */
export function give(packet: Packet, verdict: Verdict, reason: number): Verdict {
  packet.reason = reason;
  return verdict;
}
