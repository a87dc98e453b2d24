/**
 * Counters of a destination, a service or the whole table, and the rates made of them.
 *
 * What listings show is what the estimator read at its last tick, so it is up to one tick old; that is how IPVS
 * does it. Behaviour: the rate estimator of IPVS, a moving average that takes a quarter of every new interval.
 */
import type { Rates, Statistics } from '../model/statistics.ts';

// The hot path adds to a Float64Array: its elements are raw doubles, so counting never makes a heap number.
const CONNECTIONS = 0;
const IN_PACKETS = 1;
const OUT_PACKETS = 2;
const IN_BYTES = 3;
const OUT_BYTES = 4;
const KINDS = 5;

// Four groups of `KINDS` values each; the group of live values comes first.
/** The values at the last tick. */
const ESTIMATED = KINDS;
/** What the displayed values start from since the last zeroing. */
const ZERO = 2 * KINDS;
/** The averages, scaled by `rateScale`. */
const RATE = 3 * KINDS;

/** Intervals count as two seconds whatever they were: connections and packets are kept in 1/1024, bytes in 1/32. */
const INTERVAL_SECONDS = 2;
const rateScale = (kind: number): number => (kind < IN_BYTES ? 1024 : 32);

export class Counters {
  readonly #values = new Float64Array(4 * KINDS);

  /** One packet from the client of `bytes` IP bytes. */
  countIn(bytes: number): void {
    const values = this.#values;
    values[IN_PACKETS] += 1;
    values[IN_BYTES] += bytes;
  }

  /** One packet to the client of `bytes` IP bytes. */
  countOut(bytes: number): void {
    const values = this.#values;
    values[OUT_PACKETS] += 1;
    values[OUT_BYTES] += bytes;
  }

  /** What somebody else has counted. */
  add({ connections, inPackets, outPackets, inBytes, outBytes }: Statistics): void {
    const values = this.#values;
    values[CONNECTIONS] += connections;
    values[IN_PACKETS] += inPackets;
    values[OUT_PACKETS] += outPackets;
    values[IN_BYTES] += inBytes;
    values[OUT_BYTES] += outBytes;
  }

  countConnection(): void {
    this.#values[CONNECTIONS] += 1;
  }

  /**
   * One tick of the estimator. The arithmetic is that of 64-bit integers with a shift that rounds down; doubles do
   * it exactly while an interval brings fewer than 2^43 packets and 2^48 bytes.
   */
  estimate(): void {
    const values = this.#values;
    for (let kind = 0; kind < KINDS; kind++) {
      const now = values[kind] as number;
      const delta = now - (values[ESTIMATED + kind] as number);
      const rate = values[RATE + kind] as number;
      values[RATE + kind] = rate + Math.floor((delta * (rateScale(kind) / INTERVAL_SECONDS) - rate) / 4);
      values[ESTIMATED + kind] = now;
    }
  }

  /** As of now, since the beginning. */
  counted(): Statistics {
    const values = this.#values;
    return {
      connections: values[CONNECTIONS] as number,
      inPackets: values[IN_PACKETS] as number,
      outPackets: values[OUT_PACKETS] as number,
      inBytes: values[IN_BYTES] as number,
      outBytes: values[OUT_BYTES] as number,
    };
  }

  /** As of the last tick, since the last zeroing. */
  statistics(): Statistics {
    return {
      connections: this.#shown(CONNECTIONS),
      inPackets: this.#shown(IN_PACKETS),
      outPackets: this.#shown(OUT_PACKETS),
      inBytes: this.#shown(IN_BYTES),
      outBytes: this.#shown(OUT_BYTES),
    };
  }

  /** As of the last tick. */
  rates(): Rates {
    return {
      connectionsPerSecond: this.#rate(CONNECTIONS),
      inPacketsPerSecond: this.#rate(IN_PACKETS),
      outPacketsPerSecond: this.#rate(OUT_PACKETS),
      inBytesPerSecond: this.#rate(IN_BYTES),
      outBytesPerSecond: this.#rate(OUT_BYTES),
    };
  }

  /** Zeroes what is shown, as of the last tick: what was counted since then appears at the next one. */
  zero(): void {
    const values = this.#values;
    values.copyWithin(ZERO, ESTIMATED, ESTIMATED + KINDS);
    values.fill(0, RATE, RATE + KINDS);
  }

  #shown(kind: number): number {
    return (this.#values[ESTIMATED + kind] as number) - (this.#values[ZERO + kind] as number);
  }

  #rate(kind: number): number {
    const scale = rateScale(kind);
    return Math.floor(((this.#values[RATE + kind] as number) + scale / 2 - 1) / scale);
  }
}
