/**
 * Words and options of a command line, through the package `commander`, which only this file imports. What it adds:
 * mistakes are one sentence and exit code 2, and output goes where the program says.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { uipvsVersion } from '../control/version.ts';

export const USAGE_EXIT_CODE = 2;

/** Where a program writes; a promise ends when the reader has taken the text. */
export interface Output {
  stdout(text: string): void | Promise<void>;
  stderr(text: string): void | Promise<void>;
}

export interface OptionDescription {
  /** `--limit <count>`, `--json` */
  readonly flags: string;
  readonly description: string;
  readonly choices?: readonly string[];
  readonly preset?: string | number;
  /** May be given several times; the values come as an array. */
  readonly repeats?: true;
  /** The value, or throws an Error whose message completes the sentence "option ... is invalid." */
  readonly parse?: (text: string) => unknown;
}

export interface CommandDescription {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly OptionDescription[];
  /** What may stand behind the options, as the help text shows it: `[PATH...]`. `readOptions` gives them as `operands`. */
  readonly operands?: string;
  /** What an operand can be, for the completion of shells. */
  readonly operandChoices?: readonly string[];
  /** Below the options in the help text. */
  readonly notes: string;
}

/** A word below a program (`uipvs status`), with what it does. */
export interface Word extends CommandDescription {
  /** Gets the options by name, and as `operands` what stands behind them. Resolves to the exit code. */
  readonly run: (options: Readonly<Record<string, unknown>>) => Promise<number>;
}

/** Reads `words` (without the program's name) as one of `choices` and runs it. Resolves to the exit code. */
export async function runWord(
  description: CommandDescription,
  choices: readonly Word[],
  words: readonly string[],
  output: Output,
): Promise<number> {
  let exitCode = 0;
  const program = createCommand(new Command(description.name), description, output);
  addVersion(program);
  for (const word of choices) {
    const command = createCommand(program.command(word.name), word, output);
    command.action(async () => {
      exitCode = await word.run({ ...command.opts(), operands: command.args });
    });
  }
  return (await parse(program, words)) ?? exitCode;
}

/** Reads `words` as options. An exit code when there is nothing more to do: 0 after help and version, 2 after a mistake. */
export async function readOptions(
  description: CommandDescription,
  words: readonly string[],
  output: Output,
): Promise<Readonly<Record<string, unknown>> | { readonly exitCode: number }> {
  const program = createCommand(new Command(description.name), description, output);
  addVersion(program);
  program.action(() => {});
  const exitCode = await parse(program, words);
  return exitCode === null ? { ...program.opts(), operands: program.args } : { exitCode };
}

/** A whole number of at least `min`, for `OptionDescription.parse`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d{1,15}$/.test(text) || value < min || value > max) {
      throw new Error(`It must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

function createCommand(command: Command, description: CommandDescription, output: Output): Command {
  command
    .description(description.summary)
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
    .configureHelp({ helpWidth: 100 })
    .configureOutput({
      writeOut: (text) => void output.stdout(text),
      writeErr: (text) => void output.stderr(text),
      outputError: (text, write) => write(oneSentence(fullName(command), text)),
    });
  for (const option of description.options) command.addOption(createOption(option));
  if (description.operands !== undefined) command.argument(description.operands);
  if (description.notes !== '') command.addHelpText('after', `\n${description.notes}`);
  return command;
}

function addVersion(program: Command): void {
  program.version(uipvsVersion(), '-V, --version', 'print the version');
}

function createOption(description: OptionDescription): Option {
  const option = new Option(description.flags, description.description);
  if (description.choices) option.choices(description.choices);
  if (description.preset !== undefined) option.default(description.preset);
  if (description.repeats) option.argParser<string[]>((text, before) => [...(before ?? []), text]);
  const read = description.parse;
  if (read) {
    option.argParser((text) => {
      try {
        return read(text);
      } catch (error) {
        throw new InvalidArgumentError((error as Error).message);
      }
    });
  }
  return option;
}

/** `null`: the words were fine. */
async function parse(program: Command, words: readonly string[]): Promise<number | null> {
  try {
    await program.parseAsync(words, { from: 'user' });
    return null;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : USAGE_EXIT_CODE;
  }
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

/** `error: unknown option '--jsn'\n(Did you mean --json?)` becomes `uipvs: unknown option '--jsn'; did you mean --json?` */
function oneSentence(name: string, text: string): string {
  const plain = text
    .trim()
    .replace(/^error: /, '')
    .replace(/\s*\n\s*\(Did you mean (.*)\?\)/, '; did you mean $1?');
  return `${name}: ${plain}\n`;
}
