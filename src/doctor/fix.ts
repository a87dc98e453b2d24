/** Carries out the cures that are for this host and can be taken back, and takes them back. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { CommandWords, Reported } from './finding.ts';
import { isAutomatic, shellLine } from './report.ts';

/** Runs one command to its end: `null` when it succeeded, else what it complained of. */
export type Runner = (words: CommandWords) => Promise<string | null>;

export interface Step {
  readonly rule: string;
  readonly command: CommandWords;
  /** `null`: it was carried out. */
  readonly problem: string | null;
}

/** What is remembered of a run of `--fix`, the newest last. */
interface Done {
  readonly rule: string;
  readonly undo: readonly CommandWords[];
}

/**
 * Of every finding the first cure that may be carried out here, each command in its turn; what was done is noted in
 * `path` before the next is begun. A cure whose command fails is taken back.
 */
export async function fixFindings(findings: readonly Reported[], run: Runner, path: string): Promise<Step[]> {
  const steps: Step[] = [];
  for (const { rule, cures } of findings) {
    const cure = cures.find(isAutomatic);
    if (cure?.undo === undefined || cure.undo === null) continue;
    const done: CommandWords[] = [];
    let failed = false;
    for (const [index, command] of cure.commands.entries()) {
      const problem = await run(command);
      steps.push({ rule, command, problem });
      failed = problem !== null;
      if (failed) break;
      // The command of the same place takes it back.
      const undo = cure.undo[index];
      if (undo !== undefined) done.unshift(undo);
    }
    if (failed) for (const command of done) await run(command);
    else if (done.length > 0) writeDone(path, [...readDone(path), { rule, undo: done }]);
  }
  return steps;
}

/** Takes back what `fixFindings` has done, the newest first. What fails stays noted. */
export async function undoFixes(run: Runner, path: string): Promise<Step[]> {
  const steps: Step[] = [];
  const left: Done[] = [];
  for (const entry of readDone(path).reverse()) {
    let failed = false;
    for (const command of entry.undo) {
      const problem = await run(command);
      steps.push({ rule: entry.rule, command, problem });
      failed ||= problem !== null;
    }
    if (failed) left.unshift(entry);
  }
  if (left.length === 0) rmSync(path, { force: true });
  else writeDone(path, left);
  return steps;
}

export function formatSteps(steps: readonly Step[]): string {
  return steps
    .map(
      ({ rule, command, problem }) =>
        `${rule}: ${shellLine(command)}${problem === null ? '' : `\n  failed: ${problem}`}\n`,
    )
    .join('');
}

/** A file that is not there, or broken, remembers nothing. */
function readDone(path: string): Done[] {
  try {
    const stored: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return Array.isArray(stored) ? stored.filter(isDone) : [];
  } catch {
    return [];
  }
}

function isDone(entry: unknown): entry is Done {
  const { rule, undo } = (entry ?? {}) as Partial<Done>;
  const isCommand = (words: unknown) =>
    Array.isArray(words) && words.length > 0 && words.every((word) => typeof word === 'string');
  return typeof rule === 'string' && Array.isArray(undo) && undo.every(isCommand);
}

function writeDone(path: string, done: readonly Done[]): void {
  writeFileSync(path, `${JSON.stringify(done, null, 2)}\n`, { mode: 0o600 });
}
