/**
 * Packets too large for their link leave in pieces; one that came in pieces leaves in the same ones where they still
 * fit. Sources: RFC 791 section 3.2, RFC 8200 section 4.5; the choice of pieces is the kernel's.
 */

import { OUTBOX_FRAME_BYTES } from '../model/limits.ts';
import { readUint8, readUint16, writeInt32, writeUint8, writeUint16 } from '../wire/bytes.ts';
import { ETHERNET_HEADER_BYTES, setEthernetAddresses } from '../wire/ethernet.ts';
import { fillIpv4Checksum, ipv4HeaderBytes } from '../wire/ipv4.ts';
import {
  EXTENSION_DESTINATION,
  EXTENSION_FRAGMENT,
  EXTENSION_HOP_BY_HOP,
  EXTENSION_ROUTING,
  IPV6_FRAGMENT_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  IPV6_MTU_MIN,
  IPV6_NEXT_HEADER,
  setIpv6PayloadLength,
} from '../wire/ipv6.ts';
import type { EngineContext } from './context.ts';
import { give } from './dissect.ts';
import type { Neighbor } from './neighbor.ts';
import type { Packet } from './packet.ts';
import { CONSUME, DROP, REASON, type Verdict } from './verdict.ts';

const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const LINK_BYTES_MAX = OUTBOX_FRAME_BYTES - ETHERNET_HEADER_BYTES;

/** Where a piece goes: a next hop, or MAC addresses and a link. */
export interface PieceWay {
  readonly neighbor: Neighbor | null;
  readonly linkIndex: number;
  readonly destinationMac: Uint8Array;
  readonly sourceMac: Uint8Array;
}

/** The pieces go into the outbox; the packet itself is done with. */
export function sendInPieces(context: EngineContext, packet: Packet, way: PieceWay, mtu: number): Verdict {
  const largest = Math.min(mtu, LINK_BYTES_MAX);
  return packet.ipv6 ? sendIpv6(context, packet, way, largest) : sendIpv4(context, packet, way, largest);
}

function sendIpv4(context: EngineContext, packet: Packet, way: PieceWay, mtu: number): Verdict {
  const { bytes, ipAt, end } = packet;
  const headerBytes = ipv4HeaderBytes(bytes, ipAt, end);
  const limit = packet.largestFragmentBytes === 0 ? mtu : Math.min(mtu, packet.largestFragmentBytes);
  const room = limit - headerBytes;
  if (room < 8) return give(packet, DROP, REASON.mtu);
  const asTheyCame = fitsAsItCame(packet, headerBytes, room);
  const dontFragment = packet.largestFragmentBytes === 0 ? 0 : readUint16(bytes, ipAt + 6) & DONT_FRAGMENT;
  let from = ipAt + headerBytes;
  for (let piece = 0; from < end; piece++) {
    const left = end - from;
    const length = asTheyCame ? pieceBytes(packet, piece, headerBytes) : left <= room ? left : room & ~7;
    const at = claim(context, packet, way);
    if (at < 0) return give(packet, DROP, REASON['outbox-full']);
    const { outbox } = context;
    outbox.bytes.set(bytes.subarray(ipAt, ipAt + headerBytes), at);
    if (piece > 0) blankOptions(outbox.bytes, at, headerBytes);
    outbox.bytes.set(bytes.subarray(from, from + length), at + headerBytes);
    writeUint16(outbox.bytes, at + 2, headerBytes + length);
    const offset = (from - ipAt - headerBytes) >>> 3;
    writeUint16(outbox.bytes, at + 6, dontFragment | (from + length < end ? MORE_FRAGMENTS : 0) | offset);
    fillIpv4Checksum(outbox.bytes, at, headerBytes);
    finish(context, way, at + headerBytes + length);
    from += length;
  }
  return give(packet, CONSUME, REASON.none);
}

