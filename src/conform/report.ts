/** What came of playing recordings, as text for people. */
import type { CaseResult } from './fit.ts';
import type { Failure } from './play.ts';
import { TOLERANCES } from './tolerances.ts';

export interface Tally {
  passed: number;
  failed: number;
}

/** `fsm-nat-close         passed  one-second, overdue-entries` */
export function caseLine(result: CaseResult): string {
  const needed = result.passed && result.tolerances.length > 0 ? `  ${result.tolerances.join(', ')}` : '';
  return `${result.id.padEnd(34)} ${result.passed ? 'passed' : 'failed'}${needed}\n`;
}

/** The first difference of a failing case, field by field. */
export function failureText(result: CaseResult, failure: Failure): string {
  const { difference } = failure;
  return [
    `${result.id} (${result.category}): ${result.title}`,
    `  step ${failure.step} at ${failure.seconds} s, ${failure.what}`,
    `  ${difference.field}`,
    ...block('came  ', difference.came),
    ...block('kernel', difference.kernel),
    ...(difference.details ?? []).map((line) => `      ${line}`),
    '',
  ]
    .map((line) => `${line}\n`)
    .join('');
}

function block(who: string, text: string): string[] {
  const lines = text.split('\n');
  return lines.map((line, index) => (index === 0 ? `    ${who}  ${line}` : `            ${line}`));
}

/** One line a category, and the sum as the last line. */
export function tallyText(tallies: ReadonlyMap<string, Tally>): string {
  const sum = sumOf(tallies);
  const rows = [...tallies].sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = rows.map(([category, tally]) => `${category.padEnd(10)} ${counts(tally, 5)}\n`);
  return `${lines.join('')}${counts(sum, 0)}\n`;
}

export function sumOf(tallies: ReadonlyMap<string, Tally>): Tally {
  const all = [...tallies.values()];
  return {
    passed: all.reduce((sum, { passed }) => sum + passed, 0),
    failed: all.reduce((sum, { failed }) => sum + failed, 0),
  };
}

function counts({ passed, failed }: Tally, width: number): string {
  return `${String(passed).padStart(width)} passed, ${String(failed).padStart(width)} failed`;
}

/** Every tolerance with its justification, and where it stops. */
export function tolerancesText(): string {
  const entries = Object.entries(TOLERANCES);
  return entries
    .map(([name, { allows, because }]) => `${name}\n  allows:  ${allows}\n  because: ${because}\n`)
    .join('\n');
}
