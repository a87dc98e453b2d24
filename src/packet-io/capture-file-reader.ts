/** Reads the packets of a capture file one after the other, in pieces, so that the file may be of any size. */
import { closeSync, openSync, readSync } from 'node:fs';
import { type CapturedPacket, CaptureFileError, type CaptureInterface } from '../wire/capture-format.ts';
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
  #packets = 0;
  #bytes = 0;

  /** Throws PacketIoError when the file cannot be opened. */
  constructor(path: string) {
    this.path = path;
    this.#file = guarded(path, () => openSync(path, 'r'));
  }

  /** Interfaces described so far. */
  get interfaces(): readonly CaptureInterface[] {
    return this.#reader.interfaces;
  }

  /** Packets that were read so far. */
  get packets(): number {
    return this.#packets;
  }

  /** Bytes of the file that were read so far. */
  get bytesRead(): number {
    return this.#bytes;
  }

  /**
   * The next packet, or `null` at the end. Throws CaptureFileError, which names the packet, and PacketIoError when
   * reading fails.
   */
  next(): CapturedPacket | null {
    for (;;) {
      const packet = this.#read();
      if (packet !== null) this.#packets++;
      if (packet !== null || this.#ended) return packet;
      const bytes = guarded(this.path, () => readSync(this.#file, this.#chunk));
      this.#bytes += bytes;
      if (bytes > 0) this.#reader.push(this.#chunk.subarray(0, bytes));
      else this.#end();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#file);
  }

  #read(): CapturedPacket | null {
    try {
      return this.#reader.next();
    } catch (error) {
      // What is wrong in front of the first packet is wrong with the file.
      if (!(error instanceof CaptureFileError) || this.#reader.interfaces.length === 0) throw error;
      throw new CaptureFileError(error.offset, error.problem, this.#packets + 1);
    }
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
