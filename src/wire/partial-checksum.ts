/**
 * Transport checksums that a sender left to its network card. The field then holds the folded sum of the
 * pseudo-header (TCP, UDP) and the rest is still to be added; SCTP has no pseudo-header, its field holds nothing.
 */
import { writeUint16 } from './bytes.ts';
import { checksum } from './checksum.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from './ipv4.ts';
import { fillSctpChecksum } from './sctp.ts';

const TCP_CHECKSUM = 16;
const UDP_CHECKSUM = 6;

/** Where the checksum stands in a transport header, in bytes from its beginning, or -1: a protocol without one. */
export function checksumFieldOf(protocol: number): number {
  if (protocol === PROTOCOL_TCP) return TCP_CHECKSUM;
  return protocol === PROTOCOL_UDP ? UDP_CHECKSUM : -1;
}

/**
 * Completes the checksum of the transport packet in `[at, end)`; the caller has checked that its header is whole, and
 * takes the mark of the unfinished checksum off the frame. Other protocols are left as they are.
 */
export function finishPartialChecksum(bytes: Uint8Array, at: number, end: number, protocol: number): void {
  if (protocol === PROTOCOL_SCTP) {
    fillSctpChecksum(bytes, at, end);
    return;
  }
  const field = checksumFieldOf(protocol);
  if (field < 0) return;
  // The sum of the pseudo-header is in the field already and takes part as it is.
  const check = checksum(bytes, at, end);
  writeUint16(bytes, at + field, check === 0 && protocol === PROTOCOL_UDP ? 0xffff : check);
}
