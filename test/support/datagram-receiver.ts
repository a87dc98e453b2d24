/** The other end of Unix datagrams: what a syslog daemon or systemd would have received. Needs native calls. */
import { rmSync } from 'node:fs';
import { getLibc, SOCK_CLOEXEC, SOCK_NONBLOCK } from '../../src/native/libc.ts';
import { NativeMemory } from '../../src/native/native-memory.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MEMORY_BYTES = 65_536;

export class DatagramReceiver {
  readonly path: string;
  readonly #libc = getLibc();
  readonly #memory = new NativeMemory(this.#libc, MEMORY_BYTES);
  readonly #fd: number;
  readonly #received: string[] = [];

  constructor(path: string) {
    this.path = path;
    this.#fd = this.#libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const address = Buffer.alloc(2 + path.length + 1);
    address.writeUInt16LE(AF_UNIX, 0);
    address.write(path.startsWith('@') ? `\0${path.slice(1)}` : path, 2);
    this.#libc.bind(this.#fd, path.startsWith('@') ? address.subarray(0, 2 + path.length) : address);
  }

  /** Everything that has come so far. */
  received(): readonly string[] {
    for (;;) {
      const length = this.#libc.recv(this.#fd, this.#memory.address, MEMORY_BYTES, 0);
      if (length < 0) return this.#received;
      this.#received.push(Buffer.from(this.#memory.bytes.subarray(0, length)).toString('utf8'));
    }
  }

  close(): void {
    this.#libc.close(this.#fd);
    if (!this.path.startsWith('@')) rmSync(this.path, { force: true });
  }
}
