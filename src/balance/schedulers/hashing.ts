/** Hashes over addresses, as the hashing schedulers of IPVS use them. */
import type { Destination } from '../destination.ts';
import type { Flow } from '../scheduler.ts';

/** 2^32 divided by the square of the golden ratio. */
const GOLDEN_RATIO = 0x61c88647;

/** Multiplicative hash of a word to `bits` bits. */
export function hash32(word: number, bits: number): number {
  return Math.imul(word, GOLDEN_RATIO) >>> (32 - bits);
}

/** An address as one word: IPv6 is the exclusive or of its four, and IPv4 has zeros in the first three. */
export function foldAddress(w0: number, w1: number, w2: number, w3: number): number {
  return w0 ^ w1 ^ w2 ^ w3;
}

const TCP = 6;
const UDP = 17;
const SCTP = 132;

/** The client's port where the protocol has ports that schedulers look at, else 0. */
export function clientPortOf(flow: Flow): number {
  return flow.protocol === TCP || flow.protocol === UDP || flow.protocol === SCTP ? flow.clientPort : 0;
}

/**
 * SipHash-1-3 of the four little-endian bytes of `word`, both 64-bit key words being `key` (32 bits): the low 32
 * bits of the result, unsigned. 64-bit words are kept as two halves, so no BigInt is needed.
 * Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", 2012.
 */
export function sipHash13(word: number, key: number): number {
  // The last block carries the length of the input (4) in its highest byte.
  const blockHigh = 0x04000000;
  const blockLow = word | 0;
  let v0h = 0x736f6d65;
  let v0l = 0x70736575 ^ key;
  let v1h = 0x646f7261;
  let v1l = 0x6e646f6d ^ key;
  let v2h = 0x6c796765;
  let v2l = 0x6e657261 ^ key;
  let v3h = 0x74656462 ^ blockHigh;
  let v3l = 0x79746573 ^ key ^ blockLow;
  let swap = 0;
  let low = 0;
  // One compression round, then three finalisation rounds.
  for (let round = 0; round < 4; round++) {
    low = (v0l >>> 0) + (v1l >>> 0);
    v0h = (v0h + v1h + (low > 0xffffffff ? 1 : 0)) | 0;
    v0l = low | 0;
    swap = (v1h << 13) | (v1l >>> 19);
    v1l = (v1l << 13) | (v1h >>> 19);
    v1h = swap ^ v0h;
    v1l ^= v0l;
    swap = v0h;
    v0h = v0l;
    v0l = swap;

    low = (v2l >>> 0) + (v3l >>> 0);
    v2h = (v2h + v3h + (low > 0xffffffff ? 1 : 0)) | 0;
    v2l = low | 0;
    swap = (v3h << 16) | (v3l >>> 16);
    v3l = (v3l << 16) | (v3h >>> 16);
    v3h = swap ^ v2h;
    v3l ^= v2l;

    low = (v0l >>> 0) + (v3l >>> 0);
    v0h = (v0h + v3h + (low > 0xffffffff ? 1 : 0)) | 0;
    v0l = low | 0;
    swap = (v3h << 21) | (v3l >>> 11);
    v3l = (v3l << 21) | (v3h >>> 11);
    v3h = swap ^ v0h;
    v3l ^= v0l;

    low = (v2l >>> 0) + (v1l >>> 0);
    v2h = (v2h + v1h + (low > 0xffffffff ? 1 : 0)) | 0;
    v2l = low | 0;
    swap = (v1h << 17) | (v1l >>> 15);
    v1l = (v1l << 17) | (v1h >>> 15);
    v1h = swap ^ v2h;
    v1l ^= v2l;
    swap = v2h;
    v2h = v2l;
    v2l = swap;

    if (round === 0) {
      v0h ^= blockHigh;
      v0l ^= blockLow;
      v2l ^= 0xff;
    }
  }
  return (v0l ^ v1l ^ v2l ^ v3l) >>> 0;
}

/** `86 of 256 buckets` */
export function share(buckets: readonly (Destination | null)[], destination: Destination): string {
  return `${buckets.filter((owner) => owner === destination).length} of ${buckets.length} buckets`;
}
