/** `uipvs lab up`, `check`, `hint`, `sh`, `graph`, `status`, `cure`, `down`: labs that stay up for a learner. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { hasProgram, LabError, labEnvironment, missingPackages } from '../host.ts';
import { stopOnSignals } from '../interruption.ts';
import { CHOICES, chooseLab } from '../labs/index.ts';
import { findLeftovers, removeLab } from '../leftovers.ts';
import { Progress, type TextSink } from '../report.ts';
import { grade } from './grade.ts';
import { drawLab, drawLabAsSvg } from './graph.ts';
import type { LabChoice } from './kind.ts';
import { checkStandingName, isStanding, readState, readStates, type StandingState, writeState } from './state.ts';
import { describe, statusText } from './status.ts';
import { bringUp, PROGRAMS, take, takeDown } from './up.ts';
import { Visit } from './visit.ts';
import { LabUsageError, parseStandingWords, type StandingCommand, type StandingWord } from './words.ts';

interface Io {
  readonly stdout: TextSink;
  readonly stderr: TextSink;
}

interface Call {
  readonly command: StandingCommand;
  readonly io: Io;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** A lab that stands, with what it is. */
interface Standing {
  readonly state: StandingState;
  readonly choice: LabChoice;
  readonly visit: Visit;
}

export const FINDINGS_EXIT_CODE = 3;

const RUN: Readonly<Record<StandingWord, (call: Call) => Promise<number>>> = {
  up,
  check,
  hint,
  sh: shell,
  graph,
  status,
  cure,
  down,
};

/** Runs the words after `uipvs lab`. Resolves to the exit code; what a person can cause rejects as a LabError. */
export async function runStanding(argv: readonly string[], io: Io): Promise<number> {
  const command = parseStandingWords(argv);
  requireRoot(command.word);
  const stop = new AbortController();
  const release = stopOnSignals(stop);
  try {
    return await RUN[command.word]({ command, io, progress: new Progress(io.stderr), signal: stop.signal });
  } finally {
    release();
  }
}

/** The Debian and Ubuntu packages that `lab up` with these words still lacks here. */
export function missingForStanding(argv: readonly string[]): string[] {
  try {
    const { word, name } = parseStandingWords(argv);
    if (word !== 'up' || name === null) return [];
    return missingPackages([...PROGRAMS, ...(chooseLab(name).kind.programs ?? [])]);
  } catch {
    return [];
  }
}

function requireRoot(word: string): void {
  if (process.getuid?.() === 0) return;
  throw new LabError(
    `lab ${word} needs root: the namespaces of an ordinary user end with the command that made them. Use sudo, or uipvs lab run, which needs no root and removes everything at its end`,
  );
}

async function up({ command, io, progress, signal }: Call): Promise<number> {
  const choice = chooseLab(command.name as string);
  const name = checkStandingName(command.standAs ?? choice.name);
  for (const id of findLeftovers()) {
    progress.notice(`removing what lab ${id} left behind`);
    for (const complaint of await removeLab(id)) progress.notice(complaint);
  }
  progress.block(`\n${drawLab(choice.kind.topology)}\n`);
  const state = await bringUp(choice, name, progress, signal);
  io.stdout.write(`${upText(choice, state)}\n`);
  return 0;
}

function upText({ kind, fault, summary }: LabChoice, { name }: StandingState): string {
  const more = readStates().length > 1 ? ` ${name}` : '';
  const shellWords = readStates().length > 1 ? `--name ${name} ` : '';
  return [
    '',
    fault === null ? `The lab ${name} stands: ${summary}.` : `The lab ${name} stands, and something is wrong with it.`,
    ...(fault === null ? [] : ['', `  What users say: ${fault.symptom}`]),
    '',
    ...(fault === null ? ['Look around:'] : ['Find out why, and mend it:']),
    `  uipvs lab sh ${shellWords}director            a shell there; hosts: ${kind.topology.hosts.map((host) => host.name).join(', ')}`,
    `  uipvs lab check${more}${' '.repeat(Math.max(1, 20 - more.length))}${fault === null ? 'does it work?' : 'is it mended?'}`,
    `  uipvs lab hint${more}${' '.repeat(Math.max(1, 21 - more.length))}${fault === null ? 'what to try' : 'a hint, each clearer than the one before'}`,
    `  uipvs lab down${more}${' '.repeat(Math.max(1, 21 - more.length))}remove it`,
  ].join('\n');
}

async function check(call: Call): Promise<number> {
  const { state, choice, visit } = standing(call);
  const checks = choice.fault?.checks ?? choice.kind.checks;
  const graded = await grade(checks, visit, (done) => {
    if (!call.command.json)
      call.io.stdout.write(`${done.passed ? 'passed' : 'NOT   '}  ${done.item}\n        ${done.evidence}\n`);
  });
  const passed = graded.filter((item) => item.passed).length;
  const good = passed === graded.length;
  if (call.command.json) {
    call.io.stdout.write(`${JSON.stringify({ name: state.name, lab: state.lab, passed: good, items: graded })}\n`);
  } else call.io.stdout.write(`\n${verdict(choice, good)} ${passed} of ${graded.length} passed.\n`);
  return good ? 0 : FINDINGS_EXIT_CODE;
}

function verdict({ fault }: LabChoice, good: boolean): string {
  if (fault === null) return good ? 'The lab works.' : 'The lab does not work as it should.';
  return good ? 'Mended.' : 'Not mended yet (uipvs lab hint gives a hint).';
}

