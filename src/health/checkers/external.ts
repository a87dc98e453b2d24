/**
 * A program of the operator decides: status 0 is success. It is started without a shell. One that does not end in
 * time is told to (SIGTERM, a second later SIGKILL) and counts as failed, as does one that a signal killed.
 */
import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { type CheckerKind, type CheckResult, type CheckTarget, healthy, unhealthy } from '../checker.ts';
import { inTime } from '../reasons.ts';

const KILL_AFTER_MS = 1_000;
/** Processes at once. */
const PROGRAMS_MAX = 256;

export const external: CheckerKind = {
  name: 'external',
  summary: 'a program ends with status 0',
  concurrencyMax: PROGRAMS_MAX,
  create: () => ({
    check: (target, signal) => runProgram(target.command ?? '', [...(target.arguments ?? [])], target, signal),
  }),
};

export const externalPerl: CheckerKind = {
  name: 'external-perl',
  summary: 'a Perl script ends with status 0',
  concurrencyMax: PROGRAMS_MAX,
  create: () => ({
    check: (target, signal) => runProgram('perl', [target.command ?? '', ...(target.arguments ?? [])], target, signal),
  }),
  refusal: async () =>
    (await isInPath('perl'))
      ? null
      : 'checktype external-perl needs the program perl, which is not installed; checktype external runs any program',
};

function runProgram(
  program: string,
  words: string[],
  { timeoutMs }: CheckTarget,
  signal: AbortSignal,
): Promise<CheckResult> {
  return new Promise((resolve) => {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    if (limited.aborted) return resolve(unhealthy('stopped'));
    // A process group of its own, so that what the program has started ends with it.
    const child = spawn(program, words, { stdio: 'ignore', detached: true });
    const settle = (result: CheckResult): void => {
      limited.removeEventListener('abort', abort);
      resolve(result);
    };
    const abort = (): void => {
      killGroup(child.pid, 'SIGTERM');
      const killer = setTimeout(() => killGroup(child.pid, 'SIGKILL'), KILL_AFTER_MS);
      child.once('close', () => clearTimeout(killer));
      settle(unhealthy(`${program} did not end within ${inTime(timeoutMs)}`));
    };
    limited.addEventListener('abort', abort);
    child.once('error', (error) => settle(unhealthy(`${program} cannot be started: ${error.message}`)));
    child.once('close', (status, killedBy) => {
      if (status === 0) settle(healthy());
      else settle(unhealthy(killedBy === null ? `status ${status}` : `killed by ${killedBy}`));
    });
  });
}

function killGroup(pid: number | undefined, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended in the meantime.
  }
}

async function isInPath(program: string): Promise<boolean> {
  for (const folder of (process.env.PATH ?? '/usr/bin:/bin').split(delimiter)) {
    try {
      await access(join(folder, program), constants.X_OK);
      return true;
    } catch {
      // Not here.
    }
  }
  return false;
}
