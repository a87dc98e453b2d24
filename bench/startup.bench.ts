/**
 * What one `uipvsadm` costs. Wall time and CPU time of `uipvsadm -Ln` against `node -e 0` and `bash -c :`, which take
 * turns, so that what else the machine does hits all alike; then `-R` of many services and `-Lnc` of many connections.
 * The daemon's part is an engine in this process, behind a real socket. Prints Markdown.
 * Options: --rounds 15 --services 1000 --connections 1000000 --node PATH (another Node for the programs).
 */
import { type SpawnOptions, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startDaemon } from '../src/control/daemon.ts';
import { InProcessDataPlane } from '../src/data-plane/in-process.ts';
import { createEngine, establish } from './flows.ts';

const PROGRAM = join(import.meta.dirname, '../src/bin/uipvsadm.js');
const PROCESSES_A_ROUND = 4;
/** Clock ticks a second in /proc (USER_HZ). */
const TICKS_PER_SECOND = 100;

interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
}

interface Command {
  readonly name: string;
  readonly words: readonly [string, ...string[]];
  readonly environment: NodeJS.ProcessEnv;
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' },
    services: { type: 'string', default: '1000' },
    connections: { type: 'string', default: '1000000' },
    node: { type: 'string', default: process.execPath },
  },
});
const [rounds, services, connections] = [values.rounds, values.services, values.connections].map(Number) as [
  number,
  number,
  number,
];

const directory = mkdtempSync(join(tmpdir(), 'uipvs-bench-'));
const socket = join(directory, 'api.sock');
const engine = createEngine(connections);
const started = performance.now();
const daemon = await startDaemon(
  new InProcessDataPlane({
    engine,
    capabilities: {
      name: 'packet engine in the benchmark',
      families: ['ipv4'],
      protocols: ['tcp', 'udp'],
      methods: ['masquerade', 'direct'],
      schedulers: ['rr'],
      fullNat: true,
      persistence: false,
      persistenceEngines: false,
      wildcards: false,
      marks: false,
      sync: false,
    },
    // The connections must not run out while they are listed.
    nowMs: () => Math.floor((performance.now() - started) / 100),
  }),
  {
    socket,
    lockName: `uipvs-bench-${process.pid}`,
    logger: { debug: () => {}, info: () => {}, warn: console.error, error: console.error },
  },
);
try {
  await startUp();
  await manyConnections();
  await manyServices();
} finally {
  await daemon.close();
  rmSync(directory, { recursive: true, force: true });
}

/** Median costs of each command, and how they compare. */
async function startUp(): Promise<void> {
  const { node } = values;
  const commands: Command[] = [
    { name: '`bash -c :`', words: ['bash', '-c', ':'], environment: {} },
    { name: '`node -e 0`', words: [node, '-e', '0'], environment: {} },
    { name: '`uipvsadm -Ln`', words: [node, PROGRAM, '-Ln'], environment: { NODE_DISABLE_COMPILE_CACHE: '1' } },
    {
      name: '`uipvsadm -Ln`, compiled code kept',
      words: [node, PROGRAM, '-Ln'],
      environment: { NODE_COMPILE_CACHE: join(directory, 'compiled') },
    },
  ];
  const costs = commands.map((): Cost[] => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [index, command] of commands.entries()) {
      const cost = await costOf(command);
      if (round > 0) costs[index]!.push(cost); // The first round warms up.
    }
  }
  const version = (await run([node, '--version'], {})).stdout.trim();
  print(`Node ${version}, medians of ${rounds} rounds of ${PROCESSES_A_ROUND} processes\n`);
  print('| command | wall, ms | CPU, ms | CPU / `node -e 0` |\n| --- | ---: | ---: | ---: |');
  const base = median(costs[1]!.map(({ cpuMs }) => cpuMs));
  for (const [index, { name }] of commands.entries()) {
    const wall = median(costs[index]!.map(({ wallMs }) => wallMs));
    const cpu = median(costs[index]!.map(({ cpuMs }) => cpuMs));
    print(`| ${name} | ${wall.toFixed(1)} | ${cpu.toFixed(1)} | ${(cpu / base).toFixed(2)} |`);
  }
}

