/**
 * The memory of one batch of the `packet-mmsg` back end. A slot holds headroom, the virtio-net header and the
 * frame directly behind it, so one buffer serves recvmmsg(2) and, rewritten, sendmmsg(2).
 * Source of the header's layout: linux/virtio_net.h.
 */
import type { Libc } from '../native/libc.ts';
import { MSG_TRUNC } from '../native/libc.ts';
import { MessageVector } from '../native/message-vector.ts';
import { NativeMemory } from '../native/native-memory.ts';
import { VNET_HEADER_BYTES, VNET_NEEDS_CHECKSUM } from '../native/packet-socket.ts';
import { FrameFlag, HEADROOM_BYTES, NO_LINK, PacketBatch } from '../wire/packet-batch.ts';
import { completeChecksum } from '../wire/segment.ts';

/** Headroom, header, and a frame of 64 KB with its Ethernet header; pages no frame reaches are never touched. */
const SLOT_BYTES = 66 * 1024;
/**
 * The header of a frame must stay in the slot when `start` sinks by the whole headroom. The frame then begins
 * at 2 modulo 4, which puts the IP header at a multiple of four.
 */
const FLOOR = VNET_HEADER_BYTES;
const FRAME_AT = FLOOR + HEADROOM_BYTES;

/** Fields of the header, little-endian. */
const FLAGS = 0;
const SEGMENTATION = 1;
const HEADER_LENGTH = 2;
const SEGMENT_BYTES = 4;
const CHECKSUM_START = 6;
const CHECKSUM_OFFSET = 8;

export class MmsgArena {
  readonly batch: PacketBatch;
  readonly memory: NativeMemory;
  readonly incoming: MessageVector;
  /** Slots of the last fill; what lies behind them was put there by someone else, and nothing is known about it. */
  taken = 0;
  /** What the kernel said about each frame and must be told again; offsets count from the frame as received. */
  readonly #segmentation: Uint8Array;
  readonly #headerLength: Uint16Array;
  readonly #checksumStart: Uint16Array;
  readonly #checksumOffset: Uint16Array;

  constructor(libc: Libc, frames: number) {
    this.memory = new NativeMemory(libc, frames * SLOT_BYTES);
    this.incoming = new MessageVector(libc, frames);
    this.batch = new PacketBatch(this.memory.bytes, frames);
    this.#segmentation = new Uint8Array(frames);
    this.#headerLength = new Uint16Array(frames);
    this.#checksumStart = new Uint16Array(frames);
    this.#checksumOffset = new Uint16Array(frames);
    for (let i = 0; i < frames; i++) {
      const slotAt = i * SLOT_BYTES;
      this.batch.floor[i] = slotAt + FLOOR;
      this.batch.ceiling[i] = slotAt + SLOT_BYTES;
      this.batch.start[i] = slotAt + FRAME_AT;
      this.batch.end[i] = slotAt + FRAME_AT;
      const bufferAt = slotAt + FRAME_AT - VNET_HEADER_BYTES;
      this.incoming.set(i, this.memory.address + bufferAt, (i + 1) * SLOT_BYTES - bufferAt);
    }
  }

  /**
   * Takes over the frame that recvmmsg has put into slot `i`. False when it was longer than the slot: then the
   * frame is empty, because slots cannot be skipped.
   */
  take(i: number, linkIndex: number): boolean {
    const { batch, memory, incoming } = this;
    const start = i * SLOT_BYTES + FRAME_AT;
    const headerAt = start - VNET_HEADER_BYTES;
    const whole = (incoming.flags(i) & MSG_TRUNC) === 0;
    batch.start[i] = start;
    batch.end[i] = whole ? Math.max(start, headerAt + incoming.length(i)) : start;
    batch.ingress[i] = linkIndex;
    batch.egress[i] = NO_LINK;
    batch.mark[i] = 0;
    const segmentation = memory.bytes[headerAt + SEGMENTATION] as number;
    const partial = ((memory.bytes[headerAt + FLAGS] as number) & VNET_NEEDS_CHECKSUM) !== 0;
    batch.flags[i] = partial ? FrameFlag.PARTIAL_CHECKSUM : 0;
    batch.segmentBytes[i] = 0;
    this.#segmentation[i] = segmentation;
    this.#checksumStart[i] = 0;
    this.taken = i + 1;
    if (partial || segmentation !== 0) this.#keepOffsets(i, headerAt);
    return whole;
  }

  #keepOffsets(i: number, headerAt: number): void {
    const { view } = this.memory;
    if (this.#segmentation[i] !== 0) this.batch.segmentBytes[i] = view.getUint16(headerAt + SEGMENT_BYTES, true);
    this.#headerLength[i] = view.getUint16(headerAt + HEADER_LENGTH, true);
    this.#checksumStart[i] = view.getUint16(headerAt + CHECKSUM_START, true);
    this.#checksumOffset[i] = view.getUint16(headerAt + CHECKSUM_OFFSET, true);
  }

  /**
   * Whether the kernel can be told how to segment frame `i`: it came as a super-frame, and no header was prepended
   * or removed since.
   */
  keepsSegmentation(i: number): boolean {
    const moved = this.batch.start[i] !== i * SLOT_BYTES + FRAME_AT;
    return i < this.taken && !moved && this.#segmentation[i] !== 0;
  }

  /** Writes the header in front of frame `i` again, as the batch now describes the frame. */
  writeHeader(i: number): void {
    const { batch, memory } = this;
    const start = batch.start[i] as number;
    const headerAt = start - VNET_HEADER_BYTES;
    clearHeader(memory, headerAt);
    const partial = ((batch.flags[i] as number) & FrameFlag.PARTIAL_CHECKSUM) !== 0;
    const segmentBytes = batch.segmentBytes[i] as number;
    if (!partial && segmentBytes === 0) return;
    if (partial && (i >= this.taken || this.#checksumStart[i] === 0)) {
      // The flag is not the kernel's, so nobody knows where the checksum begins but the packet itself.
      completeChecksum(memory.bytes, start, batch.end[i] as number);
      return;
    }
    const grownBytes = i * SLOT_BYTES + FRAME_AT - start;
    if (partial) {
      memory.bytes[headerAt + FLAGS] = VNET_NEEDS_CHECKSUM;
      memory.view.setUint16(headerAt + CHECKSUM_START, (this.#checksumStart[i] as number) + grownBytes, true);
      memory.view.setUint16(headerAt + CHECKSUM_OFFSET, this.#checksumOffset[i] as number, true);
    }
    memory.view.setUint16(headerAt + HEADER_LENGTH, (this.#headerLength[i] as number) + grownBytes, true);
    if (segmentBytes === 0) return;
    memory.bytes[headerAt + SEGMENTATION] = this.#segmentation[i] as number;
    memory.view.setUint16(headerAt + SEGMENT_BYTES, segmentBytes, true);
  }
}

/** A header that asks for nothing: the frame is complete. */
export function clearHeader(memory: NativeMemory, headerAt: number): void {
  memory.bytes.fill(0, headerAt, headerAt + VNET_HEADER_BYTES);
}
