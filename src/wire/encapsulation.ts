/**
 * The headers in front of a tunnelled packet: outer IP, and GRE or UDP with GUE.
 * Sources: RFC 2003 and RFC 2473 (IP in IP), RFC 2784 (GRE), draft-ietf-intarea-gue (GUE, with remote checksum
 * offload), RFC 768 and RFC 6935 (UDP checksum).
 */
import { readUint8, readUint16, writeInt32, writeUint8, writeUint16 } from './bytes.ts';
import { addInt32, checksum } from './checksum.ts';
import { fillIpv4Checksum, IPV4_HEADER_BYTES_MIN, PROTOCOL_UDP } from './ipv4.ts';
import { fillUdpChecksum, UDP_HEADER_BYTES } from './udp.ts';

export const PROTOCOL_IPV4_INSIDE = 4;
export const PROTOCOL_IPV6_INSIDE = 41;
export const PROTOCOL_GRE = 47;

export const OUTER_IPV6_HEADER_BYTES = 40;
export const GUE_HEADER_BYTES = 4;
/** Private flags and the two offsets of remote checksum offload, behind the GUE header. */
export const GUE_REMOTE_CHECKSUM_BYTES = 8;
export const GRE_HEADER_BYTES = 4;
export const GRE_HEADER_BYTES_WITH_CHECKSUM = 8;

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const GRE_CHECKSUM_PRESENT = 0x8000;
const GUE_PRIVATE_FLAGS_PRESENT = 0x0001;
const GUE_REMOTE_CHECKSUM = 0x8000_0000 | 0;
const DONT_FRAGMENT = 0x4000;

/** What stands in the outer header; one object, filled anew for every packet. Addresses as four words. */
export class OuterHeader {
  ipv6 = false;
  source0 = 0;
  source1 = 0;
  source2 = 0;
  source3 = 0;
  destination0 = 0;
  destination1 = 0;
  destination2 = 0;
  destination3 = 0;
  /** Type of service or traffic class, with the two ECN bits. */
  trafficClass = 0;
  /** Time to live or hop limit. */
  ttl = 0;
  /** IPv4 only. */
  dontFragment = false;
  identification = 0;
}

/** Writes the outer IP header at `at` for a packet that ends at `end`; `protocol` is what follows it. */
export function writeOuterHeader(
  bytes: Uint8Array,
  at: number,
  end: number,
  protocol: number,
  outer: OuterHeader,
): void {
  if (outer.ipv6) writeOuterIpv6(bytes, at, end, protocol, outer);
  else writeOuterIpv4(bytes, at, end, protocol, outer);
}

function writeOuterIpv4(bytes: Uint8Array, at: number, end: number, protocol: number, outer: OuterHeader): void {
  writeUint8(bytes, at, 0x45);
  writeUint8(bytes, at + 1, outer.trafficClass);
  writeUint16(bytes, at + 2, end - at);
  writeUint16(bytes, at + 4, outer.identification);
  writeUint16(bytes, at + 6, outer.dontFragment ? DONT_FRAGMENT : 0);
  writeUint8(bytes, at + 8, outer.ttl);
  writeUint8(bytes, at + 9, protocol);
  writeInt32(bytes, at + 12, outer.source3);
  writeInt32(bytes, at + 16, outer.destination3);
  fillIpv4Checksum(bytes, at, IPV4_HEADER_BYTES_MIN);
}

function writeOuterIpv6(bytes: Uint8Array, at: number, end: number, protocol: number, outer: OuterHeader): void {
  // Version, traffic class, and a flow label of 0.
  writeInt32(bytes, at, (6 << 28) | (outer.trafficClass << 20));
  writeUint16(bytes, at + 4, end - at - OUTER_IPV6_HEADER_BYTES);
  writeUint8(bytes, at + 6, protocol);
  writeUint8(bytes, at + 7, outer.ttl);
  writeInt32(bytes, at + 8, outer.source0);
  writeInt32(bytes, at + 12, outer.source1);
  writeInt32(bytes, at + 16, outer.source2);
  writeInt32(bytes, at + 20, outer.source3);
  writeInt32(bytes, at + 24, outer.destination0);
  writeInt32(bytes, at + 28, outer.destination1);
  writeInt32(bytes, at + 32, outer.destination2);
  writeInt32(bytes, at + 36, outer.destination3);
}

/** Sum of the pseudo-header of UDP inside `outer`, for a datagram of `udpBytes` with its header. */
export function outerPseudoHeaderSum(outer: OuterHeader, udpBytes: number): number {
  let sum = addInt32(addInt32(PROTOCOL_UDP + udpBytes, outer.source3), outer.destination3);
  if (!outer.ipv6) return sum;
  sum = addInt32(addInt32(addInt32(sum, outer.source0), outer.source1), outer.source2);
  return addInt32(addInt32(addInt32(sum, outer.destination0), outer.destination1), outer.destination2);
}

