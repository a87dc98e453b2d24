/** IPv6 header and the walk over its extension headers, in place. Source: RFC 8200; authentication header RFC 4302. */
import { readInt32, readUint8, readUint16, writeInt32, writeUint8, writeUint16 } from './bytes.ts';
import { addInt32, changeOf32 } from './checksum.ts';

export const IPV6_HEADER_BYTES = 40;
export const IPV6_MTU_MIN = 1280;
export const IPV6_FRAGMENT_HEADER_BYTES = 8;
export const PROTOCOL_ICMPV6 = 58;

export const EXTENSION_HOP_BY_HOP = 0;
export const EXTENSION_ROUTING = 43;
export const EXTENSION_FRAGMENT = 44;
const EXTENSION_AUTHENTICATION = 51;
export const NO_NEXT_HEADER = 59;
export const EXTENSION_DESTINATION = 60;

const PAYLOAD_LENGTH = 4;
export const IPV6_NEXT_HEADER = 6;
const HOP_LIMIT = 7;
export const IPV6_SOURCE = 8;
export const IPV6_DESTINATION = 24;

/** True when `bytes[at..end)` begins with an IPv6 header; after that the accessors below are safe. */
export function isIpv6Header(bytes: Uint8Array, at: number, end: number): boolean {
  return end - at >= IPV6_HEADER_BYTES && readUint8(bytes, at) >>> 4 === 6;
}

/** Bytes behind the fixed header. */
export function ipv6PayloadLength(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + PAYLOAD_LENGTH);
}

export function setIpv6PayloadLength(bytes: Uint8Array, at: number, length: number): void {
  writeUint16(bytes, at + PAYLOAD_LENGTH, length);
}

export function ipv6TrafficClass(bytes: Uint8Array, at: number): number {
  return (readUint16(bytes, at) >>> 4) & 0xff;
}

export function ipv6HopLimit(bytes: Uint8Array, at: number): number {
  return readUint8(bytes, at + HOP_LIMIT);
}

/** Takes one from the hop limit; the caller knows that it is above 1. No checksum covers it. */
export function decrementIpv6HopLimit(bytes: Uint8Array, at: number): void {
  writeUint8(bytes, at + HOP_LIMIT, readUint8(bytes, at + HOP_LIMIT) - 1);
}

/** Word `index` (0..3) of the source, of the destination. */
export function ipv6SourceWord(bytes: Uint8Array, at: number, index: number): number {
  return readInt32(bytes, at + IPV6_SOURCE + 4 * index);
}

export function ipv6DestinationWord(bytes: Uint8Array, at: number, index: number): number {
  return readInt32(bytes, at + IPV6_DESTINATION + 4 * index);
}

/** Writes a 16-byte address at `addressAt` and returns what that changes in a sum that covers it. */
export function replaceIpv6Address(
  bytes: Uint8Array,
  addressAt: number,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
): number {
  const change =
    changeOf32(readInt32(bytes, addressAt), w0) +
    changeOf32(readInt32(bytes, addressAt + 4), w1) +
    changeOf32(readInt32(bytes, addressAt + 8), w2) +
    changeOf32(readInt32(bytes, addressAt + 12), w3);
  writeIpv6Address(bytes, addressAt, w0, w1, w2, w3);
  return change;
}

export function writeIpv6Address(
  bytes: Uint8Array,
  addressAt: number,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
): void {
  writeInt32(bytes, addressAt, w0);
  writeInt32(bytes, addressAt + 4, w1);
  writeInt32(bytes, addressAt + 8, w2);
  writeInt32(bytes, addressAt + 12, w3);
}

/** Sum of the pseudo-header of the packet at `at` (RFC 8200, 8.1). */
export function ipv6PseudoHeaderSum(bytes: Uint8Array, at: number, protocol: number, transportBytes: number): number {
  let sum = protocol + transportBytes;
  for (let offset = IPV6_SOURCE; offset < IPV6_HEADER_BYTES; offset += 4) {
    sum = addInt32(sum, readInt32(bytes, at + offset));
  }
  return sum;
}

/** What the walk over the extension headers found. */
export class Ipv6Walk {
  /** The first header that is no extension, and where it begins. */
  protocol = 0;
  transportAt = 0;
  /** The next-header field that names the header at `fragmentAt`, or that of the last header. */
  fragmentFieldAt = 0;
  /** Where the fragment header begins, -1: there is none. */
  fragmentAt = -1;
}

/**
 * Walks the headers of the packet `bytes[at..end)`, whose fixed header is known to be whole. False: a header is cut
 * short. Stops behind the fragment header of any but a first fragment, since other bytes follow there.
 */
export function walkIpv6(bytes: Uint8Array, at: number, end: number, walk: Ipv6Walk): boolean {
  let fieldAt = at + IPV6_NEXT_HEADER;
  let header = readUint8(bytes, fieldAt);
  let headerAt = at + IPV6_HEADER_BYTES;
  walk.fragmentAt = -1;
  walk.fragmentFieldAt = fieldAt;
  while (isExtension(header)) {
    if (end - headerAt < 8) return false;
    let length = 8;
    if (header === EXTENSION_FRAGMENT) {
      walk.fragmentAt = headerAt;
      walk.fragmentFieldAt = fieldAt;
      if ((readUint16(bytes, headerAt + 2) & 0xfff8) !== 0) {
        walk.protocol = readUint8(bytes, headerAt);
        walk.transportAt = headerAt + 8;
        return true;
      }
    } else if (header === EXTENSION_AUTHENTICATION) {
      length = (readUint8(bytes, headerAt + 1) + 2) * 4;
    } else {
      length = (readUint8(bytes, headerAt + 1) + 1) * 8;
    }
    fieldAt = headerAt;
    header = readUint8(bytes, headerAt);
    headerAt += length;
    if (headerAt > end) return false;
  }
  walk.protocol = header;
  walk.transportAt = headerAt;
  return true;
}

function isExtension(header: number): boolean {
  return (
    header === EXTENSION_HOP_BY_HOP ||
    header === EXTENSION_ROUTING ||
    header === EXTENSION_FRAGMENT ||
    header === EXTENSION_AUTHENTICATION ||
    header === EXTENSION_DESTINATION
  );
}

/** Writes a fixed header without addresses. */
export function writeIpv6Header(
  bytes: Uint8Array,
  at: number,
  trafficClass: number,
  payloadLength: number,
  nextHeader: number,
  hopLimit: number,
): void {
  writeInt32(bytes, at, 0x6000_0000 | (trafficClass << 20));
  writeUint16(bytes, at + PAYLOAD_LENGTH, payloadLength);
  writeUint8(bytes, at + IPV6_NEXT_HEADER, nextHeader);
  writeUint8(bytes, at + HOP_LIMIT, hopLimit);
}
