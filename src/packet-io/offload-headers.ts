/**
 * The virtio-net header directly in front of every frame of a batch: what the kernel has said about a frame is kept
 * when the frame comes, and told again, as the batch now describes the frame, when it goes.
 * Source of the layout: linux/virtio_net.h.
 */
import type { SharedMemory } from '../native/native-memory.ts';
import { VNET_HEADER_BYTES, VNET_NEEDS_CHECKSUM } from '../native/packet-socket.ts';
import { FrameFlag, NO_LINK, type PacketBatch } from '../wire/packet-batch.ts';
import { completeChecksum, looksPartial } from '../wire/segment.ts';

/** Fields of the header, little-endian. */
const FLAGS = 0;
const SEGMENTATION = 1;
const HEADER_LENGTH = 2;
const SEGMENT_BYTES = 4;
const CHECKSUM_START = 6;
const CHECKSUM_OFFSET = 8;

/** No call needs the address of a header. */
type HeaderMemory = Pick<SharedMemory, 'bytes' | 'view'>;

export class OffloadHeaders {
  readonly #batch: PacketBatch;
  readonly #memory: HeaderMemory;
  /** Frames of the last fill; what lies behind them was put there by someone else, and nothing is known about it. */
  #filled = 0;
  /** Where each frame began when it came, and what was said about it; offsets count from there. */
  readonly #start: Int32Array;
  readonly #segmentation: Uint8Array;
  readonly #headerLength: Uint16Array;
  readonly #checksumStart: Uint16Array;
  readonly #checksumOffset: Uint16Array;

  constructor(batch: PacketBatch, memory: HeaderMemory) {
    this.#batch = batch;
    this.#memory = memory;
    this.#start = new Int32Array(batch.capacity);
    this.#segmentation = new Uint8Array(batch.capacity);
    this.#headerLength = new Uint16Array(batch.capacity);
    this.#checksumStart = new Uint16Array(batch.capacity);
    this.#checksumOffset = new Uint16Array(batch.capacity);
  }

  /** A new fill begins: everything said before is forgotten. */
  forget(): void {
    this.#filled = 0;
  }

  /** Takes over frame `i`, which the kernel has put at `start`, and describes it in the batch. */
  take(i: number, start: number, end: number, linkIndex: number): void {
    const batch = this.#batch;
    const { bytes } = this.#memory;
    const headerAt = start - VNET_HEADER_BYTES;
    const segmentation = bytes[headerAt + SEGMENTATION] as number;
    const partial = ((bytes[headerAt + FLAGS] as number) & VNET_NEEDS_CHECKSUM) !== 0;
    batch.start[i] = start;
    batch.end[i] = end;
    batch.ingress[i] = linkIndex;
    batch.egress[i] = NO_LINK;
    batch.mark[i] = 0;
    batch.flags[i] = partial ? FrameFlag.PARTIAL_CHECKSUM : 0;
    batch.segmentBytes[i] = 0;
    this.#start[i] = start;
    this.#segmentation[i] = segmentation;
    this.#checksumStart[i] = 0;
    if (i >= this.#filled) this.#filled = i + 1;
    if (partial || segmentation !== 0) this.#keepOffsets(i, headerAt);
  }

  /**
   * The same for a frame that came without a header; nothing is in front of it but room. `finished`: so is its checksum
   * for certain; otherwise nobody has said so, but it can be seen.
   */
  takeBare(i: number, start: number, end: number, linkIndex: number, finished: boolean): void {
    const batch = this.#batch;
    const partial = !finished && looksPartial(this.#memory.bytes, start, end);
    batch.start[i] = start;
    batch.end[i] = end;
    batch.ingress[i] = linkIndex;
    batch.egress[i] = NO_LINK;
    batch.mark[i] = 0;
    batch.flags[i] = partial ? FrameFlag.PARTIAL_CHECKSUM : 0;
    batch.segmentBytes[i] = 0;
    this.#start[i] = start;
    this.#segmentation[i] = 0;
    this.#checksumStart[i] = 0;
    if (i >= this.#filled) this.#filled = i + 1;
  }

  #keepOffsets(i: number, headerAt: number): void {
    const { view } = this.#memory;
    if (this.#segmentation[i] !== 0) this.#batch.segmentBytes[i] = view.getUint16(headerAt + SEGMENT_BYTES, true);
    this.#headerLength[i] = view.getUint16(headerAt + HEADER_LENGTH, true);
    this.#checksumStart[i] = view.getUint16(headerAt + CHECKSUM_START, true);
    this.#checksumOffset[i] = view.getUint16(headerAt + CHECKSUM_OFFSET, true);
  }

  /**
   * Whether the kernel can be told how to segment frame `i`: it came as a super-frame, and no header was prepended
   * or removed since.
   */
  keepsSegmentation(i: number): boolean {
    return i < this.#filled && this.#batch.start[i] === this.#start[i] && this.#segmentation[i] !== 0;
  }

  /** Writes the header in front of frame `i` again, as the batch now describes the frame. */
  write(i: number): void {
    const batch = this.#batch;
    const memory = this.#memory;
    const start = batch.start[i] as number;
    const headerAt = start - VNET_HEADER_BYTES;
    clearHeader(memory.bytes, headerAt);
    const partial = ((batch.flags[i] as number) & FrameFlag.PARTIAL_CHECKSUM) !== 0;
    const segmentBytes = batch.segmentBytes[i] as number;
    if (!partial && segmentBytes === 0) return;
    if (partial && (i >= this.#filled || this.#checksumStart[i] === 0)) {
      // The flag is not the kernel's, so nobody knows where the checksum begins but the packet itself.
      completeChecksum(memory.bytes, start, batch.end[i] as number);
      return;
    }
    const grownBytes = (this.#start[i] as number) - start;
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
export function clearHeader(bytes: Uint8Array, headerAt: number): void {
  // Stores one by one: ten bytes are too few for a call of `fill`.
  for (let at = headerAt; at < headerAt + VNET_HEADER_BYTES; at++) bytes[at] = 0;
}
