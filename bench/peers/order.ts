/** In which order peers take their turns. */

/**
 * Everybody is first in some round, and who follows whom changes from round to round: what one leaves behind for the
 * next (warm caches, a late timer) hits all alike.
 */
export function orderOf<T>(all: readonly T[], round: number): T[] {
  if (all.length === 0) return [];
  const first = round % all.length;
  const turned = [...all.slice(first), ...all.slice(0, first)];
  // Every second round the other way round, the same one still first.
  return round % 2 === 0 ? turned : [turned[0], ...turned.slice(1).reverse()];
}
