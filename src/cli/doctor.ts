/** `uipvs doctor`: finds the usual mistakes around a balancer, with evidence and the commands that mend them. */
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { nearestWord } from '../control/nearest.ts';
import { socketPath } from '../control/socket-path.ts';
import { type Diagnosis, examine } from '../doctor/examine.ts';
import { TOOL_ENVIRONMENT } from '../doctor/facts/tool.ts';
import { fixFindings, formatSteps, type Runner, type Step, undoFixes } from '../doctor/fix.ts';
import { gatherFacts, WATCH_SECONDS_MIN } from '../doctor/gather.ts';
import { formatDiagnosis, isAutomatic } from '../doctor/report.ts';
import type { Rule } from '../doctor/rule.ts';
import { RULES } from '../doctor/rules/index.ts';
import { type Cli, toJson } from './cli.ts';
import { USAGE_EXIT_CODE, type Word, wholeNumber } from './command-line.ts';

const NOTHING_FOUND = 0;
const CANNOT_TELL = 1;
const FOUND = 3;
const WATCH_SECONDS = 5;
const WATCH_SECONDS_MAX = 3600;

export function doctorWord(cli: Cli): Word {
  return {
    name: 'doctor',
    summary: 'find the usual mistakes around the balancer: evidence, reason, and the commands that mend them',
    options: [
      {
        flags: '--watch <seconds>',
        description: `how long to look at what passes by`,
        preset: WATCH_SECONDS,
        parse: wholeNumber(WATCH_SECONDS_MIN, WATCH_SECONDS_MAX),
      },
      { flags: '--rule <name>', description: 'ask this rule only; may be given several times', repeats: true },
      { flags: '--list', description: 'list the rules and end' },
      { flags: '--all', description: 'tell of every rule, also of those that found nothing' },
      { flags: '--passive', description: 'send nothing: no connections to servers, no questions to the network' },
      { flags: '--fix', description: 'carry out what is marked [--fix]: on this host, and to be taken back' },
      { flags: '--undo', description: 'take back what --fix has done, and end' },
      { flags: '--json', description: 'print JSON' },
    ],
    notes: `Run it on the director, best while clients try: some mistakes show in traffic only. It sends, at most three times each:
ARP questions for the virtual addresses, a TCP connection to each server, a SYN from an address that is nobody's to
servers of NAT, a SYN for the virtual address to servers of direct routing, and echoes to servers of tunnels.

Exit codes: 0 nothing found, 3 something found, 1 nothing could be examined or a command failed, 2 the words were not
understood. A rule that could not be evaluated is named with its reason; it does not count as fine.

Keys of --json:
  findings  rule, service (or null), servers, what, evidence (says, shownBy), why,
            cures (on: "here" or the host, does, commands and undo as lists of words), alsoSeen (rule, what, evidence)
  rules     rule, summary, outcome (found, fine, not-applicable, cannot-tell), says
  fixed     with --fix and --undo: rule, command, problem (null: it was carried out)`,
    run: (options) => runDoctor(cli, options as unknown as DoctorOptions),
  };
}

interface DoctorOptions {
  readonly watch: number;
  readonly rule?: readonly string[];
  readonly list?: true;
  readonly all?: true;
  readonly passive?: true;
  readonly fix?: true;
  readonly undo?: true;
  readonly json?: true;
}

