/** A socket in this very process that tells what its filter lets through: datagrams to itself, of any bytes. */
import { type Libc, LibcError, MSG_DONTWAIT, SOCK_CLOEXEC } from '../../../src/native/libc.ts';
import { NativeMemory } from '../../../src/native/native-memory.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MESSAGE_AT = 128;
const MEMORY_BYTES = 4096;
let made = 0;

export class FilteredSocket {
  readonly fd: number;
  readonly #libc: Libc;
  readonly #memory: NativeMemory;
  readonly #addressBytes: number;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#memory = new NativeMemory(libc, MEMORY_BYTES);
    const name = Buffer.from(`\0\0\0uipvs-filter-${process.pid}-${made++}`);
    name.writeUInt16LE(AF_UNIX, 0);
    this.#memory.bytes.set(name);
    this.#addressBytes = name.length;
    this.fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    libc.bind(this.fd, name);
  }

  /** How many of the bytes came through; 0: none. */
  hears(bytes: Uint8Array): number {
    const { address } = this.#memory;
    this.#memory.bytes.set(bytes, MESSAGE_AT);
    const at = address + MESSAGE_AT;
    const sent = this.#libc.sendto(this.fd, at, bytes.length, MSG_DONTWAIT, address, this.#addressBytes);
    if (sent !== bytes.length) throw new LibcError('sendto', this.#libc.errno());
    return Math.max(0, this.#libc.recv(this.fd, at, MEMORY_BYTES - MESSAGE_AT, MSG_DONTWAIT));
  }

  close(): void {
    this.#libc.close(this.fd);
  }
}
