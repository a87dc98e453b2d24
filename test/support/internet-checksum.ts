/**
 * The internet checksum by another road than src/wire/checksum.ts: one's complement addition of 16-bit words is
 * addition modulo 65535. Source: RFC 1071, section 2.
 */

/** One's complement sum of the words of all parts together, `0..65535`. Odd lengths are filled up with a zero. */
export function onesComplementSum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  let anything = false;
  for (const part of parts) {
    for (let i = 0; i < part.length; i++) {
      const byte = part[i] as number;
      anything ||= byte !== 0;
      sum = (sum + (i % 2 === 0 ? byte * 256 : byte)) % 65_535;
    }
  }
  return sum === 0 && anything ? 65_535 : sum;
}

/** What goes into the field: the complement of the sum. */
export function internetChecksum(...parts: readonly Uint8Array[]): number {
  return 65_535 - onesComplementSum(...parts);
}

/** Pseudo-header for IPv4 (RFC 9293, 3.1) or IPv6 (RFC 8200, 8.1), told by the length of the addresses. */
export function pseudoHeader(from: Uint8Array, to: Uint8Array, protocol: number, transportBytes: number): Uint8Array {
  const lengthAndProtocol =
    from.length === 4
      ? [0, protocol, transportBytes >> 8, transportBytes & 0xff]
      : [0, transportBytes >> 16, (transportBytes >> 8) & 0xff, transportBytes & 0xff, 0, 0, 0, protocol];
  return Uint8Array.from([...from, ...to, ...lengthAndProtocol]);
}
