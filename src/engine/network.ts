/**
 * The host's links, addresses and routes in the form the packet path asks for them. Made anew from each snapshot;
 * `generation` tells what was remembered from an older one.
 */
import type { HostLink, NetworkRoute, NetworkSnapshot } from '../model/network.ts';
import { parseAddress, parseIpv4, parseMac } from '../wire/address.ts';

export interface EngineLink {
  readonly index: number;
  readonly name: string;
  readonly mac: Uint8Array;
  readonly mtu: number;
  readonly loopback: boolean;
  /** IPv4 addresses, the first is the primary one, with their masks. */
  readonly addresses: readonly { readonly address: number; readonly mask: number }[];
}

interface Route {
  readonly network: number;
  readonly mask: number;
  readonly prefixLength: number;
  readonly gateway: number | null;
  readonly link: EngineLink | null;
  readonly source: number | null;
  readonly metric: number;
  readonly type: NetworkRoute['type'];
}

/** Where a packet to one address goes next. */
export interface Hop {
  readonly link: EngineLink;
  readonly nextHop: number;
  /** The address this host uses towards it, or 0 when it has none there. */
  readonly source: number;
  readonly mtu: number;
}

export interface HostCable {
  readonly link: EngineLink;
  readonly hostMac: Uint8Array;
  readonly engineMac: Uint8Array;
  readonly engineAddress: number;
}

export const LOCAL = 'local';

const LOOPBACK_NETWORK = 127;

export class Network {
  readonly generation: number;
  readonly localPortRange: readonly [number, number];
  readonly cable: HostCable | null;
  readonly #links = new Map<number, EngineLink>();
  readonly #hostAddresses = new Set<number>();
  readonly #routes: readonly Route[];

  constructor(snapshot: NetworkSnapshot, generation: number) {
    this.generation = generation;
    this.localPortRange = snapshot.localPortRange;
    for (const link of snapshot.links) {
      const addresses: { address: number; mask: number }[] = [];
      for (const { address, prefixLength } of link.addresses) {
        const word = parseIpv4(address);
        if (word === null) continue;
        addresses.push({ address: word, mask: maskOf(prefixLength) });
        this.#hostAddresses.add(word);
      }
      const mac = parseMac(link.mac) ?? new Uint8Array(6);
      this.#links.set(link.index, {
        index: link.index,
        name: link.name,
        mac,
        mtu: link.mtu,
        loopback: link.loopback,
        addresses,
      });
    }
    this.#routes = readRoutes(snapshot.routes, this.#links);
    this.cable = snapshot.hostLink === null ? null : this.#readCable(snapshot.hostLink);
  }

  link(index: number): EngineLink | null {
    return this.#links.get(index) ?? null;
  }

  links(): Iterable<EngineLink> {
    return this.#links.values();
  }

  /** An address of one of this host's interfaces (127.0.0.0/8 included). */
  isHostAddress(address: number): boolean {
    return address >>> 24 === LOOPBACK_NETWORK || this.#hostAddresses.has(address);
  }

  /** Longest matching prefix, lowest metric: the next hop, LOCAL for this host itself, or `null`: no way. */
  route(address: number): Hop | typeof LOCAL | null {
    if (this.isHostAddress(address)) return LOCAL;
    for (const route of this.#routes) {
      if ((address & route.mask) !== route.network) continue;
      if (route.type === 'local') return LOCAL;
      if (route.type !== 'unicast' || route.link === null) return null;
      const nextHop = route.gateway ?? address;
      return { link: route.link, nextHop, source: route.source ?? sourceOn(route.link, nextHop), mtu: route.link.mtu };
    }
    return null;
  }

  #readCable(hostLink: HostLink): HostCable | null {
    const link = this.#links.get(hostLink.linkIndex);
    const hostMac = parseMac(hostLink.hostMac);
    const engineMac = parseMac(hostLink.engineMac);
    const engineAddress = parseIpv4(hostLink.engineAddress);
    if (link === undefined || hostMac === null || engineMac === null || engineAddress === null) return null;
    return { link, hostMac, engineMac, engineAddress };
  }
}

/** The address of `link` in whose network `peer` lies, else its first. */
function sourceOn(link: EngineLink, peer: number): number {
  for (const { address, mask } of link.addresses) if ((address & mask) === (peer & mask) && mask !== -1) return address;
  return link.addresses[0]?.address ?? 0;
}

function maskOf(prefixLength: number): number {
  return prefixLength === 0 ? 0 : -1 << (32 - prefixLength);
}

function readRoutes(routes: readonly NetworkRoute[], links: ReadonlyMap<number, EngineLink>): Route[] {
  const read: Route[] = [];
  for (const route of routes) {
    if (route.family !== 'ipv4') continue;
    const [text, length] = route.destination.split('/');
    const address = parseAddress(text as string);
    if (address === null || address.family !== 'ipv4') continue;
    const prefixLength = length === undefined ? 32 : Number(length);
    const mask = maskOf(prefixLength);
    read.push({
      network: (address.words[3] as number) & mask,
      mask,
      prefixLength,
      gateway: route.gateway === null ? null : parseIpv4(route.gateway),
      link: links.get(route.linkIndex) ?? null,
      source: route.preferredSource === null ? null : parseIpv4(route.preferredSource),
      metric: route.metric,
      type: route.type,
    });
  }
  return read.sort((a, b) => b.prefixLength - a.prefixLength || a.metric - b.metric);
}
