/**
 * The configuration changes while clients are served: one virtual service comes, one goes, and the service that the
 * clients use loses a server. Not one of their requests may fail.
 */
import { endpoint } from '../addresses.ts';
import { directorConfiguration, serviceConfiguration } from '../configuration.ts';
import { packageProgram } from '../director.ts';
import { LabError, waitFor } from '../host.ts';
import { sendPart, sumUp, watched } from '../requests.ts';
import { startServers } from '../servers.ts';
import { type LabTopology, realServers, tutorialTopology } from '../topology.ts';
import type { TrafficResult } from '../traffic.ts';
import type { ScenarioKind, ScenarioRun } from './kind.ts';

/** Ports of the service that goes and of the one that comes. */
const OLD_PORT = 8080;
const NEW_PORT = 8081;
/** The reload begins when so many requests were answered. */
const ANSWERED_BEFORE = 200;
const RELOAD_TIMEOUT_MS = 60_000;

export const reload: ScenarioKind = {
  name: 'reload',
  summary: 'the tutorial; while ab asks, a virtual service is added, one is removed, and a server leaves: 0 failed',
  modes: ['fullnat', 'masq'],
  families: ['ipv4'],
  requests: 3000,
  concurrency: 20,
  breakable: false,
  client: 'ab',
  // Of the server that left the table knows nothing any more.
  connectionPerRequest: () => false,
  programs: [],
  topology: ({ mode }) => tutorialTopology(mode),
  configuration: ({ mode, scheduler }) =>
    `${directorConfiguration(mode, scheduler)}${furtherService(tutorialTopology(mode), OLD_PORT)}`,
  healthChecks: 'uldirectord',
  startServers,
  send,
};

async function send(run: ScenarioRun): Promise<TrafficResult> {
  const { options, progress } = run;
  progress.step(`client: ab -n ${options.requests} -c ${options.concurrency}, again until the reload is done`);
  return watched(run, async () => {
    let done = false;
    const reloading = reloadDuring(run).finally(() => {
      done = true;
    });
    const parts: TrafficResult[] = [];
    do parts.push(...(await sendPart(run, options.requests)));
    while (!done);
    await reloading;
    return sumUp(parts);
  });
}

/** Waits until the clients are being served, changes the file, and waits until the table says the same. */
async function reloadDuring({ lab, options, director, servers, progress, signal }: ScenarioRun): Promise<void> {
  const answered = async () => {
    const soFar = await servers.inAll(signal);
    return Object.values(soFar).reduce((total, count) => total + count, 0) >= ANSWERED_BEFORE ? true : null;
  };
  const timing = { timeoutMs: RELOAD_TIMEOUT_MS, everyMs: 20, signal };
  if ((await waitFor(answered, timing)) === null) throw new LabError('the clients were not served');

  const { topology } = lab;
  const leaving = realServers(topology).at(-1)!;
  const smaller: LabTopology = { ...topology, servers: topology.servers.filter((server) => server !== leaving) };
  const words = { scheduler: options.scheduler, protocol: 'tcp', checktype: 'ping' } as const;
  director.writeConfiguration(`${serviceConfiguration(smaller, words)}${furtherService(smaller, NEW_PORT)}`);
  progress.notice(`reload: port ${OLD_PORT} goes, port ${NEW_PORT} comes, ${leaving.label} leaves`);
  await lab.mustRun(lab.director, [...packageProgram('uldirectord'), director.configurationFile, 'reload']);

  let listing = '';
  const settled = async () => {
    listing = await director.listing();
    const has = (port: number) => listing.includes(`${endpoint(topology.virtualAddress, port)} `);
    return has(NEW_PORT) && !has(OLD_PORT) && !listing.includes(`${leaving.address}:`) ? true : null;
  };
  if ((await waitFor(settled, { ...timing, everyMs: 100 })) !== null) return;
  throw new LabError(`the reload was not carried out:\n${listing}`);
}

/** A service of the same servers on another port. */
function furtherService(topology: LabTopology, port: number): string {
  const lines = [
    ...realServers(topology).map((server) => `real=${endpoint(server.address, server.port)} masq`),
    'scheduler=rr',
    'protocol=tcp',
    'checktype=ping',
  ];
  return `\nvirtual=${endpoint(topology.virtualAddress, port)}\n${lines.map((line) => `\t${line}\n`).join('')}`;
}
