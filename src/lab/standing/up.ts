/** Builds a lab that stays up, and takes it down: the same bricks as a run, started so that they outlive this process. */
import { chmodSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Director, packageProgram } from '../director.ts';
import { LabError, requirePrograms, startCommand, waitFor } from '../host.ts';
import { giveLab, removeLab } from '../leftovers.ts';
import { type HostCommand, namespaceName, SWITCH } from '../plan.ts';
import type { Progress } from '../report.ts';
import { Lab } from '../run.ts';
import { hostOfServer, hostsOf, type LabHost, realServers } from '../topology.ts';
import { GUE_PORT, NO_COMPLAINTS } from '../tunnels.ts';
import type { LabChoice, Step } from './kind.ts';
import { beginState, isStanding, readState, removeState, type StandingState, writeState } from './state.ts';
import { Visit } from './visit.ts';

const WEB_SERVER = fileURLToPath(new URL('../web-server.js', import.meta.url));
const UDP_SERVER = fileURLToPath(new URL('../udp-server.js', import.meta.url));
const TUNNEL_SERVER = fileURLToPath(new URL('../tunnel-server.js', import.meta.url));
const START_TIMEOUT_MS = 30_000;
const EVERY_MS = 50;

/** What every standing lab needs of the system. */
export const PROGRAMS: readonly string[] = ['ip', 'nft', 'sysctl', 'mount'];

/** Our programs under all their names, for the hosts of the lab. */
const WRAPPERS: Readonly<Record<string, string>> = {
  uipvs: 'uipvs',
  uipvsd: 'uipvsd',
  uipvsadm: 'uipvsadm',
  ipvsadm: 'uipvsadm',
  'ipvsadm-save': 'uipvsadm-save',
  'ipvsadm-restore': 'uipvsadm-restore',
  uldirectord: 'uldirectord',
  ldirectord: 'uldirectord',
};

