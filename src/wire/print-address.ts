/** Addresses inside packets as text, for `print.ts`. */
import { formatIpv4, formatIpv6 } from './address.ts';
import { readInt32 } from './bytes.ts';

/** `10.0.0.5` for the four bytes at `at`. */
export function formatIpv4At(bytes: Uint8Array, at: number): string {
  return formatIpv4(readInt32(bytes, at));
}

/** `fd00::5` for the sixteen bytes at `at`. */
export function formatIpv6At(bytes: Uint8Array, at: number): string {
  return formatIpv6(
    readInt32(bytes, at),
    readInt32(bytes, at + 4),
    readInt32(bytes, at + 8),
    readInt32(bytes, at + 12),
  );
}
