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
  /** Something else that is odd about the line. */
  readonly remark?: string | null;
}

/** The file is refused; parsing stopped at the first error. Exit status 2. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  readonly line: number;
  readonly column: number;
  readonly expected: string | null;
  readonly nearest: string | null;
  readonly remark: string | null;

  constructor(place: Place, text: string, details: ProblemDetails = {}) {
    super(text);
    this.line = place.line;
    this.column = place.column;
    this.expected = details.expected ?? null;
    this.nearest = details.nearest ?? null;
    this.remark = details.remark ?? null;
  }

  withRemark(remark: string | null): ConfigurationError {
    const { expected, nearest } = this;
    const details = { ...(expected === null ? {} : { expected }), nearest, remark };
    return new ConfigurationError(this, this.message, details);
  }

  /** For people, or `null` when the text says it all. */
  get hint(): string | null {
    const meant = this.nearest === null ? '' : `did you mean "${this.nearest}"? `;
    const parts = this.expected === null ? [] : [`expected ${this.expected}`];
    if (this.remark !== null) parts.push(this.remark);
    return `${meant}${parts.join('; ')}`.trim() || null;
  }
}

/** Characters of a line that are shown. */
const EXCERPT_LENGTH = 100;

/**
 * The line with a mark under the column, and the hint:
 *
 *     5 |     checktyp=ping
 *       |     ^ did you mean "checktype"? expected a directive of a block
 *
 * Empty when the error belongs to no line.
 */
export function formatExcerpt(error: ConfigurationError, text: string): string {
  const raw = text.split('\n')[error.line - 1];
  if (raw === undefined) return error.hint === null ? '' : `  ${error.hint}\n`;
  // What belongs to the whole line is marked at its first word.
  const at = Math.max(error.column - 1, raw.search(/\S/));
  // Of a long line the part round the column.
  const from = Math.max(0, at - EXCERPT_LENGTH / 2);
  const shown = raw.slice(from, from + EXCERPT_LENGTH);
  // A tab stays one, so that the mark stands below its letter whatever the terminal makes of it.
  const before = shown.slice(0, at - from).replace(/[^\t]/g, ' ');
  const number = String(error.line);
  return `  ${number} | ${printable(shown)}\n  ${' '.repeat(number.length)} | ${before}^ ${error.hint ?? ''}`
    .trimEnd()
    .concat('\n');
}

/** A file may hold anything, and a terminal obeys some of it. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are the ones that must not be printed
  return text.replace(/[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]/g, '\uFFFD');
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