async function hint(call: Call): Promise<number> {
  const { state, choice } = standing(call);
  const hints = choice.fault?.hints ?? choice.kind.hints;
  const told = call.command.all ? hints.length : Math.min(state.hintsTold + 1, hints.length);
  writeState({ ...state, hintsTold: told });
  const shown = call.command.all ? hints : hints.slice(told - 1, told);
  if (call.command.json) {
    call.io.stdout.write(
      `${JSON.stringify({ name: state.name, lab: state.lab, told, of: hints.length, hints: shown })}\n`,
    );
    return 0;
  }
  const first = call.command.all ? 1 : told;
  call.io.stdout.write(shown.map((text, index) => `hint ${first + index} of ${hints.length}: ${text}\n`).join(''));
  return 0;
}

/** As on any host: the terminal, the exit code and Ctrl-C are the command's. */
async function shell(call: Call): Promise<number> {
  const { visit, state } = standing(call);
  const host = call.command.host as string;
  visit.host(host);
  const interactive = hasProgram('bash') ? ['bash', '--norc'] : ['sh'];
  const words =
    call.command.command.length > 0 ? call.command.command : ['env', `PS1=${state.name} ${host} # `, ...interactive];
  const [program, ...rest] = visit.onHost(host, words) as [string, ...string[]];
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, { stdio: 'inherit', env: labEnvironment(state.id) });
    const pass = () => child.kill('SIGTERM');
    call.signal.addEventListener('abort', () => setTimeout(pass, 1000).unref(), { once: true });
    child.on('error', (error) => reject(new LabError(`${words[0]} cannot be started: ${error.message}`)));
    child.on('close', (code) => resolve(code ?? 128));
  });
}

async function graph(call: Call): Promise<number> {
  const { choice } = standing(call);
  const { svg } = call.command;
  if (svg === null) {
    call.io.stdout.write(`${drawLab(choice.kind.topology)}\n`);
    return 0;
  }
  const text = drawLabAsSvg(choice.kind.topology, choice.name);
  if (svg === '-') call.io.stdout.write(text);
  else writeOrExplain(svg, text);
  return 0;
}

function writeOrExplain(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new LabError(`${file} cannot be written: ${(error as NodeJS.ErrnoException).code}`);
  }
}

async function status(call: Call): Promise<number> {
  const states = call.command.name === null ? readStates() : [noted(call.command.name)];
  const all = await Promise.all(states.map((state) => describe(state, choiceOf(state), call.signal)));
  if (call.command.json) call.io.stdout.write(`${JSON.stringify(all)}\n`);
  else if (all.length === 0) call.io.stdout.write('no lab stands; uipvs lab list shows what there is\n');
  else call.io.stdout.write(all.map(statusText).join('\n'));
  return 0;
}

async function cure(call: Call): Promise<number> {
  const { choice, visit } = standing(call);
  if (choice.fault === null) throw new LabError(`the lab ${choice.name} is not broken`);
  for (const step of choice.fault.cure) {
    call.io.stdout.write(`${step.on}# ${step.line}\n`);
    await take(visit, step);
  }
  return 0;
}

async function down(call: Call): Promise<number> {
  const { command, io } = call;
  const chosen = command.all ? readStates() : command.name === null ? onlyOne() : [noted(command.name)];
  const complaints: string[] = [];
  for (const state of chosen) {
    complaints.push(...(await takeDown(state)));
    io.stdout.write(`the lab ${state.name} was removed\n`);
  }
  for (const id of findLeftovers()) {
    complaints.push(...(await removeLab(id)));
    io.stdout.write(`what lab ${id} left behind was removed\n`);
  }
  if (chosen.length === 0) io.stdout.write('no lab stands\n');
  for (const complaint of complaints) io.stderr.write(`uipvs lab: ${complaint}\n`);
  return complaints.length === 0 ? 0 : 1;
}

/** The lab that is meant, if it is up. */
function standing({ command, signal }: Call): Standing {
  const [state] = command.name === null ? onlyOne() : [noted(command.name)];
  if (state === undefined)
    throw new LabError('no lab stands; build one with uipvs lab up LAB (uipvs lab list shows them)');
  if (!isStanding(state)) {
    throw new LabError(
      `the lab ${state.name} is no longer there, as after a restart of the machine; remove what is left with uipvs lab down ${state.name}`,
    );
  }
  if (state.phase !== 'up') throw new LabError(`the lab ${state.name} is still being built`);
  const choice = choiceOf(state);
  return { state, choice, visit: Visit.of(choice.kind.topology, state.id, signal) };
}

/** None or one; a LabUsageError when it is not clear which. */
function onlyOne(): StandingState[] {
  const all = readStates();
  if (all.length <= 1) return all;
  throw new LabUsageError(`several labs stand, so give a name: ${all.map((state) => state.name).join(', ')}`);
}

function noted(name: string): StandingState {
  checkStandingName(name);
  const state = readState(name);
  if (state !== null) return state;
  const names = readStates().map((each) => each.name);
  throw new LabError(
    `no lab stands under the name ${name}${names.length === 0 ? '; build one with uipvs lab up LAB' : `; there is: ${names.join(', ')}`}`,
  );
}

/** What it was built as; another version of this program may know other labs. */
function choiceOf(state: StandingState): LabChoice {
  return chooseLab(state.lab);
}

/** For `lab list`. */
export function listLabs(): string {
  const width = Math.max(...CHOICES.map(({ name }) => name.length));
  const line = ({ name, summary }: LabChoice) => `  ${name.padEnd(width)}  ${summary}\n`;
  const working = CHOICES.filter(({ fault }) => fault === null).map(line);
  const broken = CHOICES.filter(({ fault }) => fault !== null).map(line);
  return `Labs that stay up (uipvs lab up NAME):\n${working.join('')}\nBroken ones, by what users say:\n${broken.join('')}`;
}
