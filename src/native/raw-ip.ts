/**
 * The compiled package `raw-socket`: whole IPv4 packets, which the kernel routes and sends. For low rates: it
 * sends one packet each time the event loop finds the socket writable.
 */
import { loadRawSocket } from './raw-socket.ts';

export interface RawIpSender {
  /** Sends a packet that begins with its IPv4 header. The bytes must not change before `done`. */
  send(packet: Uint8Array, destination: string, done: (error: Error | null) => void): void;
  close(): void;
}

/** This protocol says that packets bring their own IP header (raw(7)). */
const IPPROTO_RAW = 255;

/** Throws a NativeUnavailableError when the package is missing, an Error when rights are. */
export function openRawIp(): RawIpSender {
  const raw = loadRawSocket();
  const socket = raw.createSocket({ protocol: IPPROTO_RAW, addressFamily: raw.AddressFamily.IPv4 });
  // Each failed send reports to its own callback.
  socket.on('error', () => {});
  return {
    send: (packet, destination, done) => void socket.send(packet, 0, packet.length, destination, done),
    close: () => void socket.close(),
  };
}
