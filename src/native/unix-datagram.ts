/** One datagram to a Unix socket, which is how syslog and service managers are told things. Node cannot send those. */
import { getLibc, LibcError, MSG_DONTWAIT, SOCK_CLOEXEC } from './libc.ts';
import { NativeMemory } from './native-memory.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
/** `sun_path` of struct sockaddr_un, with the NUL at its end: unix(7). */
const PATH_BYTES_MAX = 108;
const TEXT_BYTES_MAX = 32_768;

/**
 * `path` may begin with `@`, which stands for an abstract name. What is longer than 32 KiB is cut.
 * Throws a NativeUnavailableError, or a LibcError: ENOENT and ECONNREFUSED when nobody listens there, EAGAIN when
 * the listener is behind with its reading.
 */
export function sendUnixDatagram(path: string, text: string): void {
  const libc = getLibc();
  const address = socketAddress(path);
  const message = Buffer.from(text).subarray(0, TEXT_BYTES_MAX);
  const memory = new NativeMemory(libc, address.length + message.length);
  memory.bytes.set(address);
  memory.bytes.set(message, address.length);
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  try {
    const at = memory.address + address.length;
    const sent = libc.sendto(fd, at, message.length, MSG_DONTWAIT, memory.address, address.length);
    if (sent < 0) throw new LibcError(`sendto ${path}`, libc.errno());
  } finally {
    libc.close(fd);
  }
}

function socketAddress(path: string): Buffer {
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`);
  if (name.length > PATH_BYTES_MAX) throw new RangeError(`the path of a socket has at most 107 bytes: ${path}`);
  const address = Buffer.alloc(2 + name.length);
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  return address;
}
