/**
 * Gathers the facts: asks the daemon and the host, sends a few probes and watches what passes by. Bounded: no more than
 * three questions for each virtual address and each server, and the time that was asked for, plus a few seconds.
 */
import { askForAddresses, virtualAddresses } from './facts/arp.ts';
import { compareClocks, thisMoment } from './facts/clock.ts';
import { connectAgain, connectToServers } from './facts/connects.ts';
import { askDaemon, type DaemonFacts, type DaemonToAsk } from './facts/daemon.ts';
import { askDirectServers } from './facts/direct.ts';
import { listDropRules, withCountsBefore } from './facts/firewall.ts';
import { type HostFacts, lookAtHost } from './facts/host.ts';
import { listListeners } from './facts/listeners.ts';
import { readOffloads } from './facts/offloads.ts';
import { measurePaths } from './facts/paths.ts';
import { pause } from './facts/pause.ts';
import { askForReturns } from './facts/returns.ts';
import { readSysctl } from './facts/sysctl.ts';
import { TrafficWatch } from './facts/traffic.ts';
import { type Facts, type Known, known, unknown } from './facts.ts';
import { WireSession } from './probe/wire-session.ts';

export interface GatherOptions {
  readonly watchSeconds: number;
  /** Send nothing: neither connections nor frames. */
  readonly passive: boolean;
}

const NO_HOST: HostFacts = { links: [], routes: [], neighbors: [] };
const NOT_ASKED = 'nobody was asked, since --passive sends nothing';
/** The daemon's estimator shows packets only after its next tick (two seconds). */
export const WATCH_SECONDS_MIN = 3;

/** `connect` rejects when there is no daemon; then only the host is known. */
export async function gatherFacts(connect: () => Promise<DaemonToAsk>, options: GatherOptions): Promise<Facts> {
  const began = thisMoment();
  const daemon = await attempt(connect);
  // Without a table nobody knows what to look out for.
  const untilMs = began.monotonicMs + (daemon.known ? options.watchSeconds * 1000 : 0);
  try {
    const before = await snapshot(daemon);
    const services = before.known ? before.value.services : [];
    const [host, firewallBefore] = await Promise.all([lookAtHost(), listDropRules()]);
    const wire: Known<WireSession> = host.known ? await WireSession.open(servedLinks(before, host.value)) : host;
    try {
      const watch = new TrafficWatch(wire.known ? wire.value : null, services, host.known ? host.value : NO_HOST);
      const [arp, probed] = await Promise.all([
        wired(wire, host, before, options, (session, looked) =>
          askForAddresses(session, looked, virtualAddresses(services), untilMs),
        ),
        probeServers(wire, before, options),
      ]);
      await pause(untilMs - performance.now());
      const traffic = watch.finish();
      const after = await snapshot(daemon);
      const firewall = await listDropRules();
      return {
        before,
        daemon: after,
        host: probed.host.known ? probed.host : host,
        sysctl: readSysctl(),
        listeners: await listListeners(),
        firewall:
          firewall.known && firewallBefore.known
            ? known(withCountsBefore(firewallBefore.value, firewall.value))
            : firewall,
        offloads: host.known ? await readOffloads(cardsOf(host.value)) : host,
        clock: after.known
          ? compareClocks(after.value.status.daemon.pid, after.value.status.daemon.startedAt, began, thisMoment())
          : after,
        connects: probed.connects,
        arp,
        hosts: probed.hosts,
        returns: takesFramesAway(before) ?? probed.returns,
        direct: probed.direct,
        paths: probed.paths,
        traffic: takesFramesAway(before) ?? (wire.known ? (before.known ? known(traffic) : before) : wire),
      };
    } finally {
      if (wire.known) wire.value.close();
    }
  } finally {
    if (daemon.known) await daemon.value.close();
  }
}

/** First ordinary connections, by which the kernel learns the servers' MACs; then the probes that need these. */
async function probeServers(wire: Known<WireSession>, before: Known<DaemonFacts>, options: GatherOptions) {
  const services = before.known ? before.value.services : [];
  const connects = !before.known
    ? before
    : options.passive
      ? unknown(NOT_ASKED)
      : known(await connectToServers(services));
  const host = await lookAtHost();
  const mute = connects.known
    ? connects.value.filter(({ outcome }) => outcome === 'silent' || outcome === 'unreachable')
    : [];
  const [hosts, returns, direct, paths] = await Promise.all([
    wired(wire, host, before, options, (session, looked) =>
      askForAddresses(session, looked, [...new Set(mute.map(({ address }) => address))], 0),
    ),
    wired(wire, host, before, options, (session, looked) => askForReturns(session, looked, services)),
    wired(wire, host, before, options, (session, looked) => askDirectServers(session, looked, services)),
    wired(wire, host, before, options, (session, looked) => measurePaths(session, looked, services)),
  ]);
  const there = hosts.known ? hosts.value.probes.filter(({ answers }) => answers.length > 0) : [];
  const lasting = connects.known
    ? known(await connectAgain(connects.value, new Set(there.map(({ address }) => address))))
    : connects;
  return { connects: lasting, host, hosts, returns, direct, paths };
}

/** Does it when there is a wire, a host and a table to ask about; otherwise says what was missing. */
async function wired<T>(
  wire: Known<WireSession>,
  host: Known<HostFacts>,
  before: Known<DaemonFacts>,
  options: GatherOptions,
  ask: (session: WireSession, host: HostFacts) => Promise<T>,
): Promise<Known<T>> {
  if (!before.known) return before;
  if (options.passive) return unknown(NOT_ASKED);
  if (!host.known) return host;
  if (!wire.known) return wire;
  return known(await ask(wire.value, host.value));
}

async function attempt(connect: () => Promise<DaemonToAsk>): Promise<Known<DaemonToAsk>> {
  try {
    return known(await connect());
  } catch (error) {
    return unknown((error as Error).message);
  }
}

async function snapshot(daemon: Known<DaemonToAsk>): Promise<Known<DaemonFacts>> {
  if (!daemon.known) return daemon;
  try {
    return known(await askDaemon(daemon.value, () => performance.now()));
  } catch (error) {
    return unknown((error as Error).message);
  }
}

/** Those that the daemon serves: its own cables carry the same frames once more. All of them where it does not say. */
function servedLinks(daemon: Known<DaemonFacts>, { links }: HostFacts): HostFacts['links'] {
  const named = daemon.known ? daemon.value.status.daemon.settings['links'] : null;
  return Array.isArray(named) && named.length > 0 ? links.filter(({ name }) => named.includes(name)) : links;
}

/** Why packets of services and of servers are not to be seen beside this daemon, or `null`. */
function takesFramesAway(daemon: Known<DaemonFacts>): Known<never> | null {
  const io = daemon.known ? daemon.value.status.daemon.settings['io'] : null;
  if (io !== 'xdp') return null;
  return unknown(
    'the back end xdp takes packets of services and servers before anybody else can see them; try it with `uipvsd --io packet-ring`',
  );
}

function cardsOf({ links }: HostFacts): string[] {
  return links.filter(({ loopback, up }) => up && !loopback).map(({ name }) => name);
}
