/**
 * A stretch of addresses under one buffer, over which packet rings and memory are laid and taken away again. Views
 * of the buffer stay good all the time: where nothing lies any more they read zeros.
 */
import type { Libc } from './libc.ts';
import { type SharedMemory, unmapWithLastView } from './native-memory.ts';

const PAGE_BYTES = 4096;

interface Gap {
  at: number;
  bytes: number;
}

export class NativeReserve implements SharedMemory {
  readonly address: number;
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #libc: Libc;
  /** What is free, in order of place; neighbours are one gap. */
  readonly #gaps: Gap[];

  /** Throws a LibcError (ENOMEM). */
  constructor(libc: Libc, length: number) {
    this.#libc = libc;
    this.address = libc.reserve(length);
    this.buffer = libc.view(this.address, length);
    unmapWithLastView(libc, this.buffer, this.address);
    this.bytes = new Uint8Array(this.buffer);
    this.view = new DataView(this.buffer);
    this.#gaps = [{ at: 0, bytes: length }];
  }

  /** Lays a descriptor's memory, from `offset` on, down. Returns where it begins, or -1: no room. Throws a LibcError. */
  layRing(fd: number, length: number, offset = 0): number {
    return this.#lay(length, (address, bytes) => this.#libc.mapOver(address, bytes, fd, offset));
  }

  /** The same with zeroed memory. */
  layMemory(length: number): number {
    return this.#lay(length, (address, bytes) => this.#libc.mapZeros(address, bytes));
  }

  /** Takes away what was laid down. For the kernel it is gone at once; we read zeros there from now on. */
  lift(at: number, length: number): void {
    const bytes = wholePages(length);
    this.#libc.mapZeros(this.address + at, bytes);
    const place = this.#gaps.findIndex((gap) => gap.at > at);
    this.#gaps.splice(place < 0 ? this.#gaps.length : place, 0, { at, bytes });
    for (let i = this.#gaps.length - 1; i > 0; i--) {
      const before = this.#gaps[i - 1] as Gap;
      const gap = this.#gaps[i] as Gap;
      if (before.at + before.bytes !== gap.at) continue;
      before.bytes += gap.bytes;
      this.#gaps.splice(i, 1);
    }
  }

  #lay(length: number, map: (address: number, bytes: number) => void): number {
    const bytes = wholePages(length);
    const gap = this.#gaps.find((candidate) => candidate.bytes >= bytes);
    if (gap === undefined) return -1;
    map(this.address + gap.at, bytes);
    const { at } = gap;
    gap.at += bytes;
    gap.bytes -= bytes;
    if (gap.bytes === 0) this.#gaps.splice(this.#gaps.indexOf(gap), 1);
    return at;
  }
}

function wholePages(length: number): number {
  return Math.ceil(length / PAGE_BYTES) * PAGE_BYTES;
}
