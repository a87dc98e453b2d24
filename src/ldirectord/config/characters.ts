/**
 * Characters that look like something else in an editor. The original reads bytes: to it a no-break space is no
 * blank, and a carriage return is a part of the value.
 */
import type { ConfigurationWarning } from './problem.ts';

interface Oddity {
  readonly pattern: RegExp;
  /** Said of a character at some column. */
  readonly sentence: string;
}

const ODDITIES: readonly Oddity[] = [
  {
    pattern: /\r(?=\n?$)/,
    sentence: 'the line ends with a carriage return, which is read as part of the value; dos2unix removes them',
  },
  { pattern: /\0/, sentence: 'there is a NUL character' },
  { pattern: /^\uFEFF/, sentence: 'the file begins with a byte order mark (U+FEFF), which has to go' },
  { pattern: /\uFFFD/, sentence: 'there is a byte that is not UTF-8' },
  {
    pattern: /[\u00A0\u1680\u2000-\u200B\u2028\u2029\u202F\u205F\u3000\uFEFF]/,
    sentence: 'there is a blank that is no ordinary one (no-break space or the like), as web pages have',
  },
];

/** What is odd about a line, with its column; `null`: nothing. */
export function oddityOf(raw: string): string | null {
  for (const { pattern, sentence } of ODDITIES) {
    const at = raw.search(pattern);
    if (at >= 0) return `${sentence} (column ${at + 1})`;
  }
  return null;
}

/** One warning for each kind of oddity, at the first line that has it. Comments may hold anything. */
export function oddCharacterWarnings(lines: readonly string[]): ConfigurationWarning[] {
  const warnings: ConfigurationWarning[] = [];
  for (const { pattern, sentence } of ODDITIES) {
    const odd = lines.map((raw, index) => ({ raw, line: index + 1 })).filter(({ raw }) => isOdd(raw, pattern));
    if (odd.length === 0) continue;
    const more = odd.length > 1 ? `; so it is in ${odd.length} lines` : '';
    warnings.push({ line: odd[0].line, text: `${sentence}${more}`, origin: 'uipvs' });
  }
  return warnings;
}

function isOdd(raw: string, pattern: RegExp): boolean {
  return pattern.test(raw) && !/^\s*(#|$)/.test(raw);
}
