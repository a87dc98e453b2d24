/** One run of a lab from the empty host to the result; taking it down is the caller's part. */
import { Capture } from './capture.ts';
import { directorConfiguration } from './configuration.ts';
import { Director, packageProgram, parseTableConnections } from './director.ts';
import { LabError, requirePrograms, waitFor } from './host.ts';
import type { PowerStep, RunLabOptions } from './options.ts';
import { namespaceName, planChecksums, planServerPower } from './plan.ts';
import { drawTopology, formatPassing, type LabResult, type Progress } from './report.ts';
import type { Lab } from './run.ts';
import { type RunningServer, servedInAll, servedSoFar, startServers } from './servers.ts';
import { type LabHost, SERVER_ADDRESSES } from './topology.ts';
import { runTraffic, type TrafficResult } from './traffic.ts';

/** The table's counters lag two seconds behind; a little more for slow machines. */
const STATISTICS_TIMEOUT_MS = 6000;
const WATCH_INTERVAL_MS = 200;

/** Throws a LabError when a program that this run needs is missing. */
export function requireProgramsFor(options: RunLabOptions): void {
  const forCapture = options.capture === null ? [] : ['tcpdump', 'ethtool'];
  requirePrograms(['ip', 'nft', 'ab', 'sysctl', 'mount', ...forCapture]);
}

export interface ScenarioContext {
  readonly lab: Lab;
  readonly options: RunLabOptions;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Called when uipvsd ends while it should not. */
  readonly onDaemonEnd: (how: string) => void;
}

export interface ScenarioOutcome {
  readonly result: LabResult;
  /** `ipvsadm -Ln --stats` at the end, as it is. */
  readonly statistics: string;
  readonly director: Director;
}

export async function runScenario(context: ScenarioContext): Promise<ScenarioOutcome> {
  const { lab, options, progress, signal } = context;
  progress.block(`\n${drawTopology(lab.topology)}\n`);
  progress.step(`building the network (lab ${lab.id})`);
  await lab.build();
  const servers = await startServers(lab, signal);

  const director = new Director(lab, signal);
  const daemonWords = ['--io', options.io, ...(options.mode === 'fullnat' ? ['--snat', 'masquerade'] : [])];
  progress.step(`starting uipvsd ${daemonWords.join(' ')}`);
  await director.startDaemon(daemonWords, context.onDaemonEnd);

  const configuration = directorConfiguration(options.mode, options.scheduler);
  progress.step('starting uldirectord with this ldirectord.cf, and waiting for the servers');
  progress.block(indent(configuration));
  await director.startHealthChecks(configuration);
  await director.waitForServers(SERVER_ADDRESSES);
  director.newLogLines();
  progress.block(indent(await director.listing()));

  const capture = options.capture === null ? null : await startCapture(lab, signal);
  const traffic = await sendRequests(context, director, servers);
  if (capture !== null && options.capture !== null) {
    const { packets, lost } = await capture.finish(options.capture, signal);
    progress.step(`${packets} packets are in ${options.capture}${lost > 0 ? `; ${lost} were lost` : ''}`);
  }

  const perServer = await servedInAll(servers, signal);
  const perServerInTable = await settledConnections(director, perServer, signal);
  const counters = await director.counters();
  const result: LabResult = {
    scenario: options.scenario,
    mode: options.mode,
    io: options.io,
    scheduler: options.scheduler,
    requests: traffic.requests,
    failed: traffic.failed,
    requestsPerSecond: traffic.requestsPerSecond,
    perServer,
    perServerInTable,
    reasonsDropped: Object.fromEntries(Object.entries(counters.drops).filter(([, count]) => count > 0)),
    wrongChecksums: lab.verifiesChecksums ? await countWrongChecksums(lab) : null,
  };
  return { result, statistics: await director.listing('--stats'), director };
}

