/** Addresses inside packets as text, for `print.ts`. IPv6 in the canonical form of RFC 5952. */
import { readUint8, readUint16 } from './bytes.ts';

export const IPV4_BYTES = 4;
export const IPV6_BYTES = 16;

/** `10.0.0.5` for the four bytes at `at`. */
export function formatIpv4At(bytes: Uint8Array, at: number): string {
  return bytes.subarray(at, at + IPV4_BYTES).join('.');
}

/** `fd00::5` for the sixteen bytes at `at`. */
export function formatIpv6At(bytes: Uint8Array, at: number): string {
  const words = [0, 2, 4, 6, 8, 10, 12, 14].map((offset) => readUint16(bytes, at + offset));
  let gapAt = 0;
  let gapWords = 0;
  for (let i = 0; i < words.length; i++) {
    let run = 0;
    while (words[i + run] === 0) run++;
    if (run > gapWords) {
      gapAt = i;
      gapWords = run;
    }
  }
  const text = (from: number, to: number) =>
    words
      .slice(from, to)
      .map((word) => word.toString(16))
      .join(':');
  // A single zero group is not shortened: RFC 5952, 4.2.2.
  return gapWords < 2 ? text(0, 8) : `${text(0, gapAt)}::${text(gapAt + gapWords, 8)}`;
}

/** `02:00:00:00:00:01` for the six bytes at `at`. */
export function formatMacAt(bytes: Uint8Array, at: number): string {
  return [0, 1, 2, 3, 4, 5]
    .map((i) =>
      readUint8(bytes, at + i)
        .toString(16)
        .padStart(2, '0'),
    )
    .join(':');
}
