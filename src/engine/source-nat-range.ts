/**
 * Which address of a range a connection gets. The same client gets the same address for the same server, or for every
 * server when the rule is `persistent`. The hash is the one netfilter uses (Bob Jenkins' lookup3, in the public domain),
 * over words as they lie in a packet, so that the choice is that of a kernel on a little-endian machine.
 */
import type { Endpoints } from '../wire/endpoints.ts';
import type { AddressWords } from '../wire/neighbor-discovery.ts';

const HASH_START = 0xdeadbeef | 0;

export function spreadOverRange(
  first: AddressWords,
  last: AddressWords,
  ends: Endpoints,
  server: AddressWords,
  persistent: boolean,
): AddressWords {
  const { ipv6 } = ends;
  const low = wordsOf(first);
  const high = wordsOf(last);
  if (low.every((word, index) => word === high[index])) return first;
  const client = [ends.source0, ends.source1, ends.source2, ends.source3];
  const to = wordsOf(server);
  // An IPv4 address stands in the first word of netfilter's four.
  const hashed = ipv6 ? client : [ends.source3, 0, 0, 0];
  let hash = hash4(hashed.map(swap), persistent ? 0 : swap(server.address3));
  const chosen = [0, 0, 0, 0];
  let below = false;
  for (let index = ipv6 ? 0 : 3; index < 4; index++) {
    const from = below ? 0 : (low[index] as number) >>> 0;
    const choices = below ? 0xffff_ffff : ((high[index] as number) >>> 0) - from + 1;
    chosen[index] = (from + scale(hash, choices)) | 0;
    if (chosen[index] !== high[index]) below = true;
    if (!persistent) hash ^= swap(to[index] as number);
  }
  const [address0, address1, address2, address3] = chosen as [number, number, number, number];
  return { address0, address1, address2, address3 };
}

function wordsOf({ address0, address1, address2, address3 }: AddressWords): readonly number[] {
  return [address0, address1, address2, address3];
}

/** `hash` as a fraction of all 32-bit numbers, times `choices`. */
function scale(hash: number, choices: number): number {
  return Math.floor(((hash >>> 0) * choices) / 2 ** 32);
}

function swap(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** lookup3 over four words. */
function hash4(words: readonly number[], seed: number): number {
  const start = (HASH_START + 16 + seed) | 0;
  let [a, b, c] = [start + (words[0] as number), start + (words[1] as number), start + (words[2] as number)];
  for (const [ofA, ofB, ofC] of [
    [4, 6, 8],
    [16, 19, 4],
  ] as const) {
    a = ((a - c) | 0) ^ rotate(c, ofA);
    c = (c + b) | 0;
    b = ((b - a) | 0) ^ rotate(a, ofB);
    a = (a + c) | 0;
    c = ((c - b) | 0) ^ rotate(b, ofC);
    b = (b + a) | 0;
  }
  a = (a + (words[3] as number)) | 0;
  c = ((c ^ b) - rotate(b, 14)) | 0;
  a = ((a ^ c) - rotate(c, 11)) | 0;
  b = ((b ^ a) - rotate(a, 25)) | 0;
  c = ((c ^ b) - rotate(b, 16)) | 0;
  a = ((a ^ c) - rotate(c, 4)) | 0;
  b = ((b ^ a) - rotate(a, 14)) | 0;
  return ((c ^ b) - rotate(b, 24)) | 0;
}
