/**
 * Memory that system calls read and write: anonymous pages instead of typed arrays of our own, because small
 * typed arrays may lie on V8's heap, which moves things.
 */
import type { Libc } from './libc.ts';

/**
 * Pages are given back when the garbage collector has seen the last view of them go, and never earlier: a view
 * of unmapped memory ends the process. Whoever keeps an `address` keeps the NativeMemory as well.
 */
const unmapper = new FinalizationRegistry<{ libc: Libc; address: number; length: number }>((pages) => {
  pages.libc.munmap(pages.address, pages.length);
});

export class NativeMemory {
  readonly address: number;
  readonly buffer: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;

  /** `length` zeroed bytes, starting at a page. Throws a LibcError (ENOMEM). */
  constructor(libc: Libc, length: number) {
    this.address = libc.mmap(length);
    this.buffer = libc.view(this.address, length);
    unmapper.register(this.buffer, { libc, address: this.address, length });
    this.bytes = new Uint8Array(this.buffer);
    this.view = new DataView(this.buffer);
  }
}
