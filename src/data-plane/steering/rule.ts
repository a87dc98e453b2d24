/**
 * Which shard a packet belongs to: the one its client's address says, so that all that concerns one client meets in
 * one engine. The client is the packet's source, or its destination when the packet comes from a server. Only answers
 * that full NAT has asked for name no client: they come to an address of ours, at a port that says the shard.
 */
import type { SteeringFacts } from './facts.ts';

/** Every shard hears it: neighbours, messages between directors, fragments that do not say whose they are. */
export const SHARED = -1;

/** Ports of a packet that has none, and of fragments. */
export const NO_PORT = -1;
export const FRAGMENT_PORT = -2;

const FIRST_SHARD = 0;

/** One object for all questions, filled anew each time. Addresses are words, IPv4 in the last. */
export interface Addressed {
  ipv6: boolean;
  source0: number;
  source1: number;
  source2: number;
  source3: number;
  destination0: number;
  destination1: number;
  destination2: number;
  destination3: number;
  /** Or NO_PORT, FRAGMENT_PORT. */
  destinationPort: number;
}

/** A shard's number, or SHARED. */
export function shardOf(facts: SteeringFacts, ends: Addressed): number {
  const { ipv6, source0, source1, source2, source3, destination0, destination1, destination2, destination3 } = ends;
  const { virtual, servers } = facts;
  if (virtual.has(ipv6, destination0, destination1, destination2, destination3)) {
    const fromServer = servers.has(ipv6, source0, source1, source2, source3);
    if (fromServer && isLocal(facts, ends) && !facts.servicePorts.has(ends.destinationPort)) return byPort(facts, ends);
    return shardOfClient(facts, ipv6, source0, source1, source2, source3);
  }
  const outbound =
    servers.has(ipv6, source0, source1, source2, source3) || virtual.has(ipv6, source0, source1, source2, source3);
  if (!outbound) return shardOfClient(facts, ipv6, source0, source1, source2, source3);
  if (isLocal(facts, ends)) return byPort(facts, ends);
  return shardOfClient(facts, ipv6, destination0, destination1, destination2, destination3);
}

function isLocal({ local, localRanges }: SteeringFacts, ends: Addressed): boolean {
  const { ipv6, destination0, destination1, destination2, destination3 } = ends;
  if (local.has(ipv6, destination0, destination1, destination2, destination3)) return true;
  if (ipv6) return false;
  const address = destination3 >>> 0;
  for (const [first, last] of localRanges) if (address >= first && address <= last) return true;
  return false;
}

function byPort({ shards }: SteeringFacts, { destinationPort }: Addressed): number {
  if (destinationPort === FRAGMENT_PORT) return SHARED;
  return destinationPort === NO_PORT ? FIRST_SHARD : destinationPort % shards;
}

export const HASH_FOLD = 0x9e3779b1;
export const HASH_FIRST = 0x7feb352d;
export const HASH_SECOND = 0x846ca68b;

export function shardOfClient(
  { shards, mask4, mask6 }: SteeringFacts,
  ipv6: boolean,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
): number {
  let hash = 0;
  if (ipv6) {
    hash = w0 & (mask6[0] as number);
    hash = Math.imul(hash, HASH_FOLD) ^ (w1 & (mask6[1] as number));
    hash = Math.imul(hash, HASH_FOLD) ^ (w2 & (mask6[2] as number));
    hash = Math.imul(hash, HASH_FOLD) ^ (w3 & (mask6[3] as number));
  } else {
    hash = w3 & (mask4[0] as number);
  }
  // Neighbouring addresses must not share a remainder: two rounds of shifting and multiplying mix all bits.
  hash ^= hash >>> 16;
  hash = Math.imul(hash, HASH_FIRST);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, HASH_SECOND);
  hash ^= hash >>> 16;
  return (hash >>> 0) % shards;
}
