/** The known word that a mistyped one most likely meant. */

/** Longer words are not compared: nobody mistypes that much, and the work grows with the length. */
const WORD_LENGTH_MAX = 40;

/** The nearest of `known` by edit distance, or `null` when none is near enough to be worth suggesting. */
export function nearestWord(word: string, known: readonly string[]): string | null {
  if (word.length === 0 || word.length > WORD_LENGTH_MAX) return null;
  let best: string | null = null;
  // A third of the letters may be wrong, and always two: `ad-service`, `conections`, `stats`.
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance && distance < candidate.length) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `, did you mean "status"?`, or nothing. */
export function suggestion(word: string, known: readonly string[]): string {
  const nearest = nearestWord(word, known);
  return nearest === null ? '' : `, did you mean "${nearest}"?`;
}

/** Letters to insert, remove or replace to get from `a` to `b` (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}
