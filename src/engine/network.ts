/**
 * The host's links, addresses and routes in the form the packet path asks for them. Made anew from each snapshot;
 * `generation` tells what was remembered from an older one. Addresses are four words, IPv4 in the last.
 */
import { EndpointIndex } from '../balance/endpoint-index.ts';
import type { HostLink, NetworkRoute, NetworkSnapshot } from '../model/network.ts';
import { parseAddress, parseIpv4, parseMac, prefixMaskWord } from '../wire/address.ts';
import type { AddressWords } from '../wire/neighbor-discovery.ts';
import { chooseIpv6Source } from './source-address.ts';

export interface LinkAddress extends AddressWords {
  readonly ipv6: boolean;
  readonly prefixLength: number;
}

export interface EngineLink {
  readonly index: number;
  readonly name: string;
  readonly mac: Uint8Array;
  readonly mtu: number;
  readonly loopback: boolean;
  /** IPv4 addresses, the first is the primary one, with their masks. */
  readonly addresses: readonly { readonly address: number; readonly mask: number }[];
  /** IPv6 addresses in the order they were given. */
  readonly addresses6: readonly LinkAddress[];
}

interface Route {
  readonly ipv6: boolean;
  readonly words: Int32Array;
  readonly masks: Int32Array;
  readonly prefixLength: number;
  readonly gateway: Int32Array | null;
  readonly link: EngineLink | null;
  readonly source: Int32Array | null;
  readonly metric: number;
  readonly type: NetworkRoute['type'];
}

/** Where a packet to one address goes next. */
export interface Hop extends AddressWords {
  readonly link: EngineLink;
  readonly ipv6: boolean;
  /** The address this host uses towards it; all 0 when it has none there. */
  readonly source: AddressWords;
  readonly mtu: number;
}

export interface HostCable {
  readonly link: EngineLink;
  readonly hostMac: Uint8Array;
  readonly engineMac: Uint8Array;
  readonly engineAddress: number;
  /** `null`: servers on this host are not reached by IPv6. */
  readonly engineAddress6: AddressWords | null;
}

export const LOCAL = 'local';
export const NO_ADDRESS: AddressWords = { address0: 0, address1: 0, address2: 0, address3: 0 };

const LOOPBACK_NETWORK = 127;
const MULTICAST_FIRST_BYTE = 0xff;

export class Network {
  readonly generation: number;
  readonly localPortRange: readonly [number, number];
  readonly cable: HostCable | null;
  readonly #links = new Map<number, EngineLink>();
  readonly #hostAddresses = new EndpointIndex<true>();
  readonly #routes: readonly Route[];
  /** Local routes: to one address, and to more. */
  readonly #localAddresses = new EndpointIndex<true>();
  readonly #localNetworks: readonly Route[];
  readonly loopback: EngineLink | null;

