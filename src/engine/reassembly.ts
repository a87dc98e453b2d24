/**
 * Fragments are put together before anything else looks at them; who asks for a connection wants to see ports.
 * Overlaps end a packet, exact copies do not matter. Sources: RFC 791, RFC 815, RFC 8200 section 4.5, RFC 5722.
 */
import { readInt32, readUint8, readUint16, writeUint8, writeUint16 } from '../wire/bytes.ts';
import { fillIpv4Checksum, ipv4DontFragment, ipv4FragmentOffset, ipv4HeaderBytes } from '../wire/ipv4.ts';
import { IPV6_FRAGMENT_HEADER_BYTES, IPV6_HEADER_BYTES, setIpv6PayloadLength } from '../wire/ipv6.ts';
import { HEADROOM_BYTES, PacketBatch } from '../wire/packet-batch.ts';
import type { EngineContext } from './context.ts';
import { dissect, FRAGMENT, give } from './dissect.ts';
import { isFragmentHeldBack } from './held-back.ts';
import type { Packet } from './packet.ts';
import { reassemblyTimedOut } from './reassembly-timeout.ts';
import { CONSUME, DROP, PASS, REASON, type Verdict } from './verdict.ts';

const IP_BYTES_MAX = 65_535;
const TIMEOUT_IPV4_MS = 30_000;
const TIMEOUT_IPV6_MS = 60_000;
/** Unfinished packets, and bytes in all of them. */
const QUEUES_MAX = 1024;
const BYTES_MAX = 4 * 1024 * 1024;
const MORE_FRAGMENTS = 0x2000;
const DONT_FRAGMENT = 0x4000;

/** Data of one fragment: its place behind the IP header of the whole packet. */
interface Piece {
  readonly from: number;
  readonly data: Uint8Array;
}

export interface Queue {
  readonly ipv6: boolean;
  readonly key: Int32Array;
  readonly untilMs: number;
  /** By place, without gaps or overlaps once it is whole. */
  readonly pieces: Piece[];
  /** The frame of the first fragment, from its Ethernet header on; `null`: it has not come. */
  first: Uint8Array | null;
  /** IP header and what else is repeated, in the first fragment. */
  headerBytes: number;
  /** Where in `first` the field stands that named the fragment header (IPv6). */
  fieldOffset: number;
  nextHeader: number;
  ingress: number;
  mark: number;
  /** Data bytes of the whole, -1: the last fragment has not come. */
  totalBytes: number;
  receivedBytes: number;
  largestBytes: number;
  largestWithDontFragment: number;
}

export class Reassembler {
  /** The oldest first. */
  readonly #queues = new Map<number, Queue[]>();
  #count = 0;
  #bytes = 0;
  /** The one whole packet at a time. */
  #batch: PacketBatch | null = null;

  get size(): number {
    return this.#count;
  }

  /** The batch whose first slot holds the packet that was just finished. */
  get batch(): PacketBatch {
    this.#batch ??= PacketBatch.allocate(1, IP_BYTES_MAX + HEADROOM_BYTES);
    return this.#batch;
  }