async function manyConnections(): Promise<void> {
  establish(engine, connections);
  const shell = `exec "$@" > ${join(directory, 'listing')}`;
  const words = ['sh', '-c', shell, 'sh', values.node, '--require', peakReporter(), PROGRAM, '-Lnc'] as const;
  const { stderr, wallMs } = await run(words, {});
  const listing = readFileSync(join(directory, 'listing'), 'latin1');
  const lines = listing.split('\n').length - 1;
  if (lines !== connections + 2) throw new Error(`${lines} lines came for ${connections} connections: ${stderr}`);
  const peakMb = Number(/VmHWM:\s*(\d+) kB/.exec(stderr)?.[1]) / 1024;
  print(
    `\n\`uipvsadm -Lnc\`, ${connections} connections: ${(wallMs / 1000).toFixed(1)} s, at most ${peakMb.toFixed(0)} MiB`,
  );
}

/** A file that tells at the end how much memory the process had at most. getrusage(2) would count its parent's too. */
function peakReporter(): string {
  const file = join(directory, 'peak.cjs');
  const read = "/VmHWM:.*/.exec(require('node:fs').readFileSync('/proc/self/status', 'utf8'))[0]";
  writeFileSync(file, `process.on('exit', () => process.stderr.write(${read}));`);
  return file;
}

async function manyServices(): Promise<void> {
  let input = '-C\n';
  for (let service = 0; service < services; service++) {
    const address = `10.8.${service >> 8}.${service & 255}:80`;
    input += `-A -t ${address} -s rr\n`;
    for (let server = 1; server <= 10; server++) input += `-a -t ${address} -r 10.1.0.${server}:8080 -m -w 1\n`;
  }
  const { wallMs, stderr } = await run([values.node, PROGRAM, '-R'], {}, input);
  const listing = await run([values.node, PROGRAM, '-Ln'], {});
  const lines = listing.stdout.split('\n').length - 1;
  if (lines !== services * 11 + 3) throw new Error(`the table has ${lines} lines: ${stderr}`);
  print(`\n\`uipvsadm -R\`, ${services} services with 10 servers each: ${(wallMs / 1000).toFixed(2)} s`);
}

/** The cost of one process, from several, since CPU time is told in ticks of 10 ms. */
async function costOf({ words, environment }: Command): Promise<Cost> {
  const cpuBefore = childCpuMs();
  let wallMs = 0;
  for (let i = 0; i < PROCESSES_A_ROUND; i++) wallMs += (await run(words, environment)).wallMs;
  return { wallMs: wallMs / PROCESSES_A_ROUND, cpuMs: (childCpuMs() - cpuBefore) / PROCESSES_A_ROUND };
}

/** CPU time of all children that have ended: `cutime` and `cstime` of proc_pid_stat(5). */
function childCpuMs(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return ((Number(fields[13]) + Number(fields[14])) * 1000) / TICKS_PER_SECOND;
}

interface Ran {
  readonly stdout: string;
  readonly stderr: string;
  readonly wallMs: number;
}

/** Rejects when it does not end with 0. */
function run(
  [file, ...words]: readonly [string, ...string[]],
  environment: NodeJS.ProcessEnv,
  input = '',
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const options: SpawnOptions = { env: { ...process.env, UIPVS_SOCKET: socket, ...environment }, stdio: 'pipe' };
    const before = performance.now();
    const child = spawn(file, words, options);
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (data) => {
      stdout += data;
    });
    child.stderr?.on('data', (data) => {
      stderr += data;
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
    child.once('error', reject);
    child.once('close', (code) => {
      const wallMs = performance.now() - before;
      if (code === 0) resolve({ stdout, stderr, wallMs });
      else reject(new Error(`${file} ${words.join(' ')} ended with ${code}: ${stderr}`));
    });
  });
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
