/**
 * The internet checksum. Sums are plain numbers; `fold` brings them to 16 bits.
 * Sources: RFC 1071 (computing), RFC 1624 equation 3 (adjusting for one change).
 */

/** Adds `bytes[at..end)` as 16-bit words to `sum`. An odd last byte counts as the high half of a word. */
export function addBytes(sum: number, bytes: Uint8Array, at: number, end: number): number {
  const even = end - ((end - at) & 1);
  for (let i = at; i < even; i += 2) sum += ((bytes[i] as number) << 8) | (bytes[i + 1] as number);
  if (even !== end) sum += (bytes[even] as number) << 8;
  return sum;
}

/** Adds both halves of a signed 32-bit word. */
export function addInt32(sum: number, word: number): number {
  return sum + (word >>> 16) + (word & 0xffff);
}

/** One's complement sum of anything below 2^53 in 16 bits. */
export function fold(sum: number): number {
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000);
  return sum;
}

/** The same for sums below 2^31, which is all that headers and deltas can make: no division. */
export function foldSmall(sum: number): number {
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/** Checksum of `bytes[at..end)`, with `sum` (a pseudo-header, say) already added. */
export function checksum(bytes: Uint8Array, at: number, end: number, sum = 0): number {
  return ~fold(addBytes(sum, bytes, at, end)) & 0xffff;
}

/** Sum of the IPv4 pseudo-header (RFC 9293, 3.1). `transportBytes` is the length of header and payload. */
export function pseudoHeaderSum(source: number, destination: number, protocol: number, transportBytes: number): number {
  return addInt32(addInt32(0, source), destination) + protocol + transportBytes;
}

/** What a change of a 16-bit field adds to a sum: `~before + after`. */
export function changeOf16(before: number, after: number): number {
  return (~before & 0xffff) + after;
}

/** The same for a 32-bit word. */
export function changeOf32(before: number, after: number): number {
  return (~before >>> 16) + (~before & 0xffff) + (after >>> 16) + (after & 0xffff);
}

/** `check` repaired for a change of its data: RFC 1624, equation 3. `change` is a sum of `changeOf...`. */
export function adjustChecksum(check: number, change: number): number {
  return ~foldSmall((~check & 0xffff) + change) & 0xffff;
}

/** The same for an unfinished checksum, which holds the pseudo-header's sum itself, not its complement. */
export function adjustPartialChecksum(sum: number, change: number): number {
  return foldSmall(sum + change);
}
