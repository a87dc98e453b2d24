/**
 * What health checks cost: 1 000 checks a second of 1 000 different addresses of this machine's loopback network,
 * with real sockets, by the runner and the checkers of uldirectord. And how soon the death of half of twenty servers is
 * noticed. The servers are another process, so the figures are those of the checking alone. Prints Markdown.
 * `--seconds N`: how long each kind is measured, 15 unless said.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { CheckTarget } from '../src/health/checker.ts';
import { CHECKERS } from '../src/health/checkers/index.ts';
import { systemClock } from '../src/health/clock.ts';
import { type Health, judge, UNKNOWN } from '../src/health/monitor.ts';
import { CheckRunner } from '../src/health/runner.ts';

const CHECKS_PER_SECOND = 1_000;
const WARM_UP_MS = 5_000;
const KINDS = ['connect', 'http', 'ping'] as const;
const INTERVAL_MS = 2_000;
const TIMEOUT_MS = 3_000;
const SERVERS = 20;
const KILLED = 10;

if (process.argv[2] === 'serve') serve();
else await measureAll();

/** Answers everybody on every loopback address; `silence N` and `close N` are for the first N of the single servers. */
function serve(): void {
  const everywhere = createServer((_, response) => response.end('well'));
  const silent = new Set<Server>();
  const single: Server[] = [];
  for (let index = 0; index < SERVERS; index++) {
    const server = createServer((_, response) => {
      if (!silent.has(server)) response.end('well');
    });
    single.push(server.listen(0, addressOf(2, index)));
  }
  process.on('message', () => {
    for (const [index, server] of single.slice(0, KILLED).entries()) {
      if (index % 2 === 0) silent.add(server);
      else server.close();
    }
    process.send?.('killed');
  });
  everywhere.listen(0, '0.0.0.0', () => {
    process.send?.([everywhere, ...single].map((server) => (server.address() as AddressInfo).port));
  });
}

function addressOf(network: number, index: number): string {
  return `127.${network}.${Math.floor(index / 250)}.${(index % 250) + 1}`;
}

async function measureAll(): Promise<void> {
  const secondsAt = process.argv.indexOf('--seconds');
  const seconds = secondsAt < 0 ? 15 : Number(process.argv[secondsAt + 1]);
  const servers = fork(fileURLToPath(import.meta.url), ['serve']);
  const [port, ...ports] = (await messageFrom(servers)) as number[];
  try {
    console.log('| check   | checks/s | failed | CPU of one core | heap growth | RSS | RSS growth |');
    console.log('| ------- | -------: | -----: | --------------: | ----------: | --: | ---------: |');
    for (const kind of KINDS) console.log(await measure(kind, port, seconds));
    console.log(await timeDeaths(servers, ports));
  } finally {
    servers.disconnect();
    servers.kill();
  }
}

function messageFrom(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve) => child.once('message', resolve));
}

function targetOf(kind: (typeof KINDS)[number], address: string, port: number, timeoutMs: number): CheckTarget {
  const target = { address, port: kind === 'ping' ? 0 : port, timeoutMs };
  return kind === 'http' ? { ...target, url: `http://${address}:${port}/` } : target;
}

async function measure(kind: (typeof KINDS)[number], port: number, seconds: number): Promise<string> {
  const refusal = await CHECKERS[kind].refusal?.();
  if (refusal) return `| ${kind} | not possible here: ${refusal} |`;
  const checker = CHECKERS[kind].create();
  const runner = new CheckRunner({ clock: systemClock, random: Math.random });
  let made = 0;
  let failed = 0;
  const listener = ({ healthy }: { readonly healthy: boolean }): void => {
    made += 1;
    if (!healthy) failed += 1;
  };
  runner.start(
    Array.from({ length: CHECKS_PER_SECOND }, (_, index) => ({
      checker,
      target: targetOf(kind, addressOf(1, index), port, TIMEOUT_MS),
      // Jitter shortens an interval by 2.5 % on average.
      intervalMs: 1_026,
      lane: kind,
      concurrencyMax: CHECKERS[kind].concurrencyMax,
      listener,
    })),
  );
  await pause(WARM_UP_MS);
  made = 0;
  failed = 0;
  const before = memory();
  const processor = process.cpuUsage();
  const startedMs = performance.now();
  await pause(seconds * 1_000);
  const elapsedMs = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(processor);
  const after = memory();
  runner.stop();
  checker.close?.();
  const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const cells = [
    kind.padEnd(7),
    Math.round((made / elapsedMs) * 1_000),
    failed,
    `${((user + system) / 10 / elapsedMs).toFixed(1)} %`,
    mebibytes(after.heapUsed - before.heapUsed),
    mebibytes(after.rss),
    mebibytes(after.rss - before.rss),
  ];
  return `| ${cells.join(' | ')} |`;
}

function memory(): NodeJS.MemoryUsage {
  globalThis.gc?.();
  return process.memoryUsage();
}

/** Half of those that die fall silent, half refuse. */
async function timeDeaths(servers: ChildProcess, ports: readonly number[]): Promise<string> {
  const checker = CHECKERS.http.create();
  const runner = new CheckRunner({ clock: systemClock, random: Math.random });
  const downAtMs = new Map<number, number>();
  const states = new Map<number, Health>();
  runner.start(
    ports.map((port, index) => ({
      checker,
      target: targetOf('http', addressOf(2, index), port, TIMEOUT_MS),
      intervalMs: INTERVAL_MS,
      lane: 'http',
      concurrencyMax: CHECKERS.http.concurrencyMax,
      listener: (result) => {
        const { health, events } = judge(states.get(index) ?? UNKNOWN, result, 1);
        states.set(index, health);
        if (events.some(({ type }) => type === 'down')) downAtMs.set(index, performance.now());
      },
    })),
  );
  await pause(2 * INTERVAL_MS);
  servers.send('kill');
  await messageFrom(servers);
  const killedMs = performance.now();
  while (downAtMs.size < KILLED && performance.now() - killedMs < 10 * (INTERVAL_MS + TIMEOUT_MS)) await pause(10);
  runner.stop();
  const afterSeconds = [...downAtMs.values()].map((atMs) => (atMs - killedMs) / 1_000).sort((a, b) => a - b);
  const list = afterSeconds.map((each) => each.toFixed(2)).join(', ');
  return (
    `\n${KILLED} of ${SERVERS} servers died at once, half of them silent (interval ${INTERVAL_MS / 1_000} s, timeout ` +
    `${TIMEOUT_MS / 1_000} s): ${downAtMs.size} were noticed, after ${list} s.`
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
