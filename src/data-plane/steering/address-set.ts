/** Addresses of both families that can be asked for by words without making text or objects. */
import { parseAddress } from '../../wire/address.ts';

export class AddressSet {
  readonly #v4 = new Set<number>();
  /** By the last word: the words of those that end in it, four each. */
  readonly #v6 = new Map<number, number[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** True when it was not there before. What is no address is left out. */
  addText(text: string): boolean {
    const address = parseAddress(text);
    if (address === null) return false;
    const [w0, w1, w2, w3] = address.words as unknown as [number, number, number, number];
    return this.add(address.family === 'ipv6', w0, w1, w2, w3);
  }

  add(ipv6: boolean, w0: number, w1: number, w2: number, w3: number): boolean {
    if (this.has(ipv6, w0, w1, w2, w3)) return false;
    this.#size++;
    if (!ipv6) {
      this.#v4.add(w3);
      return true;
    }
    const sameEnd = this.#v6.get(w3);
    if (sameEnd === undefined) this.#v6.set(w3, [w0, w1, w2, w3]);
    else sameEnd.push(w0, w1, w2, w3);
    return true;
  }

  has(ipv6: boolean, w0: number, w1: number, w2: number, w3: number): boolean {
    if (!ipv6) return this.#v4.has(w3);
    const sameEnd = this.#v6.get(w3);
    if (sameEnd === undefined) return false;
    for (let at = 0; at < sameEnd.length; at += 4) {
      if (sameEnd[at] === w0 && sameEnd[at + 1] === w1 && sameEnd[at + 2] === w2) return true;
    }
    return false;
  }

  /** The words of every IPv4 address, unsigned and in order. */
  sortedIpv4(): number[] {
    return [...this.#v4].map((word) => word >>> 0).sort((a, b) => a - b);
  }

  /** The words of every IPv6 address, four each, by their last word, unsigned and in order. */
  sortedIpv6(): (readonly [end: number, addresses: readonly number[]])[] {
    const groups = [...this.#v6].map(([end, words]) => [end >>> 0, words] as const);
    return groups.sort(([a], [b]) => a - b);
  }
}
