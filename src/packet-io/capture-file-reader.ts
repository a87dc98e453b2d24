/** Reads the packets of a capture file one after the other, in pieces, so that the file may be of any size. */
import { closeSync, openSync, readSync } from 'node:fs';
import type { CapturedPacket, CaptureInterface } from '../wire/capture-format.ts';
import { createCaptureReader } from '../wire/capture-reader.ts';
import { PacketIoError } from './packet-io.ts';

const CHUNK_BYTES = 65_536;

export class CaptureFileReader {
  readonly path: string;
  readonly #file: number;
  readonly #reader = createCaptureReader();
  readonly #chunk = new Uint8Array(CHUNK_BYTES);
  #ended = false;
  #closed = false;

  /** Throws PacketIoError when the file cannot be opened. */
  constructor(path: string) {
    this.path = path;
    this.#file = guarded(path, () => openSync(path, 'r'));
  }

  /** Interfaces described so far. */
  get interfaces(): readonly CaptureInterface[] {
    return this.#reader.interfaces;
  }

  /** The next packet, or `null` at the end. Throws CaptureFileError, and PacketIoError when reading fails. */
  next(): CapturedPacket | null {
    for (;;) {
      const packet = this.#reader.next();
      if (packet !== null || this.#ended) return packet;
      const bytes = guarded(this.path, () => readSync(this.#file, this.#chunk));
      if (bytes > 0) this.#reader.push(this.#chunk.subarray(0, bytes));
      else this.#end();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#file);
  }

  #end(): void {
    this.#ended = true;
    this.#reader.end();
  }
}

function guarded<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new PacketIoError(`cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}
