/** ICMPv6 messages, in place. Source: RFC 4443. */
import { readUint8, writeInt32, writeUint8, writeUint16 } from './bytes.ts';
import { checksum } from './checksum.ts';
import { ipv6PseudoHeaderSum, PROTOCOL_ICMPV6 } from './ipv6.ts';

export const ICMPV6_UNREACHABLE = 1;
export const ICMPV6_TOO_BIG = 2;
export const ICMPV6_TIME_EXCEEDED = 3;
export const ICMPV6_PARAMETER_PROBLEM = 4;
export const ICMPV6_ROUTER_SOLICITATION = 133;
export const ICMPV6_NEIGHBOR_SOLICITATION = 135;
export const ICMPV6_NEIGHBOR_ADVERTISEMENT = 136;
export const ICMPV6_REDIRECT = 137;

export const ICMPV6_CODE_ADDRESS = 3;
export const ICMPV6_CODE_PORT = 4;

const CHECKSUM = 2;
const INFORMATIONAL = 128;

export function icmpv6Type(bytes: Uint8Array, at: number): number {
  return readUint8(bytes, at);
}

/** The messages that quote the packet they are about. */
export function isIcmpv6Error(type: number): boolean {
  return type < INFORMATIONAL;
}

/** For the message `[at, end)` of the packet whose fixed header is at `ipAt`. */
export function icmpv6ChecksumIsRight(bytes: Uint8Array, ipAt: number, at: number, end: number): boolean {
  return checksum(bytes, at, end, ipv6PseudoHeaderSum(bytes, ipAt, PROTOCOL_ICMPV6, end - at)) === 0;
}

export function fillIcmpv6Checksum(bytes: Uint8Array, ipAt: number, at: number, end: number): void {
  writeUint16(bytes, at + CHECKSUM, 0);
  const sum = ipv6PseudoHeaderSum(bytes, ipAt, PROTOCOL_ICMPV6, end - at);
  writeUint16(bytes, at + CHECKSUM, checksum(bytes, at, end, sum));
}

/** Writes the eight bytes before the quote; `mtu` goes with "packet too big". */
export function writeIcmpv6ErrorHeader(bytes: Uint8Array, at: number, type: number, code: number, mtu: number): void {
  writeUint8(bytes, at, type);
  writeUint8(bytes, at + 1, code);
  writeUint16(bytes, at + CHECKSUM, 0);
  writeInt32(bytes, at + 4, mtu);
}
