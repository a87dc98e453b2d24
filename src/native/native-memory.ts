/**
 * Memory that system calls read and write: anonymous pages instead of typed arrays of our own, because small
 * typed arrays may lie on V8's heap, which moves things.
 */
import type { Libc } from './libc.ts';

/** Memory that has an address for the kernel and a buffer for us. */
export interface SharedMemory {
  readonly address: number;
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/**
 * Pages are given back when the garbage collector has seen the last view of them go, and never earlier: a view
 * of unmapped memory ends the process. Whoever keeps an `address` keeps the NativeMemory as well.
 */
const unmapper = new FinalizationRegistry<{ libc: Libc; address: number; length: number }>((pages) => {
  pages.libc.munmap(pages.address, pages.length);
});

/** The same for memory that others have mapped. */
export function unmapWithLastView(libc: Libc, buffer: ArrayBuffer, address: number): void {
  unmapper.register(buffer, { libc, address, length: buffer.byteLength });
}

export class NativeMemory implements SharedMemory {
  readonly address: number;
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;

  /** `length` zeroed bytes, starting at a page. Throws a LibcError (ENOMEM). */
  constructor(libc: Libc, length: number) {
    this.address = libc.mmap(length);
    this.buffer = libc.view(this.address, length);
    unmapWithLastView(libc, this.buffer, this.address);
    this.bytes = new Uint8Array(this.buffer);
    this.view = new DataView(this.buffer);
  }
}
