/** TCP header, read and written in place. Source: RFC 9293, section 3.1. */
import { readUint8, readUint16, writeUint16 } from './bytes.ts';
import { adjustChecksum, adjustPartialChecksum } from './checksum.ts';

export const TCP_HEADER_BYTES_MIN = 20;
export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_ACK = 0x10;

const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const DATA_OFFSET = 12;
const FLAGS = 13;
const CHECKSUM = 16;

/**
 * Length of the TCP header at `at`, in bytes, or 0 when `bytes[at..end)` cannot hold it whole.
 * After a result above 0 no other function in this file reads or writes outside `[at, end)`.
 */
export function tcpHeaderBytes(bytes: Uint8Array, at: number, end: number): number {
  if (end - at < TCP_HEADER_BYTES_MIN) return 0;
  const headerBytes = (readUint8(bytes, at + DATA_OFFSET) >>> 4) * 4;
  return headerBytes >= TCP_HEADER_BYTES_MIN && headerBytes <= end - at ? headerBytes : 0;
}

export function tcpFlags(bytes: Uint8Array, at: number): number {
  return readUint8(bytes, at + FLAGS);
}

export function setTcpSourcePort(bytes: Uint8Array, at: number, port: number): void {
  writeUint16(bytes, at + SOURCE_PORT, port);
}

export function setTcpDestinationPort(bytes: Uint8Array, at: number, port: number): void {
  writeUint16(bytes, at + DESTINATION_PORT, port);
}

/** Repairs the checksum after the caller changed addresses and ports: RFC 1624, equation 3. */
export function adjustTcpChecksum(bytes: Uint8Array, at: number, addresses: number, ports: number): void {
  writeUint16(bytes, at + CHECKSUM, adjustChecksum(readUint16(bytes, at + CHECKSUM), addresses + ports));
}

/** The same for a checksum that the sender left to its network card: only the pseudo-header is in it. */
export function adjustPartialTcpChecksum(bytes: Uint8Array, at: number, addresses: number): void {
  writeUint16(bytes, at + CHECKSUM, adjustPartialChecksum(readUint16(bytes, at + CHECKSUM), addresses));
}
