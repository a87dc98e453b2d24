/**
 * How long the segments of a TCP super-frame may be, where the capture does not say: what its receiver announced
 * in its SYN (RFC 9293, section 3.7.1), which left through us before. Without it, segments of a path with a small
 * MTU would come out too long. Bounded: the newest of two connections that share a place is remembered.
 */
import { readUint8, readUint16 } from '../wire/bytes.ts';
import { tcpHeaderAt } from '../wire/segment.ts';

const PLACES = 8192;
const OPTION_END = 0;
const OPTION_PADDING = 1;
const OPTION_SEGMENT_SIZE = 2;
const SYN = 0x02;
const TCP_HEADER_BYTES_MIN = 20;
/** What a host that announces nothing takes (RFC 9293). */
const ASSUMED_BYTES = 536;

export class SegmentSizes {
  readonly #key = new Int32Array(PLACES);
  readonly #bytes = new Uint16Array(PLACES);

  /** Looks at a frame that is sent: a SYN says what its sender can take. */
  learn(bytes: Uint8Array, start: number, end: number): void {
    const tcpAt = tcpHeaderAt(bytes, start, end);
    if (tcpAt === 0 || (readUint8(bytes, tcpAt + 13) & SYN) === 0) return;
    const key = hashFlow(bytes, start, tcpAt, 2, 0);
    this.#key[key & (PLACES - 1)] = key;
    this.#bytes[key & (PLACES - 1)] = announced(bytes, tcpAt);
  }

  /** Payload bytes that the receiver of this super-frame takes in one segment, or 0 when nothing is known. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const tcpAt = tcpHeaderAt(bytes, start, end);
    if (tcpAt === 0) return 0;
    const key = hashFlow(bytes, start, tcpAt, 0, 2);
    if (this.#key[key & (PLACES - 1)] !== key) return 0;
    const optionBytes = headerBytes(bytes, tcpAt) - TCP_HEADER_BYTES_MIN;
    return Math.max(0, (this.#bytes[key & (PLACES - 1)] as number) - optionBytes);
  }
}

/** The maximum segment size option of a SYN. */
function announced(bytes: Uint8Array, tcpAt: number): number {
  const end = tcpAt + headerBytes(bytes, tcpAt);
  for (let at = tcpAt + TCP_HEADER_BYTES_MIN; at < end; ) {
    const kind = readUint8(bytes, at);
    if (kind === OPTION_END) break;
    if (kind === OPTION_PADDING) {
      at++;
      continue;
    }
    if (at + 1 >= end) break;
    const length = readUint8(bytes, at + 1);
    if (kind === OPTION_SEGMENT_SIZE && length === 4 && at + 4 <= end) return readUint16(bytes, at + 2);
    if (length < 2) break;
    at += length;
  }
  return ASSUMED_BYTES;
}

function headerBytes(bytes: Uint8Array, tcpAt: number): number {
  return (readUint8(bytes, tcpAt + 12) >>> 4) * 4;
}

/**
 * FNV-1a over both endpoints; `portA` and `portB` are the offsets of the port that counts first and second, and
 * the addresses follow the same order: a SYN one way and data the other way have the same hash.
 */
function hashFlow(bytes: Uint8Array, start: number, tcpAt: number, portA: number, portB: number): number {
  const ipv6 = readUint16(bytes, start + 12) === 0x86dd;
  const addressBytes = ipv6 ? 16 : 4;
  const sourceAt = start + 14 + (ipv6 ? 8 : 12);
  const firstAt = portA === 0 ? sourceAt : sourceAt + addressBytes;
  const secondAt = portA === 0 ? sourceAt + addressBytes : sourceAt;
  let hash = 0x811c9dc5 | 0;
  for (let i = 0; i < addressBytes; i++) hash = Math.imul(hash ^ readUint8(bytes, firstAt + i), 0x01000193);
  for (let i = 0; i < addressBytes; i++) hash = Math.imul(hash ^ readUint8(bytes, secondAt + i), 0x01000193);
  hash = Math.imul(hash ^ readUint16(bytes, tcpAt + portA), 0x01000193);
  hash = Math.imul(hash ^ readUint16(bytes, tcpAt + portB), 0x01000193);
  // Zero marks an empty place.
  hash ^= hash >>> 15;
  return hash === 0 ? 1 : hash;
}
