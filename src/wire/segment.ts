/**
 * What a network card or the kernel does for frames that leave an unfinished checksum or stand for many
 * segments, done in JavaScript: for links and back ends that cannot be told about it with a virtio-net header.
 * Frames are Ethernet without a VLAN tag; IPv4 without regard to options, IPv6 without extension headers.
 * Sources: RFC 791, RFC 768, RFC 9293, RFC 8200, RFC 1071; "Segmentation Offloads" of the kernel documentation.
 */
import { readUint8, readUint16, writeUint8, writeUint16 } from './bytes.ts';

export const ETHERNET_HEADER_BYTES = 14;
const ETHERTYPE_AT = 12;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const IPV6_HEADER_BYTES = 40;
const UDP_HEADER_BYTES = 8;
const TCP_HEADER_BYTES_MIN = 20;
const TCP = 6;
const UDP = 17;
const TCP_SEQUENCE_AT = 4;
const TCP_FLAGS_AT = 13;
const TCP_CHECKSUM_AT = 16;
const UDP_CHECKSUM_AT = 6;
/** More fragments, or an offset: no transport header of its own that could be finished. */
const IPV4_FRAGMENT_MASK = 0x3fff;
/** Flags that belong to the last segment only, and to the first only. */
const TCP_FIN_PSH = 0x09;
const TCP_CWR = 0x80;

/** Where the headers of the frame last looked at begin. One for all: nothing here waits or calls back. */
const found = { ipv6: false, ipAt: 0, protocol: 0, transportAt: 0, checksumAt: 0, payloadAt: 0, packetEnd: 0 };

/**
 * Finishes a partial TCP or UDP checksum in place. False, and nothing is written, when `bytes[start..end)` is
 * no whole TCP or UDP packet.
 */
export function completeChecksum(bytes: Uint8Array, start: number, end: number): boolean {
  if (!locate(bytes, start, end)) return false;
  writeTransportChecksum(bytes);
  return true;
}

/**
 * Whether the TCP or UDP checksum of the frame is unfinished: wrong as a complete one, and equal to the folded
 * sum of the pseudo-header. A corrupted frame passes for one in one case of 65536.
 */
export function looksPartial(bytes: Uint8Array, start: number, end: number): boolean {
  if (!locate(bytes, start, end)) return false;
  const checksum = readUint16(bytes, found.checksumAt);
  // Ones' complement has two zeros: 0 and 0xffff.
  if (checksum === 0 || checksum % 0xffff !== fold(pseudoHeaderSum(bytes)) % 0xffff) return false;
  const sum = pseudoHeaderSum(bytes) + sumWords(bytes, found.transportAt, found.packetEnd);
  return fold(sum) !== 0xffff;
}

/** Whether the packet in the frame says that it is longer than the frame: it was cut off on capture. */
export function looksTruncated(bytes: Uint8Array, start: number, end: number): boolean {
  const ipAt = start + ETHERNET_HEADER_BYTES;
  if (end - ipAt < IPV6_HEADER_BYTES) return false;
  const ethertype = readUint16(bytes, start + ETHERTYPE_AT);
  if (ethertype === ETHERTYPE_IPV4) return ipAt + readUint16(bytes, ipAt + 2) > end;
  return ethertype === ETHERTYPE_IPV6 && ipAt + IPV6_HEADER_BYTES + readUint16(bytes, ipAt + 4) > end;
}

/** Whether the frame carries TCP: only TCP may be cut at any byte. */
export function carriesTcp(bytes: Uint8Array, start: number, end: number): boolean {
  return tcpHeaderAt(bytes, start, end) !== 0;
}

/** Where the TCP header of the frame begins, or 0 when it carries no whole TCP packet. */
export function tcpHeaderAt(bytes: Uint8Array, start: number, end: number): number {
  return locate(bytes, start, end) && found.protocol === TCP ? found.transportAt : 0;
}

/** Payload bytes that fit into one packet of `mtu` behind the headers of this frame, or 0. */
export function payloadBytesMax(bytes: Uint8Array, start: number, end: number, mtu: number): number {
  return locate(bytes, start, end) ? Math.max(0, mtu - (found.payloadAt - found.ipAt)) : 0;
}

/**
 * Frames that a super-frame becomes when each carries `segmentBytes` of its payload; 0 when it cannot be cut:
 * neither TCP nor UDP, not whole, or of unknown segment size.
 */
export function segmentCount(bytes: Uint8Array, start: number, end: number, segmentBytes: number): number {
  if (segmentBytes <= 0 || !locate(bytes, start, end)) return 0;
  return Math.max(1, Math.ceil((found.packetEnd - found.payloadAt) / segmentBytes));
}

/**
 * Writes segment `index` of a super-frame to `out` at `outAt`, with complete checksums, and returns its bytes.
 * The caller has asked `segmentCount` and has room for the headers and `segmentBytes`.
 */
export function writeSegment(
  bytes: Uint8Array,
  start: number,
  end: number,
  segmentBytes: number,
  index: number,
  out: Uint8Array,
  outAt: number,
): number {
  if (!locate(bytes, start, end)) return 0;
  const headerBytes = found.payloadAt - start;
  const from = found.payloadAt + index * segmentBytes;
  const to = Math.min(from + segmentBytes, found.packetEnd);
  const last = to === found.packetEnd;
  out.set(bytes.subarray(start, found.payloadAt), outAt);
  out.set(bytes.subarray(from, to), outAt + headerBytes);

  const length = headerBytes + to - from;
  const ipAt = outAt + ETHERNET_HEADER_BYTES;
  const transportAt = outAt + found.transportAt - start;
  if (found.ipv6) writeUint16(out, ipAt + 4, length - ETHERNET_HEADER_BYTES - IPV6_HEADER_BYTES);
  else writeIpv4Header(out, ipAt, length - ETHERNET_HEADER_BYTES, index);
  if (found.protocol === TCP) writeTcpHeader(out, transportAt, index, segmentBytes, last);
  else writeUint16(out, transportAt + 4, outAt + length - transportAt);
  completeChecksum(out, outAt, outAt + length);
  return length;
}