/** Writes a GRE header at `at` before an inner IP packet that ends at `end`; the checksum covers both. */
export function writeGreHeader(
  bytes: Uint8Array,
  at: number,
  end: number,
  innerIpv6: boolean,
  withChecksum: boolean,
): void {
  writeUint16(bytes, at, withChecksum ? GRE_CHECKSUM_PRESENT : 0);
  writeUint16(bytes, at + 2, innerIpv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
  if (!withChecksum) return;
  writeInt32(bytes, at + 4, 0);
  writeUint16(bytes, at + 4, checksum(bytes, at, end));
}

/** Writes the 4-byte GUE header at `at`, saying that `optionBytes` (a multiple of 4) of options follow. */
export function writeGueHeader(bytes: Uint8Array, at: number, innerIpv6: boolean, optionBytes: number): void {
  writeUint8(bytes, at, optionBytes / 4);
  writeUint8(bytes, at + 1, innerIpv6 ? PROTOCOL_IPV6_INSIDE : PROTOCOL_IPV4_INSIDE);
  writeUint16(bytes, at + 2, optionBytes === 0 ? 0 : GUE_PRIVATE_FLAGS_PRESENT);
}

/**
 * Writes the option of remote checksum offload, 8 bytes at `at`: the receiver completes the checksum that the inner
 * packet still lacks. Both numbers count from the beginning of the inner packet: where the sum begins, where it goes.
 */
export function writeGueRemoteChecksum(bytes: Uint8Array, at: number, sumStart: number, field: number): void {
  writeInt32(bytes, at, GUE_REMOTE_CHECKSUM);
  writeUint16(bytes, at + 4, sumStart);
  writeUint16(bytes, at + 6, field);
}

/** Writes the outer UDP header at `at` for a datagram that ends at `end`: with a full checksum, or with 0 for none. */
export function writeOuterUdpHeader(
  bytes: Uint8Array,
  at: number,
  end: number,
  sourcePort: number,
  destinationPort: number,
  withChecksum: boolean,
  outer: OuterHeader,
): void {
  writeUint16(bytes, at, sourcePort);
  writeUint16(bytes, at + 2, destinationPort);
  writeUint16(bytes, at + 4, end - at);
  writeUint16(bytes, at + 6, 0);
  if (withChecksum) fillUdpChecksum(bytes, at, end, outerPseudoHeaderSum(outer, end - at));
}

/** What `readTunnelHeaders` has found. */
export class TunnelHeaders {
  type: 'ipip' | 'gue' | 'gre' = 'ipip';
  /** GUE: the UDP destination port; 0 for the others. */
  port = 0;
  /** GRE: a checksum is there. */
  hasChecksum = false;
  /** Where the inner IPv4 packet begins. */
  innerAt = 0;
}

/**
 * Reads the headers between an outer IPv4 header and the IPv4 packet inside, as our tunnels write them. `at` is
 * behind the outer header, `protocol` the number in it; nothing at or behind `end` is read. False: no tunnel of ours.
 * `into.innerAt` may be `end` (a quote that was cut): the caller checks the inner header.
 */
export function readTunnelHeaders(
  bytes: Uint8Array,
  at: number,
  end: number,
  protocol: number,
  into: TunnelHeaders,
): boolean {
  into.port = 0;
  into.hasChecksum = false;
  if (protocol === PROTOCOL_IPV4_INSIDE) {
    into.type = 'ipip';
    into.innerAt = at;
    return true;
  }
  if (protocol === PROTOCOL_GRE) return readGreHeader(bytes, at, end, into);
  return protocol === PROTOCOL_UDP && readGueHeaders(bytes, at, end, into);
}

/** Only the checksum is known as an option; keys, sequence numbers and other versions are not ours. */
function readGreHeader(bytes: Uint8Array, at: number, end: number, into: TunnelHeaders): boolean {
  if (end - at < GRE_HEADER_BYTES) return false;
  const flags = readUint16(bytes, at);
  if ((flags & ~GRE_CHECKSUM_PRESENT) !== 0 || readUint16(bytes, at + 2) !== ETHERTYPE_IPV4) return false;
  into.type = 'gre';
  into.hasChecksum = flags !== 0;
  into.innerAt = at + (flags === 0 ? GRE_HEADER_BYTES : GRE_HEADER_BYTES_WITH_CHECKSUM);
  return into.innerAt <= end;
}

function readGueHeaders(bytes: Uint8Array, at: number, end: number, into: TunnelHeaders): boolean {
  const gueAt = at + UDP_HEADER_BYTES;
  if (end - gueAt < GUE_HEADER_BYTES) return false;
  // Two bits of version and the control bit must be 0; the other five count the words of options.
  const first = readUint8(bytes, gueAt);
  if (first >>> 5 !== 0 || readUint8(bytes, gueAt + 1) !== PROTOCOL_IPV4_INSIDE) return false;
  into.type = 'gue';
  into.port = readUint16(bytes, at + 2);
  into.innerAt = gueAt + GUE_HEADER_BYTES + first * 4;
  return into.innerAt <= end;
}
