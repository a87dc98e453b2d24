/**
 * The network of a replay. A capture holds packets, not routes, so the host is made up around them: the VIPs are its
 * addresses, the MAC address that clients sent to is its own, every server is on the link its answers came by, and
 * everybody else is behind the neighbour that the first request came from. Who is nowhere in the capture gets a
 * made-up MAC address that depends on nothing but the IP address, so that a replay is the same every time.
 */
import type { DesiredBalancer } from '../control/change-plan.ts';
import type { NetworkLink, NetworkNeighbor, NetworkRoute, NetworkSnapshot } from '../model/network.ts';
import { familyOfAddress, isMarkKey } from '../model/service.ts';
import { CaptureFileReader } from '../packet-io/capture-file-reader.ts';
import type { Link } from '../packet-io/packet-io.ts';
import { ethernetFrameOf } from '../packet-io/replay-frame.ts';
import { formatAddress, formatMac, parseAddress } from '../wire/address.ts';
import { LinkType } from '../wire/capture-format.ts';
import { isGroupAddressed } from '../wire/ethernet.ts';
import { PacketFacts } from '../wire/packet-facts.ts';

/** Packets from the beginning of the file that are looked at for addresses. */
const PACKETS_LOOKED_AT = 50_000;
/** Hosts remembered that did not come by the router. */
const HOSTS_MAX = 256;
/** Captures of offloading hosts hold frames longer than any link allows; they are not refused. */
const REPLAY_MTU = 65_535;
const NOBODY = new Uint8Array(6);
const GATEWAYS = { ipv4: '169.254.0.1', ipv6: 'fe80::1' } as const;

export interface ReplayNetwork {
  readonly snapshot: NetworkSnapshot;
  readonly links: readonly Link[];
}

/** What the first packets of a capture tell about who is where. */
interface Sightings {
  /** By interface: its name, and the address at which the balancer takes packets. */
  readonly interfaces: readonly { readonly name: string; mac: string | null }[];
  /** Who sent packets to the balancer, by IP address. */
  readonly hosts: Map<string, { readonly mac: string; readonly interfaceIndex: number }>;
  /** Who sent the first request. */
  router: { readonly mac: string; readonly interfaceIndex: number } | null;
}

/** Throws CaptureFileError and PacketIoError, as reading does. */
export function replayNetwork(path: string, desired: DesiredBalancer): ReplayNetwork {
  const vips = new Set(
    desired.services.flatMap(({ spec: { key } }) => (isMarkKey(key) ? [] : [canonical(key.address)])),
  );
  for (const { destination } of desired.markRules) {
    if (destination !== undefined) vips.add(canonical(destination.replace(/\/(32|128)$/, '')));
  }
  const servers = new Set(
    desired.services.flatMap(({ destinations, fallback }) =>
      [...destinations, ...(fallback === null ? [] : [fallback])].map(({ address }) => canonical(address)),
    ),
  );
  const seen = lookAt(path, vips, servers);
  return { snapshot: snapshotOf(seen, vips, servers), links: linksOf(seen) };
}

/** More interfaces than were known at the beginning: pcapng files may describe them later. */
export function withLinks(snapshot: NetworkSnapshot, links: readonly Link[]): NetworkSnapshot {
  const known = new Set(snapshot.links.map(({ index }) => index));
  const more = links.filter(({ index }) => !known.has(index));
  const added = more.map(({ index, name, mac, mtu }) => networkLink(index, name, formatMac(mac, 0), mtu, []));
  return { ...snapshot, links: [...snapshot.links, ...added] };
}

function lookAt(path: string, vips: ReadonlySet<string>, servers: ReadonlySet<string>): Sightings {
  const interfaces: { name: string; mac: string | null }[] = [];
  const seen: Sightings = { interfaces, hosts: new Map(), router: null };
  const facts = new PacketFacts();
  const reader = new CaptureFileReader(path);
  try {
    for (let count = 0; count < PACKETS_LOOKED_AT; count++) {
      const packet = nextOrNull(reader, count);
      reader.interfaces.slice(interfaces.length).forEach(({ name, mac }) => {
        interfaces.push({
          name: name ?? `replay${interfaces.length}`,
          mac: mac === undefined ? null : formatMac(mac, 0),
        });
      });
      if (packet === null) break;
      if (packet.direction === 'outbound') continue;
      const { interfaceIndex } = packet;
      const { linkType } = reader.interfaces[interfaceIndex] as { linkType: number };
      const frame = ethernetFrameOf(packet.data, linkType, NOBODY);
      if (typeof frame === 'string' || isGroupAddressed(frame, 0) || !facts.read(frame, 0, frame.length)) continue;
      const source = facts.source(frame);
      const isRequest = vips.has(facts.destination(frame));
      if (!isRequest && !servers.has(source)) continue;
      const described = interfaces[interfaceIndex] as { mac: string | null };
      // Captures without link headers say nothing about the balancer's address.
      if (linkType === LinkType.ETHERNET)
        described.mac = firstOf(seen, interfaceIndex, described.mac, formatMac(frame, 0));
      // Copies of requests on their way to a server carry the VIP, too (direct routing), but not our address.
      if (linkType === LinkType.ETHERNET && described.mac !== formatMac(frame, 0)) continue;
      const mac = formatMac(frame, 6);
      if (isRequest && !servers.has(source)) seen.router ??= { mac, interfaceIndex };
      if (seen.hosts.size < HOSTS_MAX || servers.has(source)) {
        if (!seen.hosts.has(source)) seen.hosts.set(source, { mac, interfaceIndex });
      }
    }
    return seen;
  } finally {
    reader.close();
  }
}

