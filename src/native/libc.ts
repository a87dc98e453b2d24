/**
 * The system calls we use, typed. Calls of the packet loop return what the kernel returns (-1 on failure, then
 * `errno()`); calls that set something up throw a LibcError with the errno name. Source: section 2 of the manual.
 */
import { constants } from 'node:os';
import { loadForeignFunctions } from './ffi-provider.ts';

/** A system call failed. `code` is the errno name (`EPERM`), as in Node's own errors. */
export class LibcError extends Error {
  override readonly name = 'LibcError';
  readonly code: string;

  constructor(call: string, errno: number) {
    super(`${call}: ${errnoName(errno)}`);
    this.code = errnoName(errno);
  }
}

export const Errno = {
  EINTR: constants.errno.EINTR,
  ENXIO: constants.errno.ENXIO,
  EAGAIN: constants.errno.EAGAIN,
  EINVAL: constants.errno.EINVAL,
  EMSGSIZE: constants.errno.EMSGSIZE,
  ENETDOWN: constants.errno.ENETDOWN,
  ETIMEDOUT: constants.errno.ETIMEDOUT,
} as const;

export const MSG_DONTWAIT = 0x40;
export const MSG_TRUNC = 0x20;
export const SOCK_CLOEXEC = 0x80000;
export const SOCK_NONBLOCK = 0x800;
export const POLLIN = 1;
export const POLLERR = 8;

const PROT_READ = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_FIXED = 0x10;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_NORESERVE = 0x4000;
const EFD_NONBLOCK_CLOEXEC = 0x80800;
/** The C library has no function of its own for bpf(2). */
const BPF_CALL = process.arch === 'x64' ? 321 : 280;
const AF_INET = 2;
const AF_INET6 = 10;
/** Room for small arguments: socket options, addresses, one counter. */
const SCRATCH_BYTES = 4096;

const NAMES = new Map<number, string>(Object.entries(constants.errno).map(([name, value]) => [value, name]));

/** `EPERM` for 1; `errno 4095` for a number without a name. Where two names share a number, the usual one. */
export function errnoName(errno: number): string {
  if (errno === Errno.EAGAIN) return 'EAGAIN';
  return NAMES.get(errno) ?? `errno ${errno}`;
}

/** Addresses are plain numbers, lengths are bytes. */
export interface Libc {
  /** What the calls go through, for people. */
  readonly provider: string;
  errno(): number;
  /** The same as a name. */
  errnoText(): string;
  poll(pollFds: number, count: number, timeoutMs: number): number;
  recvmmsg(fd: number, messages: number, count: number, flags: number): number;
  sendmmsg(fd: number, messages: number, count: number, flags: number): number;
  read(fd: number, address: number, length: number): number;
  write(fd: number, address: number, length: number): number;
  recv(fd: number, address: number, length: number, flags: number): number;
  sendto(fd: number, address: number, length: number, flags: number, to: number, toLength: number): number;
  /** From here on: failures are thrown as LibcError. */
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, socketAddress: Uint8Array): void;
  connect(fd: number, socketAddress: Uint8Array): void;
  setsockopt(fd: number, level: number, option: number, value: number | Uint8Array): void;
  /** The option's value, at most `length` bytes. */
  getsockopt(fd: number, level: number, option: number, length: number): Uint8Array;
  /** Anonymous memory, zeroed, page-aligned. */
  mmap(length: number): number;
  munmap(address: number, length: number): void;
  /** Addresses that read as zeros and take no memory, to lay something over: `mapOver`, `mapZeros`. */
  reserve(length: number): number;
  /** Lays what a descriptor shares with the kernel (a packet ring) over addresses that were reserved. */
  mapOver(address: number, length: number, fd: number, offset?: number): void;
  /** Lays zeroed memory over addresses that were reserved. Whatever lay there is unmapped by it. */
  mapZeros(address: number, length: number): void;
  view(address: number, length: number): ArrayBuffer;
  /** bpf(2): a command, and its `union bpf_attr` at `address`. Returns a descriptor or 0. Throws a LibcError. */
  bpf(command: number, address: number, length: number): number;
  /** A counter that poll() sees; written by another thread to wake this one. */
  eventfd(): number;
  close(fd: number): void;
  /** Index of the interface of that name in this network namespace, or 0. */
  interfaceIndex(name: string): number;
  /** Four or sixteen bytes in network order, or `null` when the text is no address. */
  parseAddress(text: string): Uint8Array | null;
}

let shared: Libc | null = null;

/** The calls, bound once per thread. Throws a NativeUnavailableError where native calls do not work. */
export function getLibc(): Libc {
  shared ??= bindLibc();
  return shared;
}

