/**
 * Adds up the times of many short pieces of work that are alike. The slowest hundredth is left out: other programs had
 * the processor meanwhile, which on a busy machine costs more than all the work.
 */

const SHARE_KEPT = 0.99;

export class Stopwatch {
  readonly #times: number[] = [];
  #begun = 0n;

  begin(): void {
    this.#begun = process.hrtime.bigint();
  }

  end(): void {
    this.#times.push(Number(process.hrtime.bigint() - this.#begun));
  }

  /** Nanoseconds that one piece takes. */
  mean(): number {
    return meanWithoutSlowest(this.#times, SHARE_KEPT);
  }
}

/** Mean of the fastest `share` of these times, at least of one; NaN without any. */
export function meanWithoutSlowest(times: readonly number[], share: number): number {
  const sorted = Float64Array.from(times).sort();
  const kept = sorted.subarray(0, Math.max(1, Math.floor(sorted.length * share)));
  return kept.reduce((sum, time) => sum + time, 0) / kept.length;
}
