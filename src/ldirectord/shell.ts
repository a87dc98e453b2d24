/**
 * The commands of `fallbackcommand`, through the shell as in the original. One after the other, so that a `stop`
 * never overtakes the `start` before it; one that hangs is ended, and whatever goes wrong is logged.
 */
import { spawn } from 'node:child_process';

const COMMAND_MS_MAX = 60_000;

export function createShell(log: (text: string) => void, limitMs = COMMAND_MS_MAX): (command: string) => void {
  let last: Promise<void> = Promise.resolve();
  return (command) => {
    last = last.then(async () => {
      const problem = await run(command, limitMs);
      if (problem !== null) log(`fallbackcommand "${command}" ${problem}`);
    });
  };
}

/** `null` when it ended with 0. */
function run(command: string, limitMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    // A group of its own: what the shell has started is ended with it.
    const child = spawn('/bin/sh', ['-c', command], { stdio: 'ignore', detached: true });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, limitMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      resolve(`could not be started: ${error.message}`);
    });
    child.on('exit', (status, signal) => {
      clearTimeout(timer);
      if (late) resolve(`was ended after ${limitMs / 1_000} s`);
      else resolve(status === 0 ? null : `ended with ${signal ?? `status ${status}`}`);
    });
  });
}
