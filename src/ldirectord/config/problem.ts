/**
 * What can be wrong with a configuration file, in the words people know from ldirectord(8): same text, same
 * line. The column, what was expected and the nearest valid word are ours and travel beside the text.
 */

export interface Place {
  /** From 1; 0: the file as a whole. */
  readonly line: number;
  /** From 1: where the refused value (or the directive) begins. */
  readonly column: number;
}

export interface ProblemDetails {
  /** What would have been accepted here, as a phrase. */
  readonly expected?: string;
  /** The valid word closest to what was written. */
  readonly nearest?: string | null;
}

/** The file is refused; parsing stopped at the first error. Exit status 2. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  readonly line: number;
  readonly column: number;
  readonly expected: string | null;
  readonly nearest: string | null;

  constructor(place: Place, text: string, details: ProblemDetails = {}) {
    super(text);
    this.line = place.line;
    this.column = place.column;
    this.expected = details.expected ?? null;
    this.nearest = details.nearest ?? null;
  }

  /** One sentence for people, or `null` when the text says it all. */
  get hint(): string | null {
    const parts: string[] = [];
    if (this.nearest !== null) parts.push(`did you mean "${this.nearest}"?`);
    if (this.expected !== null) parts.push(`expected ${this.expected}`);
    return parts.length === 0 ? null : `column ${this.column}: ${parts.join('; ')}`;
  }
}

export interface ConfigurationWarning {
  /** 0: no particular line. */
  readonly line: number;
  readonly text: string;
  /** `ldirectord`: the original says the same; `uipvs`: a trap the original does not mention. */
  readonly origin: 'ldirectord' | 'uipvs';
}

/** `Error [PID] reading file PATH at line N: TEXT`, without the newline at the end. */
export function formatProblem(
  kind: 'Error' | 'Warning',
  pid: number,
  path: string,
  problem: { readonly line: number; readonly text: string },
): string {
  const where = problem.line > 0 ? ` reading file ${path} at line ${problem.line}` : '';
  return `${kind} [${pid}]${where}: ${problem.text.replace(/\n$/, '')}`;
}

/**
 * The word of `words` that takes the fewest edits (a letter changed, added, removed, or two swapped), or `null`
 * when none is close. Of equally close words one with the same first letter is taken.
 */
export function nearestWord(written: string, words: readonly string[]): string | null {
  const wanted = written.toLowerCase();
  const distanceMax = Math.max(1, Math.floor(wanted.length / 3));
  let best: string | null = null;
  let bestDistance = distanceMax + 1;
  for (const word of words) {
    const other = word.toLowerCase();
    const distance = editDistance(wanted, other) + (other[0] === wanted[0] ? 0 : 0.5);
    if (distance < bestDistance) {
      best = word;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const change = from[row - 1] === to[column - 1] ? 0 : 1;
      let distance = Math.min(last[column] + 1, current[column - 1] + 1, last[column - 1] + change);
      const swapped = column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (swapped) distance = Math.min(distance, beforeLast[column - 2] + 1);
      current.push(distance);
    }
    [beforeLast, last] = [last, current];
  }
  return last[to.length];
}
