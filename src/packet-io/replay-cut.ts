/**
 * Packets that a capture cut off (`tcpdump -s 96`). What decides about a packet is in its headers, but a frame that is
 * shorter than its IP header says is damaged to every stack. So zeros stand for the bytes that are not there, as long
 * as the headers are.
 */
import { readUint8 } from '../wire/bytes.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, etherType } from '../wire/ethernet.ts';

const IPV6_HEADER_BYTES = 40;
/** The longest transport header without options: that of TCP. */
const TRANSPORT_BYTES = 20;

/** `frame`, or a copy with `missingBytes` zeros behind it. A frame without its whole headers stays as it is. */
export function padCutFrame(frame: Uint8Array, missingBytes: number): Uint8Array {
  if (missingBytes <= 0 || frame.length < headersOf(frame)) return frame;
  const whole = new Uint8Array(frame.length + missingBytes);
  whole.set(frame);
  return whole;
}

/** Bytes of the headers that must be there; more than any frame has when it is no IP. */
function headersOf(frame: Uint8Array): number {
  if (frame.length <= ETHERNET_HEADER_BYTES) return Number.POSITIVE_INFINITY;
  const type = etherType(frame, 0);
  if (type === ETHERTYPE_IPV6) return ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES + TRANSPORT_BYTES;
  if (type !== ETHERTYPE_IPV4) return Number.POSITIVE_INFINITY;
  return ETHERNET_HEADER_BYTES + (readUint8(frame, ETHERNET_HEADER_BYTES) & 15) * 4 + TRANSPORT_BYTES;
}