/** Sends all requests, and breaks and mends servers at their time. */
async function sendRequests(context: ScenarioContext, director: Director, servers: readonly RunningServer[]) {
  const { lab, options, progress, signal } = context;
  const { virtualAddress, virtualPort } = lab.topology;
  const url = `http://${virtualAddress}:${virtualPort}/`;
  progress.step(`client: ab -n ${options.requests} -c ${options.concurrency} ${url}`);
  const watch = setInterval(() => {
    for (const line of director.newLogLines()) progress.detail(line);
    progress.passing(formatPassing(servedSoFar(servers), options.requests));
  }, WATCH_INTERVAL_MS);
  const parts: TrafficResult[] = [];
  const send = async (requests: number) => {
    if (requests === 0) return;
    const onLoss = (lost: number, why: string) =>
      progress.notice(`${lost} requests under way were lost; ab said: ${inShort(why)}`);
    const { concurrency } = options;
    parts.push(
      await runTraffic(lab, { url, requests, concurrency, expectLoss: options.steps.length > 0, signal, onLoss }),
    );
  };
  try {
    let sent = 0;
    for (const step of options.steps) {
      await send(step.afterRequests - sent);
      sent = step.afterRequests;
      await takeStep(context, director, step);
    }
    await send(options.requests - sent);
  } finally {
    clearInterval(watch);
    progress.clearPassing();
  }
  for (const line of director.newLogLines()) progress.detail(line);
  return sumUp(parts);
}

async function takeStep({ lab, progress }: ScenarioContext, director: Director, step: PowerStep): Promise<void> {
  await lab.carryOut(planServerPower(lab.topology, lab.id, step.address, step.power));
  if (step.power === 'off') {
    progress.notice(`${step.address} lost its network after ${step.afterRequests} requests`);
    return;
  }
  progress.notice(`${step.address} has its network again; waiting for the health check to notice`);
  await director.waitForServers([step.address]);
}

function sumUp(parts: readonly TrafficResult[]): TrafficResult {
  if (parts.length === 1) return parts[0];
  const sum = (of: (part: TrafficResult) => number) => parts.reduce((total, part) => total + of(part), 0);
  const requests = sum((part) => part.requests);
  const failed = sum((part) => part.failed);
  const seconds = sum((part) => part.seconds);
  return { requests, failed, seconds, requestsPerSecond: Math.round(((requests - failed) / seconds) * 100) / 100 };
}

async function startCapture(lab: Lab, signal: AbortSignal): Promise<Capture> {
  await lab.carryOut(planChecksums(lab.topology, lab.id, 'at-director'));
  return Capture.start(lab, signal);
}

/** Connections by server as the table counts them, once they have caught up with what the servers served. */
async function settledConnections(director: Director, served: Readonly<Record<string, number>>, signal: AbortSignal) {
  let counted: Record<string, number> = {};
  const caughtUp = async () => {
    counted = parseTableConnections(await director.listing('--stats', '--exact'));
    return Object.entries(counted).every(([address, count]) => count >= (served[address] ?? 0)) ? true : null;
  };
  await waitFor(caughtUp, { timeoutMs: STATISTICS_TIMEOUT_MS, everyMs: 250, signal });
  return counted;
}

/** Segments that clients and servers threw away because of their checksum. */
async function countWrongChecksums(lab: Lab): Promise<number> {
  let wrong = 0;
  for (const host of lab.topology.hosts) {
    if (host.role !== 'director') wrong += await wrongChecksumsAt(lab, host);
  }
  return wrong;
}

async function wrongChecksumsAt(lab: Lab, host: LabHost): Promise<number> {
  const { stdout } = await lab.mustRun(host, ['cat', '/proc/net/snmp']);
  const [names, values] = stdout
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  const wrong = Number(values[names.indexOf('InCsumErrors')]);
  if (Number.isNaN(wrong)) throw new LabError('this kernel does not count wrong TCP checksums');
  return wrong;
}

/** How to look around in a lab that stays up. */
export function visitText(lab: Lab, director: Director, nested: boolean): string {
  const enter = (pid: number, more: string) =>
    `nsenter -t ${pid} ${nested ? '-U --preserve-credentials ' : ''}-n${more}`;
  const hosts = lab.topology.hosts.filter((host) => host.role !== 'director');
  const lines = [
    'The lab stays up until Ctrl-C. In another terminal:',
    `  director:  ${enter(director.daemonPid, ' -m')}`,
    `             then: ${packageProgram('uipvsadm').join(' ')} -Ln`,
  ];
  if (nested) return lines.join('\n');
  for (const host of hosts)
    lines.push(`  ${`${host.name}:`.padEnd(11)}ip netns exec ${namespaceName(lab.id, host.name)} bash`);
  return lines.join('\n');
}

function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line.replace(/\t/g, '        ')}`.trimEnd())
    .join('\n');
}

/** `apr_socket_recv: Connection refused (111)` without the name of the call and the number. */
function inShort(reason: string): string {
  return reason.replace(/^apr_\w+(\(\))?: /, '').replace(/ \(\d+\)$/, '');
}
