/** Where two data planes that were asked the same did not show the same. */
import type { Observation } from './play.ts';
import type { ScriptLine } from './script.ts';

export interface PlaneDifference {
  /** Of the script, from 1. */
  readonly line: number;
  readonly step: string;
  /** What one showed and the other did not, in order. */
  readonly first: readonly string[];
  readonly second: readonly string[];
}

export function findDifferences(
  script: readonly ScriptLine[],
  first: readonly Observation[],
  second: readonly Observation[],
): PlaneDifference[] {
  return script.flatMap(({ number, text }, index) => {
    const [a, b] = [first[index] ?? [], second[index] ?? []];
    if (a.length === b.length && a.every((line, at) => line === b[at])) return [];
    return [{ line: number, step: text, first: a, second: b }];
  });
}

/** For people: the lines that differ, beside each other's number. */
export function differenceText(difference: PlaneDifference, names: readonly [string, string]): string {
  const { line, step, first, second } = difference;
  const width = Math.max(...names.map(({ length }) => length));
  const rows: string[] = [];
  for (let at = 0; at < Math.max(first.length, second.length); at++) {
    if (first[at] === second[at]) continue;
    rows.push(`  ${names[0].padEnd(width)}  ${first[at] ?? '(nothing)'}`);
    rows.push(`  ${names[1].padEnd(width)}  ${second[at] ?? '(nothing)'}`);
  }
  return `line ${line}: ${step}\n${rows.join('\n')}\n`;
}
