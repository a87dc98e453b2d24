/** IPv4 header, in place. Source: RFC 791; time to live and checksum RFC 1812, 5.3.1 and RFC 1624. */
import { readInt32, readUint8, readUint16, writeInt32, writeUint8, writeUint16 } from './bytes.ts';
import { addBytes, adjustChecksum, changeOf16, changeOf32, checksum, foldSmall } from './checksum.ts';

export const IPV4_HEADER_BYTES_MIN = 20;
export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ESP = 50;
export const PROTOCOL_AH = 51;
export const PROTOCOL_SCTP = 132;

const TOS = 1;
const TOTAL_LENGTH = 2;
const ID = 4;
const FRAGMENT = 6;
const TTL = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;
const SOURCE = 12;
const DESTINATION = 16;

const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const OFFSET_MASK = 0x1fff;

/**
 * Length of the header at `at`, in bytes, or 0 when `bytes[at..end)` does not begin with a whole IPv4 header.
 * After a result above 0 no other function here reads or writes outside `[at, end)`.
 */
export function ipv4HeaderBytes(bytes: Uint8Array, at: number, end: number): number {
  if (end - at < IPV4_HEADER_BYTES_MIN) return 0;
  const first = readUint8(bytes, at);
  if (first >>> 4 !== 4) return 0;
  const headerBytes = (first & 15) * 4;
  return headerBytes >= IPV4_HEADER_BYTES_MIN && headerBytes <= end - at ? headerBytes : 0;
}

export function ipv4TotalLength(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + TOTAL_LENGTH);
}

export function ipv4Tos(bytes: Uint8Array, at: number): number {
  return readUint8(bytes, at + TOS);
}

export function ipv4Ttl(bytes: Uint8Array, at: number): number {
  return readUint8(bytes, at + TTL);
}

export function ipv4Protocol(bytes: Uint8Array, at: number): number {
  return readUint8(bytes, at + PROTOCOL);
}

export function ipv4Source(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at + SOURCE);
}

export function ipv4Destination(bytes: Uint8Array, at: number): number {
  return readInt32(bytes, at + DESTINATION);
}

export function ipv4DontFragment(bytes: Uint8Array, at: number): boolean {
  return (readUint16(bytes, at + FRAGMENT) & DONT_FRAGMENT) !== 0;
}

/** A piece of a larger datagram: more to follow, or not the first. */
export function isIpv4Fragment(bytes: Uint8Array, at: number): boolean {
  return (readUint16(bytes, at + FRAGMENT) & (MORE_FRAGMENTS | OFFSET_MASK)) !== 0;
}

/** Offset of this fragment's data, in bytes. */
export function ipv4FragmentOffset(bytes: Uint8Array, at: number): number {
  return (readUint16(bytes, at + FRAGMENT) & OFFSET_MASK) * 8;
}

export function ipv4ChecksumIsRight(bytes: Uint8Array, at: number, headerBytes: number): boolean {
  return foldSmall(addBytes(0, bytes, at, at + headerBytes)) === 0xffff;
}

/** Computes the header checksum anew. */
export function fillIpv4Checksum(bytes: Uint8Array, at: number, headerBytes: number): void {
  writeUint16(bytes, at + CHECKSUM, 0);
  writeUint16(bytes, at + CHECKSUM, checksum(bytes, at, at + headerBytes));
}

export function setIpv4Source(bytes: Uint8Array, at: number, address: number): void {
  const change = changeOf32(readInt32(bytes, at + SOURCE), address);
  writeInt32(bytes, at + SOURCE, address);
  writeUint16(bytes, at + CHECKSUM, adjustChecksum(readUint16(bytes, at + CHECKSUM), change));
}

export function setIpv4Destination(bytes: Uint8Array, at: number, address: number): void {
  const change = changeOf32(readInt32(bytes, at + DESTINATION), address);
  writeInt32(bytes, at + DESTINATION, address);
  writeUint16(bytes, at + CHECKSUM, adjustChecksum(readUint16(bytes, at + CHECKSUM), change));
}

/** Takes one from the time to live; the caller knows that it is above 1. */
export function decrementIpv4Ttl(bytes: Uint8Array, at: number): void {
  const before = readUint16(bytes, at + TTL);
  writeUint8(bytes, at + TTL, (before >>> 8) - 1);
  writeUint16(bytes, at + CHECKSUM, adjustChecksum(readUint16(bytes, at + CHECKSUM), changeOf16(before, before - 256)));
}

/** Writes a header without options and with a right checksum. */
export function writeIpv4Header(
  bytes: Uint8Array,
  at: number,
  fields: {
    readonly tos: number;
    readonly totalLength: number;
    readonly id: number;
    readonly ttl: number;
    readonly protocol: number;
    readonly source: number;
    readonly destination: number;
  },
): void {
  writeUint8(bytes, at, 0x45);
  writeUint8(bytes, at + TOS, fields.tos);
  writeUint16(bytes, at + TOTAL_LENGTH, fields.totalLength);
  writeUint16(bytes, at + ID, fields.id);
  writeUint16(bytes, at + FRAGMENT, 0);
  writeUint8(bytes, at + TTL, fields.ttl);
  writeUint8(bytes, at + PROTOCOL, fields.protocol);
  writeInt32(bytes, at + SOURCE, fields.source);
  writeInt32(bytes, at + DESTINATION, fields.destination);
  fillIpv4Checksum(bytes, at, IPV4_HEADER_BYTES_MIN);
}