function sendIpv6(context: EngineContext, packet: Packet, way: PieceWay, mtu: number): Verdict {
  const { bytes, ipAt, end } = packet;
  const fieldAt = fragmentFieldAt(packet);
  const headerBytes = unfragmentableBytes(packet);
  const limit =
    packet.largestFragmentBytes === 0 ? mtu : Math.min(mtu, Math.max(packet.largestFragmentBytes, IPV6_MTU_MIN));
  const room = limit - headerBytes - IPV6_FRAGMENT_HEADER_BYTES;
  if (room < 8) return give(packet, DROP, REASON.mtu);
  const asTheyCame = fitsAsItCame(packet, headerBytes, room);
  const identification = context.random.int32();
  const nextHeader = readUint8(bytes, fieldAt);
  let from = ipAt + headerBytes;
  for (let piece = 0; from < end; piece++) {
    const left = end - from;
    const length = asTheyCame ? pieceBytes(packet, piece, headerBytes) : left <= room ? left : room & ~7;
    const at = claim(context, packet, way);
    if (at < 0) return give(packet, DROP, REASON['outbox-full']);
    const { outbox } = context;
    const fragmentAt = at + headerBytes;
    outbox.bytes.set(bytes.subarray(ipAt, ipAt + headerBytes), at);
    writeUint8(outbox.bytes, at + fieldAt - ipAt, EXTENSION_FRAGMENT);
    writeUint8(outbox.bytes, fragmentAt, nextHeader);
    writeUint8(outbox.bytes, fragmentAt + 1, 0);
    writeUint16(outbox.bytes, fragmentAt + 2, (from - ipAt - headerBytes) | (from + length < end ? 1 : 0));
    writeInt32(outbox.bytes, fragmentAt + 4, identification);
    outbox.bytes.set(bytes.subarray(from, from + length), fragmentAt + IPV6_FRAGMENT_HEADER_BYTES);
    setIpv6PayloadLength(outbox.bytes, at, headerBytes - IPV6_HEADER_BYTES + IPV6_FRAGMENT_HEADER_BYTES + length);
    finish(context, way, fragmentAt + IPV6_FRAGMENT_HEADER_BYTES + length);
    from += length;
  }
  return give(packet, CONSUME, REASON.none);
}

/** True when the pieces that came, the first with what was put before it, may leave behind `headerBytes` again. */
function fitsAsItCame(packet: Packet, headerBytes: number, room: number): boolean {
  const { pieces } = packet;
  if (packet.largestFragmentBytes === 0 || pieces.length < 2) return false;
  for (let piece = 0; piece < pieces.length; piece++) {
    const length = pieceBytes(packet, piece, headerBytes);
    if (length <= 0 || length > room) return false;
    if ((length & 7) !== 0 && piece + 1 < pieces.length) return false;
  }
  return true;
}

function pieceBytes(packet: Packet, piece: number, headerBytes: number): number {
  const length = packet.pieces[piece] as number;
  return piece === 0 ? length + packet.firstPieceGrowth - headerBytes : length;
}

/** Options that only the first piece carries become "no operation" in the others (RFC 791, copied flag). */
function blankOptions(bytes: Uint8Array, at: number, headerBytes: number): void {
  const end = at + headerBytes;
  let option = at + 20;
  while (option < end) {
    const type = readUint8(bytes, option);
    if (type === 0) return;
    const length = type === 1 ? 1 : option + 1 < end ? readUint8(bytes, option + 1) : 0;
    if (length < 1 || (type !== 1 && length < 2) || option + length > end) return;
    if ((type & 0x80) === 0) bytes.fill(1, option, option + length);
    option += length;
  }
}

/** Bytes of the headers that every piece repeats: up to routing headers, and what routers look at. */
function unfragmentableBytes(packet: Packet): number {
  return walkUnfragmentable(packet, false);
}

/** Where the number of the first header behind those stands. */
function fragmentFieldAt(packet: Packet): number {
  return walkUnfragmentable(packet, true);
}

function walkUnfragmentable({ bytes, ipAt, end }: Packet, wantsField: boolean): number {
  let fieldAt = ipAt + IPV6_NEXT_HEADER;
  let at = ipAt + IPV6_HEADER_BYTES;
  let goodField = fieldAt;
  let goodAt = at;
  for (let header = readUint8(bytes, fieldAt); end - at >= 8; header = readUint8(bytes, fieldAt)) {
    const stays = header === EXTENSION_HOP_BY_HOP || header === EXTENSION_ROUTING;
    if (!stays && header !== EXTENSION_DESTINATION) break;
    fieldAt = at;
    at += (readUint8(bytes, at + 1) + 1) * 8;
    if (at > end) break;
    if (!stays) continue;
    goodField = fieldAt;
    goodAt = at;
  }
  return wantsField ? goodField : goodAt - ipAt;
}

/** Where the IP header of the next piece goes in the outbox, or -1: it is full. */
function claim(context: EngineContext, packet: Packet, way: PieceWay): number {
  const slot = context.claimOutboxSlot();
  if (slot < 0) return -1;
  const { outbox } = context;
  const start = outbox.start[slot] as number;
  outbox.bytes.set(packet.bytes.subarray(packet.start, packet.start + ETHERNET_HEADER_BYTES), start);
  setEthernetAddresses(outbox.bytes, start, way.destinationMac, way.sourceMac);
  return start + ETHERNET_HEADER_BYTES;
}

/** The piece written last ends here: it leaves, or waits for its next hop. */
function finish(context: EngineContext, way: PieceWay, end: number): void {
  const { outbox } = context;
  const slot = outbox.count - 1;
  outbox.end[slot] = end;
  const { neighbor } = way;
  if (neighbor === null || neighbor.resolved) {
    outbox.egress[slot] = way.linkIndex;
    return;
  }
  if (!context.neighbors.park(context, neighbor, outbox.bytes, outbox.start[slot] as number, end)) {
    context.dropCounts[REASON['parking-full']]!++;
  }
}
