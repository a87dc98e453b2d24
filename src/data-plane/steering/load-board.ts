/**
 * How many connections each real server has in each shard, in memory that all workers share: thresholds are about the
 * sum. Every worker finds the place of a server by the same hash of its name, so nobody hands places out. One writer
 * per count, the shard it belongs to.
 */
import type { SharedLoad } from '../../engine/shard-role.ts';

/** Servers that can be told apart in the life of a daemon; those that find no place any more count in each shard alone. */
const PLACES = 1 << 15;
const PROBES_MAX = 64;

/** For the host: all counts are 0. Memory is taken as places are used. */
export function createLoadBoard(shards: number): SharedArrayBuffer {
  return new SharedArrayBuffer(PLACES * (8 + 4 * shards));
}

export class LoadBoard {
  readonly #names: BigInt64Array;
  /** The counts of each shard, one shard after the other. */
  readonly #counts: readonly Int32Array[];
  readonly #own: Int32Array;

  /** A shard that begins has no connections, whatever its predecessor had. */
  constructor(memory: SharedArrayBuffer, shard: number, shards: number) {
    this.#names = new BigInt64Array(memory, 0, PLACES);
    this.#counts = [...Array(shards).keys()].map((n) => new Int32Array(memory, PLACES * (8 + 4 * n), PLACES));
    this.#own = this.#counts[shard] as Int32Array;
    this.#own.fill(0);
  }

  /** `null`: there is no place left. */
  loadOf(server: string): SharedLoad | null {
    const place = this.#placeOf(hashOf(server));
    if (place < 0) return null;
    const own = this.#own;
    const counts = this.#counts;
    return {
      add: (step) => void Atomics.add(own, place, step),
      total() {
        let total = 0;
        for (let shard = 0; shard < counts.length; shard++) total += Atomics.load(counts[shard] as Int32Array, place);
        return total;
      },
    };
  }

  #placeOf(name: bigint): number {
    const first = Number(BigInt.asUintN(32, name)) % PLACES;
    for (let probe = 0; probe < PROBES_MAX; probe++) {
      const place = (first + probe) % PLACES;
      const before = Atomics.compareExchange(this.#names, place, 0n, name);
      if (before === 0n || before === name) return place;
    }
    return -1;
  }
}

/** FNV-1a with 64 bits: two of a hundred thousand names are the same once in a thousand million daemons. 0 is "free". */
function hashOf(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (let at = 0; at < text.length; at++) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(text.charCodeAt(at))) * 0x100000001b3n);
  }
  return BigInt.asIntN(64, hash === 0n ? 1n : hash);
}
