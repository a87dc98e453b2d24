/**
 * Reads a frame as far as its shard depends on it. `program.ts` says the same to the kernel, instruction by
 * instruction; whatever changes here changes there.
 */
import { readInt32, readUint8, readUint16 } from '../../wire/bytes.ts';
import type { SteeringFacts } from './facts.ts';
import { type Addressed, FRAGMENT_PORT, NO_PORT, SHARED, shardOf } from './rule.ts';

export const ETHERNET_BYTES = 14;
export const IPV4_BYTES = 20;
export const IPV6_BYTES = 40;
/** ICMP and ICMPv6: the packet in question follows this much later. */
export const ICMP_BYTES = 8;
export const TYPE_IPV4 = 0x0800;
export const TYPE_IPV6 = 0x86dd;
/** Protocols whose header begins with two ports. */
export const PORT_PROTOCOLS: readonly number[] = [6, 17, 132];
/** IPIP, IPv6 in IP, GRE: an error about one is an error about what is inside. */
export const TUNNEL_PROTOCOLS: readonly number[] = [4, 41, 47];
export const UDP = 17;
export const ICMP = 1;
export const ICMPV6 = 58;
export const FRAGMENT_HEADER = 44;
/** Extension headers that say their own length: hop by hop, routing, destination options. */
export const EXTENSION_HEADERS: readonly number[] = [0, 43, 60];
/** How many of them are looked behind. */
export const EXTENSIONS_MAX = 3;
/** Unreachable, source quench, redirect, time exceeded, parameter problem. */
export const ICMP_ERRORS: readonly number[] = [3, 4, 5, 11, 12];
/** ICMPv6 errors are 1..4; neighbour discovery is 133..137. */
export const ICMPV6_ERROR_MAX = 4;
export const NEIGHBOR_MIN = 133;
export const NEIGHBOR_MAX = 137;

const FIRST_SHARD = 0;

const ends: Addressed = {
  ipv6: false,
  source0: 0,
  source1: 0,
  source2: 0,
  source3: 0,
  destination0: 0,
  destination1: 0,
  destination2: 0,
  destination3: 0,
  destinationPort: NO_PORT,
};

/** The shard of the Ethernet frame `[at, end)`, or SHARED. What is cut short goes to the first, which counts it. */
export function shardOfFrame(facts: SteeringFacts, bytes: Uint8Array, at: number, end: number): number {
  if (end - at < ETHERNET_BYTES) return FIRST_SHARD;
  if ((readUint8(bytes, at) & 1) !== 0) return SHARED;
  const type = readUint16(bytes, at + 12);
  if (type === TYPE_IPV4) return shardOfIpv4(facts, bytes, at + ETHERNET_BYTES, end);
  if (type === TYPE_IPV6) return shardOfIpv6(facts, bytes, at + ETHERNET_BYTES, end);
  return SHARED;
}

function shardOfIpv4(facts: SteeringFacts, bytes: Uint8Array, ipAt: number, end: number): number {
  if (end - ipAt < IPV4_BYTES) return FIRST_SHARD;
  takeIpv4(bytes, ipAt + 12, ipAt + 16);
  ends.destinationPort = NO_PORT;
  if ((readUint16(bytes, ipAt + 6) & 0x3fff) !== 0) {
    ends.destinationPort = FRAGMENT_PORT;
    return shardOf(facts, ends);
  }
  const transportAt = ipAt + (readUint8(bytes, ipAt) & 15) * 4;
  const protocol = readUint8(bytes, ipAt + 9);
  if (PORT_PROTOCOLS.includes(protocol)) {
    if (end - transportAt < 4) return FIRST_SHARD;
    ends.destinationPort = readUint16(bytes, transportAt + 2);
  } else if (protocol === ICMP && end - transportAt >= ICMP_BYTES + IPV4_BYTES) {
    if (ICMP_ERRORS.includes(readUint8(bytes, transportAt))) return shardOfInner4(facts, bytes, transportAt + 8, end);
  }
  return shardOf(facts, ends);
}

