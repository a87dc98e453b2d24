/**
 * Which of its IPv6 addresses this host uses towards another one: the part of the usual rules that matters between
 * addresses of one link - the scope first, then the longest common prefix, then the newest. Source: RFC 6724,
 * section 5, rules 2 and 8; a prefix counts at most with the length of the address's own network.
 */
import type { AddressWords } from '../wire/neighbor-discovery.ts';
import type { LinkAddress } from './network.ts';

export function chooseIpv6Source(addresses: readonly LinkAddress[], target: AddressWords): LinkAddress | null {
  let best: LinkAddress | null = null;
  let bestLength = -1;
  for (let i = addresses.length - 1; i >= 0; i--) {
    const candidate = addresses[i] as LinkAddress;
    if (isLinkLocal(candidate) !== isLinkLocal(target)) continue;
    const length = Math.min(commonPrefixLength(candidate, target), candidate.prefixLength);
    if (length > bestLength) {
      best = candidate;
      bestLength = length;
    }
  }
  // A link-local source is better than none, but only on the link.
  return best ?? addresses.find((candidate) => isLinkLocal(candidate)) ?? null;
}

/** fe80::/10, and the groups of one link. */
export function isLinkLocal(address: AddressWords): boolean {
  return address.address0 >>> 22 === 0xfe80 >>> 6 || address.address0 >>> 16 === 0xff02;
}

function commonPrefixLength(a: AddressWords, b: AddressWords): number {
  const differences = [
    a.address0 ^ b.address0,
    a.address1 ^ b.address1,
    a.address2 ^ b.address2,
    a.address3 ^ b.address3,
  ];
  const first = differences.findIndex((difference) => difference !== 0);
  return first < 0 ? 128 : 32 * first + Math.clz32(differences[first] as number);
}
