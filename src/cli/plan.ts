/** `uipvs plan` and `uipvs apply`: what a file would change in the daemon, shown or carried out, all or nothing. */
import { resolve } from 'node:path';
import { desiredBalancer } from '../config/desired.ts';
import { type ApplyOutcome, applyChanges, readActual } from '../control/apply-changes.ts';
import { type ChangePlan, type ChangeStep, NOBODY_OUTSIDE, planChanges } from '../control/change-plan.ts';
import type { Blueprint, ReadFile } from '../model/blueprint.ts';
import { inFileOrder } from '../model/file-problem.ts';
import { formatMarkRule } from '../model/mark-rule.ts';
import { formatEndpoint, formatServiceKey } from '../model/service.ts';
import { type Cli, type ConnectedDaemon, type RunningDirector, toJson, withDaemon } from './cli.ts';
import { type OptionDescription, USAGE_EXIT_CODE, type Word } from './command-line.ts';
import { guardFile, problemLine } from './convert.ts';
import { FORMAT_NAMES, type FormatName, formatWord } from './format-names.ts';
import { type AppliedFile, type KeptState, readState, writeState } from './kept-state.ts';
import { healthAround, outsideOf } from './outside.ts';
import { stepWords } from './plan-words.ts';

/** `plan`, and `apply --dry-run`: there is something to do. */
const CHANGES_EXIT_CODE = 3;
const INTERRUPTED_EXIT_CODE = 130;

const OPTIONS: readonly OptionDescription[] = [
  {
    flags: '-f, --from <format>',
    description: 'what the file is; otherwise its name and content tell',
    choices: FORMAT_NAMES,
    parse: formatWord,
  },
  { flags: '--exclusive', description: 'everything that the file does not name goes' },
  {
    flags: '--restore',
    description: 'servers that are out (drained, or by a health check) come back as the file says',
  },
  { flags: '--json', description: 'print a JSON object' },
];

const RULES = `What is touched: what the file names, and what an earlier apply of the same file (by its path) put there and the
file no longer names. Everything else stays, also services that somebody typed with ipvsadm; with --exclusive it goes.
Timeouts, settings and marks that the file does not name stay as they are.

Servers that are out stay out: those that \`uipvs drain\` drained, and those that a program which checks them has taken
out (weight 0, or not in the table), as \`uipvs health\` shows. Of an ldirectord that does not tell, every server of a
checked service counts that is out. They are listed with the reason. --restore puts them in as the file says.`;

const KEYS = `Keys of --json: file, steps (sign, command, meaning, request: as the API has it), held (service, server, reason)`;

interface Prepared {
  readonly plan: ChangePlan;
  readonly blueprint: Blueprint;
  readonly state: KeptState;
  readonly directors: readonly RunningDirector[];
}

export function planWord(cli: Cli): Word {
  return {
    name: 'plan',
    summary: 'show what a configuration file would change in the daemon',
    operands: '[file]',
    options: OPTIONS,
    notes: `Signs: + new, ~ different, - goes. Each line has the command that could be typed instead.

${RULES}

${KEYS}
Exit codes: 0 nothing to do, 1 the daemon cannot be asked, 2 the file is wrong, ${CHANGES_EXIT_CODE} there is something to do.`,
    run: (options) =>
      withFile(cli, 'plan', options, (daemon, path, read) => showPlan(cli, daemon, path, read, options)),
  };
}

export function applyWord(cli: Cli): Word {
  return {
    name: 'apply',
    summary: 'make the daemon as a configuration file says: all of it, or nothing',
    operands: '[file]',
    options: [...OPTIONS, { flags: '--dry-run', description: 'the same as uipvs plan' }],
    notes: `When one step is refused, or at Ctrl-C, the steps before it are taken back.

${RULES}

${KEYS}, outcome
Exit codes: 0 it is as the file says, 1 a step was refused and all is as before, 2 the file is wrong, 130 after Ctrl-C;
with --dry-run those of plan.`,
    run: (options) =>
      withFile(cli, 'apply', options, (daemon, path, read) =>
        options['dryRun'] === true
          ? showPlan(cli, daemon, path, read, options)
          : carryOut(cli, daemon, path, read, options),
      ),
  };
}

type Options = Readonly<Record<string, unknown>>;

async function withFile(
  cli: Cli,
  word: string,
  { operands, from }: Options,
  work: (daemon: ConnectedDaemon, path: string, read: ReadFile) => Promise<number>,
): Promise<number> {
  const [path, ...more] = operands as readonly string[];
  if (path === undefined || more.length > 0) {
    await cli.stderr(`uipvs ${word}: type one file, or - for standard input\n`);
    return USAGE_EXIT_CODE;
  }
  return guardFile(cli, path, async () => {
    const { detectFormat, FORMATS, readText } = await import('./formats.ts');
    const text = readText(path);
    const format = from === undefined ? detectFormat(path, text) : FORMATS[from as FormatName];
    const read = await format.read(text, path);
    const told = inFileOrder([...read.warnings, ...read.lost]);
    await cli.stderr(told.map((problem) => `${problemLine(path, problem, 'warning')}\n`).join(''));
    return withDaemon(cli, (daemon) => work(daemon, path, read));
  });
}

