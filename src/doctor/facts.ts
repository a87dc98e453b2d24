/** Everything the rules may look at, as plain data. Each is gathered by the file of that name in `facts/`. */
import type { ArpFacts } from './facts/arp.ts';
import type { ClockFacts } from './facts/clock.ts';
import type { ConnectProbe } from './facts/connects.ts';
import type { DaemonFacts } from './facts/daemon.ts';
import type { DirectProbe } from './facts/direct.ts';
import type { FirewallFacts } from './facts/firewall.ts';
import type { HostFacts } from './facts/host.ts';
import type { Listener } from './facts/listeners.ts';
import type { OffloadFacts } from './facts/offloads.ts';
import type { PathProbe } from './facts/paths.ts';
import type { ReturnProbe } from './facts/returns.ts';
import type { SysctlFacts } from './facts/sysctl.ts';
import type { TrafficFacts } from './facts/traffic.ts';

export interface FactValues {
  /** The daemon at the beginning of the watch, and at its end. */
  readonly before: DaemonFacts;
  readonly daemon: DaemonFacts;
  readonly host: HostFacts;
  readonly sysctl: SysctlFacts;
  readonly listeners: readonly Listener[];
  readonly firewall: FirewallFacts;
  readonly offloads: OffloadFacts;
  readonly clock: ClockFacts;
  /** A TCP connection from this host to each server of a TCP service. */
  readonly connects: readonly ConnectProbe[];
  /** Who answers for the virtual addresses. */
  readonly arp: ArpFacts;
  /** The same for servers that were silent: is the host behind the address there at all? */
  readonly hosts: ArpFacts;
  /** Whether answers of NAT servers to far clients come by this host. */
  readonly returns: readonly ReturnProbe[];
  /** Whether servers of direct routing take a packet for the virtual address. */
  readonly direct: readonly DirectProbe[];
  /** How large a packet gets to the servers of tunnels. */
  readonly paths: readonly PathProbe[];
  /** What passed by during the watch. */
  readonly traffic: TrafficFacts;
}

export type FactName = keyof FactValues;

/** A fact, or the reason why it is not known, in one sentence. */
export type Known<T> = { readonly known: true; readonly value: T } | { readonly known: false; readonly why: string };

export type Facts = { readonly [K in FactName]: Known<FactValues[K]> };

export function known<T>(value: T): Known<T> {
  return { known: true, value };
}

export function unknown(why: string): Known<never> {
  return { known: false, why };
}

/** The value, or `otherwise` when it is not known. */
export function valueOr<T, U>(fact: Known<T>, otherwise: U): T | U {
  return fact.known ? fact.value : otherwise;
}