/** Length, identification (counted up, as a sender does) and checksum of one segment's IPv4 header. */
function writeIpv4Header(out: Uint8Array, ipAt: number, totalBytes: number, index: number): void {
  const headerBytes = (readUint8(out, ipAt) & 15) * 4;
  writeUint16(out, ipAt + 2, totalBytes);
  writeUint16(out, ipAt + 4, (readUint16(out, ipAt + 4) + index) & 0xffff);
  writeUint16(out, ipAt + 10, 0);
  writeUint16(out, ipAt + 10, ~fold(sumWords(out, ipAt, ipAt + headerBytes)) & 0xffff);
}

function writeTcpHeader(out: Uint8Array, tcpAt: number, index: number, segmentBytes: number, last: boolean): void {
  const sequenceAt = tcpAt + TCP_SEQUENCE_AT;
  const sequence = readUint16(out, sequenceAt) * 0x10000 + readUint16(out, sequenceAt + 2) + index * segmentBytes;
  writeUint16(out, sequenceAt, Math.floor(sequence / 0x10000) & 0xffff);
  writeUint16(out, sequenceAt + 2, sequence & 0xffff);
  let flags = readUint8(out, tcpAt + TCP_FLAGS_AT);
  if (!last) flags &= ~TCP_FIN_PSH;
  if (index > 0) flags &= ~TCP_CWR;
  writeUint8(out, tcpAt + TCP_FLAGS_AT, flags);
}

/** Finds the headers of a whole TCP or UDP packet that is no fragment; what follows it is Ethernet's padding. */
function locate(bytes: Uint8Array, start: number, end: number): boolean {
  const ipAt = start + ETHERNET_HEADER_BYTES;
  if (end - ipAt < IPV6_HEADER_BYTES && end - ipAt < 20 + UDP_HEADER_BYTES) return false;
  const ethertype = readUint16(bytes, start + ETHERTYPE_AT);
  if (ethertype === ETHERTYPE_IPV4) {
    const headerBytes = (readUint8(bytes, ipAt) & 15) * 4;
    if (headerBytes < 20 || (readUint16(bytes, ipAt + 6) & IPV4_FRAGMENT_MASK) !== 0) return false;
    found.ipv6 = false;
    found.protocol = readUint8(bytes, ipAt + 9);
    found.transportAt = ipAt + headerBytes;
    found.packetEnd = ipAt + readUint16(bytes, ipAt + 2);
  } else if (ethertype === ETHERTYPE_IPV6 && end - ipAt >= IPV6_HEADER_BYTES) {
    found.ipv6 = true;
    found.protocol = readUint8(bytes, ipAt + 6);
    found.transportAt = ipAt + IPV6_HEADER_BYTES;
    found.packetEnd = found.transportAt + readUint16(bytes, ipAt + 4);
  } else {
    return false;
  }
  found.ipAt = ipAt;
  return found.packetEnd <= end && locateTransport(bytes);
}

function locateTransport(bytes: Uint8Array): boolean {
  const room = found.packetEnd - found.transportAt;
  if (found.protocol === UDP) {
    if (room < UDP_HEADER_BYTES) return false;
    found.checksumAt = found.transportAt + UDP_CHECKSUM_AT;
    found.payloadAt = found.transportAt + UDP_HEADER_BYTES;
    return true;
  }
  if (found.protocol !== TCP || room < TCP_HEADER_BYTES_MIN) return false;
  const headerBytes = (readUint8(bytes, found.transportAt + 12) >>> 4) * 4;
  found.checksumAt = found.transportAt + TCP_CHECKSUM_AT;
  found.payloadAt = found.transportAt + headerBytes;
  return headerBytes >= TCP_HEADER_BYTES_MIN && headerBytes <= room;
}

function writeTransportChecksum(bytes: Uint8Array): void {
  writeUint16(bytes, found.checksumAt, 0);
  const sum = pseudoHeaderSum(bytes) + sumWords(bytes, found.transportAt, found.packetEnd);
  const checksum = ~fold(sum) & 0xffff;
  // UDP says "no checksum" with 0 and sends a sum of 0 as its other form.
  writeUint16(bytes, found.checksumAt, checksum === 0 && found.protocol === UDP ? 0xffff : checksum);
}

/** Addresses, protocol and transport length of the packet found, not folded. */
function pseudoHeaderSum(bytes: Uint8Array): number {
  const addressesAt = found.ipv6 ? found.ipAt + 8 : found.ipAt + 12;
  const addresses = sumWords(bytes, addressesAt, addressesAt + (found.ipv6 ? 32 : 8));
  return addresses + found.protocol + found.packetEnd - found.transportAt;
}

/** Sum of big-endian 16-bit words; a last odd byte counts as the high one. At most 64 KB: no overflow. */
function sumWords(bytes: Uint8Array, at: number, end: number): number {
  let sum = 0;
  const evenEnd = end - ((end - at) & 1);
  for (let i = at; i < evenEnd; i += 2) sum += readUint16(bytes, i);
  return evenEnd < end ? sum + (readUint8(bytes, evenEnd) << 8) : sum;
}

function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum >>> 16) + (sum & 0xffff);
  return sum;
}