async function prepare(
  cli: Cli,
  daemon: ConnectedDaemon,
  path: string,
  { blueprint }: ReadFile,
  { exclusive, restore }: Options,
): Promise<Prepared> {
  const status = await daemon.status();
  const state = readState(status);
  const former = state.files[nameOf(path)];
  const health = await healthAround(cli, daemon);
  const isFormer = (names: readonly string[] | undefined, name: string): boolean =>
    exclusive === true || names?.includes(name) === true;
  const plan = planChanges(desiredBalancer(blueprint), await readActual(daemon), {
    mayDelete: {
      service: (key) => isFormer(former?.services, formatServiceKey(key)),
      markRule: (rule) => isFormer(former?.markRules, formatMarkRule(rule)),
      syncDaemon: ({ role }) => isFormer(former?.syncDaemons, role),
    },
    outside: restore === true ? NOBODY_OUTSIDE : outsideOf(health, state.drained),
  });
  return { plan, blueprint, state, directors: health.directors };
}

async function showPlan(
  cli: Cli,
  daemon: ConnectedDaemon,
  path: string,
  read: ReadFile,
  options: Options,
): Promise<number> {
  const { plan } = await prepare(cli, daemon, path, read, options);
  if (options['json'] === true) await cli.stdout(toJson(asJson(path, plan)));
  else {
    await printHeld(cli, plan);
    const lines = plan.steps.map((step) => formatStep(step));
    await cli.stdout(lines.join('') + summary(plan, path));
  }
  return plan.steps.length === 0 ? 0 : CHANGES_EXIT_CODE;
}

async function carryOut(
  cli: Cli,
  daemon: ConnectedDaemon,
  path: string,
  read: ReadFile,
  options: Options,
): Promise<number> {
  const { plan, blueprint, state, directors } = await prepare(cli, daemon, path, read, options);
  const quiet = options['json'] === true;
  if (!quiet) await printHeld(cli, plan);
  const outcome = await applyChanges(daemon, plan.steps, {
    done: (step) => (quiet ? undefined : cli.stdout(formatStep(step))),
    interrupted: () => cli.interruption?.aborted === true,
  });
  if (outcome.type === 'applied') {
    const files = { ...state.files, [nameOf(path)]: appliedFile(blueprint) };
    const drained = options['restore'] === true ? [] : state.drained;
    writeState(await daemon.status(), { files, drained });
  }
  if (quiet) await cli.stdout(toJson({ ...asJson(path, plan), outcome: outcomeJson(outcome) }));
  if (outcome.type !== 'applied') return tellFailure(cli, outcome);
  if (!quiet) {
    const what = plan.steps.length === 0 ? 'nothing to do' : `${counts(plan.steps)}: done`;
    await cli.stdout(`${what}; the daemon is as ${path} says\n`);
    for (const { pid, configuration } of directors) {
      await cli.stderr(
        `uldirectord (pid ${pid}) works by ${configuration}; if that is where its services come from, ` +
          `\`uldirectord ${configuration} reload\` tells it of changes\n`,
      );
    }
  }
  return 0;
}

async function tellFailure(cli: Cli, outcome: Exclude<ApplyOutcome, { type: 'applied' }>): Promise<number> {
  const { step, reason, takenBack, left, type } = outcome;
  if (type === 'refused') {
    const { command, meaning } = stepWords(step);
    await cli.stderr(`uipvs apply: refused: ${command ?? meaning}: ${reason}\n`);
  } else await cli.stderr('uipvs apply: interrupted\n');
  for (const each of left) {
    await cli.stderr(`uipvs apply: this could not be taken back: ${JSON.stringify(each.command)}: ${each.reason}\n`);
  }
  await cli.stderr(
    left.length > 0
      ? 'uipvs apply: the daemon is not as before; look with `uipvs plan`\n'
      : `uipvs apply: ${takenBack === 0 ? 'nothing was changed' : `steps taken back: ${takenBack}`}; all is as before\n`,
  );
  return type === 'interrupted' ? INTERRUPTED_EXIT_CODE : 1;
}

function outcomeJson(outcome: ApplyOutcome) {
  return outcome.type === 'applied' ? outcome : { ...outcome, step: stepJson(outcome.step) };
}

function asJson(path: string, { steps, held }: ChangePlan) {
  return {
    file: path,
    steps: steps.map(stepJson),
    held: held.map(({ service, server, reason }) => ({ service: formatServiceKey(service), server, reason })),
  };
}

function stepJson(step: ChangeStep) {
  return { ...stepWords(step), request: step.command };
}

async function printHeld(cli: Cli, { held }: ChangePlan): Promise<void> {
  for (const { service, server, reason } of held) {
    const name = formatEndpoint(server.address, server.port);
    await cli.stdout(`= ${name} of ${formatServiceKey(service)} stays as it is: ${reason}\n`);
  }
}

function formatStep(step: ChangeStep): string {
  const { sign, command, meaning } = stepWords(step);
  return command === null ? `${sign} ${meaning}\n` : `${sign} ${command}\n    # ${meaning}\n`;
}

function summary({ steps }: ChangePlan, path: string): string {
  if (steps.length === 0) return `nothing to do; the daemon is as ${path} says\n`;
  return `${counts(steps)}; \`uipvs apply ${path}\` carries them out\n`;
}

function counts(steps: readonly ChangeStep[]): string {
  const signs = steps.map((step) => stepWords(step).sign);
  const count = (sign: string): number => signs.filter((each) => each === sign).length;
  return `steps: ${count('+')} to add, ${count('~')} to change, ${count('-')} to remove`;
}

function appliedFile({ services, markRules, syncDaemons }: Blueprint): AppliedFile {
  return {
    services: services.map(({ key }) => formatServiceKey(key)),
    markRules: markRules.map(formatMarkRule),
    syncDaemons: syncDaemons.map(({ role }) => role),
  };
}

function nameOf(path: string): string {
  return path === '-' ? path : resolve(path);
}
