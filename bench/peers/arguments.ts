/** The words after `npm run bench --`. */
import { suggestion } from '../../src/control/nearest.ts';

export interface BenchOptions {
  readonly quick: boolean;
  /** Measurements to make; `null`: all. */
  readonly only: readonly string[] | null;
  /** Peers to measure; `null`: all. */
  readonly peers: readonly string[] | null;
  readonly rounds: number;
  /** How long one run takes, about. */
  readonly seconds: number;
  readonly json: boolean;
  readonly profile: boolean;
}

export type BenchCommand = { readonly word: 'run'; readonly options: BenchOptions } | { readonly word: 'help' };

/** The words were not understood; the message is one sentence for people. */
export class ArgumentError extends Error {
  override readonly name = 'ArgumentError';
}

const QUICK = { rounds: 2, seconds: 0.25 };
const THOROUGH = { rounds: 5, seconds: 1 };
const ROUNDS_MAX = 1000;

const OPTIONS = ['--quick', '--only', '--peers', '--rounds', '--no-profile', '--json', '--help'];

/** `measurements` and `peers`: the names there are. */
export function readArguments(
  argv: readonly string[],
  measurements: readonly string[],
  peers: readonly string[],
): BenchCommand {
  let quick = false;
  let json = false;
  let profile = true;
  let only: string[] | null = null;
  let chosen: string[] | null = null;
  let rounds: number | null = null;
  for (let i = 0; i < argv.length; ) {
    const [word, inline] = splitWord(argv[i++]);
    const values = inline === null ? [] : [inline];
    if (TAKES_VALUES.has(word) && inline === null) {
      while (i < argv.length && !argv[i].startsWith('-')) values.push(argv[i++]);
      if (values.length === 0) throw new ArgumentError(`${word} needs a value`);
    }
    const names = values.flatMap((value) => value.split(',')).filter((name) => name !== '');
    if (word === '--help' || word === '-h') return { word: 'help' };
    if (word === '--quick') quick = true;
    else if (word === '--json') json = true;
    else if (word === '--no-profile') profile = false;
    else if (word === '--only') only = [...(only ?? []), ...known('measurement', names, measurements)];
    else if (word === '--peers') chosen = [...(chosen ?? []), ...known('peer', names, peers)];
    else if (word === '--rounds') rounds = readRounds(values);
    else throw unknown('option', word, OPTIONS);
  }
  const defaults = quick ? QUICK : THOROUGH;
  const options = { quick, only, peers: chosen, json, profile, seconds: defaults.seconds };
  return { word: 'run', options: { ...options, rounds: rounds ?? defaults.rounds } };
}

const TAKES_VALUES: ReadonlySet<string> = new Set(['--only', '--peers', '--rounds']);

/** `--rounds=3` is two words in one. */
function splitWord(text: string): [word: string, value: string | null] {
  const equals = text.startsWith('--') ? text.indexOf('=') : -1;
  return equals < 0 ? [text, null] : [text.slice(0, equals), text.slice(equals + 1)];
}

function readRounds(values: readonly string[]): number {
  const [value] = values;
  if (values.length > 1) throw new ArgumentError(`--rounds takes one number, not ${values.join(' ')}`);
  if (!/^[0-9]+$/.test(value) || Number(value) < 1 || Number(value) > ROUNDS_MAX) {
    throw new ArgumentError(`--rounds ${value}: a whole number from 1 to ${ROUNDS_MAX} is expected`);
  }
  return Number(value);
}

function known(what: string, names: readonly string[], there: readonly string[]): string[] {
  for (const name of names) if (!there.includes(name)) throw unknown(what, name, there);
  return [...names];
}

function unknown(what: string, name: string, there: readonly string[]): ArgumentError {
  return new ArgumentError(`there is no ${what} "${name}"${suggestion(name, there)} There are: ${there.join(', ')}`);
}

export function helpText(
  measurements: readonly { readonly name: string; readonly title: string }[],
  peers: readonly { readonly name: string; readonly summary: string; readonly absent: string | null }[],
): string {
  const list = (rows: readonly (readonly [string, string])[]) =>
    rows.map(([name, text]) => `  ${name.padEnd(14)} ${text}`).join('\n');
  return `Usage: npm run bench -- [options]

Measures uipvs and its peers side by side, in network namespaces of its own, and takes everything down again.
Results go to the terminal and to bench/results/.

Options:
  --quick           less than two minutes: shorter runs, ${QUICK.rounds} rounds instead of ${THOROUGH.rounds}
  --only NAME...    only these measurements (without them all)
  --peers NAME,...  only these peers (without them all)
  --rounds COUNT    how often everything is measured
  --no-profile      leave out where uipvs spends its time
  --json            print the results as JSON, everything else on standard error
  --help            print this

Measurements:
${list(measurements.map(({ name, title }) => [name, title]))}

Peers:
${list(peers.map(({ name, summary, absent }) => [name, absent === null ? summary : `${summary} (not here: ${absent})`]))}

Exit codes: 0 measured, 1 could not be measured at all, 2 the words were not understood, 130 Ctrl-C.
`;
}
