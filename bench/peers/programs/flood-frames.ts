/** The frames of the generator: UDP, as short as Ethernet allows, complete with checksums. */
import { parseIpv4, parseMacBytes } from './parse.ts';

export interface FlowEnds {
  readonly sourceMac: string;
  readonly destinationMac: string;
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Low byte of the payload's first word. */
  readonly payloadLow?: number;
}

/** 64 bytes on the wire, of which the last four are the card's. */
export const FRAME_BYTES = 60;
const IP_AT = 14;
const UDP_AT = 34;

export function udpFrame(ends: FlowEnds): Uint8Array {
  const frame = new Uint8Array(FRAME_BYTES);
  const view = new DataView(frame.buffer);
  frame.set(parseMacBytes(ends.destinationMac), 0);
  frame.set(parseMacBytes(ends.sourceMac), 6);
  view.setUint16(12, 0x0800);
  view.setUint8(IP_AT, 0x45);
  view.setUint16(IP_AT + 2, FRAME_BYTES - IP_AT);
  view.setUint16(IP_AT + 6, 0x4000);
  view.setUint8(IP_AT + 8, 64);
  view.setUint8(IP_AT + 9, 17);
  frame.set(parseIpv4(ends.source), IP_AT + 12);
  frame.set(parseIpv4(ends.destination), IP_AT + 16);
  view.setUint16(IP_AT + 10, ~sum(view, IP_AT, UDP_AT, 0) & 0xffff);
  view.setUint16(UDP_AT, ends.sourcePort);
  view.setUint16(UDP_AT + 2, ends.destinationPort);
  view.setUint8(UDP_AT + 9, ends.payloadLow ?? 0);
  const udpBytes = FRAME_BYTES - UDP_AT;
  view.setUint16(UDP_AT + 4, udpBytes);
  // The pseudo-header: both addresses, the protocol, the length.
  const pseudo = sum(view, IP_AT + 12, UDP_AT, 17 + udpBytes);
  view.setUint16(UDP_AT + 6, ~sum(view, UDP_AT, FRAME_BYTES, pseudo) & 0xffff || 0xffff);
  return frame;
}

/** The folded one's complement sum of 16-bit words, on top of `begin`. */
function sum(view: DataView, from: number, to: number, begin: number): number {
  let total = begin;
  for (let at = from; at < to; at += 2) total += view.getUint16(at);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}
