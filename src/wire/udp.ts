/** UDP header, read and written in place. Source: RFC 768. */
import { readUint16, writeUint16 } from './bytes.ts';
import { adjustChecksum, adjustPartialChecksum, checksum } from './checksum.ts';

export const UDP_HEADER_BYTES = 8;

const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const CHECKSUM = 6;

export function setUdpSourcePort(bytes: Uint8Array, at: number, port: number): void {
  writeUint16(bytes, at + SOURCE_PORT, port);
}

export function setUdpDestinationPort(bytes: Uint8Array, at: number, port: number): void {
  writeUint16(bytes, at + DESTINATION_PORT, port);
}

/** The checksum field; 0 means that the sender computed none. */
export function udpChecksum(bytes: Uint8Array, at: number): number {
  return readUint16(bytes, at + CHECKSUM);
}

/** Repairs the checksum for a change; a result of 0 goes out as 0xffff, since 0 would say "none". */
export function adjustUdpChecksum(bytes: Uint8Array, at: number, addresses: number, ports: number): void {
  const check = adjustChecksum(readUint16(bytes, at + CHECKSUM), addresses + ports);
  writeUint16(bytes, at + CHECKSUM, check === 0 ? 0xffff : check);
}

export function adjustPartialUdpChecksum(bytes: Uint8Array, at: number, addresses: number): void {
  writeUint16(bytes, at + CHECKSUM, adjustPartialChecksum(readUint16(bytes, at + CHECKSUM), addresses));
}

/** Computes the checksum anew over `[at, end)` with the pseudo-header's sum. */
export function fillUdpChecksum(bytes: Uint8Array, at: number, end: number, pseudoHeader: number): void {
  writeUint16(bytes, at + CHECKSUM, 0);
  const check = checksum(bytes, at, end, pseudoHeader);
  writeUint16(bytes, at + CHECKSUM, check === 0 ? 0xffff : check);
}
