/** Builds the places, takes the measurements round by round, and takes everything down. */
import { availableParallelism } from 'node:os';
import { LabError, LabInterrupted, pause } from '../../src/lab/host.ts';
import { median, type Summary, summarize } from '../statistics.ts';
import type { Circumstances, Layout, Measurement } from './measurement.ts';
import { orderOf } from './order.ts';
import type { Peer } from './peer.ts';
import { Place } from './place.ts';
import { busySeconds, stolenSeconds } from './processor.ts';
import { type ProfileRow, profilePeer } from './profile.ts';
import type { Progress } from './progress.ts';
import type { PeerResult } from './results.ts';
import { startServers } from './servers.ts';

export interface RunOptions {
  readonly peers: readonly Peer[];
  readonly measurements: readonly Measurement[];
  readonly rounds: number;
  readonly seconds: number;
  readonly profile: boolean;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

export interface RunOutcome {
  readonly peers: PeerResult[];
  readonly profile: ProfileRow[];
  readonly conditions: string[];
}

/** So many failures of one measurement, and a peer is not asked for it again. */
const FAILURES_MAX = 2;
/** How long everybody is watched at rest before it begins. */
const REST_MS = 500;
const SETTLE_MS = 1000;

class Contender {
  readonly peer: Peer;
  absent: string | null;
  place: Place | null = null;
  pids: readonly number[] = [];
  readonly figures = new Map<string, number[]>();
  /** What the warm-up found: to know how much is about enough, and not counted. */
  readonly hints = new Map<string, number>();
  readonly failures = new Map<string, { count: number; reason: string }>();

  constructor(peer: Peer) {
    this.peer = peer;
    this.absent = peer.absent;
  }

  circumstances(seconds: number, layout: Layout): Circumstances {
    const figure = (name: string) => {
      const values = this.figures.get(name);
      return values === undefined ? (this.hints.get(name) ?? null) : median(values);
    };
    return { peer: this.peer, place: this.place as Place, pids: this.pids, seconds, figure, layout };
  }

  takes(measurement: Measurement): boolean {
    const failed = this.failures.get(measurement.name)?.count ?? 0;
    return this.absent === null && this.peer.abilities.includes(measurement.needs) && failed < FAILURES_MAX;
  }

  result(): PeerResult {
    const { name, summary, group } = this.peer;
    const figures: Record<string, Summary> = {};
    for (const [figure, values] of this.figures) {
      const sum = summarize(values);
      if (sum !== null) figures[figure] = sum;
    }
    const failures = Object.fromEntries([...this.failures].map(([measurement, { reason }]) => [measurement, reason]));
    return { name, summary, group, absent: this.absent, figures, failures };
  }
}

export async function runBenchmark(options: RunOptions): Promise<RunOutcome> {
  const { peers, progress, signal } = options;
  const contenders = peers.map((peer) => new Contender(peer));
  const layout: Layout = { generator: 0, peer: Math.min(1, availableParallelism() - 1) };
  try {
    progress.step(`building ${contenders.filter(({ absent }) => absent === null).length} networks`);
    const rest = await watchAtRest(signal);
    await Promise.all(contenders.map((contender) => open(contender, signal)));
    // What has just been started may still have something to do.
    await pause(SETTLE_MS, signal);
    const idle = await watchAtRest(signal);
    const begun = { busy: busySeconds(), stolen: stolenSeconds(), ms: performance.now() };
    await measureAll(contenders, layout, options);
    const stolen = stolenSeconds() - begun.stolen;
    const profile = options.profile ? await profileAll(contenders, layout, options) : [];
    const conditions = describe(contenders, layout, options, { rest, idle, stolen });
    return { peers: contenders.map((contender) => contender.result()), profile, conditions };
  } finally {
    progress.step('removing the networks');
    const complaints = await Promise.all(contenders.map(({ place }) => place?.close() ?? []));
    for (const complaint of complaints.flat()) progress.notice(complaint);
  }
}

async function open(contender: Contender, signal: AbortSignal): Promise<void> {
  const { peer } = contender;
  if (contender.absent !== null) return;
  try {
    const place = new Place(peer.cabling, peer.forwarding, signal);
    contender.place = place;
    await place.build();
    await startServers(place);
    await peer.start(place);
    contender.pids = await place.pids(place.director);
  } catch (error) {
    contender.absent = reasonOf(error, signal);
  }
}

/** One failure is a row's reason; only being asked to stop ends everything. */
function reasonOf(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) throw signal.reason;
  if (error instanceof LabInterrupted || !(error instanceof Error)) throw error;
  return (error instanceof LabError ? error.message : `${error.name}: ${error.message}`).split('\n').join(' / ');
}

