/** `uipvs lab`: tries the balancer in a network of its own. */
import { constants } from 'node:os';
import { LabError, LabInterrupted, missingPackages } from './host.ts';
import { stopOnSignals } from './interruption.ts';
import { CHOICES } from './labs/index.ts';
import { findLeftovers, findRunning, removeLab } from './leftovers.ts';
import { LAB_HELP, parseLabArguments, type RunLabOptions } from './options.ts';
import { isInsideUserNamespace, runInUserNamespace } from './ordinary-user.ts';
import { formatDistribution, formatSummary, Progress, type TextSink } from './report.ts';
import { Lab } from './run.ts';
import { programsFor, requireProgramsFor, runScenario, type ScenarioOutcome, visitText } from './scenario.ts';
import { SCENARIOS } from './scenarios/index.ts';
import { listLabs, missingForStanding, runStanding } from './standing/program.ts';
import { isStandingWord, LabUsageError, STANDING_HELP } from './standing/words.ts';

/** Where the lab writes; `process` is of this shape. */
export interface LabIo {
  /** Results. */
  readonly stdout: TextSink;
  /** Progress and everything else. */
  readonly stderr: TextSink;
}

/** Runs the words after `uipvs lab`. Resolves to the exit status; never rejects for what a person can cause. */
export async function runLab(argv: readonly string[], io: LabIo): Promise<number> {
  try {
    if (isStandingWord(argv[0]) && !asksForHelp(argv)) return await runStanding(argv, io);
    const command = parseLabArguments(argv);
    if (command.word === 'help') io.stdout.write(`${LAB_HELP}${STANDING_HELP}`);
    else if (command.word === 'list') io.stdout.write(command.json ? `${JSON.stringify(listing())}\n` : listAll());
    else if (command.word === 'clean') return await clean(io);
    else return await run(command.options, argv, io);
    return 0;
  } catch (error) {
    if (error instanceof LabInterrupted) {
      io.stderr.write(`uipvs lab: ${error.message}; ${whatIsLeft(argv)}\n`);
      return 128 + constants.signals[error.signal];
    }
    if (!(error instanceof LabError)) throw error;
    io.stderr.write(`uipvs lab: ${error.message}\n`);
    return error instanceof LabUsageError ? 2 : 1;
  }
}

/** After an interruption. */
function whatIsLeft([word]: readonly string[]): string {
  return isStandingWord(word) && word !== 'up' ? 'the lab stands.' : 'everything was removed.';
}

/** The Debian and Ubuntu packages that the run these words ask for still lacks here; none for words that are wrong. */
export function missingPackagesFor(argv: readonly string[]): string[] {
  try {
    if (isStandingWord(argv[0])) return missingForStanding(argv);
    const command = parseLabArguments(argv);
    return command.word === 'run' ? missingPackages(programsFor(command.options)) : [];
  } catch {
    return [];
  }
}

/** Behind `sh HOST` everything is another command's. */
function asksForHelp(argv: readonly string[]): boolean {
  const own = argv[0] === 'sh' ? argv.slice(0, 2) : argv;
  return own.includes('--help') || own.includes('-h');
}

function listAll(): string {
  return `${listLabs()}\nScenarios, which end by themselves (uipvs lab run NAME):\n${listScenarios()}`;
}

/** For programs. */
function listing() {
  const labs = CHOICES.map(({ name, summary, fault }) => ({ name, summary, broken: fault !== null }));
  const scenarios = Object.values(SCENARIOS).map(({ name, summary, modes }) => ({ name, summary, modes }));
  return { labs, scenarios };
}

function listScenarios(): string {
  return Object.values(SCENARIOS)
    .map(
      ({ name, summary, modes }) => `  ${name.padEnd(16)}  ${summary}\n${' '.repeat(20)}modes: ${modes.join(', ')}\n`,
    )
    .join('');
}

async function clean(io: LabIo): Promise<number> {
  const leftovers = findLeftovers();
  const complaints = await removeLeftovers(leftovers);
  for (const complaint of complaints) io.stderr.write(`uipvs lab: ${complaint}\n`);
  const running = findRunning().map((id) => `lab ${id} is running and was left alone\n`);
  const removed = leftovers.map((id) => `lab ${id} was removed\n`);
  io.stdout.write([...removed, ...running].join('') || 'nothing to remove\n');
  return complaints.length === 0 ? 0 : 1;
}

async function removeLeftovers(ids: readonly string[]): Promise<string[]> {
  const complaints: string[] = [];
  for (const id of ids) complaints.push(...(await removeLab(id)));
  return complaints;
}

async function run(options: RunLabOptions, argv: readonly string[], io: LabIo): Promise<number> {
  requireProgramsFor(options);
  const topology = SCENARIOS[options.scenario].topology(options);
  if (topology.isolated && process.getuid?.() !== 0) return runInUserNamespace(argv);
  const progress = new Progress(io.stderr);
  const leftovers = findLeftovers();
  if (leftovers.length > 0) progress.notice(`removing what labs ${leftovers.join(', ')} left behind`);
  for (const complaint of await removeLeftovers(leftovers)) progress.notice(complaint);

  const stop = new AbortController();
  const release = stopOnSignals(stop);
  const lab = new Lab(topology, stop.signal);
  const onDaemonEnd = (how: string) => stop.abort(new LabError(`uipvsd ${how} while the lab was running`));
  try {
    const outcome = await runScenario({ lab, options, progress, signal: stop.signal, onDaemonEnd });
    tell(outcome, options, io);
    if (options.keep) await stayUp(lab, outcome, progress, stop.signal);
  } finally {
    progress.step('removing the lab');
    for (const complaint of await lab.close()) progress.notice(complaint);
    release();
  }
  return 0;
}

/** The result: for programs on standard output, for people too. */
function tell({ result, statistics, remarks }: ScenarioOutcome, options: RunLabOptions, io: LabIo): void {
  const forPeople = options.json ? io.stderr : io.stdout;
  forPeople.write(`\n${formatDistribution(result)}\n\n`);
  forPeople.write(
    `${statistics
      .trimEnd()
      .split('\n')
      .map((line) => `  ${line}`)
      .join('\n')}\n\n`,
  );
  forPeople.write(`${formatSummary(result, options, remarks)}\n\n`);
  if (options.json) io.stdout.write(`${JSON.stringify(result)}\n`);
}

/** Until Ctrl-C, which is the ordinary end of a lab that stays up. */
async function stayUp(lab: Lab, { director }: ScenarioOutcome, progress: Progress, signal: AbortSignal): Promise<void> {
  progress.block(visitText(lab, director, isInsideUserNamespace()));
  const reason = await new Promise<unknown>((resolve) => {
    const timer = setInterval(() => {}, 60_000);
    const stopped = () => {
      clearInterval(timer);
      resolve(signal.reason);
    };
    if (signal.aborted) stopped();
    else signal.addEventListener('abort', stopped, { once: true });
  });
  if (!(reason instanceof LabInterrupted)) throw reason;
}