async function runDoctor(cli: Cli, options: DoctorOptions): Promise<number> {
  const rules = chosenRules(options.rule ?? []);
  const complaint =
    typeof rules === 'string' ? rules : options.fix && options.undo ? '--fix and --undo contradict each other' : null;
  if (complaint !== null || typeof rules === 'string') {
    await cli.stderr(`uipvs doctor: ${complaint}\n`);
    return USAGE_EXIT_CODE;
  }
  if (options.list === true) return listRules(cli, rules, options.json === true);
  if (options.undo === true) return undo(cli, options.json === true);
  const facts = await gatherFacts(() => cli.connect(), {
    watchSeconds: options.watch,
    passive: options.passive === true,
  });
  const diagnosis = examine(rules, facts);
  const fixed = options.fix === true ? await fixFindings(diagnosis.findings, runner(cli), preparedPath()) : [];
  if (options.json === true) await cli.stdout(toJson(options.fix === true ? { ...diagnosis, fixed } : diagnosis));
  else {
    await cli.stdout(formatDiagnosis(diagnosis, { all: options.all === true }));
    if (options.fix === true) await cli.stdout(`\n${formatFixed(fixed)}`);
  }
  if (!facts.daemon.known) await cli.stderr(`uipvs doctor: ${facts.daemon.why}\n`);
  return exitCode(diagnosis, options.fix === true ? fixed : null);
}

function chosenRules(names: readonly string[]): readonly Rule[] | string {
  const unknown = names.find((name) => !RULES.some((rule) => rule.name === name));
  if (unknown !== undefined) {
    const all = RULES.map(({ name }) => name);
    const nearest = nearestWord(unknown, all);
    return `there is no rule "${unknown}"${nearest === null ? `; there are ${all.join(', ')}` : `, did you mean ${nearest}?`}`;
  }
  return names.length === 0 ? RULES : RULES.filter(({ name }) => names.includes(name));
}

async function listRules(cli: Cli, rules: readonly Rule[], json: boolean): Promise<number> {
  const rows = rules.map(({ name, summary, needs }) => ({ name, summary, needs }));
  await cli.stdout(json ? toJson(rows) : rows.map(({ name, summary }) => `${name.padEnd(14)} ${summary}\n`).join(''));
  return 0;
}

function exitCode({ findings, rules }: Diagnosis, fixed: readonly Step[] | null): number {
  if (fixed?.some(({ problem }) => problem !== null)) return CANNOT_TELL;
  const left = fixed === null ? findings : findings.filter(({ cures }) => !cures.some(isAutomatic));
  if (left.length > 0) return FOUND;
  return rules.every(({ outcome }) => outcome === 'cannot-tell') ? CANNOT_TELL : NOTHING_FOUND;
}

function formatFixed(fixed: readonly Step[]): string {
  if (fixed.length === 0) return 'nothing of this can be mended from here by --fix\n';
  return `carried out:\n${formatSteps(fixed)}run \`uipvs doctor\` again to see, or \`uipvs doctor --undo\` to take it back\n`;
}

async function undo(cli: Cli, json: boolean): Promise<number> {
  const steps = await undoFixes(runner(cli), preparedPath());
  if (json) await cli.stdout(toJson({ fixed: steps }));
  else await cli.stdout(steps.length === 0 ? 'there is nothing to take back\n' : `taken back:\n${formatSteps(steps)}`);
  return steps.some(({ problem }) => problem !== null) ? CANNOT_TELL : NOTHING_FOUND;
}

/** What `--fix` has done lies beside the daemon's socket, one file for each network namespace. */
function preparedPath(): string {
  const path = `${socketPath().replace(/\.sock$/, '')}.doctor.json`;
  mkdirSync(dirname(path), { recursive: true });
  return path;
}

/** Our own programs are those of this installation, wherever PATH leads. */
function runner({ installation }: Cli): Runner {
  return ([program = '', ...words]) => {
    const own = ['uipvs', 'uipvsadm'].includes(program);
    const [file, all] = own
      ? [process.execPath, [join(installation.programs, `${program}.js`), ...words]]
      : [program, words];
    return new Promise((resolve) => {
      execFile(file, all, { env: TOOL_ENVIRONMENT, timeout: 30_000 }, (error, _stdout, stderr) => {
        if (error === null) resolve(null);
        else if (error.code === 'ENOENT') resolve(`\`${program}\` is not installed`);
        else resolve(stderr.trim().split('\n')[0] || (error.message.split('\n')[0] as string));
      });
    });
  };
}
