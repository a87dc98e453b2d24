/**
 * One line per packet, for tests, traces and the dashboard, in the shape that `tcpdump -n -S` has made familiar:
 *
 *     IP 10.0.0.5.40000 > 192.168.1.120.80: Flags [S], seq 1, win 65535, length 0
 *
 * Sequence numbers are absolute and payloads are not looked into. Never throws and reads only what it is given,
 * whatever the bytes are; what is cut off shows as `[|tcp]`.
 */

import { formatMac } from './address.ts';
import { ARP_REPLY, ARP_REQUEST, arpOperation, isArp } from './arp.ts';
import { readUint8, readUint16 } from './bytes.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, etherType } from './ethernet.ts';
import {
  IPV4_HEADER_BYTES_MIN,
  ipv4FragmentOffset,
  ipv4HeaderBytes,
  ipv4Protocol,
  ipv4TotalLength,
  isIpv4Fragment,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from './ipv4.ts';
import { formatIpv4At, formatIpv6At } from './print-address.ts';
import { formatIcmp, formatIcmpv6 } from './print-icmp.ts';
import { formatTcp, formatUdp, type Heading } from './print-transport.ts';

const ETHERTYPE_VLAN = 0x8100;
const VLAN_TAG_BYTES = 4;
const IPV6_HEADER_BYTES = 40;
const EXTENSION_BYTES_MIN = 8;
const PROTOCOL_IPV4 = 4;
const PROTOCOL_IPV6 = 41;
const PROTOCOL_FRAGMENT = 44;
const PROTOCOL_ICMPV6 = 58;
/** Hop-by-hop, routing, destination options: a next header and a length in units of eight bytes. */
const EXTENSION_NAMES: Readonly<Record<number, string>> = { 0: 'HBH', 43: 'RT', 60: 'DSTOPT' };
/** Packets inside packets that are told; a chain of tunnels deeper than that is cut short. */
const DEPTH_MAX = 4;

/** What an IP header says about the data after it. */
interface IpPacketText {
  readonly heading: Heading;
  readonly protocol: number;
  /** How many packets this one is inside of. */
  readonly depth: number;
}

/** The Ethernet frame in `bytes[at..end)`. */
export function formatFrame(bytes: Uint8Array, at = 0, end = bytes.length): string {
  if (end - at < ETHERNET_HEADER_BYTES) return '[|ether]';
  const type = etherType(bytes, at);
  if (type !== ETHERTYPE_VLAN) return formatEtherPayload(bytes, at + ETHERNET_HEADER_BYTES, end, type);
  const tagAt = at + ETHERNET_HEADER_BYTES;
  if (end - tagAt < VLAN_TAG_BYTES) return '[|vlan]';
  const inside = formatEtherPayload(bytes, tagAt + VLAN_TAG_BYTES, end, readUint16(bytes, tagAt + 2));
  return `vlan ${readUint16(bytes, tagAt) & 0xfff}, ${inside}`;
}

/** The IPv4 or IPv6 packet in `bytes[at..end)`. */
export function formatPacket(bytes: Uint8Array, at = 0, end = bytes.length): string {
  const version = end > at ? readUint8(bytes, at) >>> 4 : 0;
  return formatEtherPayload(bytes, at, end, version === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
}

function formatEtherPayload(bytes: Uint8Array, at: number, end: number, type: number): string {
  if (type === ETHERTYPE_IPV4) return `IP ${formatIpv4(bytes, at, end, 0)}`;
  if (type === ETHERTYPE_IPV6) return `IP6 ${formatIpv6(bytes, at, end, 0)}`;
  if (type === ETHERTYPE_ARP) return `ARP, ${formatArp(bytes, at, end)}`;
  return `ethertype 0x${type.toString(16).padStart(4, '0')}, length ${end - at}`;
}

function formatArp(bytes: Uint8Array, at: number, end: number): string {
  if (!isArp(bytes, at, end)) return '[|arp]';
  const sender = formatIpv4At(bytes, at + 14);
  const operation = arpOperation(bytes, at);
  const length = `length ${end - at}`;
  if (operation === ARP_REQUEST) return `Request who-has ${formatIpv4At(bytes, at + 24)} tell ${sender}, ${length}`;
  if (operation === ARP_REPLY) return `Reply ${sender} is-at ${formatMac(bytes, at + 8)}, ${length}`;
  return `operation ${operation}, ${length}`;
}

function formatIpv4(bytes: Uint8Array, at: number, end: number, depth: number): string {
  const headerBytes = ipv4HeaderBytes(bytes, at, end);
  if (headerBytes === 0) return end - at < IPV4_HEADER_BYTES_MIN ? '[|ip]' : 'bad header';
  // Super-frames of more than 64 KiB have a total length of 0.
  const totalLength = ipv4TotalLength(bytes, at) || end - at;
  if (totalLength < headerBytes) return `bad-len ${totalLength}`;
  const missing = at + totalLength - end;
  const packet: IpPacketText = {
    heading: headingOf(formatIpv4At(bytes, at + 12), formatIpv4At(bytes, at + 16)),
    protocol: ipv4Protocol(bytes, at),
    depth,
  };
  const dataEnd = Math.min(at + totalLength, end);
  const warning = missing > 0 ? `truncated-ip - ${missing} bytes missing! ` : '';
  return `${warning}${formatIpv4Data(bytes, at, headerBytes, dataEnd, totalLength - headerBytes, packet)}`;
}

/** Fragments end in `(frag id:bytes@offset+)`, with `+` when more follow; only the first one has a transport header. */
function formatIpv4Data(
  bytes: Uint8Array,
  at: number,
  headerBytes: number,
  end: number,
  dataBytes: number,
  packet: IpPacketText,
): string {
  const dataAt = at + headerBytes;
  if (!isIpv4Fragment(bytes, at)) return formatTransport(bytes, dataAt, end, dataBytes, packet);
  const offset = ipv4FragmentOffset(bytes, at);
  const more = (readUint8(bytes, at + 6) & 0x20) !== 0 ? '+' : '';
  const fragment = `(frag ${readUint16(bytes, at + 4)}:${dataBytes}@${offset}${more})`;
  if (offset === 0) return `${formatTransport(bytes, dataAt, end, dataBytes, packet)} ${fragment}`;
  return `${packet.heading()} ${protocolName(packet.protocol)} ${fragment}`;
}

function formatIpv6(bytes: Uint8Array, at: number, end: number, depth: number): string {
  if (end - at < IPV6_HEADER_BYTES) return '[|ip6]';
  if (readUint8(bytes, at) >>> 4 !== 6) return 'bad header';
  const dataAt = at + IPV6_HEADER_BYTES;
  // Jumbograms and large super-frames have a payload length of 0.
  const payloadBytes = readUint16(bytes, at + 4) || end - dataAt;
  const missing = dataAt + payloadBytes - end;
  const warning = missing > 0 ? `truncated-ip6 - ${missing} bytes missing! ` : '';
  const heading = headingOf(formatIpv6At(bytes, at + 8), formatIpv6At(bytes, at + 24));
  const protocol = readUint8(bytes, at + 6);
  const dataEnd = Math.min(dataAt + payloadBytes, end);
  const text = isExtension(protocol)
    ? heading() + formatExtensions(bytes, dataAt, dataEnd, payloadBytes, protocol, depth)
    : formatTransport(bytes, dataAt, dataEnd, payloadBytes, { heading, protocol, depth });
  return `${warning}${text}`;
}

/** Behind extension headers the ports stand alone: `frag (0|24) 40000 > 5300: UDP, length 500`. */
function formatExtensions(
  bytes: Uint8Array,
  at: number,
  end: number,
  dataBytes: number,
  protocol: number,
  depth: number,
): string {
  let text = '';
  while (isExtension(protocol)) {
    if (end - at < EXTENSION_BYTES_MIN) return `${text} [|ip6 extension]`;
    let headerBytes = (readUint8(bytes, at + 1) + 1) * 8;
    if (protocol === PROTOCOL_FRAGMENT) {
      headerBytes = EXTENSION_BYTES_MIN;
      const offset = readUint16(bytes, at + 2) & 0xfff8;
      text += ` frag (${offset}|${dataBytes - headerBytes})`;
      if (offset > 0) return text;
    } else {
      text += ` ${EXTENSION_NAMES[protocol]}`;
    }
    protocol = readUint8(bytes, at);
    at += headerBytes;
    dataBytes -= headerBytes;
  }
  const heading: Heading = (ports) => (ports === undefined ? '' : `${ports[0]} > ${ports[1]}:`);
  if (at > end) return `${text} [|ip6 extension]`;
  return `${text} ${formatTransport(bytes, at, end, dataBytes, { heading, protocol, depth }).trimStart()}`;
}

function isExtension(protocol: number): boolean {
  return protocol === PROTOCOL_FRAGMENT || EXTENSION_NAMES[protocol] !== undefined;
}

function headingOf(source: string, destination: string): Heading {
  return (ports) =>
    ports === undefined ? `${source} > ${destination}:` : `${source}.${ports[0]} > ${destination}.${ports[1]}:`;
}

/** `dataBytes` is what the IP header promises, `end - at` what is here. */
function formatTransport(bytes: Uint8Array, at: number, end: number, dataBytes: number, packet: IpPacketText): string {
  const { heading, protocol, depth } = packet;
  if (protocol === PROTOCOL_TCP) return formatTcp(bytes, at, end, dataBytes, heading);
  if (protocol === PROTOCOL_UDP) return formatUdp(bytes, at, end, heading);
  return `${heading()} ${formatOther(bytes, at, end, dataBytes, protocol, depth)}`;
}

/** Protocols without ports. */
function formatOther(
  bytes: Uint8Array,
  at: number,
  end: number,
  dataBytes: number,
  protocol: number,
  depth: number,
): string {
  if (protocol === PROTOCOL_ICMP) return formatIcmp(bytes, at, end, dataBytes);
  if (protocol === PROTOCOL_ICMPV6) return formatIcmpv6(bytes, at, end, dataBytes);
  if (depth < DEPTH_MAX && protocol === PROTOCOL_IPV4) return `IP ${formatIpv4(bytes, at, end, depth + 1)}`;
  if (depth < DEPTH_MAX && protocol === PROTOCOL_IPV6) return `IP6 ${formatIpv6(bytes, at, end, depth + 1)}`;
  return `${protocolName(protocol)}, length ${dataBytes}`;
}

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  [PROTOCOL_ICMP]: 'icmp',
  [PROTOCOL_IPV4]: 'ipip',
  [PROTOCOL_TCP]: 'tcp',
  [PROTOCOL_UDP]: 'udp',
  [PROTOCOL_IPV6]: 'ipv6',
  47: 'gre',
  50: 'esp',
  51: 'ah',
  [PROTOCOL_ICMPV6]: 'ipv6-icmp',
  132: 'sctp',
};

function protocolName(protocol: number): string {
  return PROTOCOL_NAMES[protocol] ?? `ip-proto-${protocol}`;
}
