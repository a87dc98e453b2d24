/** Name servers behind a UDP service: dnsmasq, asked by dnsperf, with and without one-packet scheduling. */
import { writeFileSync } from 'node:fs';
import { ADDRESSES } from '../addresses.ts';
import { serviceConfiguration } from '../configuration.ts';
import { LabError } from '../host.ts';
import type { RunLabOptions } from '../options.ts';
import { watched } from '../requests.ts';
import { type LoggingProgram, startLoggingServers } from '../servers.ts';
import { LAB_MODES, type LabTopology, tutorialTopology } from '../topology.ts';
import type { TrafficResult } from '../traffic.ts';
import type { ScenarioKind, ScenarioRun } from './kind.ts';

const DNS_PORT = 53;
const NAME = 'www.lab.example';
const QUERY_TIMEOUT_SECONDS = 5;

const DNSMASQ: LoggingProgram = {
  command: ({ port }) => [
    ...['dnsmasq', '--no-daemon', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--log-queries'],
    ...[`--port=${port}`, `--address=/${NAME}/${ADDRESSES.ipv4.virtual}`],
  ],
  socket: '-u',
  log: (server) => `log/${server.name}.log`,
  served: /: query\[A\] /g,
};

export const dns: ScenarioKind = {
  name: 'dns',
  summary: 'three name servers (dnsmasq) behind UDP port 53, asked by dnsperf; --ops sends every query by itself',
  // A name server that answers from the address it was asked at needs nobody to translate its reply.
  modes: ['dr', ...LAB_MODES.filter((mode) => mode !== 'dr')],
  families: ['ipv4', 'ipv6'],
  requests: 300,
  concurrency: 20,
  breakable: false,
  client: 'dnsperf',
  connectionPerRequest: ({ onePacket }) => onePacket,
  programs: ['ss', 'dnsmasq', 'dnsperf'],
  topology: topologyOf,
  configuration: (options) =>
    serviceConfiguration(topologyOf(options), {
      scheduler: options.scheduler,
      protocol: 'udp',
      // ldirectord has no other check without a query that works for both families.
      checktype: options.family === 'ipv6' ? 'on' : 'ping',
      more: options.onePacket ? ['ops=yes'] : [],
    }),
  healthChecks: 'uldirectord',
  startServers: (lab, signal) => startLoggingServers(lab, DNSMASQ, signal),
  send: (run) => watched(run, () => ask(run)),
  remarks: (result, options) => [
    options.onePacket
      ? 'With --ops every query was scheduled by itself, though they came from few ports of the client.'
      : `All queries of one port of the client are one connection and stay with one server: ${options.concurrency} ports.`,
    ...(result.mode === 'dr' || result.mode === 'tun'
      ? ['The servers answered the client themselves, from the virtual address: nothing had to be translated back.']
      : []),
  ],
};

function topologyOf({ mode, family }: RunLabOptions): LabTopology {
  return tutorialTopology(mode, { family, port: DNS_PORT, fallback: false });
}

/** dnsperf keeps one socket for each of its clients, so there are as many source ports as clients. */
async function ask({ lab, options, progress, signal }: ScenarioRun): Promise<TrafficResult> {
  const { requests, concurrency } = options;
  const queries = lab.path('queries');
  writeFileSync(queries, `${NAME} A\n`.repeat(requests));
  const words = ['dnsperf', '-s', lab.topology.virtualAddress, '-p', String(DNS_PORT), '-d', queries];
  const pace = ['-c', String(concurrency), '-T', '1', '-n', '1', '-t', String(QUERY_TIMEOUT_SECONDS)];
  progress.step(`client: dnsperf -s ${lab.topology.virtualAddress} with ${requests} queries from ${concurrency} ports`);
  const { code, stdout, stderr } = await lab.run(lab.client, [...words, ...pace], { signal });
  const result = parseDnsperf(stdout);
  if (code !== 0 || result === null)
    throw new LabError(`dnsperf ended with ${code}: ${stderr.trim() || stdout.trim()}`);
  return { ...result, requests, failed: requests - result.answered };
}

/** Reads what `dnsperf` prints; `null` when it is not that. Only answers without an error count as answered. */
export function parseDnsperf(
  stdout: string,
): { readonly answered: number; readonly seconds: number; readonly requestsPerSecond: number } | null {
  const number = (pattern: RegExp) => {
    const found = pattern.exec(stdout)?.[1];
    return found === undefined ? null : Number(found);
  };
  const answered = number(/^ *Response codes: .*NOERROR (\d+)/m) ?? 0;
  const seconds = number(/^ *Run time \(s\): +([\d.]+)/m);
  const rate = number(/^ *Queries per second: +([\d.]+)/m);
  if (seconds === null || rate === null) return null;
  return { answered, seconds, requestsPerSecond: Math.round(rate * 100) / 100 };
}
