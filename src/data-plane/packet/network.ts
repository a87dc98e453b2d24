/**
 * Reads the host's network as it is now: links, addresses, routes of the main and the local table, permanent
 * neighbours, the port range of its own sockets and its source NAT rules. The facts come from iproute2's `ip -json`,
 * /proc and the tools of the packet filter.
 */
import { readFile } from 'node:fs/promises';
import { IpvsError } from '../../model/errors.ts';
import type { HostLink, NetworkLink, NetworkNeighbor, NetworkRoute, NetworkSnapshot } from '../../model/network.ts';
import type { AddressFamily } from '../../model/service.ts';
import {
  ENGINE_END_ADDRESS,
  ENGINE_END_ADDRESS6,
  ENGINE_LINK_NAME,
  HOST_END_ADDRESS6,
  HOST_LINK_NAME,
} from './host-link.ts';
import { readNatRules } from './nat-rules.ts';
import { runTool } from './run-tool.ts';
import { TAP_FAR_NAME, TAP_LINK_NAME, TAP_NEAR_NAME } from './tap-link.ts';

/** What `ip -json` prints, as far as it is read here. Manual pages: ip-address(8), ip-route(8), ip-neighbour(8). */
export interface IpLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  /** Name of the bridge, bond or VRF it belongs to. */
  readonly master?: string;
  readonly link_type: string;
  /** Some kinds of links have none. */
  readonly address?: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info?: readonly {
    readonly local?: string;
    readonly prefixlen?: number;
    /** IPv6: somebody else on the link has it already. */
    readonly dadfailed?: boolean;
  }[];
}

export interface IpRoute {
  readonly type?: string;
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
  /** `local`, a name or a number; absent for the main table. */
  readonly table?: string;
  readonly prefsrc?: string;
  readonly metric?: number;
  readonly flags?: readonly string[];
  readonly nexthops?: readonly {
    readonly gateway?: string;
    readonly dev?: string;
    readonly flags?: readonly string[];
  }[];
}

export interface IpNeighbor {
  readonly dst: string;
  readonly dev: string;
  readonly lladdr?: string;
  readonly state?: readonly string[];
}

export interface NetworkFacts {
  readonly links: readonly IpLink[];
  readonly routes: Readonly<Record<AddressFamily, readonly IpRoute[]>>;
  readonly neighbors: readonly IpNeighbor[];
  /** /proc/sys/net/ipv4/ip_local_port_range */
  readonly localPortRange: string;
}

/** The engine's view, and what concerns the host alone. */
export interface HostNetwork extends NetworkSnapshot {
  /** Links that would be served if they were up. */
  readonly downLinks: readonly { readonly index: number; readonly name: string }[];
  /** The link of our own through which frames come and go; absent when there is none. */
  readonly tap?: true;
}

/**
 * The network of this process's namespace. `links`: the names to serve, `null` for all. The snapshot's links are
 * the ones to serve, and no others; its routes may lead out by links that are not served, which the engine takes
 * as no way. Throws an IpvsError when iproute2 is missing or does not work.
 */
export async function readNetwork(links: readonly string[] | null): Promise<HostNetwork> {
  const [addresses, ipv4, ipv6, neighbors, localPortRange] = await Promise.all([
    ipJson<IpLink>(['-details', 'address', 'show']),
    ipJson<IpRoute>(['-4', 'route', 'show', 'table', 'all']),
    ipJson<IpRoute>(['-6', 'route', 'show', 'table', 'all']).catch(() => []),
    ipJson<IpNeighbor>(['neighbor', 'show', 'nud', 'permanent']),
    readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').catch(() => DEFAULT_PORT_RANGE),
  ]);
  const snapshot = snapshotOf({ links: addresses, routes: { ipv4, ipv6 }, neighbors, localPortRange }, links);
  const sourceNat = await readNatRules(snapshot.localPortRange);
  return sourceNat.rules.length === 0 ? snapshot : { ...snapshot, sourceNat };
}

const TAP_LINKS: readonly string[] = [TAP_NEAR_NAME, TAP_FAR_NAME, TAP_LINK_NAME];
const DEFAULT_PORT_RANGE = '32768 60999';

async function ipJson<T>(args: readonly string[]): Promise<T[]> {
  const result = await runTool('ip', ['-json', ...args]);
  if (result.missing) {
    throw new IpvsError(
      'ENOENT',
      'ip (iproute2) is not installed: links and routes cannot be read; apt-get install iproute2',
    );
  }
  if (result.code !== 0) throw new IpvsError('EIO', `ip ${args.join(' ')}: ${result.complaint}`);
  // An empty list is printed as nothing at all by some versions, and holes in a list as empty objects.
  const rows = result.stdout.trim() === '' ? [] : (JSON.parse(result.stdout) as T[]);
  return rows.filter((row) => Object.keys(row as object).length > 0);
}

