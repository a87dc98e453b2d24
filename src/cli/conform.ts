/** `uipvs conform`: does the engine do what the kernel does? Plays recordings in virtual time. */
import { setImmediate as turn } from 'node:timers/promises';
import { type CaseResult, playRecording } from '../conform/fit.ts';
import { CATEGORIES, RecordingError } from '../conform/recording.ts';
import { readRecordings, shippedRecordings } from '../conform/recording-files.ts';
import { caseLine, failureText, sumOf, type Tally, tallyText, tolerancesText } from '../conform/report.ts';
import { TOLERANCES } from '../conform/tolerances.ts';
import type { DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import { type CommandDescription, readOptions, USAGE_EXIT_CODE } from './command-line.ts';
import { conformPlane } from './conform-plane.ts';
import { ProgressLine } from './progress-line.ts';

export interface ConformIo {
  stdout(text: string): void | Promise<void>;
  stderr(text: string): void | Promise<void>;
  /** Standard error is a terminal: progress is shown there. */
  readonly isTty?: boolean;
  /** The running daemon. Rejects with an IpvsError when there is none. */
  connect?(): Promise<DataPlane>;
}

const DIFFERENT_EXIT_CODE = 1;
const INTERRUPTED_EXIT_CODE = 130;

const DESCRIPTION: CommandDescription = {
  name: 'uipvs conform',
  summary: 'play recordings of a real kernel and compare what the engine does',
  operands: '[PATH...]',
  options: [
    { flags: '--filter <pattern>', description: 'only a category, or cases whose id matches a regular expression' },
    { flags: '--verbose', description: 'one line for each case, with the tolerances it needed' },
    {
      flags: '--running',
      description: 'play what needs no packets over the running daemon, whose table must be empty',
    },
    { flags: '--json', description: 'print JSON' },
    { flags: '--tolerances', description: 'list what is compared loosely, and why; plays nothing' },
  ],
  notes: `PATH is a recording (*.json), a packed set (*.jsonl, *.jsonl.br, *.jsonl.gz) or a folder of either.
Without one the recordings of the checkout are played.

Keys of --json:
  cases       id, category, title, passed, tolerances, and failure: step (from 0), seconds, what, difference
              (field, kernel, came, details), or null
  categories  passed and failed of each category
  passed, failed
With --running: dataPlane, cases (id, outcome, ...), passed, failed, leftOut (a capability is missing).

Exit codes: 0 all passed, 1 some failed, 2 the words were not understood or a recording cannot be read.`,
};

/** Resolves to the exit code; never rejects for what a person can cause. */
export async function runConform(argv: readonly string[], io: ConformIo): Promise<number> {
  const options: Readonly<Record<string, unknown>> = await readOptions(DESCRIPTION, argv, io);
  if (typeof options['exitCode'] === 'number') return options['exitCode'];
  if (options['tolerances']) {
    await io.stdout(options['json'] ? `${JSON.stringify(TOLERANCES, null, 2)}\n` : tolerancesText());
    return 0;
  }
  const interruption = watchForInterruption();
  try {
    const wanted = readFilter(options['filter'] as string | undefined);
    const operands = options['operands'] as readonly string[];
    const paths = operands.length > 0 ? operands : [shippedRecordings()];
    if (options['running'] && io.connect !== undefined) {
      return await onRunning(io.connect, (plane) => conformPlane(plane, paths, wanted, options['json'] === true, io));
    }
    return await playAll(paths, wanted, options, io, interruption);
  } catch (error) {
    if (!(error instanceof RecordingError) && !(error instanceof IpvsError)) throw error;
    await io.stderr(`uipvs conform: ${error.message}\n`);
    return USAGE_EXIT_CODE;
  } finally {
    interruption.stop();
  }
}

async function onRunning(
  connect: () => Promise<DataPlane>,
  work: (plane: DataPlane) => Promise<number>,
): Promise<number> {
  const plane = await connect();
  try {
    return await work(plane);
  } finally {
    await plane.close();
  }
}

type Filter = (recording: { readonly id: string; readonly category: string }) => boolean;

/** A category by its name, else a pattern for ids. */
function readFilter(text: string | undefined): Filter {
  if (text === undefined) return () => true;
  let pattern: RegExp;
  try {
    pattern = new RegExp(text);
  } catch (cause) {
    throw new RecordingError(`--filter ${text}: this is no regular expression: ${(cause as Error).message}`, { cause });
  }
  return CATEGORIES.includes(text) ? ({ category }) => category === text : ({ id }) => pattern.test(id);
}

async function playAll(
  paths: readonly string[],
  wanted: Filter,
  options: Readonly<Record<string, unknown>>,
  io: ConformIo,
  interruption: Interruption,
): Promise<number> {
  const progress = new ProgressLine(io);
  const tallies = new Map<string, Tally>();
  const cases: CaseResult[] = [];
  try {
    for (const recording of readRecordings(paths)) {
      if (!wanted(recording)) continue;
      await progress.show(`${sumText(tallies)}: ${recording.id}`);
      // Signals are heard between two cases.
      await turn();
      if (interruption.requested) return INTERRUPTED_EXIT_CODE;
      const result = await playRecording(recording);
      count(tallies, result);
      if (options['json']) cases.push(result);
      else await printCase(result, options['verbose'] === true, io, progress);
    }
  } finally {
    await progress.clear();
  }
  const sum = sumOf(tallies);
  if (sum.passed + sum.failed === 0) throw new RecordingError('there is no such recording');
  const report = options['json']
    ? `${JSON.stringify({ cases, categories: Object.fromEntries(tallies), ...sum }, null, 2)}\n`
    : tallyText(tallies);
  await io.stdout(report);
  return sum.failed === 0 ? 0 : DIFFERENT_EXIT_CODE;
}

async function printCase(result: CaseResult, verbose: boolean, io: ConformIo, progress: ProgressLine): Promise<void> {
  const line = verbose ? caseLine(result) : '';
  const text = result.failure === null ? line : line + failureText(result, result.failure);
  if (text === '') return;
  await progress.clear();
  await io.stdout(text);
}

function count(tallies: Map<string, Tally>, { category, passed }: CaseResult): void {
  const tally = tallies.get(category) ?? { passed: 0, failed: 0 };
  tally[passed ? 'passed' : 'failed']++;
  tallies.set(category, tally);
}

function sumText(tallies: ReadonlyMap<string, Tally>): string {
  const { passed, failed } = sumOf(tallies);
  return `${passed} passed, ${failed} failed`;
}

interface Interruption {
  readonly requested: boolean;
  stop(): void;
}

/** Ctrl-C ends the run after the case in hand; a second one ends it at once. */
function watchForInterruption(): Interruption {
  let requested = false;
  const note = (): void => {
    requested = true;
    process.removeListener('SIGINT', note);
  };
  process.on('SIGINT', note);
  return {
    get requested() {
      return requested;
    },
    stop: () => process.removeListener('SIGINT', note),
  };
}