/** An error belongs where an answer to the packet in question would go. */
function shardOfInner4(facts: SteeringFacts, bytes: Uint8Array, ipAt: number, end: number): number {
  takeIpv4(bytes, ipAt + 16, ipAt + 12);
  if ((readUint16(bytes, ipAt + 6) & 0x1fff) !== 0) return shardOf(facts, ends);
  const protocol = readUint8(bytes, ipAt + 9);
  if (TUNNEL_PROTOCOLS.includes(protocol)) return SHARED;
  if (!PORT_PROTOCOLS.includes(protocol)) return shardOf(facts, ends);
  return shardOfInnerPorts(facts, protocol, bytes, ipAt + (readUint8(bytes, ipAt) & 15) * 4, end);
}

function shardOfInnerPorts(
  facts: SteeringFacts,
  protocol: number,
  bytes: Uint8Array,
  transportAt: number,
  end: number,
): number {
  if (end - transportAt < 4) return shardOf(facts, ends);
  ends.destinationPort = readUint16(bytes, transportAt);
  if (protocol === UDP && facts.tunnelPorts.has(readUint16(bytes, transportAt + 2))) return SHARED;
  return shardOf(facts, ends);
}

function shardOfIpv6(facts: SteeringFacts, bytes: Uint8Array, ipAt: number, end: number): number {
  if (end - ipAt < IPV6_BYTES) return FIRST_SHARD;
  takeIpv6(bytes, ipAt + 8, ipAt + 24);
  ends.destinationPort = NO_PORT;
  let transportAt = ipAt + IPV6_BYTES;
  let protocol = readUint8(bytes, ipAt + 6);
  for (let extension = 0; extension < EXTENSIONS_MAX && EXTENSION_HEADERS.includes(protocol); extension++) {
    if (end - transportAt < 8) return FIRST_SHARD;
    protocol = readUint8(bytes, transportAt);
    transportAt += (readUint8(bytes, transportAt + 1) + 1) * 8;
  }
  if (protocol === FRAGMENT_HEADER) {
    ends.destinationPort = FRAGMENT_PORT;
  } else if (PORT_PROTOCOLS.includes(protocol)) {
    if (end - transportAt < 4) return FIRST_SHARD;
    ends.destinationPort = readUint16(bytes, transportAt + 2);
  } else if (protocol === ICMPV6) {
    if (end - transportAt < ICMP_BYTES) return FIRST_SHARD;
    const type = readUint8(bytes, transportAt);
    if (type >= NEIGHBOR_MIN && type <= NEIGHBOR_MAX) return SHARED;
    if (type <= ICMPV6_ERROR_MAX && end - transportAt >= ICMP_BYTES + IPV6_BYTES) {
      return shardOfInner6(facts, bytes, transportAt + ICMP_BYTES, end);
    }
  }
  return shardOf(facts, ends);
}

function shardOfInner6(facts: SteeringFacts, bytes: Uint8Array, ipAt: number, end: number): number {
  takeIpv6(bytes, ipAt + 24, ipAt + 8);
  const protocol = readUint8(bytes, ipAt + 6);
  if (TUNNEL_PROTOCOLS.includes(protocol)) return SHARED;
  if (!PORT_PROTOCOLS.includes(protocol)) return shardOf(facts, ends);
  return shardOfInnerPorts(facts, protocol, bytes, ipAt + IPV6_BYTES, end);
}

function takeIpv4(bytes: Uint8Array, sourceAt: number, destinationAt: number): void {
  ends.ipv6 = false;
  ends.source0 = ends.source1 = ends.source2 = 0;
  ends.destination0 = ends.destination1 = ends.destination2 = 0;
  ends.source3 = readInt32(bytes, sourceAt);
  ends.destination3 = readInt32(bytes, destinationAt);
}

function takeIpv6(bytes: Uint8Array, sourceAt: number, destinationAt: number): void {
  ends.ipv6 = true;
  ends.source0 = readInt32(bytes, sourceAt);
  ends.source1 = readInt32(bytes, sourceAt + 4);
  ends.source2 = readInt32(bytes, sourceAt + 8);
  ends.source3 = readInt32(bytes, sourceAt + 12);
  ends.destination0 = readInt32(bytes, destinationAt);
  ends.destination1 = readInt32(bytes, destinationAt + 4);
  ends.destination2 = readInt32(bytes, destinationAt + 8);
  ends.destination3 = readInt32(bytes, destinationAt + 12);
}
