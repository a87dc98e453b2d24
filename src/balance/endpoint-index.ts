/**
 * A hash table from (tag, address, port) to a value, for lookups on the packet path: keys are integers in one
 * array, nothing is allocated and no text is made. The tag holds whatever else tells keys apart: family, protocol.
 */

const KEY_WORDS = 6;
const CAPACITY_MIN = 16;

export class EndpointIndex<T> {
  /** Open addressing with linear probing; never more than half full, so every search ends at a free slot. */
  #keys = new Int32Array(CAPACITY_MIN * KEY_WORDS);
  #values: (T | null)[] = new Array<T | null>(CAPACITY_MIN).fill(null);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  find(tag: number, w0: number, w1: number, w2: number, w3: number, port: number): T | null {
    return this.#values[this.#slotOf(tag, w0, w1, w2, w3, port)] as T | null;
  }

  /** Adds or replaces. */
  set(tag: number, w0: number, w1: number, w2: number, w3: number, port: number, value: T): void {
    let slot = this.#slotOf(tag, w0, w1, w2, w3, port);
    if (this.#values[slot] === null) {
      if ((this.#size + 1) * 2 > this.#values.length) {
        this.#grow();
        slot = this.#slotOf(tag, w0, w1, w2, w3, port);
      }
      this.#keys.set([tag, w0, w1, w2, w3, port], slot * KEY_WORDS);
      this.#size++;
    }
    this.#values[slot] = value;
  }

  /** Missing keys are ignored. */
  delete(tag: number, w0: number, w1: number, w2: number, w3: number, port: number): void {
    let hole = this.#slotOf(tag, w0, w1, w2, w3, port);
    if (this.#values[hole] === null) return;
    const mask = this.#values.length - 1;
    // Entries behind the hole move up where their own search would otherwise end at it.
    for (let slot = (hole + 1) & mask; this.#values[slot] !== null; slot = (slot + 1) & mask) {
      const home = this.#homeOf(slot);
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      this.#keys.copyWithin(hole * KEY_WORDS, slot * KEY_WORDS, (slot + 1) * KEY_WORDS);
      this.#values[hole] = this.#values[slot] as T;
      hole = slot;
    }
    this.#values[hole] = null;
    this.#size--;
  }

  /** The slot that holds the key, or the free one where it would go. */
  #slotOf(tag: number, w0: number, w1: number, w2: number, w3: number, port: number): number {
    const keys = this.#keys;
    const values = this.#values;
    const mask = values.length - 1;
    let slot = hashKey(tag, w0, w1, w2, w3, port) & mask;
    while (values[slot] !== null) {
      const at = slot * KEY_WORDS;
      if (
        keys[at + 4] === w3 &&
        keys[at + 5] === port &&
        keys[at] === tag &&
        keys[at + 3] === w2 &&
        keys[at + 2] === w1 &&
        keys[at + 1] === w0
      ) {
        return slot;
      }
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #homeOf(slot: number): number {
    const at = slot * KEY_WORDS;
    const keys = this.#keys;
    return (
      hashKey(
        keys[at] as number,
        keys[at + 1] as number,
        keys[at + 2] as number,
        keys[at + 3] as number,
        keys[at + 4] as number,
        keys[at + 5] as number,
      ) &
      (this.#values.length - 1)
    );
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#keys = new Int32Array(keys.length * 2);
    this.#values = new Array<T | null>(values.length * 2).fill(null);
    for (const [old, value] of values.entries()) {
      if (value === null) continue;
      const key = keys.subarray(old * KEY_WORDS, (old + 1) * KEY_WORDS);
      const [tag, w0, w1, w2, w3, port] = key;
      const slot = this.#slotOf(tag, w0, w1, w2, w3, port);
      this.#keys.set(key, slot * KEY_WORDS);
      this.#values[slot] = value;
    }
  }
}

/** Only operators choose the keys that are stored, so the mix has to be even, not secret. */
function hashKey(tag: number, w0: number, w1: number, w2: number, w3: number, port: number): number {
  let hash = Math.imul(w3 ^ (port << 16) ^ tag, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15) ^ w2 ^ port, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13) ^ w1, 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 16) ^ w0, 0x27d4eb2f);
  return hash ^ (hash >>> 15);
}
