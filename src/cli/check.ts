/** `uipvs check`: is this file right, and does it mean what was meant? */
import { hostname } from 'node:os';
import { ConfigurationError } from '../ldirectord/config/problem.ts';
import type { Blueprint, ReadFile } from '../model/blueprint.ts';
import { type FileProblem, FileRefused, inFileOrder } from '../model/file-problem.ts';
import { type Cli, toJson } from './cli.ts';
import { USAGE_EXIT_CODE, type Word } from './command-line.ts';
import { problemLine, REFUSED_FILE_EXIT_CODE } from './convert.ts';
import { FORMAT_NAMES, type FormatName, formatWord } from './format-names.ts';
import type { FileFormat } from './formats.ts';

interface CheckReport {
  readonly file: string;
  readonly format: FormatName | null;
  readonly errors: readonly FileProblem[];
  readonly warnings: readonly FileProblem[];
  readonly services: number;
  readonly servers: number;
}

export function checkWord(cli: Cli): Word {
  return {
    name: 'check',
    summary: 'say whether a configuration file is right: uipvs.yaml, ldirectord.cf, ipvsadm rules, keepalived.conf',
    operands: '[file]',
    options: [
      {
        flags: '-f, --from <format>',
        description: 'what the file is; otherwise its name and content tell',
        choices: FORMAT_NAMES,
        parse: formatWord,
      },
      { flags: '--json', description: 'print a JSON object' },
      { flags: '--schema', description: 'print the JSON Schema of uipvs.yaml, for editors' },
    ],
    notes: `Errors and warnings go to standard error as FILE:LINE:COLUMN: error: TEXT. A warning is about something that the file
may well say, but that was hardly meant.

Keys of --json: file, format, errors and warnings (place: line and column, 0 for the whole file; text), services, servers
Exit codes: 0 right, perhaps with warnings; 1 it cannot be read; 2 wrong.`,
    run: async ({ operands, from, json, schema }) => {
      if (schema === true) {
        await cli.stdout(toJson((await import('../config/native-shape.ts')).nativeJsonSchema()));
        return 0;
      }
      const [path, ...more] = operands as readonly string[];
      if (path === undefined || more.length > 0) {
        await cli.stderr('uipvs check: type one file, or - for standard input\n');
        return USAGE_EXIT_CODE;
      }
      const report = await examine(path, from as FormatName | undefined);
      if (json === true) await cli.stdout(toJson(report));
      else await print(cli, path, report);
      return report.errors.length === 0 ? 0 : REFUSED_FILE_EXIT_CODE;
    },
  };
}

async function print(cli: Cli, path: string, report: CheckReport): Promise<void> {
  const lines = [
    ...report.errors.map((problem) => problemLine(path, problem, 'error')),
    ...report.warnings.map((problem) => problemLine(path, problem, 'warning')),
  ];
  await cli.stderr(lines.map((line) => `${line}\n`).join(''));
  if (report.errors.length > 0) return;
  const { FORMATS } = await import('./formats.ts');
  const title = report.format === null ? '' : FORMATS[report.format].title;
  await cli.stdout(`${path}: right (${title}: services ${report.services}, servers ${report.servers})\n`);
}

async function examine(path: string, from: FormatName | undefined): Promise<CheckReport> {
  const { detectFormat, FORMATS, readText } = await import('./formats.ts');
  const text = readText(path);
  let format: FileFormat | null = null;
  try {
    format = from === undefined ? detectFormat(path, text) : FORMATS[from];
    const read = await format.read(text, path);
    const { services } = read.blueprint;
    return {
      file: path,
      format: format.name,
      errors: [],
      warnings: await warningsOf(read, format),
      services: services.length,
      servers: services.reduce((sum, { servers }) => sum + servers.length, 0),
    };
  } catch (error) {
    if (!(error instanceof FileRefused)) throw error;
    return { file: path, format: format?.name ?? null, errors: error.problems, warnings: [], services: 0, servers: 0 };
  }
}

async function warningsOf({ blueprint, warnings, lost }: ReadFile, { name }: FileFormat): Promise<FileProblem[]> {
  const left = lost.map(({ place, text }) => ({ place, text: `uipvs cannot do this: ${text}` }));
  // Rules of ipvsadm are never given to a director.
  const unsupported = name === 'ipvsadm' ? [] : await whatTheDirectorRefuses(blueprint);
  return inFileOrder([...warnings, ...left, ...unsupported]);
}

/** Right, but not to be carried out by this version, or on this host. */
async function whatTheDirectorRefuses(blueprint: Blueprint): Promise<FileProblem[]> {
  const [{ fromBlueprint }, { refuseUnsupported }] = await Promise.all([
    import('../ldirectord/blueprint.ts'),
    import('../ldirectord/checks.ts'),
  ]);
  try {
    await refuseUnsupported(fromBlueprint(blueprint, hostname()));
    return [];
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return [{ place: error, text: `uldirectord would not start with this: ${error.message}` }];
  }
}
