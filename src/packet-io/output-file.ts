/** A file that is written from front to back in large pieces. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { PacketIoError } from './packet-io.ts';

const BUFFER_BYTES = 65_536;

export class OutputFile {
  readonly path: string;
  readonly #file: number;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #buffered = 0;
  #closed = false;

  /** Creates the file or empties it; only its owner may read it, since captures hold what people say. */
  constructor(path: string) {
    this.path = path;
    this.#file = guarded(path, () => openSync(path, 'w', 0o600));
  }

  write(bytes: Uint8Array): void {
    if (this.#buffered + bytes.length > BUFFER_BYTES) this.flush();
    if (bytes.length > BUFFER_BYTES) {
      this.#writeAll(bytes);
      return;
    }
    this.#buffer.set(bytes, this.#buffered);
    this.#buffered += bytes.length;
  }

  flush(): void {
    const bytes = this.#buffer.subarray(0, this.#buffered);
    this.#buffered = 0;
    this.#writeAll(bytes);
  }

  /** Writes what is left. A second call does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.flush();
    } finally {
      closeSync(this.#file);
    }
  }

  #writeAll(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) at += guarded(this.path, () => writeSync(this.#file, bytes, at));
  }
}

function guarded<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new PacketIoError(`cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}
