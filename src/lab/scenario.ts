/** One run of a lab from the empty host to the result; taking it down is the caller's part. */
import { Capture } from './capture.ts';
import { countWrongChecksums, settledConnections } from './counts.ts';
import { Director, packageProgram } from './director.ts';
import { requirePrograms } from './host.ts';
import { needsOperator, type RunLabOptions } from './options.ts';
import { namespaceName, planChecksums } from './plan.ts';
import { drawTopology, type LabResult, type Progress } from './report.ts';
import type { Lab } from './run.ts';
import { SCENARIOS } from './scenarios/index.ts';
import type { ScenarioKind, ScenarioRun } from './scenarios/kind.ts';
import { realServers } from './topology.ts';
import { startTunnelEnds, tunnelCommands } from './tunnels.ts';

/** The programs that this run needs, of this system and not of this package. */
export function programsFor(options: RunLabOptions): string[] {
  if (!SCENARIOS[options.scenario].topology(options).isolated) return [];
  const forCapture = options.capture === null ? [] : ['tcpdump', 'ethtool'];
  return ['ip', 'nft', 'ab', 'sysctl', 'mount', ...SCENARIOS[options.scenario].programs, ...forCapture];
}

/** Throws a LabError when a program that this run needs is missing. */
export function requireProgramsFor(options: RunLabOptions): void {
  requirePrograms(programsFor(options));
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
  /** The scenario's own sentences about the result. */
  readonly remarks: readonly string[];
}

export async function runScenario(context: ScenarioContext): Promise<ScenarioOutcome> {
  const { lab, options, progress, signal } = context;
  const scenario = SCENARIOS[options.scenario];
  progress.block(`\n${drawTopology(lab.topology, scenario.client, `uipvsd, ${scenario.healthChecks}`)}\n`);
  if (lab.topology.isolated) progress.step(`building the network (lab ${lab.id})`);
  await lab.build();
  const servers = await scenario.startServers(lab, signal);
  if (options.mode === 'tun') await startTunnelEnds(lab, options.tunnel, signal);

  const director = new Director(lab, signal);
  await scenario.setUpDirector?.(lab, progress);
  const daemonWords = daemonWordsFor(options, scenario);
  progress.step(`starting uipvsd ${daemonWords.join(' ')}`);
  await director.startDaemon(daemonWords, context.onDaemonEnd);
  const run: ScenarioRun = { lab, options, progress, signal, director, servers };
  await fillTable(run, scenario);
  progress.block(indent(await director.listing()));

  const capture = options.capture === null ? null : await startCapture(lab, signal);
  const traffic = await scenario.send(run);
  if (capture !== null && options.capture !== null) {
    const { packets, lost } = await capture.finish(options.capture, signal);
    progress.step(`${packets} packets are in ${options.capture}${lost > 0 ? `; ${lost} were lost` : ''}`);
  }

  const perServer = await servers.inAll(signal);
  const perServerInTable = await settledConnections(
    director,
    scenario.connectionPerRequest(options),
    perServer,
    signal,
  );
  const counters = await director.counters();
  const result: LabResult = {
    scenario: options.scenario,
    mode: options.mode,
    family: options.family,
    tunnel: options.mode === 'tun' ? options.tunnel : null,
    io: { packet: options.io, kernel: 'kernel', macvtap: 'macvtap', proxy: 'sockets' }[options.dataPlane],
    scheduler: options.scheduler,
    requests: traffic.requests,
    failed: traffic.failed,
    requestsPerSecond: traffic.requestsPerSecond,
    perServer,
    perServerInTable,
    reasonsDropped: Object.fromEntries(Object.entries(counters.drops).filter(([, count]) => count > 0)),
    wrongChecksums: lab.verifiesChecksums ? await countWrongChecksums(lab) : null,
  };
  const statistics = await director.listing('--stats');
  if (!options.keep) await scenario.finish?.(run);
  return { result, statistics, director, remarks: scenario.remarks?.(result, options) ?? [] };
}

function daemonWordsFor({ dataPlane, io, mode, shards }: RunLabOptions, scenario: ScenarioKind): string[] {
  if (dataPlane === 'proxy' || dataPlane === 'kernel') return ['--data-plane', dataPlane];
  const ownFullNat = mode === 'fullnat' && scenario.setUpDirector === undefined;
  const carrier = dataPlane === 'macvtap' ? ['--data-plane', dataPlane] : ['--io', io];
  const shared = shards === 1 ? [] : ['--shards', `${shards}`];
  return [...carrier, ...shared, ...(ownFullNat ? ['--snat', 'masquerade'] : [])];
}

/** As an operator would: by ldirectord.cf, or by `ipvsadm` where that has no words for it. */
async function fillTable(run: ScenarioRun, scenario: ScenarioKind): Promise<void> {
  const { lab, options, progress, director } = run;
  if (needsOperator(options)) {
    const commands = tunnelCommands(lab.topology, options.tunnel, options.scheduler);
    progress.step(`filling the table by hand: ldirectord.cf has no word for ${options.tunnel} tunnels`);
    progress.block(indent(commands.map((words) => `ipvsadm ${words.join(' ')}\n`).join('')));
    for (const words of commands) await director.ipvsadm(...words);
    return;
  }
  const configuration = scenario.configuration(options);
  progress.step(`starting ${scenario.healthChecks} with this ldirectord.cf, and waiting for the servers`);
  progress.block(indent(configuration));
  if (scenario.startHealthChecks === undefined) await director.startHealthChecks(configuration);
  else await scenario.startHealthChecks(lab, director, configuration);
  await director.waitForServers(realServers(lab.topology).map((server) => server.label));
  director.newLogLines();
}

async function startCapture(lab: Lab, signal: AbortSignal): Promise<Capture> {
  await lab.carryOut(planChecksums(lab.topology, lab.id, 'at-director'));
  return Capture.start(lab, signal);
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
