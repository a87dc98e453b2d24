/** How claims and the host's addresses are written as keys of BPF maps. The program builds the same keys from frames. */
import type { Claim } from '../claims.ts';

/** A claim's key: the address (one of IPv4 with zeros behind it), the port in network order, protocol, kind. */
export const CLAIM_KEY = { address: 0, port: 16, protocol: 18, kind: 19, bytes: 20 } as const;
/** A prefix's key, as a trie of longest prefixes wants it: its bits, then a word for the family, then the address. */
export const PREFIX_KEY = { bits: 0, family: 4, address: 8, bytes: 24 } as const;
/** The word for the family is always compared. */
export const FAMILY_BITS = 32;
/** Of a claim: 1 for the side of the servers, 2 for IPv6. */
export const KIND_SERVER = 1;
export const KIND_IPV6 = 2;

export function claimKey({ side, address, protocol, port }: Claim): Uint8Array {
  const key = new Uint8Array(CLAIM_KEY.bytes);
  key.set(address, CLAIM_KEY.address);
  key[CLAIM_KEY.port] = port >> 8;
  key[CLAIM_KEY.port + 1] = port & 0xff;
  key[CLAIM_KEY.protocol] = protocol;
  key[CLAIM_KEY.kind] = (side === 'server' ? KIND_SERVER : 0) | (address.length === 16 ? KIND_IPV6 : 0);
  return key;
}

export function prefixKey(address: Uint8Array, bits: number): Uint8Array {
  const key = new Uint8Array(PREFIX_KEY.bytes);
  new DataView(key.buffer).setUint32(PREFIX_KEY.bits, FAMILY_BITS + bits, true);
  key[PREFIX_KEY.family] = address.length === 16 ? 6 : 4;
  key.set(address, PREFIX_KEY.address);
  return key;
}

/** The value of a prefix: the local port range, its low end in the lower half. */
export function portRangeValue([low, high]: readonly [number, number]): Uint8Array {
  const value = new Uint8Array(4);
  new DataView(value.buffer).setUint32(0, (low | (high << 16)) >>> 0, true);
  return value;
}
