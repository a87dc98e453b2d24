/**
 * What the set-up says and how it starts programs. Everything it says goes to standard error, so that the
 * standard output of what follows stays clean.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A sentence for the person at the terminal that ends the set-up; no stack trace is shown for it. */
export class SetUpError extends Error {
  name = 'SetUpError';
}

/** @param {string} sentence */
export function say(sentence) {
  process.stderr.write(`uipvs set-up: ${sentence}\n`);
}

/** PATH with the system folders, which the PATH of an ordinary user leaves out. */
export function searchPath() {
  const folders = (process.env.PATH ?? '').split(delimiter);
  for (const folder of ['/usr/sbin', '/sbin', '/usr/bin', '/bin']) if (!folders.includes(folder)) folders.push(folder);
  return folders.filter((folder) => folder !== '').join(delimiter);
}

/**
 * Whether a program of that name can be started.
 * @param {string} name
 */
export function isOnPath(name) {
  return searchPath()
    .split(delimiter)
    .some((folder) => {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/**
 * Runs a program to its end and keeps what it says.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, cwd?: string, show?: boolean }} [options] `show`: pass its output through
 *   to standard error as it comes.
 * @returns {Promise<{ code: number, output: string }>} code 127 when it cannot be started.
 */
export function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, PATH: searchPath(), ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const keep = (/** @type {Buffer} */ chunk) => {
      output += chunk;
      if (options.show) process.stderr.write(chunk);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => resolve({ code: 127, output: String(error.message) }));
    child.on('close', (code, signal) => resolve({ code: code ?? (signal ? 1 : 0), output }));
  });
}

/**
 * The last lines of a program's output, for an error message.
 * @param {string} output
 */
export function lastLines(output, count = 15) {
  return output.trimEnd().split('\n').slice(-count).join('\n');
}
