/** A socket of generic netlink to the kernel, and to nobody else. Source: netlink(7). */
import { Errno, getLibc, type Libc, LibcError, MSG_TRUNC, POLLIN, SOCK_CLOEXEC, SOCK_NONBLOCK } from './libc.ts';
import { NativeMemory } from './native-memory.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_GENERIC = 16;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SOCKET_ADDRESS_BYTES = 12;
/** The kernel fills at most 32 KiB of a listing into one datagram. */
const MEMORY_BYTES = 128 * 1024;
const RECEIVE_BUFFER_BYTES = 1024 * 1024;
const POLL_FD_BYTES = 8;

export interface NetlinkSocket {
  /** Sends one datagram. Throws a LibcError. */
  send(datagram: Uint8Array): void;
  /** The next datagram. Throws a LibcError: ETIMEDOUT when none comes in time, EMSGSIZE when it was cut short. */
  receive(timeoutMs: number): Uint8Array;
  close(): void;
}

/** Throws a NativeUnavailableError where native calls do not work, or a LibcError. */
export function openGenericNetlink(): NetlinkSocket {
  const libc = getLibc();
  const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_GENERIC);
  try {
    const kernel = new Uint8Array(SOCKET_ADDRESS_BYTES);
    kernel[0] = AF_NETLINK;
    libc.bind(fd, kernel);
    // From a connected socket's point of view other processes do not exist.
    libc.connect(fd, kernel);
    libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
    return socketOf(libc, fd, new NativeMemory(libc, MEMORY_BYTES + POLL_FD_BYTES));
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

function socketOf(libc: Libc, fd: number, memory: NativeMemory): NetlinkSocket {
  let open = true;
  return {
    send(datagram) {
      if (datagram.length > MEMORY_BYTES) throw new LibcError('send', Errno.EMSGSIZE);
      memory.bytes.set(datagram);
      const sent = libc.sendto(fd, memory.address, datagram.length, 0, 0, 0);
      if (sent !== datagram.length) throw new LibcError('send', libc.errno());
    },
    receive(timeoutMs) {
      for (;;) {
        const length = libc.recv(fd, memory.address, MEMORY_BYTES, MSG_TRUNC);
        if (length > MEMORY_BYTES) throw new LibcError('recv', Errno.EMSGSIZE);
        if (length >= 0) return memory.bytes.slice(0, length);
        const errno = libc.errno();
        if (errno === Errno.EINTR) continue;
        if (errno !== Errno.EAGAIN) throw new LibcError('recv', errno);
        if (!waitForMore(libc, fd, memory, timeoutMs)) throw new LibcError('recv', Errno.ETIMEDOUT);
      }
    },
    close() {
      if (open) libc.close(fd);
      open = false;
    },
  };
}

function waitForMore(libc: Libc, fd: number, memory: NativeMemory, timeoutMs: number): boolean {
  memory.view.setInt32(MEMORY_BYTES, fd, true);
  memory.view.setUint32(MEMORY_BYTES + 4, POLLIN, true);
  const ready = libc.poll(memory.address + MEMORY_BYTES, 1, timeoutMs);
  // A signal ends the wait: the caller looks, and waits again.
  return ready > 0 || (ready < 0 && libc.errno() === Errno.EINTR);
}