  /** Takes over what another has of packets that are not whole yet. */
  copyFrom(other: Reassembler): void {
    for (const [hash, list] of other.#queues) {
      this.#queues.set(
        hash,
        list.map((queue) => ({ ...queue, pieces: [...queue.pieces] })),
      );
    }
    this.#count = other.#count;
    this.#bytes = other.#bytes;
  }

  find(context: EngineContext, packet: Packet, key: Int32Array): Queue | null {
    const hash = hashOf(context, key);
    const list = this.#queues.get(hash);
    const known = list?.find((queue) => isSame(queue.key, key));
    if (known !== undefined) return known;
    if (this.#count >= QUEUES_MAX || this.#bytes >= BYTES_MAX) return null;
    const queue: Queue = {
      ipv6: packet.ipv6,
      key: key.slice(),
      untilMs: context.nowMs + (packet.ipv6 ? TIMEOUT_IPV6_MS : TIMEOUT_IPV4_MS),
      pieces: [],
      first: null,
      headerBytes: 0,
      fieldOffset: 0,
      nextHeader: 0,
      ingress: packet.ingress,
      mark: packet.mark,
      totalBytes: -1,
      receivedBytes: 0,
      largestBytes: 0,
      largestWithDontFragment: 0,
    };
    if (list === undefined) this.#queues.set(hash, [queue]);
    else list.push(queue);
    this.#count++;
    return queue;
  }

  /** More bytes are kept for some packet. */
  grow(bytes: number): void {
    this.#bytes += bytes;
  }

  remove(context: EngineContext, queue: Queue): void {
    const hash = hashOf(context, queue.key);
    const list = this.#queues.get(hash);
    const place = list?.indexOf(queue) ?? -1;
    if (list === undefined || place < 0) return;
    list.splice(place, 1);
    if (list.length === 0) this.#queues.delete(hash);
    this.#count--;
    this.#bytes -= queue.receivedBytes + (queue.first?.length ?? 0);
  }

  /** Gives up what waited too long. */
  advance(context: EngineContext): void {
    if (this.#count === 0) return;
    for (const list of [...this.#queues.values()]) {
      for (const queue of [...list]) {
        if (queue.untilMs > context.nowMs) continue;
        this.remove(context, queue);
        context.dropCounts[REASON['fragment-timeout']]!++;
        reassemblyTimedOut(context, queue);
      }
    }
  }

  nextDeadlineMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const list of this.#queues.values()) for (const queue of list) next = Math.min(next, queue.untilMs);
    return next;
  }
}

const key = new Int32Array(11);

/** A fragment: kept, or the last one missing, and then `packet` is the whole one, dissected: CONTINUE. */
export function takeFragment(context: EngineContext, packet: Packet): Verdict {
  if (!mayConcernUs(context, packet)) return give(packet, PASS, REASON.fragment);
  const { reassembler } = context;
  fillKey(packet);
  const queue = reassembler.find(context, packet, key);
  if (queue === null) return give(packet, DROP, REASON['fragments-full']);
  const kept = packet.ipv6 ? addIpv6(context, queue, packet) : addIpv4(context, queue, packet);
  if (!kept) {
    reassembler.remove(context, queue);
    return give(packet, DROP, REASON['fragment-overlap']);
  }
  if (queue.first === null || queue.totalBytes !== queue.receivedBytes) return give(packet, CONSUME, REASON.fragment);
  reassembler.remove(context, queue);
  if (queue.headerBytes + queue.totalBytes > IP_BYTES_MAX) return give(packet, DROP, REASON['fragment-overlap']);
  putTogether(reassembler.batch, queue);
  packet.load(reassembler.batch, 0);
  packet.largestFragmentBytes = queue.largestBytes;
  packet.pieces.length = 0;
  queue.pieces.forEach((piece, index) => {
    packet.pieces.push(piece.data.length + (index === 0 ? queue.headerBytes : 0));
  });
  const verdict = dissect(context, packet);
  if (verdict === FRAGMENT) return give(packet, DROP, REASON['fragment-overlap']);
  // Only now its ports are known. Others have the same fragments, and one of them has its connection.
  if (context.shard !== null && !context.shard.ownsPacket(packet)) return give(packet, CONSUME, REASON['other-shard']);
  return verdict;
}

/**
 * Beside a guard only those that it keeps from the host are put together: the host has the others, and what is whole
 * and not ours can be given back. Without a host link all are, as in a kernel.
 */
function mayConcernUs(context: EngineContext, packet: Packet): boolean {
  if (context.network.cable !== null) return isFragmentHeldBack(context, packet);
  return context.services.serviceCountOf(packet.ipv6) > 0;
}

function fillKey(packet: Packet): void {
  key[0] = packet.source0;
  key[1] = packet.source1;
  key[2] = packet.source2;
  key[3] = packet.source3;
  key[4] = packet.destination0;
  key[5] = packet.destination1;
  key[6] = packet.destination2;
  key[7] = packet.destination3;
  key[8] = packet.ipv6 ? readInt32(packet.bytes, packet.fragmentAt + 4) : readUint16(packet.bytes, packet.ipAt + 4);
  key[9] = packet.ipv6 ? -1 : packet.protocol;
  key[10] = packet.mark | 0;
}

function addIpv4(context: EngineContext, queue: Queue, packet: Packet): boolean {
  const { bytes, ipAt, end } = packet;
  const headerBytes = ipv4HeaderBytes(bytes, ipAt, end);
  const from = ipv4FragmentOffset(bytes, ipAt);
  const more = (readUint16(bytes, ipAt + 6) & MORE_FRAGMENTS) !== 0;
  const total = end - ipAt;
  if (total > queue.largestBytes) queue.largestBytes = total;
  if (ipv4DontFragment(bytes, ipAt) && total > queue.largestWithDontFragment) queue.largestWithDontFragment = total;
  // A piece that is not the last has a length in whole units of eight bytes.
  const length = more ? (end - ipAt - headerBytes) & ~7 : end - ipAt - headerBytes;
  if (!addPiece(context, queue, bytes, ipAt + headerBytes, from, length, more)) return false;
  if (from === 0 && queue.first === null) keepFirst(context, queue, packet, headerBytes);
  return true;
}

function addIpv6(context: EngineContext, queue: Queue, packet: Packet): boolean {
  const { bytes, ipAt, end, fragmentAt } = packet;
  const field = readUint16(bytes, fragmentAt + 2);
  const from = field & 0xfff8;
  const more = (field & 1) !== 0;
  const dataAt = fragmentAt + IPV6_FRAGMENT_HEADER_BYTES;
  const length = end - dataAt;
  if (more && (length & 7) !== 0) return false;
  if (end - ipAt > queue.largestBytes) queue.largestBytes = end - ipAt;
  if (!addPiece(context, queue, bytes, dataAt, from, length, more)) return false;
  if (from === 0 && queue.first === null) {
    keepFirst(context, queue, packet, fragmentAt - ipAt);
    queue.fieldOffset = packet.fragmentFieldAt - packet.start;
    queue.nextHeader = readUint8(bytes, fragmentAt);
  }
  return true;
}

/** False: it contradicts what is there. A copy of what is there is ignored. */
function addPiece(
  context: EngineContext,
  queue: Queue,
  bytes: Uint8Array,
  at: number,
  from: number,
  length: number,
  more: boolean,
): boolean {
  const to = from + length;
  const { pieces } = queue;
  const last = pieces.at(-1);
  const known = last === undefined ? 0 : last.from + last.data.length;
  if (length <= 0 || to > IP_BYTES_MAX) return false;
  if (!more) {
    if (to < known || (queue.totalBytes >= 0 && queue.totalBytes !== to)) return false;
  } else if (queue.totalBytes >= 0 && to > queue.totalBytes) {
    return false;
  }
  const place = placeOf(pieces, from);
  const before = pieces[place - 1];
  const after = pieces[place];
  const copied = before !== undefined && before.from <= from && to <= before.from + before.data.length;
  if (copied) return true;
  if (before !== undefined && before.from + before.data.length > from) return false;
  if (after !== undefined && to > after.from) return false;
  if (!more) queue.totalBytes = to;
  pieces.splice(place, 0, { from, data: bytes.slice(at, at + length) });
  queue.receivedBytes += length;
  context.reassembler.grow(length);
  return true;
}

/** Index of the first piece that begins behind `from`. */
function placeOf(pieces: readonly Piece[], from: number): number {
  let place = pieces.length;
  while (place > 0 && (pieces[place - 1] as Piece).from > from) place--;
  return place;
}

function keepFirst(context: EngineContext, queue: Queue, packet: Packet, headerBytes: number): void {
  queue.first = packet.bytes.slice(packet.start, packet.end);
  queue.headerBytes = headerBytes;
  queue.ingress = packet.ingress;
  queue.mark = packet.mark;
  context.reassembler.grow(queue.first.length);
}

/** The whole packet as a frame in slot 0 of the batch. */
function putTogether(batch: PacketBatch, queue: Queue): void {
  const first = queue.first as Uint8Array;
  const linkBytes = 14;
  batch.clear();
  batch.push(first.subarray(0, linkBytes + queue.headerBytes), queue.ingress, queue.mark);
  const { bytes } = batch;
  const ipAt = (batch.start[0] as number) + linkBytes;
  const dataAt = ipAt + queue.headerBytes;
  for (const piece of queue.pieces) bytes.set(piece.data, dataAt + piece.from);
  batch.end[0] = dataAt + queue.totalBytes;
  if (queue.ipv6) {
    writeUint8(bytes, (batch.start[0] as number) + queue.fieldOffset, queue.nextHeader);
    setIpv6PayloadLength(bytes, ipAt, queue.headerBytes - IPV6_HEADER_BYTES + queue.totalBytes);
    return;
  }
  writeUint16(bytes, ipAt + 2, queue.headerBytes + queue.totalBytes);
  // "Do not fragment" holds for the whole when its largest piece said so.
  writeUint16(bytes, ipAt + 6, queue.largestWithDontFragment === queue.largestBytes ? DONT_FRAGMENT : 0);
  fillIpv4Checksum(bytes, ipAt, queue.headerBytes);
}

function hashOf(context: EngineContext, words: Int32Array): number {
  let hash = context.connections.seed;
  for (let i = 0; i < words.length; i++) hash = Math.imul(hash ^ (words[i] as number), 0x9e3779b1) ^ (hash >>> 15);
  return hash;
}

function isSame(a: Int32Array, b: Int32Array): boolean {
  return a.every((word, index) => word === b[index]);
}
