/** Where the bytes of a capture file go: a file, or standard output for a program that reads along. */
import { createHash, type Hash } from 'node:crypto';
import { OutputFile } from '../packet-io/output-file.ts';

export interface ByteSink {
  /** Takes the bytes; they may be written later, so nobody may change them. */
  write(bytes: Uint8Array): void;
  /** Resolves when a slow reader has taken what was written. */
  settle(): Promise<void> | void;
  /** Hands on what was written, for a reader who follows. */
  flush(): Promise<void> | void;
  /** Writes what is left. */
  close(): Promise<void> | void;
}

/** To a file that only its owner may read. Throws PacketIoError. */
export function fileSink(path: string): ByteSink {
  const file = new OutputFile(path);
  return {
    write: (bytes) => file.write(bytes),
    settle: () => {},
    flush: () => file.flush(),
    close: () => file.close(),
  };
}

const PENDING_BYTES_MAX = 65_536;

/** To a stream: `send` resolves when the reader has taken the bytes. */
export function streamSink(send: (bytes: Uint8Array) => Promise<void>): ByteSink {
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  const flush = async (): Promise<void> => {
    if (pendingBytes === 0) return;
    const bytes = Buffer.concat(pending);
    pending = [];
    pendingBytes = 0;
    await send(bytes);
  };
  return {
    write(bytes) {
      pending.push(bytes);
      pendingBytes += bytes.length;
    },
    flush,
    settle: () => (pendingBytes > PENDING_BYTES_MAX ? flush() : undefined),
    close: flush,
  };
}

/** Also sums up what passes, as `sha256sum` would the file. */
export class HashingSink implements ByteSink {
  readonly #sink: ByteSink | null;
  readonly #hash: Hash = createHash('sha256');
  #bytes = 0;

  /** `null`: only the sum is wanted. */
  constructor(sink: ByteSink | null) {
    this.#sink = sink;
  }

  get bytes(): number {
    return this.#bytes;
  }

  write(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
    this.#sink?.write(bytes);
  }

  settle(): Promise<void> | void {
    return this.#sink?.settle();
  }

  flush(): Promise<void> | void {
    return this.#sink?.flush();
  }

  close(): Promise<void> | void {
    return this.#sink?.close();
  }

  /** Once, at the end. */
  sha256(): string {
    return this.#hash.digest('hex');
  }
}
