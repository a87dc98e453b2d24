/**
 * The only indexed access to packet bytes. Network byte order, as on the wire.
 * Callers check lengths once, before they read; nothing here checks again.
 */

export function readUint8(bytes: Uint8Array, at: number): number {
  return bytes[at] as number;
}

export function readUint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

/** Four bytes as a signed 32-bit word: signed words stay small integers inside V8. */
export function readInt32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

export function writeUint8(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
}

export function writeUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function writeInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
