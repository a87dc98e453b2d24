/**
 * A batch of frames in one arena. Frames never move: the engine rewrites them where they lie and writes
 * beside each the link it must leave by; the I/O back end that filled the batch empties it.
 */

/** Free bytes before every received frame, so that a tunnel header is prepended by lowering `start`. */
export const HEADROOM_BYTES = 64;

/** `egress` of a frame that is not sent. */
export const NO_LINK = -1;
/** `egress` of a frame that belongs to the host's own stack in its rewritten form (local real servers). */
export const TO_HOST = -2;

/** Bits of `flags`: what the sender or the kernel left undone. */
export const FrameFlag = {
  /** The transport checksum field holds the folded, not inverted sum of the pseudo-header only. */
  PARTIAL_CHECKSUM: 1,
  /** Every shard has this frame, and another one answers for it. */
  SHARED: 2,
  /** It is another shard's, and was made empty. */
  OTHER_SHARD: 4,
} as const;

export class PacketBatch {
  /** The arena. A back end may put a kernel ring or a receive buffer here. */
  readonly bytes: Uint8Array;
  /** Slots in the batch. */
  readonly capacity: number;
  /** Frames in the batch, `0..capacity`. */
  count = 0;
  /** First byte of each frame (its Ethernet header), and one past its last. */
  readonly start: Int32Array;
  readonly end: Int32Array;
  /** Lowest and highest byte the slot may use: `start` may be lowered to `floor`, `end` raised to `ceiling`. */
  readonly floor: Int32Array;
  readonly ceiling: Int32Array;
  /** Interface index (`Link.index`) the frame came in by, and must leave by (or `NO_LINK`, `TO_HOST`). */
  readonly ingress: Int32Array;
  readonly egress: Int32Array;
  /** `FrameFlag` bits. */
  readonly flags: Uint8Array;
  /**
   * Payload bytes of each segment of a super-frame (GSO/GRO: one frame that stands for many), or 0.
   * The back end carries whatever else it needs to send a super-frame again.
   */
  readonly segmentBytes: Uint16Array;
  /** What the engine decided about each frame, by number (engine/verdict.ts). */
  readonly verdict: Uint8Array;
  /** Why, by number (the same file). */
  readonly reason: Uint8Array;
  /** Firewall mark of the frame, 0 for none. */
  readonly mark: Uint32Array;

  constructor(bytes: Uint8Array, capacity: number) {
    this.bytes = bytes;
    this.capacity = capacity;
    this.start = new Int32Array(capacity);
    this.end = new Int32Array(capacity);
    this.floor = new Int32Array(capacity);
    this.ceiling = new Int32Array(capacity);
    this.ingress = new Int32Array(capacity).fill(NO_LINK);
    this.egress = new Int32Array(capacity).fill(NO_LINK);
    this.flags = new Uint8Array(capacity);
    this.segmentBytes = new Uint16Array(capacity);
    this.verdict = new Uint8Array(capacity);
    this.reason = new Uint8Array(capacity);
    this.mark = new Uint32Array(capacity);
  }

  /** A batch over ordinary memory: `frames` slots of `frameBytes`, each with headroom in front. */
  static allocate(frames: number, frameBytes: number): PacketBatch {
    const slotBytes = HEADROOM_BYTES + frameBytes;
    const batch = new PacketBatch(new Uint8Array(frames * slotBytes), frames);
    for (let i = 0; i < frames; i++) {
      batch.floor[i] = i * slotBytes;
      batch.ceiling[i] = (i + 1) * slotBytes;
      batch.start[i] = i * slotBytes + HEADROOM_BYTES;
      batch.end[i] = batch.start[i] as number;
    }
    return batch;
  }

  clear(): void {
    this.count = 0;
  }

  /**
   * Appends a copy of `frame` and returns its slot, or -1 when the batch is full or the frame too long.
   * Not for the fast path: back ends fill slots in place.
   */
  push(frame: Uint8Array, ingress: number, mark = 0): number {
    const slot = this.count;
    if (slot >= this.capacity) return -1;
    const start = (this.floor[slot] as number) + HEADROOM_BYTES;
    if (start + frame.length > (this.ceiling[slot] as number)) return -1;
    this.bytes.set(frame, start);
    this.start[slot] = start;
    this.end[slot] = start + frame.length;
    this.ingress[slot] = ingress;
    this.egress[slot] = NO_LINK;
    this.flags[slot] = 0;
    this.segmentBytes[slot] = 0;
    this.mark[slot] = mark;
    this.count = slot + 1;
    return slot;
  }

  /** A copy of frame `slot`, for tests, captures and traces. */
  frame(slot: number): Uint8Array {
    return this.bytes.slice(this.start[slot], this.end[slot]);
  }
}
