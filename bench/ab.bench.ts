/**
 * Requests a second with Apache's `ab`: straight to one server, through HAProxy in TCP mode with one thread, and
 * through uipvs with each of its I/O back ends. Every way has a network of its own; the ways take turns round by
 * round in one run, so that what else the machine does hits all alike. Prints a Markdown table and writes JSON to
 * bench/results/ab.json. Options: --rounds 7 --requests 5000 --concurrency 20.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { directorConfiguration } from '../src/lab/configuration.ts';
import { Director } from '../src/lab/director.ts';
import { LabError, requirePrograms, waitFor } from '../src/lab/host.ts';
import { Lab } from '../src/lab/run.ts';
import { startServers } from '../src/lab/servers.ts';
import { SERVER_ADDRESSES, tutorialTopology, VIRTUAL_ADDRESS } from '../src/lab/topology.ts';
import { runTraffic } from '../src/lab/traffic.ts';

const HAPROXY = `global
  nbthread 1
  maxconn 4096
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend web
  bind ${VIRTUAL_ADDRESS}:80
  default_backend servers
backend servers
  balance roundrobin
${SERVER_ADDRESSES.map((address, index) => `  server rs${index + 1} ${address}:80`).join('\n')}
`;

/** One way from the client to a web server. */
interface Way {
  readonly name: string;
  /** Where `ab` sends its requests. */
  readonly address: string;
  /** Starts what stands between client and servers. */
  readonly start: (lab: Lab, signal: AbortSignal) => Promise<void>;
}

function throughUipvs(io: string): Way {
  const start = async (lab: Lab, signal: AbortSignal) => {
    const director = new Director(lab, signal);
    const onEnd = (how: string) => stop.abort(new LabError(`uipvsd ${how} during the benchmark`));
    await director.startDaemon(['--io', io, '--snat', 'masquerade'], onEnd);
    await director.startHealthChecks(directorConfiguration('fullnat', 'rr'));
    await director.waitForServers(SERVER_ADDRESSES);
  };
  return { name: `uipvs, full NAT, ${io}`, address: VIRTUAL_ADDRESS, start };
}

const WAYS: readonly Way[] = [
  { name: 'straight to one server', address: SERVER_ADDRESSES[0], start: async () => {} },
  {
    name: 'HAProxy, TCP, one thread',
    address: VIRTUAL_ADDRESS,
    start: async (lab, signal) => {
      writeFileSync(lab.path('haproxy.cfg'), HAPROXY);
      lab.startLogged(lab.director, ['haproxy', '-db', '-f', lab.path('haproxy.cfg')], 'haproxy');
      const answers = async () => {
        const { code } = await lab.run(lab.client, ['ab', '-n', '1', `http://${VIRTUAL_ADDRESS}:80/`]);
        return code === 0 ? true : null;
      };
      const answer = await waitFor(answers, { timeoutMs: 5000, everyMs: 100, signal });
      if (answer === null)
        throw new LabError(`HAProxy did not start: ${readFileSync(lab.path('log/haproxy.log'), 'utf8')}`);
    },
  },
  throughUipvs('packet-mmsg'),
  throughUipvs('pcap'),
];

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    requests: { type: 'string', default: '5000' },
    concurrency: { type: 'string', default: '20' },
  },
});
const [rounds, requests, concurrency] = [values.rounds, values.requests, values.concurrency].map(Number);

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => stop.abort(new LabError(`stopped by ${signal}`)));
}

/** Requests a second of every round, way by way. The first round warms up and is not counted. */
async function measure(labs: readonly Lab[]): Promise<number[][]> {
  const rates: number[][] = WAYS.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [index, way] of WAYS.entries()) {
      const traffic = { url: `http://${way.address}:80/`, requests, concurrency, expectLoss: false };
      const result = await runTraffic(labs[index], { ...traffic, signal: stop.signal, onLoss: () => {} });
      if (result.failed > 0) throw new LabError(`${way.name}: ${result.failed} requests failed`);
      if (round > 0) rates[index].push(result.requestsPerSecond);
    }
    process.stderr.write(round === 0 ? 'warmed up\n' : `round ${round} of ${rounds}\n`);
  }
  return rates;
}

function report(rates: readonly number[][]): void {
  const medians = rates.map(median);
  const rows = WAYS.map((way, index) => ({
    way: way.name,
    requestsPerSecond: Math.round(medians[index]),
    lowest: Math.round(Math.min(...rates[index])),
    highest: Math.round(Math.max(...rates[index])),
    toStraight: medians[index] / medians[0],
    toHaproxy: medians[index] / medians[1],
  }));
  console.log('| way | requests/s (median) | lowest..highest | to straight | to HAProxy |');
  console.log('| --- | ---: | ---: | ---: | ---: |');
  for (const row of rows) {
    const ratios = `${row.toStraight.toFixed(2)} | ${row.toHaproxy.toFixed(2)}`;
    console.log(`| ${row.way} | ${row.requestsPerSecond} | ${row.lowest}..${row.highest} | ${ratios} |`);
  }
  const machine = {
    node: process.version,
    kernel: release(),
    processors: cpus().length,
    model: cpus()[0]?.model ?? '',
  };
  mkdirSync('bench/results', { recursive: true });
  writeFileSync(
    'bench/results/ab.json',
    `${JSON.stringify({ machine, rounds, requests, concurrency, rows, rates }, null, 2)}\n`,
  );
}

const labs: Lab[] = [];
try {
  requirePrograms(['ip', 'nft', 'ab', 'sysctl', 'mount', 'haproxy']);
  for (const way of WAYS) {
    const lab = new Lab(tutorialTopology('fullnat'), stop.signal);
    labs.push(lab);
    await lab.build();
    await startServers(lab, stop.signal);
    await way.start(lab, stop.signal);
  }
  report(await measure(labs));
} catch (error) {
  if (!(error instanceof LabError)) throw error;
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
} finally {
  for (const lab of labs) await lab.close();
}
