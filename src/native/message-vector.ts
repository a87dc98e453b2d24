/**
 * An array of `struct mmsghdr`, each with one `struct iovec`, as recvmmsg(2) and sendmmsg(2) want it on 64-bit
 * little-endian Linux. One message is one frame.
 */
import type { Libc } from './libc.ts';
import { NativeMemory } from './native-memory.ts';

const MESSAGE_BYTES = 64;
const VECTOR_AT = 16;
const VECTOR_COUNT_AT = 24;
const FLAGS_AT = 48;
const LENGTH_AT = 56;
const VECTOR_BYTES = 16;

export class MessageVector {
  readonly capacity: number;
  readonly #memory: NativeMemory;
  readonly #words: Uint32Array;
  /** Index of the first iovec in `#words`. */
  readonly #vectorsAt: number;

  constructor(libc: Libc, capacity: number) {
    this.capacity = capacity;
    this.#memory = new NativeMemory(libc, capacity * (MESSAGE_BYTES + VECTOR_BYTES));
    this.#words = new Uint32Array(this.#memory.buffer);
    this.#vectorsAt = (capacity * MESSAGE_BYTES) / 4;
    for (let i = 0; i < capacity; i++) {
      const vector = this.#memory.address + capacity * MESSAGE_BYTES + i * VECTOR_BYTES;
      this.#writePointer((i * MESSAGE_BYTES + VECTOR_AT) / 4, vector);
      this.#words[(i * MESSAGE_BYTES + VECTOR_COUNT_AT) / 4] = 1;
    }
  }

  /** Points message `i` at `length` bytes of memory. */
  set(i: number, address: number, length: number): void {
    const at = this.#vectorsAt + i * (VECTOR_BYTES / 4);
    this.#writePointer(at, address);
    this.#words[at + 2] = length;
    this.#words[at + 3] = 0;
  }

  /** Address of message `i`, for the call. */
  address(i: number): number {
    return this.#memory.address + i * MESSAGE_BYTES;
  }

  /** Bytes of message `i` that the last call moved. */
  length(i: number): number {
    return this.#words[(i * MESSAGE_BYTES + LENGTH_AT) / 4] as number;
  }

  /** Flags of message `i` after a receive (MSG_TRUNC). */
  flags(i: number): number {
    return this.#words[(i * MESSAGE_BYTES + FLAGS_AT) / 4] as number;
  }

  #writePointer(at: number, address: number): void {
    this.#words[at] = address >>> 0;
    this.#words[at + 1] = Math.floor(address / 0x1_0000_0000);
  }
}
