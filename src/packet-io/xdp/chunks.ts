/**
 * Who has which chunk of the frames' memory. A chunk is free, lent to a socket (to be filled), held (a frame of the
 * current fill lies in it), or under way (a socket sends it).
 */
const FREE = 0;
const HELD = 1;
const OWNERS_FROM = 2;

export class Chunks {
  readonly #state: Uint16Array;
  readonly #free: Int32Array;
  #freeCount: number;
  readonly #held: Int32Array;
  #heldCount = 0;

  constructor(count: number) {
    this.#state = new Uint16Array(count);
    this.#held = new Int32Array(count);
    this.#free = Int32Array.from({ length: count }, (_, i) => count - 1 - i);
    this.#freeCount = count;
  }

  get freeCount(): number {
    return this.#freeCount;
  }

  /** Takes a free chunk for `owner` (a small number) to fill, or returns -1. */
  lend(owner: number): number {
    if (this.#freeCount === 0) return -1;
    const chunk = this.#free[--this.#freeCount] as number;
    this.#state[chunk] = OWNERS_FROM + 2 * owner;
    return chunk;
  }

  /** It came back with a frame in it. */
  hold(chunk: number): void {
    this.#state[chunk] = HELD;
    this.#held[this.#heldCount++] = chunk;
  }

  /** `owner` sends the frame in it. False, and nothing happens, when it is not held: sent already, or nobody's. */
  send(chunk: number, owner: number): boolean {
    if (this.#state[chunk] !== HELD) return false;
    this.#state[chunk] = OWNERS_FROM + 2 * owner + 1;
    return true;
  }

  /** It was sent, or never will be. */
  sent(chunk: number): void {
    if ((this.#state[chunk] as number) < OWNERS_FROM) return;
    this.#state[chunk] = FREE;
    this.#free[this.#freeCount++] = chunk;
  }

  /** The current fill ends: what was not sent of it is free again. */
  endFill(): void {
    for (let i = 0; i < this.#heldCount; i++) {
      const chunk = this.#held[i] as number;
      if (this.#state[chunk] !== HELD) continue;
      this.#state[chunk] = FREE;
      this.#free[this.#freeCount++] = chunk;
    }
    this.#heldCount = 0;
  }

  /** `owner` is gone, and gives up what it was lent and what it was sending. */
  forget(owner: number): void {
    for (let chunk = 0; chunk < this.#state.length; chunk++) {
      if ((this.#state[chunk] as number) >> 1 === (OWNERS_FROM >> 1) + owner) this.sent(chunk);
    }
  }
}
