/** Counters in a listing: right-aligned, large ones cut off (not rounded) to thousands, millions and so on. */

const STEPS: readonly (readonly [below: number, divisor: number, letter: string])[] = [
  [1e9, 1e3, 'K'],
  [1e11, 1e6, 'M'],
  [1e14, 1e9, 'G'],
  [Number.POSITIVE_INFINITY, 1e12, 'T'],
];

/** Nine columns: the number below 100 million, else eight with a letter behind. */
export function formatCounter(value: number): string {
  if (value < 1e8) return String(value).padStart(9);
  const [, divisor, letter] = STEPS.find(([below]) => value < below)!;
  return String(Math.floor(value / divisor)).padStart(8) + letter;
}

/** All digits, with at least one blank before. */
export function formatPlain(value: number): string {
  return ` ${String(value).padStart(8)}`;
}
