/** Which link leads to an address, and which address this host has there. */
import { formatAddress, parseAddress, prefixMaskWord } from '../../wire/address.ts';
import type { HostFacts, HostLink } from '../facts/host.ts';

/** Links that reach `address` without a router, the closest network first. */
export function linksBeside({ links }: HostFacts, address: string): HostLink[] {
  return links
    .filter((link) => !link.loopback && link.up)
    .map((link) => ({ link, length: longestPrefix(link, address) }))
    .filter(({ length }) => length > 0)
    .sort((a, b) => b.length - a.length)
    .map(({ link }) => link);
}

/** The longest prefix of the link's addresses that `address` lies in and that has room for others; 0: none. */
function longestPrefix(link: HostLink, address: string): number {
  const whole = address.includes(':') ? 128 : 32;
  const lengths = link.addresses
    .filter(({ address: own, prefixLength }) => prefixLength < whole && isInside(address, own, prefixLength))
    .map(({ prefixLength }) => prefixLength);
  return Math.max(0, ...lengths);
}

export function isInside(address: string, network: string, prefixLength: number): boolean {
  const [one, other] = [parseAddress(address), parseAddress(network)];
  if (one === null || other === null || one.family !== other.family) return false;
  const six = one.family === 'ipv6';
  const differs = (index: number) =>
    ((one.words[index] as number) ^ (other.words[index] as number)) & prefixMaskWord(six, prefixLength, index);
  return six ? [0, 1, 2, 3].every((index) => differs(index) === 0) : differs(3) === 0;
}

/** The network of this host that `address` lies in, `192.0.2.0/24`; the address itself when it is in none. */
export function networkBeside(host: HostFacts, address: string): string {
  const link = linksBeside(host, address)[0];
  const length = link === undefined ? 0 : longestPrefix(link, address);
  const parsed = parseAddress(address);
  if (parsed === null || length === 0) return address;
  const six = parsed.family === 'ipv6';
  const words = parsed.words.map((word, index) => word & prefixMaskWord(six, length, index));
  return `${formatAddress(parsed.family, words)}/${length}`;
}

export function isOwnAddress({ links }: HostFacts, address: string): boolean {
  return links.some((link) => link.addresses.some((own) => own.address === address));
}

/** An address of ours in the same network as `address`; `except` is passed over (a virtual address). */
export function ownAddressBeside(link: HostLink, address: string, except: readonly string[]): string | null {
  const own = link.addresses.filter(
    ({ address: candidate, prefixLength }) =>
      !except.includes(candidate) && isInside(address, candidate, prefixLength) && candidate !== address,
  );
  return own[0]?.address ?? null;
}

export function macOf({ neighbors }: HostFacts, address: string): string | null {
  return neighbors.find((neighbor) => neighbor.address === address)?.mac ?? null;
}

export interface NextHop {
  readonly link: HostLink;
  readonly mac: string;
}

/** Where a frame for `address` goes: to itself beside us, or to the router of the longest route. `null`: not known. */
export function nextHop(host: HostFacts, address: string): NextHop | null {
  const beside = linksBeside(host, address)[0];
  if (beside !== undefined) return hopOn(host, beside, address);
  const route = host.routes
    .map((each) => ({ ...each, length: routeLength(each.destination, address) }))
    .filter(({ length, gateway, link }) => length >= 0 && gateway !== null && link !== null)
    .sort((a, b) => b.length - a.length)[0];
  const link = host.links.find(({ name }) => name === route?.link);
  if (route === undefined || link === undefined || !link.up) return null;
  return hopOn(host, link, route.gateway as string);
}

function hopOn(host: HostFacts, link: HostLink, address: string): NextHop | null {
  const mac = macOf(host, address);
  return mac === null ? null : { link, mac };
}

/** Length of the prefix of a route that leads to `address`; -1: it does not. */
function routeLength(destination: string, address: string): number {
  if (destination === 'default') return 0;
  const [network = '', length] = destination.split('/');
  const prefixLength = length === undefined ? (network.includes(':') ? 128 : 32) : Number(length);
  return isInside(address, network, prefixLength) ? prefixLength : -1;
}
