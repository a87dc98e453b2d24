/**
 * A seeded source of randomness, and ways to spoil frames with it. The same seed gives the same story again;
 * tests print it when they fail.
 */

/** Small and fast generator with 32 bits of state (the "splitmix32" construction). */
export class Random {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed >>> 0;
    this.#state = this.seed;
  }

  /** Seed from `UIPVS_SEED`, or a new one every time. */
  static fromEnvironment(): Random {
    const given = process.env['UIPVS_SEED'];
    return new Random(given === undefined ? Math.floor(Math.random() * 0x1_0000_0000) : Number(given));
  }

  /** `0..2^32-1`. */
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let mixed = this.#state ^ (this.#state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }

  /** `0..limit-1`. */
  below(limit: number): number {
    return Math.floor((this.next() / 0x1_0000_0000) * limit);
  }

  /** `low..high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  chance(probability: number): boolean {
    return this.next() < probability * 0x1_0000_0000;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.below(256));
  }
}

/** A way to spoil a frame. Gets a frame and answers another; `others` are frames to take pieces from. */
export type Mutator = (random: Random, frame: Uint8Array, others: readonly Uint8Array[]) => Uint8Array;

/** Offsets of fields that say how long something is or what comes next, in an Ethernet frame with IP inside. */
const STRUCTURE_FIELDS = [12, 13, 14, 16, 17, 18, 19, 20, 21, 23, 26, 38, 39, 46, 47, 54] as const;
/** Numbers that sit on the edges of length checks. */
const EDGE_VALUES = [
  0, 1, 4, 5, 7, 8, 15, 16, 19, 20, 21, 39, 40, 0x40, 0x45, 0x4f, 0x60, 0x7f, 0x80, 0xf0, 0xff,
] as const;

export const mutators: Readonly<Record<string, Mutator>> = {
  flipBits(random, frame) {
    const result = frame.slice();
    for (let i = random.between(1, 8); i > 0 && result.length > 0; i--) {
      const at = random.below(result.length);
      result[at] = (result[at] as number) ^ (1 << random.below(8));
    }
    return result;
  },

  truncate(random, frame) {
    return frame.slice(0, random.below(frame.length + 1));
  },

  extend(random, frame) {
    const tail = random.bytes(random.between(1, 64));
    return concatenate(frame, tail);
  },

  /** The beginning of this frame on the end of another: headers that do not belong together. */
  spliceHeaders(random, frame, others) {
    const other = others.length > 0 ? random.pick(others) : frame;
    const cut = random.pick([6, 12, 14, 34, 42, 54]);
    return concatenate(frame.slice(0, cut), other.slice(random.pick([cut, 14, 34])));
  },

  /** Header lengths, total lengths, fragment offsets, protocols and types that are not true. */
  lieInStructure(random, frame) {
    const result = frame.slice();
    for (let i = random.between(1, 3); i > 0; i--) {
      const at = random.pick(STRUCTURE_FIELDS);
      if (at < result.length) result[at] = random.chance(0.7) ? random.pick(EDGE_VALUES) : random.below(256);
    }
    return result;
  },

  /** A piece of noise somewhere in the middle. */
  overwrite(random, frame) {
    const result = frame.slice();
    if (result.length > 0) {
      const at = random.below(result.length);
      result.set(random.bytes(Math.min(random.between(1, 16), result.length - at)), at);
    }
    return result;
  },
};

/** One to three random mutations, one after the other. */
export function mutate(random: Random, frame: Uint8Array, others: readonly Uint8Array[] = []): Uint8Array {
  const all = Object.values(mutators);
  let result = frame;
  for (let i = random.between(1, 3); i > 0; i--) result = random.pick(all)(random, result, others);
  return result;
}

function concatenate(...parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}