/** Builds and starts everything. When that fails, or `signal` comes, all is removed before it throws. */
export async function bringUp(
  choice: LabChoice,
  name: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<StandingState> {
  requirePrograms([...PROGRAMS, ...(choice.kind.programs ?? [])]);
  const before = readState(name);
  if (before !== null && !isStanding(before)) {
    progress.notice(`removing what is left of the lab ${name} that stood before`);
    await takeDown(before);
  }
  const lab = new Lab(choice.kind.topology, signal);
  let state: StandingState = {
    ...{ name, lab: choice.name, id: lab.id, phase: 'being built', hintsTold: 0 },
    since: new Date().toISOString(),
  };
  try {
    beginState(state);
  } catch (error) {
    await lab.close();
    throw error;
  }
  try {
    await build(choice, lab, progress, signal);
    state = { ...state, phase: 'up' };
    writeState(state);
    return state;
  } catch (error) {
    progress.step('it did not come up: removing what was made');
    for (const complaint of await takeDown(state)) progress.notice(complaint);
    throw error;
  }
}

/** Ends every process of a lab and removes its namespaces, its files and its name. Says what would not go. */
export async function takeDown(state: StandingState): Promise<string[]> {
  const complaints = await removeLab(state.id);
  removeState(state.name);
  return complaints;
}

async function build({ kind, fault }: LabChoice, lab: Lab, progress: Progress, signal: AbortSignal): Promise<void> {
  const visit = new Visit(lab, signal);
  progress.step(`building the network (lab ${lab.id})`);
  await lab.build();
  writeWrappers(lab);
  startKeeper(lab);
  if (kind.servers !== 'none') {
    progress.step('starting the servers');
    await startServers(kind.servers, kind.serverWords ?? [], lab, signal);
  }
  if (lab.topology.mode === 'tun') await startTunnelEnds(lab, signal);
  for (const step of kind.before ?? []) await take(visit, step);
  const director = new Director(lab, signal);
  if (kind.daemon !== null) {
    progress.step(`starting uipvsd ${kind.daemon.join(' ')}`.trimEnd());
    await director.startDaemon(kind.daemon, () => {});
    director.release();
  }
  if (kind.table?.by === 'uldirectord') {
    progress.step('starting uldirectord, and waiting for the servers');
    await director.startHealthChecks(kind.table.configuration);
    await director.waitForServers(realServers(lab.topology).map((server) => server.label));
  } else if (kind.table?.by === 'ipvsadm') {
    progress.step('filling the table with ipvsadm');
    for (const words of kind.table.commands) await director.ipvsadm(...words);
  }
  for (const step of kind.after ?? []) await take(visit, step);
  // Silent about what it is: that is for the learner to find.
  for (const step of fault?.breaks ?? []) await take(visit, step);
}

/** Types a step; one in the background goes on after this process has ended. */
export async function take(visit: Visit, step: Step): Promise<void> {
  if (step.background === undefined) await visit.mustSh(step.on, step.line);
  else startForGood(visit.lab, visit.onHost(step.on, ['sh', '-c', `exec ${step.line}`]), step.background);
}

/** Programs of this package under their own names and those of the originals, first on the PATH of the lab's shells. */
function writeWrappers(lab: Lab): void {
  mkdirSync(lab.path('bin'));
  const programs = Object.entries(WRAPPERS).map(([name, program]) => ({ name, command: packageProgram(program) }));
  for (const { name, command } of [...programs, { name: 'web-server', command: [process.execPath, WEB_SERVER] }]) {
    const words = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`);
    writeFileSync(lab.path(`bin/${name}`), `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`);
    chmodSync(lab.path(`bin/${name}`), 0o755);
  }
}

/** A process that does nothing: the lab belongs to it, so it is a leftover when this is gone, as after a reboot. */
function startKeeper(lab: Lab): void {
  const inSwitch = ['ip', 'netns', 'exec', namespaceName(lab.id, SWITCH), 'sleep', 'infinity'];
  const keeper = startCommand(inSwitch, lab.id, { stdio: 'ignore' });
  if (keeper.pid === undefined) throw new LabError('the process that keeps the lab could not be started');
  keeper.unref();
  giveLab(lab.id, keeper.pid);
}

/** Starts a program that goes on when this process has ended; what it says goes to `log/NAME.log`. */
function startForGood(lab: Lab, command: HostCommand, name: string): void {
  const log = openSync(lab.path(`log/${name}.log`), 'a');
  const child = startCommand(command, lab.id, { stdio: ['ignore', log, log] });
  // Whether it runs is seen from its log.
  child.on('error', () => {});
  child.unref();
}

function startServers(kind: 'web' | 'udp', more: readonly string[], lab: Lab, signal: AbortSignal): Promise<void> {
  const programs = lab.topology.servers.map((server) => {
    const words = [server.listenOn, String(server.port), server.name];
    const command = kind === 'udp' ? [UDP_SERVER, ...words] : [WEB_SERVER, ...words, '--stay', ...more];
    return { host: hostOfServer(lab.topology, server), name: server.name, command: [process.execPath, ...command] };
  });
  return startAndWait(lab, programs, signal);
}

async function startTunnelEnds(lab: Lab, signal: AbortSignal): Promise<void> {
  const servers = hostsOf(lab.topology, 'server');
  for (const server of servers) await lab.mustRun(server, ['nft', NO_COMPLAINTS]);
  const programs = servers.map((host) => ({
    host,
    name: `${host.name}-tunnel`,
    command: [process.execPath, TUNNEL_SERVER, 'ipip', lab.topology.family, String(GUE_PORT), 'stay'],
  }));
  await startAndWait(lab, programs, signal);
}

/** Programs that write one line when they are ready. */
async function startAndWait(
  lab: Lab,
  programs: readonly { readonly host: LabHost; readonly name: string; readonly command: HostCommand }[],
  signal: AbortSignal,
): Promise<void> {
  for (const { host, name, command } of programs) startForGood(lab, lab.onHost(host, command), name);
  const said = (name: string) => readFileSync(lab.path(`log/${name}.log`), 'utf8');
  const ready = () => (programs.every(({ name }) => said(name).includes('\n')) ? true : null);
  await waitFor(ready, { timeoutMs: START_TIMEOUT_MS, everyMs: EVERY_MS, signal });
  for (const { name } of programs) {
    const first = said(name).split('\n')[0] ?? '';
    if (/^(?:ready|\{.*)$/.test(first)) continue;
    throw new LabError(`the program ${name} did not start: ${said(name).trim().slice(-500) || 'it says nothing'}`);
  }
}
