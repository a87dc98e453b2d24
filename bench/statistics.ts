/** What many figures of the same thing are summed up to. */

export interface Summary {
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
  /** Half of the distance from the lowest to the highest, as a share of the median; 0 when there is one figure. */
  readonly spread: number;
  readonly values: readonly number[];
}

/** `null` without figures. */
export function summarize(values: readonly number[]): Summary | null {
  if (values.length === 0) return null;
  const lowest = Math.min(...values);
  const highest = Math.max(...values);
  const middle = median(values);
  const spread = middle === 0 ? 0 : (highest - lowest) / 2 / middle;
  return { median: middle, lowest, highest, spread, values };
}

/** The middle one, or the mean of the two in the middle; NaN without figures. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle];
  return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

/** The smallest figure that is not exceeded by `share` (0..1) of all of them; NaN without figures. */
export function percentile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}
