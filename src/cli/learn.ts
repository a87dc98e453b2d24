/** `uipvs learn`: the lessons on the terminal. */
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline/promises';
import { CHAPTERS, chapterSource, findChapter, languageOf, loadChapter } from '../lessons/catalog.ts';
import { type Block, type Chapter, LANGUAGES, type Language } from '../lessons/chapter.ts';
import { runChapter, runCommand, type Shell, steps, writeLessonFile } from '../lessons/run.ts';
import {
  formatAnswer,
  formatBlock,
  formatHeading,
  formatPrompt,
  formatQuestion,
  type Look,
} from '../lessons/terminal.ts';
import { WORDS } from '../lessons/words.ts';
import { type CommandDescription, type Output, readOptions, USAGE_EXIT_CODE } from './command-line.ts';

export interface LearnIo extends Output {
  /** The terminal to ask on and to write for, or `null`: everything is printed, without a stop. */
  readonly terminal: { readonly columns: number; readonly input: NodeJS.ReadableStream } | null;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly directory: string;
  /** The folder of our programs; what a chapter types finds these first, installed or not. */
  readonly programs: string;
}

const LINE_COLUMNS_MAX = 92;
const PROGRAMS = ['uipvs', 'uipvsadm', 'uldirectord'];
const COMMAND_PATIENCE_MS = 120_000;

export const LEARN: CommandDescription = {
  name: 'uipvs learn',
  summary: 'layer-4 load balancing, told in chapters with commands to try, questions and answers',
  operands: '[CHAPTER]',
  operandChoices: CHAPTERS,
  options: [
    { flags: '--lang <code>', description: 'en or de; preset by LANG', choices: LANGUAGES },
    { flags: '--run', description: 'type the commands of the chapter, each after Enter' },
    {
      flags: '--check',
      description: 'run all commands and compare what comes out with the lesson; exit 3 when it differs',
    },
    { flags: '--files', description: 'only write the files of the chapter into this directory' },
    { flags: '--all', description: 'print the whole chapter with its answers, without a stop' },
    { flags: '--markdown', description: 'print the source of the chapter' },
    { flags: '--json', description: 'print JSON' },
  ],
  notes: `Without CHAPTER the chapters are listed. CHAPTER is a name or a number.
--run and --check write the files of the chapter into the current directory and run its commands there; a chapter with a
lab needs it to be up: uipvs lab up NAME.

Keys of --json: name, language, title, lab, minutes and, for one chapter, blocks.

Exit codes: 0 done, 1 it could not be done, 2 the words were not understood, 3 --check found a difference.`,
};

/** Resolves to the exit code; never rejects for what a person can cause. */
export async function runLearn(words: readonly string[], io: LearnIo): Promise<number> {
  const options: Readonly<Record<string, unknown>> = await readOptions(LEARN, words, io);
  if (typeof options['exitCode'] === 'number') return options['exitCode'];
  const language = (options['lang'] as Language | undefined) ?? languageOf(io.environment);
  const [word] = options['operands'] as string[];
  if (word === undefined) return list(language, options['json'] === true, io);
  const name = findChapter(word);
  if (name === null) {
    await io.stderr(`uipvs learn: there is no chapter "${word}"; there are ${CHAPTERS.join(', ')}.\n`);
    return USAGE_EXIT_CODE;
  }
  const chapter = loadChapter(name, language);
  if (options['markdown']) await io.stdout(chapterSource(name, language));
  else if (options['json']) await io.stdout(`${JSON.stringify(chapter, null, 2)}\n`);
  else if (options['files']) return writeFiles(chapter, io);
  else if (options['check']) return withPrograms(io, (own) => check(chapter, own));
  else if (options['run'] && io.terminal === null) {
    await io.stderr('uipvs learn: --run asks before each command and needs a terminal; --check runs them all.\n');
    return USAGE_EXIT_CODE;
  } else if (options['run']) return withPrograms(io, (own) => tell(chapter, options['all'] === true, true, own));
  else return tell(chapter, options['all'] === true, false, io);
  return 0;
}

