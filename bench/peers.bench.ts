/**
 * `npm run bench`: uipvs beside HAProxy, nginx, pen, the kernel's own address translation and plain routing, in one
 * run, in turns. How it is measured: bench/README.md.
 */
import { setMaxListeners } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { LabError, LabInterrupted, requirePrograms } from '../src/lab/host.ts';
import { IpvsError } from '../src/model/errors.ts';
import { describeMachine } from './machine.ts';
import { ArgumentError, type BenchOptions, helpText, readArguments } from './peers/arguments.ts';
import { drawPictures } from './peers/chart.ts';
import { evaluateGoals } from './peers/goals.ts';
import { MEASUREMENTS } from './peers/measurements/index.ts';
import type { Peer } from './peers/peer.ts';
import { findPeers } from './peers/peers.ts';
import { Progress } from './peers/progress.ts';
import { formatReport } from './peers/report.ts';
import type { BenchResults } from './peers/results.ts';
import { runBenchmark } from './peers/run.ts';

const RESULTS = 'bench/results';

try {
  const peers = await findPeers();
  const command = readArguments(
    process.argv.slice(2),
    MEASUREMENTS.map(({ name }) => name),
    peers.map(({ name }) => name),
  );
  if (command.word === 'help') process.stdout.write(helpText(MEASUREMENTS, peers));
  else await bench(command.options, peers);
} catch (error) {
  process.exitCode = exitCodeFor(error);
}

function exitCodeFor(error: unknown): number {
  if (!(error instanceof Error)) throw error;
  if (error instanceof LabInterrupted) {
    process.stderr.write(`bench: ${error.message}; everything was removed.\n`);
    return 128 + constants.signals[error.signal];
  }
  if (error instanceof ArgumentError) {
    process.stderr.write(`bench: ${error.message}\n`);
    return 2;
  }
  if (!(error instanceof LabError)) throw error;
  process.stderr.write(`bench: ${error.message}\n`);
  return 1;
}

async function bench(options: BenchOptions, peers: readonly Peer[]): Promise<void> {
  if (process.getuid?.() !== 0) throw new LabError('it makes network namespaces: run it as root (sudo npm run bench)');
  requirePrograms(['ip', 'nft', 'ss', 'ab', 'iperf3', 'nginx', 'taskset', 'timeout', 'sysctl', 'mount']);
  const stop = new AbortController();
  // Every peer listens, and there are more of them than Node takes for a leak.
  setMaxListeners(0, stop.signal);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => stop.abort(new LabInterrupted(signal)));
  }
  const progress = new Progress(process.stderr);
  const { only, peers: chosen } = options;
  const run = runBenchmark({
    peers: chosen === null ? peers : peers.filter(({ name }) => chosen.includes(name)),
    measurements: only === null ? MEASUREMENTS : MEASUREMENTS.filter(({ name }) => only.includes(name)),
    rounds: options.rounds,
    seconds: options.seconds,
    profile: options.profile && only === null,
    progress,
    signal: stop.signal,
  });
  const outcome = await run.finally(() => progress.end());
  // What `uipvsd` takes when nothing is said: the first back end that works.
  const ours = peers.find(({ group, absent }) => group === 'uipvs' && absent === null)?.name ?? 'uipvs';
  const results: BenchResults = {
    machine: describeMachine(),
    conditions: outcome.conditions,
    rounds: options.rounds,
    ours,
    peers: outcome.peers,
    goals: evaluateGoals(outcome.peers, ours),
    profile: outcome.profile,
  };
  const kind = only !== null || chosen !== null ? 'part' : options.quick ? 'quick' : 'peers';
  await store(kind, results);
  const report = `${formatReport(results)}\n\nStored as ${RESULTS}/${kind}.json and ${RESULTS}/${kind}-*.svg.\n`;
  (options.json ? process.stderr : process.stdout).write(report);
  if (options.json) process.stdout.write(`${JSON.stringify(results)}\n`);
  if (results.peers.every(({ figures }) => Object.keys(figures).length === 0)) process.exitCode = 1;
}

async function store(kind: string, results: BenchResults): Promise<void> {
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(`${RESULTS}/${kind}.json`, `${JSON.stringify(results, null, 2)}\n`);
  try {
    for (const [name, svg] of Object.entries(await drawPictures(results.peers, results.profile))) {
      writeFileSync(`${RESULTS}/${kind}-${name}.svg`, svg);
    }
  } catch (error) {
    // The figures are there all the same.
    if (!(error instanceof IpvsError)) throw error;
    process.stderr.write(`bench: ${error.message}\n`);
  }
}
