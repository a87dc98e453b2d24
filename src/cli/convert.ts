/** `uipvs convert`: from one kind of file to another, and what the other cannot say. */
import { existsSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { type FileProblem, FileRefused, formatProblemLine, inFileOrder } from '../model/file-problem.ts';
import type { Cli } from './cli.ts';
import { USAGE_EXIT_CODE, type Word } from './command-line.ts';
import { FORMAT_NAMES, type FormatName, formatWord } from './format-names.ts';
import type { FileFormat } from './formats.ts';

/** With --strict: the file was written, but not all of its meaning. */
const LOST_EXIT_CODE = 3;
export const REFUSED_FILE_EXIT_CODE = 2;

export function convertWord(cli: Cli): Word {
  return {
    name: 'convert',
    summary: 'turn a file of ldirectord, ipvsadm or keepalived into uipvs.yaml, or the other way round',
    operands: '[file]',
    options: [
      {
        flags: '-f, --from <format>',
        description: 'what the file is; otherwise its name and content tell',
        choices: FORMAT_NAMES,
        parse: formatWord,
      },
      {
        flags: '-t, --to <format>',
        description: 'what to write; otherwise the name behind -o tells, or yaml',
        choices: FORMAT_NAMES,
        parse: formatWord,
      },
      { flags: '-o, --output <file>', description: 'write to this file, which must not be there' },
      { flags: '--force', description: 'the file behind -o may be there' },
      {
        flags: '--strict',
        description: `exit code ${LOST_EXIT_CODE} when something could not be said in the other format`,
      },
      { flags: '--example', description: 'print an example of uipvs.yaml that explains itself' },
    ],
    notes: `Formats: yaml (uipvs.yaml), ldirectord (ldirectord.cf), ipvsadm (what ipvsadm -S writes), keepalived (the virtual
servers of keepalived.conf). The file - is standard input.

What the other format cannot say is named on standard error, a line each with the place it comes from.
Exit codes: 0 written, 1 it could not be done, 2 the file or the words were not understood, 3 with --strict.`,
    run: async ({ operands, from, to, output, force, strict, example }) => {
      if (example === true) {
        await cli.stdout((await import('../config/example.ts')).EXAMPLE);
        return 0;
      }
      const [path, ...more] = operands as readonly string[];
      if (path === undefined || more.length > 0) {
        await cli.stderr('uipvs convert: type one file, or - for standard input\n');
        return USAGE_EXIT_CODE;
      }
      return guardFile(cli, path, async () => {
        const target = typeof output === 'string' ? output : null;
        if (target !== null && force !== true && existsSync(target)) {
          await cli.stderr(`uipvs convert: ${target} is there already; --force writes over it\n`);
          return 1;
        }
        const { detectFormat, FORMATS, readText } = await import('./formats.ts');
        const text = readText(path);
        const source = from === undefined ? detectFormat(path, text) : FORMATS[from as FormatName];
        const wanted = FORMATS[(to as FormatName | undefined) ?? formatOfName(target, FORMATS)];
        const read = await source.read(text, path);
        const written = wanted.write(read.blueprint, `Made from ${path === '-' ? 'standard input' : basename(path)}`);
        if (target === null) await cli.stdout(written.text);
        else writeFile(target, written.text);
        const lost = inFileOrder([...read.lost, ...written.lost]);
        for (const { place, text } of lost) {
          await cli.stderr(`${formatProblemLine(path, { place, text: `lost: ${text}` })}\n`);
        }
        if (lost.length > 0) await cli.stderr(`uipvs convert: not in ${wanted.title}: ${lost.length} of these\n`);
        return strict === true && lost.length > 0 ? LOST_EXIT_CODE : 0;
      });
    },
  };
}

function formatOfName(target: string | null, formats: Readonly<Record<FormatName, FileFormat>>): FormatName {
  if (target === null) return 'yaml';
  return FORMAT_NAMES.find((name) => formats[name].names.test(basename(target))) ?? 'yaml';
}

function writeFile(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new FileRefused([
      { place: { line: 0, column: 0 }, text: `${path} cannot be written: ${(error as Error).message}` },
    ]);
  }
}

/** Runs `work`; what is wrong with the file is printed, a line each, and answered with exit code 2. */
export async function guardFile(cli: Cli, path: string, work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof FileRefused)) throw error;
    await cli.stderr(error.problems.map((problem) => `${problemLine(path, problem, 'error')}\n`).join(''));
    return REFUSED_FILE_EXIT_CODE;
  }
}

export function problemLine(path: string, { place, text }: FileProblem, kind: 'error' | 'warning'): string {
  return formatProblemLine(path, { place, text: `${kind}: ${text}` });
}
