/**
 * The receive ring of a packet socket (TPACKET_V2): slots in memory that the kernel shares with us. It fills a slot
 * and then sets its status word; we read the frame, rewrite it there and give the slot back by clearing the word.
 * Source: packet(7), linux/if_packet.h, "Packet MMAP" of the kernel documentation.
 */
import { type Libc, LibcError } from './libc.ts';
import type { NativeReserve } from './native-reserve.ts';
import { createPacketSocket } from './packet-socket.ts';

const SOL_PACKET = 263;
const PACKET_RX_RING = 5;
const PACKET_COPY_THRESH = 7;
const PACKET_VERSION = 10;
const PACKET_RESERVE = 12;
const PACKET_VNET_HDR = 15;
const TPACKET_V2 = 1;

/** struct tpacket2_hdr at the begin of every slot; its first word is the status. */
const LENGTH_AT = 4;
const CAPTURED_AT = 8;
const FRAME_OFFSET_AT = 12;
const STATUS_KERNEL = 0;
const STATUS_USER = 1;
const STATUS_COPY = 2;

/** The kernel takes memory for a ring in blocks; slots do not cross them. */
const BLOCK_BYTES = 1024 * 1024;
/** Slots begin at multiples of this (TPACKET_ALIGNMENT); a whole cache line is better still. */
const SLOT_ALIGNMENT_BYTES = 64;
/** Slots of links with the usual MTU of 1500 bytes. */
export const SLOT_BYTES_MIN = 2048;
/**
 * Frames begin this much later than they would. By itself the kernel leaves 76 bytes, of which 32 are the header
 * above; with this there are 114: room for 64 bytes of headroom and a virtio-net header that sinks with the frame's
 * start. It also puts the IP header at a multiple of 16.
 */
const RESERVE_BYTES = 38;
const FRAME_AT = 76 + RESERVE_BYTES;

export interface RingShape {
  /** Memory for slots, about. */
  readonly bytes: number;
  /** Longest frame a slot must hold; the socket's queue gets longer ones, and their slot says so. */
  readonly frameBytes: number;
}

/**
 * Gives a socket that is not bound yet a ring, with fewer slots when the kernel is short of memory, and lays it into
 * the reserve. Throws a LibcError, or an Error when the reserve is full.
 */
