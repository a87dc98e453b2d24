/** `uipvs compare A B`: the same commands and connections over two data planes, and where they differ. */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { differenceText, findDifferences } from '../compare/differences.ts';
import { type Observation, playOver } from '../compare/play.ts';
import { parseScript, ScriptError, type ScriptLine } from '../compare/script.ts';
import { SHIPPED_SCRIPT } from '../compare/shipped-script.ts';
import { LabError, LabInterrupted, requirePrograms } from '../lab/host.ts';
import { stopOnSignals } from '../lab/interruption.ts';
import { type CommandDescription, type Output, readOptions, USAGE_EXIT_CODE } from './command-line.ts';
import { ProgressLine } from './progress-line.ts';

export interface CompareIo extends Output {
  /** Standard error is a terminal: progress is shown there. */
  readonly isTty?: boolean;
  /** Names of the data planes there are. */
  readonly dataPlanes: readonly string[];
}

const FAILURE_EXIT_CODE = 1;
const DIFFERENT_EXIT_CODE = 3;

const DESCRIPTION: CommandDescription = {
  name: 'uipvs compare',
  summary: 'ask the same of two data planes, in networks of their own, and show where they differ',
  operands: '[DATA_PLANE...]',
  options: [
    { flags: '--script <file>', description: 'play this file instead of the script that comes with uipvs' },
    { flags: '--show-script', description: 'print the script that comes with uipvs; plays nothing' },
    { flags: '--json', description: 'print JSON' },
  ],
  notes: `DATA_PLANE is packet, kernel, macvtap or proxy; name two. Each gets a network like that of \`uipvs lab --mode
masq\`: a client, a director with 192.168.1.120 and three servers, in namespaces that are removed afterwards. Needs root.

A script has a step a line; # begins a comment:
  ipvsadm WORDS              what it prints, and its exit code
  tcp ADDRESS:PORT [COUNT]   connections one after the other: who answered each
  udp ADDRESS:PORT [COUNT]   the same with datagrams
  set NAME=VALUE             a setting of net.ipv4.vs, and what it is afterwards
  wait SECONDS               counters are as of a tick every two seconds

Left out of what is compared: when connections run out, their order in a listing, and explanations that only one of the
data planes gives. Keys of --json: first, second, steps, differences (line, step, first, second).

Exit codes: 0 no difference, 1 something failed, 2 the words or the script were not understood, 3 they differ.`,
};

/** Resolves to the exit code. */
export async function runCompare(argv: readonly string[], io: CompareIo): Promise<number> {
  const options: Readonly<Record<string, unknown>> = await readOptions(DESCRIPTION, argv, io);
  if (typeof options['exitCode'] === 'number') return options['exitCode'];
  if (options['showScript']) {
    await io.stdout(SHIPPED_SCRIPT);
    return 0;
  }
  try {
    const names = readNames(options['operands'] as readonly string[], io.dataPlanes);
    const script = parseScript(readScript(options['script'] as string | undefined));
    return await compare(names, script, options['json'] === true, io);
  } catch (error) {
    const code = exitCodeOf(error);
    if (code === null) throw error;
    await io.stderr(`uipvs compare: ${(error as Error).message}\n`);
    return code;
  }
}

function exitCodeOf(error: unknown): number | null {
  if (error instanceof ScriptError) return USAGE_EXIT_CODE;
  if (error instanceof LabInterrupted) return 128 + constants.signals[error.signal];
  return error instanceof LabError ? FAILURE_EXIT_CODE : null;
}

function readNames(operands: readonly string[], dataPlanes: readonly string[]): readonly [string, string] {
  const [first, second, ...more] = operands;
  if (first === undefined || second === undefined || more.length > 0) {
    throw new ScriptError(`name two data planes: uipvs compare packet kernel (there is: ${dataPlanes.join(', ')})`);
  }
  for (const name of [first, second]) {
    if (!dataPlanes.includes(name)) {
      throw new ScriptError(`there is no data plane "${name}"; there is: ${dataPlanes.join(', ')}`);
    }
  }
  return [first, second];
}

function readScript(file: string | undefined): string {
  if (file === undefined) return SHIPPED_SCRIPT;
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new ScriptError(`${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

async function compare(
  names: readonly [string, string],
  script: readonly ScriptLine[],
  json: boolean,
  io: CompareIo,
): Promise<number> {
  if (process.getuid?.() !== 0) throw new LabError(`needs root: sudo uipvs compare ${names.join(' ')}`);
  requirePrograms(['ip', 'mount', 'sysctl']);
  const stop = new AbortController();
  const release = stopOnSignals(stop);
  const progress = new ProgressLine(io);
  try {
    const seen: Observation[][] = [];
    for (const name of names) {
      const onStep = ({ text }: ScriptLine) => void progress.show(`${name}: ${text}`);
      const onComplaint = (complaint: string) => void io.stderr(`uipvs compare: ${complaint}\n`);
      seen.push(await playOver(name, script, { signal: stop.signal, onStep, onComplaint }));
    }
    await progress.clear();
    const differences = findDifferences(script, seen[0] as Observation[], seen[1] as Observation[]);
    const [first, second] = names;
    if (json) await io.stdout(`${JSON.stringify({ first, second, steps: script.length, differences }, null, 2)}\n`);
    else {
      for (const difference of differences) await io.stdout(`${differenceText(difference, names)}\n`);
      const found = differences.length === 0 ? 'no difference' : `${differences.length} steps differ`;
      await io.stdout(`${first} and ${second}: ${script.length} steps, ${found}\n`);
    }
    return differences.length === 0 ? 0 : DIFFERENT_EXIT_CODE;
  } finally {
    await progress.clear();
    release();
  }
}
