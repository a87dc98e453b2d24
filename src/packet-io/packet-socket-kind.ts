/** How the back ends on packet sockets present themselves and are opened. */
import { NativeUnavailableError } from '../native/ffi.ts';
import { getLibc } from '../native/libc.ts';
import { packetSocketsRefused } from '../native/packet-socket.ts';
import { type PacketIo, PacketIoError, type PacketIoOptions } from './packet-io.ts';
import { type Arena, PacketSockets, type Reception } from './packet-sockets.ts';

/** `null`, or why packet sockets do not work here, with the way out. */
export async function packetSocketsUnavailable(): Promise<string | null> {
  try {
    return packetSocketsRefused(getLibc());
  } catch (error) {
    if (error instanceof NativeUnavailableError) return error.message;
    throw error;
  }
}

/** What calls into the C library go through, or `null` when nothing does. */
export function nativeProvider(): string | null {
  try {
    return getLibc().provider;
  } catch (error) {
    if (error instanceof NativeUnavailableError) return null;
    throw error;
  }
}

/** Rejects with a PacketIoError. */
export async function openPacketSockets<A extends Arena>(
  name: string,
  options: PacketIoOptions,
  reception: () => Reception<A>,
): Promise<PacketIo> {
  try {
    return new PacketSockets(name, getLibc(), reception(), options);
  } catch (cause) {
    throw new PacketIoError(`${name}: ${(cause as Error).message}`, { cause });
  }
}