export function createPacketRing(libc: Libc, fd: number, shape: RingShape, reserve: NativeReserve): PacketRing {
  const slotBytes = Math.max(SLOT_BYTES_MIN, alignUp(FRAME_AT + shape.frameBytes, SLOT_ALIGNMENT_BYTES));
  setUpRing(libc, fd);
  const blocks = requestBlocks(libc, fd, slotBytes, Math.ceil(shape.bytes / BLOCK_BYTES));
  const at = reserve.layRing(fd, blocks * BLOCK_BYTES);
  if (at < 0)
    throw new Error('there is no room for another packet ring; serve fewer links (--link), or use packet-mmsg');
  return new PacketRing(reserve, at, blocks, slotBytes);
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

function setUpRing(libc: Libc, fd: number): void {
  libc.setsockopt(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2);
  libc.setsockopt(fd, SOL_PACKET, PACKET_RESERVE, RESERVE_BYTES);
  libc.setsockopt(fd, SOL_PACKET, PACKET_COPY_THRESH, 1);
}

/** `null` when this kernel makes rings, otherwise one sentence with the way out. */
export function packetRingRefused(libc: Libc): string | null {
  let fd = -1;
  try {
    fd = createPacketSocket(libc);
    libc.setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
    setUpRing(libc, fd);
    requestBlocks(libc, fd, SLOT_BYTES_MIN, 1);
    return null;
  } catch (error) {
    return `this kernel makes no packet ring (${(error as Error).message}); packet-mmsg does without`;
  } finally {
    if (fd >= 0) libc.close(fd);
  }
}

/** Returns the number of blocks that could be had. */
function requestBlocks(libc: Libc, fd: number, slotBytes: number, wanted: number): number {
  for (let blocks = wanted; ; blocks = blocks >> 1) {
    // struct tpacket_req
    const request = Uint32Array.of(BLOCK_BYTES, blocks, slotBytes, blocks * Math.floor(BLOCK_BYTES / slotBytes));
    try {
      libc.setsockopt(fd, SOL_PACKET, PACKET_RX_RING, new Uint8Array(request.buffer));
      return blocks;
    } catch (error) {
      if (!(error instanceof LibcError) || error.code !== 'ENOMEM' || blocks === 1) throw error;
    }
  }
}

export class PacketRing {
  readonly slots: number;
  readonly #reserve: NativeReserve;
  readonly #at: number;
  readonly #length: number;
  readonly #slotBytes: number;
  readonly #words: Int32Array;
  readonly #halves: Uint16Array;
  /** Where each slot begins, counted from the begin of the reserve. */
  readonly #slotAt: Int32Array;
  /** The slot the kernel fills next, as far as we have looked, and how many before it are ours. */
  #next = 0;
  #taken = 0;
  #removed = false;

  constructor(reserve: NativeReserve, at: number, blocks: number, slotBytes: number) {
    const slotsPerBlock = Math.floor(BLOCK_BYTES / slotBytes);
    this.slots = blocks * slotsPerBlock;
    this.#slotBytes = slotBytes;
    this.#reserve = reserve;
    this.#at = at;
    this.#length = blocks * BLOCK_BYTES;
    this.#words = new Int32Array(reserve.buffer);
    this.#halves = new Uint16Array(reserve.buffer);
    this.#slotAt = new Int32Array(this.slots);
    for (let i = 0; i < this.slots; i++) {
      const block = Math.floor(i / slotsPerBlock);
      this.#slotAt[i] = at + block * BLOCK_BYTES + (i % slotsPerBlock) * slotBytes;
    }
  }

  /** Takes the next filled slot and returns where it begins in the reserve, or -1 when there is none. */
  take(): number {
    const at = this.#slotAt[this.#next] as number;
    // Atomic, because everything else in the slot is true only after this word says so.
    if (this.#removed || (Atomics.load(this.#words, at >> 2) & STATUS_USER) === 0) return -1;
    if (this.#taken === this.slots) return -1;
    this.#taken++;
    this.#next = this.#next + 1 === this.slots ? 0 : this.#next + 1;
    return at;
  }

  /** Whether `take` would find something. */
  get readable(): boolean {
    if (this.#removed || this.#taken === this.slots) return false;
    return (Atomics.load(this.#words, (this.#slotAt[this.#next] as number) >> 2) & STATUS_USER) !== 0;
  }

  /** First byte of the frame in the slot that begins at `at`. */
  frameAt(at: number): number {
    return at + (this.#halves[(at + FRAME_OFFSET_AT) >> 1] as number);
  }

  /** Whether the frame was too long for its slot and waits, whole, in the socket's queue: one frame for each such slot. */
  isQueued(at: number): boolean {
    return ((this.#words[at >> 2] as number) & STATUS_COPY) !== 0;
  }

  /** Bytes of the frame, or -1 when its end is missing in the slot. */
  frameBytes(at: number): number {
    const captured = this.#words[(at + CAPTURED_AT) >> 2] as number;
    return captured === this.#words[(at + LENGTH_AT) >> 2] ? captured : -1;
  }

  /** One past the last byte of the slot. */
  slotEnd(at: number): number {
    return at + this.#slotBytes;
  }

  /** Gives every slot that was taken back to the kernel: nobody may look at their frames any more. */
  release(): void {
    if (this.#removed) return;
    let slot = this.#next - this.#taken;
    if (slot < 0) slot += this.slots;
    for (let i = 0; i < this.#taken; i++) {
      Atomics.store(this.#words, (this.#slotAt[slot] as number) >> 2, STATUS_KERNEL);
      slot = slot + 1 === this.slots ? 0 : slot + 1;
    }
    this.#taken = 0;
  }

  /** Slots that wait to be taken. */
  get waiting(): number {
    let count = 0;
    while (this.holds(count + 1)) count++;
    return count;
  }

  /** Whether at least so many of the slots wait, for whoever only wants to know how near the brim is. */
  holds(count: number): boolean {
    if (this.#removed || this.#taken + count > this.slots) return false;
    const slot = (this.#next + count - 1) % this.slots;
    return (Atomics.load(this.#words, (this.#slotAt[slot] as number) >> 2) & STATUS_USER) !== 0;
  }

  /** Takes the ring out of the reserve, once; from then on it is empty. The socket may be closed afterwards. */
  remove(): void {
    if (this.#removed) return;
    this.#removed = true;
    this.#taken = 0;
    this.#reserve.lift(this.#at, this.#length);
  }
}