/** The pure part. */
export function snapshotOf(facts: NetworkFacts, allowed: readonly string[] | null): HostNetwork {
  const indexes = new Map(facts.links.map((link) => [link.ifname, link.ifindex]));
  const links = facts.links.filter((link) => isServed(link, allowed)).map(toLink);
  const hostSide = indexes.get(HOST_LINK_NAME);
  const routes = [
    ...facts.routes.ipv4.flatMap((route) => toRoute(route, 'ipv4', indexes)),
    ...facts.routes.ipv6.flatMap((route) => toRoute(route, 'ipv6', indexes)),
  ];
  return {
    links,
    downLinks: facts.links
      .filter((link) => isServable(link, allowed) && !isUp(link))
      .map(({ ifindex, ifname }) => ({ index: ifindex, name: ifname })),
    // The stack's routes to the engine are none for the engine.
    routes: routes.filter((route) => route.linkIndex !== hostSide),
    neighbors: facts.neighbors
      .flatMap((neighbor) => toNeighbor(neighbor, indexes))
      .filter((n) => n.linkIndex !== hostSide),
    hostLink: hostLinkOf(facts.links),
    localPortRange: parsePortRange(facts.localPortRange),
    ...(TAP_LINKS.every((name) => indexes.has(name)) ? { tap: true } : {}),
  };
}

/**
 * Ethernet links and `lo` that are up. Members of a bridge, bond or VRF are their master's, a VRF has no cable,
 * and the stack's end of the host link is the stack's. The engine's end is always served.
 */
export function isServed(link: IpLink, allowed: readonly string[] | null): boolean {
  return isUp(link) && isServable(link, allowed);
}

function isUp(link: IpLink): boolean {
  return link.flags.includes('UP');
}

function isServable(link: IpLink, allowed: readonly string[] | null): boolean {
  if (link.ifname === HOST_LINK_NAME || TAP_LINKS.includes(link.ifname)) return false;
  if (link.ifname === ENGINE_LINK_NAME) return true;
  if (link.link_type !== 'ether' && link.link_type !== 'loopback') return false;
  if (link.master !== undefined || link.linkinfo?.info_kind === 'vrf') return false;
  return allowed === null || allowed.includes(link.ifname);
}

function toLink(link: IpLink): NetworkLink {
  return {
    index: link.ifindex,
    name: link.ifname,
    mac: link.address ?? '00:00:00:00:00:00',
    mtu: link.mtu,
    loopback: link.flags.includes('LOOPBACK'),
    up: true,
    // Link-local ones too: next hops that are link-local themselves are asked from them.
    addresses: (link.addr_info ?? []).flatMap(({ local, prefixlen, dadfailed }) =>
      local === undefined || prefixlen === undefined || dadfailed ? [] : [{ address: local, prefixLength: prefixlen }],
    ),
  };
}

const ROUTE_TYPES: readonly NetworkRoute['type'][] = [
  'unicast',
  'local',
  'broadcast',
  'blackhole',
  'unreachable',
  'prohibit',
];

/** One route, or none: other tables, other types, and next hops that are dead. Of several next hops the first living. */
function toRoute(route: IpRoute, family: AddressFamily, indexes: ReadonlyMap<string, number>): NetworkRoute[] {
  if (route.table !== undefined && route.table !== 'main' && route.table !== 'local') return [];
  const type = ROUTE_TYPES.find((known) => known === (route.type ?? 'unicast'));
  if (type === undefined) return [];
  const hop = (route.nexthops ?? [route]).find((candidate) => !candidate.flags?.includes('dead'));
  if (hop === undefined) return [];
  return [
    {
      family,
      destination: prefixText(route.dst, family),
      gateway: hop.gateway ?? null,
      // Blackholes have no link.
      linkIndex: indexes.get(hop.dev ?? '') ?? 0,
      preferredSource: route.prefsrc ?? null,
      metric: route.metric ?? 0,
      type,
    },
  ];
}

function prefixText(destination: string, family: AddressFamily): string {
  if (destination === 'default') return family === 'ipv4' ? '0.0.0.0/0' : '::/0';
  if (destination.includes('/')) return destination;
  return `${destination}/${family === 'ipv4' ? 32 : 128}`;
}

function toNeighbor(neighbor: IpNeighbor, indexes: ReadonlyMap<string, number>): NetworkNeighbor[] {
  const linkIndex = indexes.get(neighbor.dev);
  if (linkIndex === undefined || neighbor.lladdr === undefined) return [];
  return [{ address: neighbor.dst, linkIndex, mac: neighbor.lladdr }];
}

function hostLinkOf(links: readonly IpLink[]): HostLink | null {
  const hostEnd = links.find((link) => link.ifname === HOST_LINK_NAME);
  const engineEnd = links.find((link) => link.ifname === ENGINE_LINK_NAME);
  if (hostEnd?.address === undefined || engineEnd?.address === undefined) return null;
  if (!hostEnd.flags.includes('UP') || !engineEnd.flags.includes('UP')) return null;
  return {
    linkIndex: engineEnd.ifindex,
    hostMac: hostEnd.address,
    engineMac: engineEnd.address,
    engineAddress: ENGINE_END_ADDRESS,
    ...(hostEnd.addr_info?.some(({ local }) => local === HOST_END_ADDRESS6)
      ? { engineAddress6: ENGINE_END_ADDRESS6 }
      : {}),
  };
}

function parsePortRange(text: string): readonly [number, number] {
  const [low, high] = text.trim().split(/\s+/).map(Number) as [number, number];
  return [low, high];
}

/** The prefixes that are this host's own, for the guard: the engine asks the same routes. */
export function localPrefixesOf(snapshot: NetworkSnapshot): string[] {
  return snapshot.routes.filter((route) => route.type === 'local').map((route) => route.destination);
}
