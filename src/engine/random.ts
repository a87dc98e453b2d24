/** A small seeded generator (xorshift32): the same seed gives the same choices on every computer. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0 || 0x2545f491;
  }

  /** A generator that will give the same numbers as this one, and uses none of them up. */
  copy(): Random {
    // A state is never 0, so it is a seed that stands for itself.
    return new Random(this.#state);
  }

  /** From now on the same numbers as `other` will give. */
  follow(other: Random): void {
    this.#state = other.#state;
  }

  /** A signed 32-bit word, never 0. */
  int32(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x;
  }

  /** A whole number in `0..bound-1`. */
  below(bound: number): number {
    return Math.floor(((this.int32() >>> 0) / 0x1_0000_0000) * bound);
  }

  /** In [0, 1). */
  fraction(): number {
    return (this.int32() >>> 0) / 0x1_0000_0000;
  }
}
