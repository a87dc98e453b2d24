/** Types the commands of a chapter, as the learner would. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Block, Chapter, Command } from './chapter.ts';
import { differenceOf } from './session.ts';

export interface Shell {
  /** Where the chapter's files are written and its commands run. */
  readonly directory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Kills a command that takes longer, in milliseconds. */
  readonly patienceMs: number;
}

export interface Ran {
  readonly command: Command;
  /** Standard output and standard error together, in the order in which they came. */
  readonly output: string;
  /** `null`: it came out as the lesson shows; otherwise the first line that differs. */
  readonly difference: string | null;
}

/** Everything of a chapter in the order in which a reader meets it, the answers to questions too. */
export function* steps(blocks: readonly Block[]): Generator<Block> {
  for (const block of blocks) {
    yield block;
    if (block.kind === 'question') yield* steps(block.answer);
  }
}

/** Writes the files and runs the commands of a chapter, one after the other; ends when the generator is left. */
export async function* runChapter(chapter: Chapter, shell: Shell): AsyncGenerator<Ran> {
  for (const block of steps(chapter.blocks)) {
    if (block.kind === 'file') writeLessonFile(shell, block.name, block.text);
    if (block.kind !== 'session') continue;
    for (const command of block.commands) yield await runCommand(command, chapter.lab, shell);
  }
}

export function writeLessonFile(shell: Shell, name: string, text: string): void {
  writeFileSync(join(shell.directory, name), text);
}

/** What a shell is given: a command on a host of the lab goes through `uipvs lab sh`. Several labs may stand. */
export function shellText(command: Command, lab: string | null): string {
  if (command.host === null) return command.text;
  return `uipvs lab sh ${lab === null ? '' : `--name ${lab} `}${command.host} -- sh -c '${command.text.replaceAll("'", `'\\''`)}'`;
}

export function runCommand(command: Command, lab: string | null, shell: Shell): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn('sh', ['-c', shellText(command, lab)], {
      cwd: shell.directory,
      env: shell.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: shell.patienceMs,
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    child.once('error', reject);
    child.once('close', (_code, signal) => {
      if (signal !== null) output += `(ended by ${signal} after ${shell.patienceMs / 1000} s)\n`;
      resolve({ command, output, difference: differenceOf(command.expected, output.split('\n')) });
    });
  });
}
