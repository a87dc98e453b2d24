/**
 * The compiled package `raw-socket`: whole IPv4 packets, which the kernel routes and sends. For low rates: it
 * sends one packet each time the event loop finds the socket writable.
 */
import { createRequire } from 'node:module';
import { NativeUnavailableError } from './ffi.ts';

export interface RawIpSender {
  /** Sends a packet that begins with its IPv4 header. The bytes must not change before `done`. */
  send(packet: Uint8Array, destination: string, done: (error: Error | null) => void): void;
  close(): void;
}

interface RawSocketPackage {
  createSocket(options: { protocol: number; addressFamily: number }): RawSocket;
  readonly AddressFamily: { readonly IPv4: number };
}
interface RawSocket {
  send(
    buffer: Uint8Array,
    offset: number,
    length: number,
    address: string,
    done: (error: Error | null) => void,
  ): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  pauseRecv(): unknown;
  close(): unknown;
}
/** This protocol says that packets bring their own IP header (raw(7)). */
const IPPROTO_RAW = 255;

/** Throws a NativeUnavailableError when the package is missing, an Error when rights are. */
export function openRawIp(): RawIpSender {
  let raw: RawSocketPackage;
  try {
    raw = createRequire(import.meta.url)('raw-socket') as RawSocketPackage;
  } catch (cause) {
    throw new NativeUnavailableError(
      `the package raw-socket is not installed or not built (${(cause as Error).message.split('\n')[0]}); ` +
        'install a compiler ("apt install g++ make python3"), then "npm install raw-socket"',
      { cause },
    );
  }
  const socket = raw.createSocket({ protocol: IPPROTO_RAW, addressFamily: raw.AddressFamily.IPv4 });
  // Each failed send reports to its own callback.
  socket.on('error', () => {});
  return {
    send: (packet, destination, done) => void socket.send(packet, 0, packet.length, destination, done),
    close: () => void socket.close(),
  };
}
