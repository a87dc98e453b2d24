/** The payload of a TCP packet: is it intact, and how to put other text into it where it lies. */
import { readUint8, readUint16, writeUint16 } from '../../wire/bytes.ts';
import { addBytes, adjustPartialChecksum, changeOf16, checksum, fold } from '../../wire/checksum.ts';
import { fillIpv4Checksum, PROTOCOL_TCP } from '../../wire/ipv4.ts';

const IPV6_HEADER_BYTES = 40;
const IP_BYTES_MAX = 65_535;
const TCP_CHECKSUM = 16;

/** One segment in a slot of a batch. `Packet` has this form, but for the ceiling. */
export interface Segment {
  readonly bytes: Uint8Array;
  readonly ipAt: number;
  readonly transportAt: number;
  readonly end: number;
  readonly ipv6: boolean;
  /** The checksum is the sender's unfinished one. */
  readonly partialChecksum: boolean;
}

/** An unfinished checksum counts as right: nobody has sent the segment over a wire. */
export function tcpChecksumIsRight(segment: Segment): boolean {
  if (segment.partialChecksum) return true;
  const { bytes, transportAt, end } = segment;
  return fold(addBytes(pseudoHeaderSumOf(segment, end), bytes, transportAt, end)) === 0xffff;
}

function pseudoHeaderSumOf(segment: Segment, end: number): number {
  const { bytes, ipAt, transportAt } = segment;
  const sum = PROTOCOL_TCP + (end - transportAt);
  return segment.ipv6 ? addBytes(sum, bytes, ipAt + 8, ipAt + 40) : addBytes(sum, bytes, ipAt + 12, ipAt + 20);
}

/**
 * Replaces `bytes[at..oldEnd)` in the payload by the first `textBytes` of `text`; what follows moves. Lengths and
 * checksums are repaired. Answers the segment's new end, or -1 with nothing changed when it would go beyond
 * `ceiling` or the longest IP packet.
 */
export function replaceInPayload(
  segment: Segment,
  at: number,
  oldEnd: number,
  text: Uint8Array,
  textBytes: number,
  ceiling: number,
): number {
  const { bytes, ipAt, transportAt } = segment;
  const end = segment.end + textBytes - (oldEnd - at);
  if (end > ceiling || end - ipAt > IP_BYTES_MAX) return -1;
  bytes.copyWithin(at + textBytes, oldEnd, segment.end);
  for (let i = 0; i < textBytes; i++) bytes[at + i] = text[i] as number;
  if (segment.ipv6) {
    writeUint16(bytes, ipAt + 4, end - ipAt - IPV6_HEADER_BYTES);
  } else {
    writeUint16(bytes, ipAt + 2, end - ipAt);
    fillIpv4Checksum(bytes, ipAt, (readUint8(bytes, ipAt) & 15) * 4);
  }
  const field = transportAt + TCP_CHECKSUM;
  if (segment.partialChecksum) {
    const lengths = changeOf16(segment.end - transportAt, end - transportAt);
    writeUint16(bytes, field, adjustPartialChecksum(readUint16(bytes, field), lengths));
  } else {
    writeUint16(bytes, field, 0);
    writeUint16(bytes, field, checksum(bytes, transportAt, end, pseudoHeaderSumOf(segment, end)));
  }
  return end;
}