function bindLibc(): Libc {
  const ffi = loadForeignFunctions();
  const poll = ffi.bind('poll', 'int', ['address', 'uint32', 'int']);
  const recvmmsg = ffi.bind('recvmmsg', 'int', ['int', 'address', 'uint32', 'int', 'address']);
  const sendmmsg = ffi.bind('sendmmsg', 'int', ['int', 'address', 'uint32', 'int']);
  const read = ffi.bind('read', 'long', ['int', 'address', 'address']);
  const write = ffi.bind('write', 'long', ['int', 'address', 'address']);
  const recv = ffi.bind('recv', 'long', ['int', 'address', 'address', 'int']);
  const sendto = ffi.bind('sendto', 'long', ['int', 'address', 'address', 'int', 'address', 'uint32']);
  const socket = ffi.bind('socket', 'int', ['int', 'int', 'int']);
  const bind = ffi.bind('bind', 'int', ['int', 'address', 'uint32']);
  const connect = ffi.bind('connect', 'int', ['int', 'address', 'uint32']);
  const setsockopt = ffi.bind('setsockopt', 'int', ['int', 'int', 'int', 'address', 'uint32']);
  const getsockopt = ffi.bind('getsockopt', 'int', ['int', 'int', 'int', 'address', 'address']);
  const mmap = ffi.bind('mmap', 'long', ['address', 'address', 'int', 'int', 'int', 'long']);
  const munmap = ffi.bind('munmap', 'int', ['address', 'address']);
  const eventfd = ffi.bind('eventfd', 'int', ['uint32', 'int']);
  const syscall = ffi.bind('syscall', 'long', ['long', 'long', 'address', 'long']);
  const close = ffi.bind('close', 'int', ['int']);
  const interfaceIndex = ffi.bind('if_nametoindex', 'int', ['text']);
  const parse = ffi.bind('inet_pton', 'int', ['int', 'text', 'address']);

  const checked = (call: string, result: number): number => {
    if (result === -1) throw new LibcError(call, ffi.errno());
    return result;
  };
  const map = (length: number) => checked('mmap', mmap(0, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0));
  const scratchAt = map(SCRATCH_BYTES);
  const scratch = new DataView(ffi.view(scratchAt, SCRATCH_BYTES));
  const scratchBytes = new Uint8Array(scratch.buffer);

  return {
    provider: ffi.provider,
    errno: ffi.errno,
    errnoText: () => errnoName(ffi.errno()),
    view: ffi.view,
    poll,
    recvmmsg: (fd, messages, count, flags) => recvmmsg(fd, messages, count, flags, 0),
    sendmmsg,
    read,
    write,
    recv,
    sendto,
    socket: (domain, type, protocol) => checked('socket', socket(domain, type, protocol)),
    bind(fd, socketAddress) {
      scratchBytes.set(socketAddress);
      checked('bind', bind(fd, scratchAt, socketAddress.length));
    },
    connect(fd, socketAddress) {
      scratchBytes.set(socketAddress);
      checked('connect', connect(fd, scratchAt, socketAddress.length));
    },
    setsockopt(fd, level, option, value) {
      if (typeof value === 'number') scratch.setInt32(0, value, true);
      else scratchBytes.set(value);
      const length = typeof value === 'number' ? 4 : value.length;
      checked(`setsockopt ${level}/${option}`, setsockopt(fd, level, option, scratchAt, length));
    },
    getsockopt(fd, level, option, length) {
      scratch.setUint32(0, length, true);
      checked(`getsockopt ${level}/${option}`, getsockopt(fd, level, option, scratchAt + 8, scratchAt));
      return scratchBytes.slice(8, 8 + scratch.getUint32(0, true));
    },
    mmap: map,
    munmap: (address, length) => void checked('munmap', munmap(address, length)),
    reserve: (length) => checked('mmap', mmap(0, length, PROT_READ, MAP_PRIVATE_ANONYMOUS | MAP_NORESERVE, -1, 0)),
    mapOver(address, length, fd, offset = 0) {
      checked('mmap', mmap(address, length, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED, fd, offset));
    },
    mapZeros(address, length) {
      checked('mmap', mmap(address, length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS | MAP_FIXED, -1, 0));
    },
    bpf: (command, address, length) => checked('bpf', syscall(BPF_CALL, command, address, length)),
    eventfd: () => checked('eventfd', eventfd(0, EFD_NONBLOCK_CLOEXEC)),
    close: (fd) => void checked('close', close(fd)),
    interfaceIndex: (name) => interfaceIndex(name),
    parseAddress(text) {
      if (parse(AF_INET, text, scratchAt) === 1) return scratchBytes.slice(0, 4);
      return parse(AF_INET6, text, scratchAt) === 1 ? scratchBytes.slice(0, 16) : null;
    },
  };
}
