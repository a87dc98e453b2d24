/** Frames of any length between two who take turns: a bounded queue over one ring of bytes. Nothing is allocated. */

export class FrameQueue {
  readonly bytes: Uint8Array;
  readonly #at: Int32Array;
  readonly #length: Int32Array;
  readonly #link: Int32Array;
  #first = 0;
  #count = 0;

  constructor(framesMax: number, bytes: number) {
    this.bytes = new Uint8Array(bytes);
    this.#at = new Int32Array(framesMax);
    this.#length = new Int32Array(framesMax);
    this.#link = new Int32Array(framesMax);
  }

  get count(): number {
    return this.#count;
  }

  /** Appends a copy of the first `length` bytes of `frame`. False, and nothing happens, when there is no room. */
  push(frame: Uint8Array, length: number, linkIndex: number): boolean {
    if (this.#count === this.#at.length) return false;
    const at = this.#roomFor(length);
    if (at < 0) return false;
    const place = (this.#first + this.#count) % this.#at.length;
    this.bytes.set(length === frame.length ? frame : frame.subarray(0, length), at);
    this.#at[place] = at;
    this.#length[place] = length;
    this.#link[place] = linkIndex;
    this.#count++;
    return true;
  }

  /** Copies the oldest frame to `out` at `outAt` and returns its length, or -1 when it is longer than `room`. */
  peek(out: Uint8Array, outAt: number, room: number): number {
    const length = this.#length[this.#first] as number;
    if (length > room) return -1;
    const at = this.#at[this.#first] as number;
    out.set(this.bytes.subarray(at, at + length), outAt);
    return length;
  }

  /** Forgets the oldest frame and returns the index of its link. */
  shift(): number {
    const link = this.#link[this.#first] as number;
    this.#first = (this.#first + 1) % this.#at.length;
    this.#count--;
    return link;
  }

  /** Where a frame of `length` fits in one piece: behind the newest frame, or at the start again. */
  #roomFor(length: number): number {
    if (this.#count === 0) return length <= this.bytes.length ? 0 : -1;
    const newest = (this.#first + this.#count - 1) % this.#at.length;
    const head = this.#at[this.#first] as number;
    const tail = (this.#at[newest] as number) + (this.#length[newest] as number);
    if (tail <= head) return tail + length <= head ? tail : -1;
    if (tail + length <= this.bytes.length) return tail;
    return length <= head ? 0 : -1;
  }
}