/** What is wrong later in the file is told when its turn comes; a file that cannot be begun is refused here. */
function nextOrNull(reader: CaptureFileReader, count: number): ReturnType<CaptureFileReader['next']> {
  try {
    return reader.next();
  } catch (error) {
    if (count === 0) throw error;
    return null;
  }
}

const decided = new WeakMap<Sightings, Set<number>>();

/** The address that the first packet to the balancer went to; what the file itself says about the link comes second. */
function firstOf(seen: Sightings, interfaceIndex: number, known: string | null, found: string): string {
  const interfaces = decided.get(seen) ?? new Set();
  decided.set(seen, interfaces);
  if (interfaces.has(interfaceIndex)) return known ?? found;
  interfaces.add(interfaceIndex);
  return found;
}

function linksOf({ interfaces }: Sightings): Link[] {
  return interfaces.map(({ name, mac }, i) => ({
    index: i + 1,
    name,
    mac: macBytes(mac ?? madeUpMac(`link ${i}`)),
    mtu: REPLAY_MTU,
    loopback: false,
  }));
}

function snapshotOf(seen: Sightings, vips: ReadonlySet<string>, servers: ReadonlySet<string>): NetworkSnapshot {
  const addresses = [...vips].filter((vip) => parseAddress(vip) !== null);
  const links = linksOf(seen).map(({ index, name, mac }) =>
    networkLink(index, name, formatMac(mac, 0), REPLAY_MTU, index === 1 ? addresses : []),
  );
  const router = seen.router ?? { mac: madeUpMac('router'), interfaceIndex: 0 };
  const routes: NetworkRoute[] = [];
  const neighbors: NetworkNeighbor[] = [];
  const place = (address: string, mac: string, interfaceIndex: number): void => {
    const family = familyOfAddress(address);
    const linkIndex = interfaceIndex + 1;
    routes.push(routeTo(`${address}/${family === 'ipv6' ? 128 : 32}`, null, linkIndex));
    neighbors.push({ address, linkIndex, mac });
  };
  for (const server of servers) {
    if (parseAddress(server) === null || vips.has(server) || isLoopback(server)) continue;
    const { mac, interfaceIndex } = seen.hosts.get(server) ?? { mac: madeUpMac(server), interfaceIndex: 0 };
    place(server, mac, interfaceIndex);
  }
  for (const [address, { mac, interfaceIndex }] of seen.hosts) {
    if (servers.has(address) || vips.has(address)) continue;
    if (mac !== router.mac || interfaceIndex !== router.interfaceIndex) place(address, mac, interfaceIndex);
  }
  for (const gateway of Object.values(GATEWAYS)) {
    const linkIndex = router.interfaceIndex + 1;
    routes.push(routeTo(gateway.includes(':') ? '::/0' : '0.0.0.0/0', gateway, linkIndex));
    neighbors.push({ address: gateway, linkIndex, mac: router.mac });
  }
  return { links, routes, neighbors, hostLink: null, localPortRange: [0, 0] };
}

function networkLink(index: number, name: string, mac: string, mtu: number, addresses: readonly string[]): NetworkLink {
  return {
    index,
    name,
    mac,
    mtu,
    loopback: false,
    up: true,
    addresses: addresses.map((address) => ({ address, prefixLength: address.includes(':') ? 128 : 32 })),
  };
}

function routeTo(destination: string, gateway: string | null, linkIndex: number): NetworkRoute {
  const family = familyOfAddress(destination);
  return { family, destination, gateway, linkIndex, preferredSource: null, metric: 0, type: 'unicast' };
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

/** `2001:db8:0::1` and `2001:db8::1` are one address. */
function canonical(address: string): string {
  const parsed = parseAddress(address);
  return parsed === null ? address : formatAddress(parsed.family, parsed.words);
}

/** Locally administered, by FNV-1a over the text. */
function madeUpMac(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  const bytes = [2, 0x75, hash >>> 24, (hash >>> 16) & 255, (hash >>> 8) & 255, hash & 255];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));
}
