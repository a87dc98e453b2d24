/**
 * Tells when a descriptor can be read, by the event loop. Node watches only descriptors it knows the kind of, and a tap
 * is none of them; the handle it makes for pipes takes any that can be polled. Where that is closed to us, a clock has
 * to do.
 */
import { Socket } from 'node:net';

const CLOCK_MS = 1;

interface PipeHandle {
  open(fd: number): number | undefined;
}

export interface Readiness {
  close(): void;
}

/**
 * `take` gets each frame that was read to find out that there are more, at the beginning of `buffer`; it must have
 * used it when it returns. The descriptor is closed with the result.
 */
export function watchReadable(fd: number, buffer: Uint8Array, take: (length: number) => void): Readiness {
  const handle = pipeHandle();
  if (handle === null || (handle.open(fd) ?? 0) !== 0) {
    const timer = setInterval(() => take(0), CLOCK_MS);
    return { close: () => clearInterval(timer) };
  }
  const callback = (length: number) => {
    take(length);
    return true;
  };
  const socket = new Socket({ handle, readable: true, writable: false, onread: { buffer, callback } } as object);
  socket.on('error', () => take(0));
  socket.resume();
  return { close: () => socket.destroy() };
}

/** The class of pipe handles has no name of its own to import it by: the socket of a failing connection shows one. */
function pipeHandle(): PipeHandle | null {
  const socket = new Socket();
  socket.on('error', () => {});
  socket.connect({ path: '/dev/null' });
  const kind = (socket as unknown as { readonly _handle?: { readonly constructor: unknown } })._handle?.constructor;
  socket.destroy();
  try {
    return new (kind as new (type: number) => PipeHandle)(0);
  } catch {
    return null;
  }
}
