/** ICMP messages, in place. Source: RFC 792, RFC 1812 section 4.3, RFC 1191 (next-hop MTU). */
import { readUint8, writeInt32, writeUint8, writeUint16 } from './bytes.ts';
import { checksum } from './checksum.ts';

export const ICMP_HEADER_BYTES = 8;
export const ICMP_UNREACHABLE = 3;
export const ICMP_SOURCE_QUENCH = 4;
export const ICMP_TIME_EXCEEDED = 11;

export const ICMP_CODE_HOST = 1;
export const ICMP_CODE_PORT = 3;
export const ICMP_CODE_FRAGMENTATION_NEEDED = 4;

const CHECKSUM = 2;
const INFO = 4;

export function icmpType(bytes: Uint8Array, at: number): number {
  return readUint8(bytes, at);
}

/** The messages that quote the datagram they are about. */
export function isIcmpError(type: number): boolean {
  return type === ICMP_UNREACHABLE || type === ICMP_SOURCE_QUENCH || type === ICMP_TIME_EXCEEDED;
}

export function icmpChecksumIsRight(bytes: Uint8Array, at: number, end: number): boolean {
  return checksum(bytes, at, end) === 0;
}

export function fillIcmpChecksum(bytes: Uint8Array, at: number, end: number): void {
  writeUint16(bytes, at + CHECKSUM, 0);
  writeUint16(bytes, at + CHECKSUM, checksum(bytes, at, end));
}

/** Writes the eight bytes before the quote; `info` is their last word, in it the next hop's MTU. */
export function writeIcmpErrorHeader(bytes: Uint8Array, at: number, type: number, code: number, info: number): void {
  writeUint8(bytes, at, type);
  writeUint8(bytes, at + 1, code);
  writeUint16(bytes, at + CHECKSUM, 0);
  writeInt32(bytes, at + INFO, info);
}
