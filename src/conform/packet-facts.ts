/** The few facts about a packet that the rules and tolerances of recordings ask for. Addresses are hexadecimal. */
import { parseAddress } from '../wire/address.ts';

export const ICMP = 1;
export const TCP = 6;
export const UDP = 17;
export const ICMPV6 = 58;
const FRAGMENT = 44;

export interface PacketFacts {
  readonly ipv6: boolean;
  readonly source: string;
  readonly destination: string;
  /** Of what follows the IP header and, in IPv6, a fragment header. */
  readonly protocol: number;
  readonly transportAt: number;
  readonly isFragment: boolean;
  /** Bytes before this piece of the whole packet's data. */
  readonly fragmentOffset: number;
  /** ICMP or ICMPv6 type and code, else -1. */
  readonly type: number;
  readonly code: number;
  /** Of TCP, UDP and SCTP, else -1. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly multicast: boolean;
}

export function packetFacts(packet: Buffer): PacketFacts {
  const ipv6 = packet.length >= 40 && packet[0]! >>> 4 === 6;
  const fragmented = ipv6 && packet[6] === FRAGMENT && packet.length >= 48;
  const transportAt = ipv6 ? (fragmented ? 48 : 40) : ((packet[0] ?? 5) & 15) * 4;
  const protocol = (ipv6 ? packet[fragmented ? 40 : 6] : packet[9]) ?? 0;
  const word = ipv6 ? (fragmented ? packet.readUInt16BE(42) : 0) : packet.length >= 8 ? packet.readUInt16BE(6) : 0;
  const fragmentOffset = ipv6 ? word & 0xfff8 : (word & 0x1fff) * 8;
  const more = ipv6 ? (word & 1) !== 0 : (word & 0x2000) !== 0;
  const has = (bytes: number): boolean => fragmentOffset === 0 && packet.length >= transportAt + bytes;
  const icmp = (protocol === ICMP || protocol === ICMPV6) && has(2);
  const ports = [TCP, UDP, 132].includes(protocol) && has(4);
  return {
    ipv6,
    source: packet.subarray(ipv6 ? 8 : 12, ipv6 ? 24 : 16).toString('hex'),
    destination: packet.subarray(ipv6 ? 24 : 16, ipv6 ? 40 : 20).toString('hex'),
    protocol,
    transportAt,
    isFragment: fragmentOffset > 0 || more,
    fragmentOffset,
    type: icmp ? packet[transportAt]! : -1,
    code: icmp ? packet[transportAt + 1]! : -1,
    sourcePort: ports ? packet.readUInt16BE(transportAt) : -1,
    destinationPort: ports ? packet.readUInt16BE(transportAt + 2) : -1,
    multicast: ipv6 ? packet[24] === 0xff : packet.length > 16 && packet[16]! >>> 4 === 14,
  };
}

export function isIcmpError({ ipv6, protocol, type }: PacketFacts): boolean {
  if (ipv6) return protocol === ICMPV6 && type >= 0 && type < 128;
  return protocol === ICMP && (type === 3 || type === 4 || type === 5 || type === 11 || type === 12);
}

export function isPortUnreachable({ ipv6, protocol, type, code }: PacketFacts): boolean {
  if (ipv6) return protocol === ICMPV6 && type === 1 && code === 4;
  return protocol === ICMP && type === 3 && code === 3;
}

/** The hexadecimal form of an address in text. */
export function addressHex(text: string): string {
  const address = parseAddress(text);
  if (address === null) return text;
  const words = address.family === 'ipv4' ? [address.words[3]!] : [...address.words];
  return words.map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
}