/** Our programs under the names that are typed, first in the PATH while `work` goes on. */
async function withPrograms(io: LearnIo, work: (io: LearnIo) => Promise<number>): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'uipvs-learn-'));
  try {
    for (const name of PROGRAMS) symlinkSync(join(io.programs, `${name}.js`), join(folder, name));
    const environment = { ...io.environment, PATH: `${folder}:${io.environment['PATH'] ?? ''}` };
    return await work({ ...io, environment });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function list(language: Language, json: boolean, io: LearnIo): Promise<number> {
  const chapters = CHAPTERS.map((name) => loadChapter(name, language));
  if (json) {
    const facts = chapters.map(({ name, title, lab, minutes }) => ({ name, language, title, lab, minutes }));
    await io.stdout(`${JSON.stringify(facts, null, 2)}\n`);
    return 0;
  }
  const words = WORDS[language];
  const width = Math.max(...chapters.map(({ name }) => name.length));
  const lines = chapters.map(
    ({ name, title, lab, minutes }, index) =>
      `${String(index + 1).padStart(3)}  ${name.padEnd(width)}  ${title} (${words.minutes(minutes)}${lab === null ? '' : `, lab ${lab}`})`,
  );
  await io.stdout(`${formatHeading(words.heading, 1, lookOf(io))}\n${lines.join('\n')}\n\n${words.how}\n`);
  return 0;
}

function lookOf(io: LearnIo): Look {
  return {
    width: Math.min(io.terminal?.columns ?? LINE_COLUMNS_MAX, LINE_COLUMNS_MAX),
    colors: io.terminal !== null && !io.environment['NO_COLOR'],
  };
}

function shellOf(io: LearnIo): Shell {
  return { directory: io.directory, environment: io.environment, patienceMs: COMMAND_PATIENCE_MS };
}

async function writeFiles(chapter: Chapter, io: LearnIo): Promise<number> {
  for (const block of steps(chapter.blocks)) {
    if (block.kind !== 'file') continue;
    writeLessonFile(shellOf(io), block.name, block.text);
    await io.stdout(`${block.name}\n`);
  }
  return 0;
}

async function check(chapter: Chapter, io: LearnIo): Promise<number> {
  let [count, differing] = [0, 0];
  for await (const { command, output, difference } of runChapter(chapter, shellOf(io))) {
    count += 1;
    const prompt = command.host === null ? '$' : `${command.host}#`;
    await io.stdout(`${difference === null ? 'ok     ' : 'DIFFERS'}  ${prompt} ${command.text}\n`);
    if (difference === null) continue;
    differing += 1;
    await io.stdout(`         ${difference}\n${output.replaceAll(/^(?=.)/gm, '         | ')}`);
  }
  await io.stdout(`${count} commands, ${differing} came out otherwise than the chapter shows\n`);
  return differing === 0 ? 0 : 3;
}

/** The chapter, block by block; on a terminal it stops before each answer, and with `run` at each command. */
async function tell(chapter: Chapter, all: boolean, run: boolean, io: LearnIo): Promise<number> {
  const [look, words] = [lookOf(io), WORDS[chapter.language]];
  const asker = io.terminal === null || all ? null : new Asker(io.terminal.input, io);
  try {
    await io.stdout(formatHeading(chapter.title, 1, look));
    if (chapter.lab !== null) {
      await io.stdout(`\n${formatBlock({ kind: 'paragraph', text: words.lab(chapter.lab) }, look, words)}`);
    }
    for (const block of chapter.blocks) {
      await io.stdout('\n');
      if (!(await tellBlock(block, { look, words, asker, run, lab: chapter.lab, io }))) return 0;
    }
    const next = CHAPTERS[(CHAPTERS as readonly string[]).indexOf(chapter.name) + 1];
    if (next !== undefined) await io.stdout(`\n${words.next(next)}\n`);
    return 0;
  } finally {
    asker?.close();
  }
}

interface Telling {
  readonly look: Look;
  readonly words: (typeof WORDS)[Language];
  readonly asker: Asker | null;
  readonly run: boolean;
  readonly lab: string | null;
  readonly io: LearnIo;
}

/** False when the learner wants to leave. */
async function tellBlock(block: Block, { look, words, asker, run, lab, io }: Telling): Promise<boolean> {
  if (asker !== null && block.kind === 'question') {
    await io.stdout(formatQuestion(block.text, look, words));
    if ((await asker.ask(words.showAnswer)) === 'q') return false;
    await io.stdout(formatAnswer(block.answer, look, words));
    return true;
  }
  if (asker !== null && run && block.kind === 'file') writeLessonFile(shellOf(io), block.name, block.text);
  if (asker === null || !run || block.kind !== 'session') {
    await io.stdout(formatBlock(block, look, words));
    return true;
  }
  for (const command of block.commands) {
    await io.stdout(formatPrompt(command, look));
    const answer = await asker.ask(words.runIt);
    if (answer === 'q') return false;
    if (answer !== 's') await io.stdout((await runCommand(command, lab, shellOf(io))).output);
  }
  return true;
}

/** Asks for a key and Enter. The end of the input is the wish to leave. */
class Asker {
  readonly #lines: Interface;
  /** Lines that are typed before they are asked for are kept. */
  readonly #typed: AsyncIterator<string>;
  readonly #io: LearnIo;

  constructor(input: NodeJS.ReadableStream, io: LearnIo) {
    this.#io = io;
    this.#lines = createInterface({ input });
    this.#typed = this.#lines[Symbol.asyncIterator]();
  }

  async ask(question: string): Promise<string> {
    await this.#io.stdout(question);
    const { done, value } = await this.#typed.next();
    return done ? 'q' : value.trim().toLowerCase();
  }

  close(): void {
    this.#lines.close();
  }
}
