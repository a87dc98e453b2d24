/**
 * IP and MAC addresses as text and as numbers.
 *
 * An IP address is always four signed 32-bit words in reading order; IPv4 sits in the last one and the others
 * are 0, so the family has to be kept beside the words. Signed words stay small integers inside V8.
 * Text: RFC 4291, section 2.2 (IPv6 in), RFC 5952 (IPv6 out).
 */

export interface Address {
  readonly family: 'ipv4' | 'ipv6';
  /** Four words; IPv4 sits in the last, the others are 0. */
  readonly words: Int32Array;
}

/** A network: `words` has the bits behind `length` cleared. */
export interface Prefix extends Address {
  /** 0..32 for IPv4, 0..128 for IPv6. */
  readonly length: number;
}

const WORDS = 4;
const IPV6_TEXT_MAX = 45;
const MAC_BYTES = 6;
const MAPPED_PREFIX = 0xffff;

/** Strict dotted quad, no leading zeros: the address as a signed word, or `null`. */
export function parseIpv4(text: string): number | null {
  const parts = text.split('.', 5);
  if (parts.length !== 4) return null;
  let word = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part)) return null;
    const byte = Number(part);
    if (byte > 255) return null;
    word = (word << 8) | byte;
  }
  return word;
}

export function formatIpv4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

/**
 * Writes the four words of an IPv6 address to `into[at..at+4)`. False, with `into` untouched, when `text` is not
 * one. A dotted quad may end the text (`::ffff:192.0.2.1`); zones (`%eth0`) are refused.
 */
export function parseIpv6(text: string, into: Int32Array, at: number): boolean {
  if (text.length > IPV6_TEXT_MAX) return false;
  const halves = text.split('::');
  if (halves.length > 2) return false;
  const compressed = halves.length === 2;
  const head = readGroups(halves[0] as string, !compressed);
  const tail = compressed ? readGroups(halves[1] as string, true) : [];
  if (head === null || tail === null) return false;
  const written = head.length + tail.length;
  // `::` stands for at least one group of zeros.
  if (compressed ? written > 7 : written !== 8) return false;
  const groups = [...head, ...new Array<number>(8 - written).fill(0), ...tail];
  for (let i = 0; i < WORDS; i++) into[at + i] = ((groups[2 * i] as number) << 16) | (groups[2 * i + 1] as number);
  return true;
}

/** 16-bit groups between colons; with `quadMayEnd` the last piece may be a dotted quad, which gives two. */
function readGroups(text: string, quadMayEnd: boolean): number[] | null {
  if (text === '') return [];
  const pieces = text.split(':');
  const groups: number[] = [];
  for (const [index, piece] of pieces.entries()) {
    if (quadMayEnd && index === pieces.length - 1 && piece.includes('.')) {
      const word = parseIpv4(piece);
      if (word === null) return null;
      groups.push(word >>> 16, word & 0xffff);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(piece)) return null;
      groups.push(Number.parseInt(piece, 16));
    }
  }
  return groups;
}

/** Canonical text (RFC 5952); IPv4-mapped addresses end in a dotted quad. */
export function formatIpv6(w0: number, w1: number, w2: number, w3: number): string {
  if (w0 === 0 && w1 === 0 && w2 === MAPPED_PREFIX) return `::ffff:${formatIpv4(w3)}`;
  const groups = [w0, w1, w2, w3].flatMap((word) => [word >>> 16, word & 0xffff]);
  const [zerosAt, zeros] = longestZeroRun(groups);
  const text = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  // A single zero group is written out.
  return zeros < 2 ? text(0, 8) : `${text(0, zerosAt)}::${text(zerosAt + zeros, 8)}`;
}

/** Start and length of the longest run of zeros; of equals the first. */
function longestZeroRun(groups: readonly number[]): [at: number, length: number] {
  let bestAt = 0;
  let best = 0;
  let run = 0;
  for (const [index, group] of groups.entries()) {
    run = group === 0 ? run + 1 : 0;
    if (run > best) {
      best = run;
      bestAt = index - run + 1;
    }
  }
  return [bestAt, best];
}

/** Either family, told by the colon; `null` when it is no address. */
export function parseAddress(text: string): Address | null {
  const words = new Int32Array(WORDS);
  if (text.includes(':')) return parseIpv6(text, words, 0) ? { family: 'ipv6', words } : null;
  const word = parseIpv4(text);
  if (word === null) return null;
  words[3] = word;
  return { family: 'ipv4', words };
}

export function formatAddress(family: 'ipv4' | 'ipv6', words: ArrayLike<number>): string {
  return formatWords(family === 'ipv6', words[0] as number, words[1] as number, words[2] as number, words[3] as number);
}

export function formatWords(ipv6: boolean, w0: number, w1: number, w2: number, w3: number): string {
  return ipv6 ? formatIpv6(w0, w1, w2, w3) : formatIpv4(w3);
}

/** `10.0.0.0/8`, `fd00::/64`; `null` when it is none. Bits behind the length are cleared, not refused. */
export function parsePrefix(text: string): Prefix | null {
  const slash = text.indexOf('/');
  if (slash < 0) return null;
  const address = parseAddress(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (address === null || !/^(0|[1-9]\d{0,2})$/.test(digits)) return null;
  const length = Number(digits);
  const ipv6 = address.family === 'ipv6';
  if (length > (ipv6 ? 128 : 32)) return null;
  for (let i = 0; i < WORDS; i++) address.words[i] = (address.words[i] as number) & prefixMaskWord(ipv6, length, i);
  return { family: address.family, words: address.words, length };
}

/** Word `index` (0..3) of the mask that `length` leading ones make. */
export function prefixMaskWord(ipv6: boolean, length: number, index: number): number {
  const bits = ipv6 ? length - 32 * index : index === 3 ? length : 0;
  if (bits <= 0) return 0;
  // A shift by 32 would be a shift by 0.
  return bits >= 32 ? -1 : -1 << (32 - bits);
}

export function prefixMatches(prefix: Prefix, ipv6: boolean, w0: number, w1: number, w2: number, w3: number): boolean {
  if ((prefix.family === 'ipv6') !== ipv6) return false;
  const words = prefix.words;
  const length = prefix.length;
  return (
    (w0 & prefixMaskWord(ipv6, length, 0)) === words[0] &&
    (w1 & prefixMaskWord(ipv6, length, 1)) === words[1] &&
    (w2 & prefixMaskWord(ipv6, length, 2)) === words[2] &&
    (w3 & prefixMaskWord(ipv6, length, 3)) === words[3]
  );
}

/** `02:00:00:00:00:01` as six bytes, or `null`. */
export function parseMac(text: string): Uint8Array | null {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text)) return null;
  return Uint8Array.from(text.split(':'), (pair) => Number.parseInt(pair, 16));
}

/** The six bytes at `at`, lower case with colons. */
export function formatMac(bytes: Uint8Array, at: number): string {
  return Array.from(bytes.subarray(at, at + MAC_BYTES), (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
