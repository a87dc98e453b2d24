/** A standing lab from `up` to `down`, as its owner types it, on a host of the test's own. */
import { expect } from 'vitest';
import type { Graded } from '../../src/lab/standing/kind.ts';
import { LabHost, type LabRun } from './support.ts';

export interface CheckReport {
  readonly name: string;
  readonly lab: string;
  readonly passed: boolean;
  readonly items: readonly Graded[];
}

/** Runs `uipvs lab` with these words to its end; throws with all that it said when it does not end with `code`. */
export async function typed(host: LabHost, code: number, ...words: string[]): Promise<LabRun> {
  const run = host.start(...words);
  const ended = await run.ended();
  if (ended !== code) {
    throw new Error(`uipvs lab ${words.join(' ')} ended with ${ended}, not ${code}:\n${run.stdout}\n${run.stderr}`);
  }
  return run;
}

/** `lab check`, whatever it finds. */
export async function checked(host: LabHost, name: string): Promise<CheckReport> {
  const run = host.start('check', name, '--json');
  const code = await run.ended();
  if (code !== 0 && code !== 3) throw new Error(`uipvs lab check ended with ${code}:\n${run.stderr}`);
  const report = JSON.parse(run.stdout) as CheckReport;
  expect(report.passed).toBe(code === 0);
  return report;
}

/** Items that did not pass, with what was seen: what a failed test shows. */
export function notPassed({ items }: CheckReport): string[] {
  return items.filter(({ passed }) => !passed).map(({ item, evidence }) => `${item}: ${evidence}`);
}

/** `lab down`, after which the host is as before, and no process and no file of the lab is there. */
export async function takenDown(host: LabHost, up: LabRun, before: Record<string, string>): Promise<void> {
  await typed(host, 0, 'down', '--all');
  expect(up.processes()).toEqual([]);
  expect(up.hasFolder).toBe(false);
  expect(withoutStates(host.traces())).toEqual(withoutStates(before));
}

/** The empty folder that held the states may stay, as after any daemon. */
function withoutStates(traces: Record<string, string>): Record<string, string> {
  return { ...traces, run: traces['run']?.replace(/^uipvs\n/m, '') ?? '' };
}

/** A host for one standing lab and what is done with it; in the end nothing is left, whatever happened. */
export async function withHost(work: (host: LabHost, before: Record<string, string>) => Promise<void>): Promise<void> {
  const host = await LabHost.open();
  try {
    await work(host, host.traces());
  } finally {
    await typed(host, 0, 'down', '--all').finally(() => host.close());
  }
}