/** Share of all processors that is busy while nobody is measured: what the machine does besides. */
async function watchAtRest(signal: AbortSignal): Promise<number> {
  const [busy, ms] = [busySeconds(), performance.now()];
  await pause(REST_MS, signal);
  return (busySeconds() - busy) / (((performance.now() - ms) / 1000) * availableParallelism());
}

/** Round 0 warms up: it is short, and nothing of it is counted. */
async function measureAll(contenders: readonly Contender[], layout: Layout, options: RunOptions): Promise<void> {
  const { measurements, rounds, seconds, progress } = options;
  const isWarmUp = (round: number) => round === 0;
  progress.plan(
    measurements.reduce((sum, each) => sum + contenders.filter((c) => c.takes(each)).length, 0) * rounds +
      WARM_UP_MEASUREMENTS * contenders.length * WARM_UP_WEIGHT,
  );
  for (let round = 0; round <= rounds; round++) {
    for (const measurement of measurements) {
      if (isWarmUp(round) && !warmsUp(measurement, measurements)) continue;
      for (const contender of orderOf(contenders, round)) {
        if (!contender.takes(measurement)) continue;
        const name = isWarmUp(round) ? 'warming up' : `round ${round} of ${rounds}`;
        progress.run(`${name}: ${measurement.title}, ${contender.peer.name}`, isWarmUp(round) ? WARM_UP_WEIGHT : 1);
        const length = isWarmUp(round) ? seconds / 3 : seconds;
        await measureOne(
          contender,
          measurement,
          contender.circumstances(length, layout),
          isWarmUp(round),
          options.signal,
        );
      }
    }
  }
}

/** The first measurement of connections and the first of packets: their code is all the code there is. */
const WARM_UP_MEASUREMENTS = 2;
const WARM_UP_WEIGHT = 0.5;
function warmsUp(measurement: Measurement, all: readonly Measurement[]): boolean {
  return all.find(({ needs }) => needs === measurement.needs) === measurement && measurement.needs !== 'packets';
}

async function measureOne(
  contender: Contender,
  measurement: Measurement,
  circumstances: Circumstances,
  warmUp: boolean,
  signal: AbortSignal,
): Promise<void> {
  try {
    for (const [figure, value] of Object.entries(await measurement.run(circumstances))) {
      if (warmUp) contender.hints.set(figure, value);
      else if (Number.isFinite(value)) contender.figures.set(figure, [...(contender.figures.get(figure) ?? []), value]);
    }
  } catch (error) {
    const reason = reasonOf(error, signal);
    contender.failures.set(measurement.name, {
      count: (contender.failures.get(measurement.name)?.count ?? 0) + 1,
      reason,
    });
  }
}

async function profileAll(
  contenders: readonly Contender[],
  layout: Layout,
  options: RunOptions,
): Promise<ProfileRow[]> {
  const rows: ProfileRow[] = [];
  for (const contender of contenders) {
    if (contender.peer.group !== 'uipvs' || contender.absent !== null) continue;
    options.progress.step(`where ${contender.peer.name} spends its time`);
    try {
      rows.push(...(await profilePeer(contender.circumstances(options.seconds, layout))));
    } catch (error) {
      options.progress.notice(`${contender.peer.name} could not be profiled: ${reasonOf(error, options.signal)}`);
    }
  }
  return rows;
}

function describe(
  contenders: readonly Contender[],
  layout: Layout,
  { rounds, seconds }: RunOptions,
  noise: { readonly rest: number; readonly idle: number; readonly stolen: number },
): string[] {
  const cores = availableParallelism();
  const addresses = Math.max(0, ...contenders.map(({ place }) => place?.addressesUsed ?? 0));
  return [
    `${rounds} ${rounds === 1 ? 'round' : 'rounds'} of about ${seconds} s a run; peers take turns in an order that changes every round; a figure is ` +
      'the median of the rounds, ± half of the way from the lowest to the highest.',
    `Every run of ab came from a client address of its own (${addresses} a peer): servers remember closed connections ` +
      'by address and port for a minute, and whoever keeps the client’s address would be slowed down by it.',
    `Floods: generator on processor ${layout.generator}, peer on processor ${layout.peer} of ${cores}; what the kernel ` +
      'forwards itself (direct, nft) it forwards on the generator’s processor. In all else nobody is pinned: client, ' +
      'peer and server share the processors.',
    'Row "straight" is the limit of generators and servers: the same programs with nobody between.',
    'Each peer has namespaces, cables, servers (nginx, iperf3, an echo) of its own; offloads are left as they are. ' +
      'One nginx answers at four addresses; proxies connect to them from the director’s own address.',
    `Before it began, ${Math.round(noise.rest * 100)} % of all processors were busy with something else; with all peers up ` +
      `and idle ${Math.round(noise.idle * 100)} %; other machines took ${noise.stolen.toFixed(1)} s.`,
  ];
}
