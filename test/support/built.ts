/** The sources as plain JavaScript in a directory of their own, for tests that start real processes. */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { copyFileSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { temporaryDirectory } from './served.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/** Compiles `src/` and `test/support/`; returns the directory, which holds them under the same names. */
export function buildForProcesses(): string {
  const directory = temporaryDirectory();
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  const words = ['-p', 'tsconfig.check.json', '--noEmit', 'false', '--noCheck', '--outDir', directory];
  execFileSync(process.execPath, [compiler, ...words], { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  copyFileSync(join(ROOT, 'package.json'), join(directory, 'package.json'));
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  return directory;
}

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly child: ChildProcessWithoutNullStreams;
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly finished: Promise<Finished>;
}

export function startProcess(file: string, words: readonly string[], environment: NodeJS.ProcessEnv = {}): Started {
  const child = spawn(process.execPath, [file, ...words], { env: { ...process.env, ...environment } });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const finished = new Promise<Finished>((resolveFinished) => {
    child.once('close', (code, signal) => resolveFinished({ code, signal, stdout, stderr }));
  });
  return { child, stdout: () => stdout, stderr: () => stderr, finished };
}