  constructor(snapshot: NetworkSnapshot, generation: number) {
    this.generation = generation;
    this.localPortRange = snapshot.localPortRange;
    for (const link of snapshot.links) {
      const addresses: { address: number; mask: number }[] = [];
      const addresses6: LinkAddress[] = [];
      for (const { address, prefixLength } of link.addresses) {
        const parsed = parseAddress(address);
        if (parsed === null) continue;
        const words = wordsOf(parsed.words);
        const ipv6 = parsed.family === 'ipv6';
        if (ipv6) addresses6.push({ ipv6, prefixLength, ...words });
        else addresses.push({ address: words.address3, mask: prefixMaskWord(false, prefixLength, 3) });
        const { address0, address1, address2, address3 } = words;
        this.#hostAddresses.set(ipv6 ? 1 : 0, address0, address1, address2, address3, 0, true);
      }
      const mac = parseMac(link.mac) ?? new Uint8Array(6);
      const { index, name, mtu, loopback } = link;
      this.#links.set(index, { index, name, mac, mtu, loopback, addresses, addresses6 });
    }
    this.#routes = readRoutes(snapshot.routes, this.#links);
    const local = this.#routes.filter(({ type }) => type === 'local');
    this.#localNetworks = local.filter((route) => !isToOneAddress(route));
    for (const { ipv6, words } of local.filter(isToOneAddress)) {
      const { address0, address1, address2, address3 } = wordsOf(words);
      this.#localAddresses.set(ipv6 ? 1 : 0, address0, address1, address2, address3, 0, true);
    }
    this.loopback = [...this.#links.values()].find((link) => link.loopback) ?? null;
    this.cable = snapshot.hostLink === null ? null : this.#readCable(snapshot.hostLink);
  }

  link(index: number): EngineLink | null {
    return this.#links.get(index) ?? null;
  }

  links(): Iterable<EngineLink> {
    return this.#links.values();
  }

  /** An IPv4 address of one of this host's interfaces (127.0.0.0/8 included). */
  isHostAddress(address: number): boolean {
    return this.ownsAddress(false, 0, 0, 0, address);
  }

  /** An address of one of this host's interfaces, loopback included. */
  ownsAddress(ipv6: boolean, w0: number, w1: number, w2: number, w3: number): boolean {
    if (isLoopback(ipv6, w0, w1, w2, w3)) return true;
    return this.#hostAddresses.find(ipv6 ? 1 : 0, w0, w1, w2, w3, 0) !== null;
  }

  /** What the host's routes call its own, on whatever link; loopback included. The guard asks the same. */
  hasLocalRoute(ipv6: boolean, w0: number, w1: number, w2: number, w3: number): boolean {
    if (isLoopback(ipv6, w0, w1, w2, w3)) return true;
    if (this.#localAddresses.find(ipv6 ? 1 : 0, w0, w1, w2, w3, 0) !== null) return true;
    return this.#localNetworks.some((route) => matches(route, ipv6, w0, w1, w2, w3));
  }

  /** Longest matching prefix, lowest metric: the next hop, LOCAL for this host itself, or `null`: no way. */
  route(ipv6: boolean, w0: number, w1: number, w2: number, w3: number): Hop | typeof LOCAL | null {
    if (this.ownsAddress(ipv6, w0, w1, w2, w3)) return LOCAL;
    for (const route of this.#routes) {
      if (!matches(route, ipv6, w0, w1, w2, w3)) continue;
      const { link, gateway } = route;
      if (route.type === 'local') return LOCAL;
      if (route.type !== 'unicast' || link === null) return null;
      const target = { address0: w0, address1: w1, address2: w2, address3: w3 };
      const hop = gateway === null ? target : wordsOf(gateway);
      const source = route.source === null ? sourceOn(link, ipv6, target, hop) : wordsOf(route.source);
      return { link, ipv6, ...hop, source, mtu: link.mtu };
    }
    return null;
  }

  #readCable(hostLink: HostLink): HostCable | null {
    const link = this.#links.get(hostLink.linkIndex);
    const hostMac = parseMac(hostLink.hostMac);
    const engineMac = parseMac(hostLink.engineMac);
    const engineAddress = parseIpv4(hostLink.engineAddress);
    if (link === undefined || hostMac === null || engineMac === null || engineAddress === null) return null;
    const address6 = readWords(hostLink.engineAddress6 ?? null);
    const engineAddress6 = address6 === null ? null : wordsOf(address6);
    return { link, hostMac, engineMac, engineAddress, engineAddress6 };
  }
}

function matches({ ipv6: six, words, masks }: Route, ipv6: boolean, w0: number, w1: number, w2: number, w3: number) {
  if (six !== ipv6 || (w3 & (masks[3] as number)) !== words[3] || (w2 & (masks[2] as number)) !== words[2])
    return false;
  return (w1 & (masks[1] as number)) === words[1] && (w0 & (masks[0] as number)) === words[0];
}

function isToOneAddress({ ipv6, prefixLength }: Route): boolean {
  return prefixLength === (ipv6 ? 128 : 32);
}

export function isLoopback(ipv6: boolean, w0: number, w1: number, w2: number, w3: number): boolean {
  return ipv6 ? (w0 | w1 | w2) === 0 && w3 === 1 : w3 >>> 24 === LOOPBACK_NETWORK;
}

export function isMulticast(ipv6: boolean, w0: number, w3: number): boolean {
  return ipv6 ? w0 >>> 24 === MULTICAST_FIRST_BYTE : w3 >>> 28 === 0xe;
}

/** The address of `link` that packets to `target` over `hop` carry as their source, if no route names another. */
export function sourceOn(link: EngineLink, ipv6: boolean, target: AddressWords, hop: AddressWords): AddressWords {
  if (ipv6) return chooseIpv6Source(link.addresses6, target) ?? NO_ADDRESS;
  return { ...NO_ADDRESS, address3: sourceOnIpv4(link, hop.address3) };
}

/** The address of `link` in whose network `peer` lies, else its first. */
export function sourceOnIpv4(link: EngineLink, peer: number): number {
  for (const { address, mask } of link.addresses) if ((address & mask) === (peer & mask) && mask !== -1) return address;
  return link.addresses[0]?.address ?? 0;
}

function wordsOf(words: Int32Array): AddressWords {
  const [address0, address1, address2, address3] = words as unknown as [number, number, number, number];
  return { address0, address1, address2, address3 };
}

function readRoutes(routes: readonly NetworkRoute[], links: ReadonlyMap<number, EngineLink>): Route[] {
  const read: Route[] = [];
  for (const route of routes) {
    const [text, length] = route.destination.split('/');
    const address = parseAddress(text as string);
    if (address === null || address.family !== route.family) continue;
    const ipv6 = address.family === 'ipv6';
    const prefixLength = length === undefined ? (ipv6 ? 128 : 32) : Number(length);
    const masks = Int32Array.from([0, 1, 2, 3], (index) => prefixMaskWord(ipv6, prefixLength, index));
    read.push({
      ipv6,
      words: address.words.map((word, index) => word & (masks[index] as number)),
      masks,
      prefixLength,
      gateway: readWords(route.gateway),
      link: links.get(route.linkIndex) ?? null,
      source: readWords(route.preferredSource),
      metric: route.metric,
      type: route.type,
    });
  }
  return read.sort((a, b) => b.prefixLength - a.prefixLength || a.metric - b.metric);
}

function readWords(text: string | null): Int32Array | null {
  return text === null ? null : (parseAddress(text)?.words ?? null);
}
