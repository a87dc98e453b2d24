/** The compiled package `raw-socket` (raw IP sockets on the event loop), loaded only when it is wanted. */
import { createRequire } from 'node:module';
import { NativeUnavailableError } from './ffi.ts';

export interface RawSocket {
  on(event: 'message', listener: (bytes: Buffer, source: string) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
  on(event: 'close', listener: () => void): void;
  send(
    bytes: Uint8Array,
    offset: number,
    length: number,
    address: string,
    done: (error: Error | null, bytes: number) => void,
  ): void;
  pauseRecv(): void;
  close(): void;
}

export interface RawSocketPackage {
  createSocket(options: {
    readonly protocol: number;
    readonly addressFamily: number;
    readonly bufferSize?: number;
  }): RawSocket;
  readonly AddressFamily: { readonly IPv4: number; readonly IPv6: number };
}

/** Throws a NativeUnavailableError when the package is missing or was not built for this Node. */
export function loadRawSocket(): RawSocketPackage {
  try {
    return createRequire(import.meta.url)('raw-socket') as RawSocketPackage;
  } catch (cause) {
    throw new NativeUnavailableError(
      `the package raw-socket is not installed or not built (${(cause as Error).message.split('\n')[0]}); ` +
        'install a compiler ("apt install g++ make python3"), then "npm install raw-socket"',
      { cause },
    );
  }
}
