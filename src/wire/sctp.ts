/** SCTP common header and chunks, in place. Source: RFC 9260, sections 3.1 to 3.3 and appendix A (CRC32c). */
import { readUint8, readUint16, writeUint16 } from './bytes.ts';

export const SCTP_HEADER_BYTES = 12;
const CHUNK_HEADER_BYTES = 4;

export const SCTP_INIT = 1;
export const SCTP_ABORT = 6;
export const SCTP_COOKIE_ECHO = 10;
export const SCTP_COOKIE_ACK = 11;

const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const CHECKSUM = 8;

/** `[at, end)` has room for the common header; only then may the functions below be called. */
export function hasSctpHeader(at: number, end: number): boolean {
  return end - at >= SCTP_HEADER_BYTES;
}

/** Type of the first chunk, or -1 when there is no whole chunk header. */
export function sctpFirstChunk(bytes: Uint8Array, at: number, end: number): number {
  return chunkTypeAt(bytes, at + SCTP_HEADER_BYTES, end);
}

/** Type of the chunk behind the first (lengths are rounded up to 4), or -1 when there is none. */
export function sctpSecondChunk(bytes: Uint8Array, at: number, end: number): number {
  const first = at + SCTP_HEADER_BYTES;
  if (chunkTypeAt(bytes, first, end) < 0) return -1;
  const chunkBytes = readUint16(bytes, first + 2);
  // A chunk shorter than its own header would not lead on.
  if (chunkBytes < CHUNK_HEADER_BYTES) return -1;
  return chunkTypeAt(bytes, first + ((chunkBytes + 3) & ~3), end);
}

function chunkTypeAt(bytes: Uint8Array, at: number, end: number): number {
  return at + CHUNK_HEADER_BYTES <= end ? readUint8(bytes, at) : -1;
}

/**
 * Gives the packet in `[at, end)` other ports. When one of them is new, or `unfinished` says that the sender left the
 * checksum to its network card, the checksum is made anew: a wrong one becomes right, as with the kernel.
 */
export function setSctpPorts(
  bytes: Uint8Array,
  at: number,
  end: number,
  sourcePort: number,
  destinationPort: number,
  unfinished: boolean,
): void {
  const same =
    readUint16(bytes, at + SOURCE_PORT) === sourcePort && readUint16(bytes, at + DESTINATION_PORT) === destinationPort;
  writeUint16(bytes, at + SOURCE_PORT, sourcePort);
  writeUint16(bytes, at + DESTINATION_PORT, destinationPort);
  if (!same || unfinished) fillSctpChecksum(bytes, at, end);
}

/** Computes the checksum anew; unlike the internet checksum it covers no addresses. */
export function fillSctpChecksum(bytes: Uint8Array, at: number, end: number): void {
  const crc = sctpCrc(bytes, at, end);
  // Least significant byte first: appendix A.
  bytes[at + CHECKSUM] = crc;
  bytes[at + CHECKSUM + 1] = crc >>> 8;
  bytes[at + CHECKSUM + 2] = crc >>> 16;
  bytes[at + CHECKSUM + 3] = crc >>> 24;
}

export function sctpChecksumIsRight(bytes: Uint8Array, at: number, end: number): boolean {
  const field = at + CHECKSUM;
  const stored =
    readUint8(bytes, field) |
    (readUint8(bytes, field + 1) << 8) |
    (readUint8(bytes, field + 2) << 16) |
    (readUint8(bytes, field + 3) << 24);
  return stored === sctpCrc(bytes, at, end);
}

/** CRC of the packet as if its checksum field were 0. */
function sctpCrc(bytes: Uint8Array, at: number, end: number): number {
  let crc = continueCrc32c(-1, bytes, at, at + CHECKSUM);
  for (let i = 0; i < 4; i++) crc = (CRC_TABLE[crc & 0xff] as number) ^ (crc >>> 8);
  return ~continueCrc32c(crc, bytes, at + SCTP_HEADER_BYTES, end);
}

/** CRC32c of `bytes[at..end)` as a signed 32-bit word. */
export function crc32c(bytes: Uint8Array, at: number, end: number): number {
  return ~continueCrc32c(-1, bytes, at, end);
}

function continueCrc32c(crc: number, bytes: Uint8Array, at: number, end: number): number {
  for (let i = at; i < end; i++) {
    crc = (CRC_TABLE[(crc ^ (bytes[i] as number)) & 0xff] as number) ^ (crc >>> 8);
  }
  return crc;
}

/** The polynomial 0x1EDC6F41 with its bits in reverse. */
const POLYNOMIAL = 0x82f63b78 | 0;

const CRC_TABLE: Int32Array = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});
