/** ICMP errors that the director itself sends. Sources: RFC 792, RFC 1812 section 4.3, RFC 1191; RFC 4443. */

import type { Endpoints } from '../wire/endpoints.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, setEtherType } from '../wire/ethernet.ts';
import {
  fillIcmpChecksum,
  ICMP_CODE_FRAGMENTATION_NEEDED,
  ICMP_CODE_HOST,
  ICMP_CODE_PORT,
  ICMP_HEADER_BYTES,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  writeIcmpErrorHeader,
} from '../wire/icmp.ts';
import {
  fillIcmpv6Checksum,
  ICMPV6_CODE_ADDRESS,
  ICMPV6_CODE_PORT,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_TOO_BIG,
  ICMPV6_UNREACHABLE,
  writeIcmpv6ErrorHeader,
} from '../wire/icmpv6.ts';
import { IPV4_HEADER_BYTES_MIN, ipv4Tos, PROTOCOL_ICMP, writeIpv4Header } from '../wire/ipv4.ts';
import {
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_MTU_MIN,
  IPV6_SOURCE,
  PROTOCOL_ICMPV6,
  writeIpv6Address,
  writeIpv6Header,
} from '../wire/ipv6.ts';
import type { AddressWords } from '../wire/neighbor-discovery.ts';
import type { EngineContext } from './context.ts';
import { isMulticast, NO_ADDRESS, sourceOnIpv4 } from './network.ts';
import type { Packet } from './packet.ts';
import { sendOwnFrame } from './send.ts';
import { chooseIpv6Source } from './source-address.ts';
import { countOwnError } from './statistics.ts';

/** What is wrong, with type and code for both families. */
export interface Problem {
  readonly type: number;
  readonly code: number;
  readonly type6: number;
  readonly code6: number;
}

export const PORT_UNREACHABLE: Problem = {
  type: ICMP_UNREACHABLE,
  code: ICMP_CODE_PORT,
  type6: ICMPV6_UNREACHABLE,
  code6: ICMPV6_CODE_PORT,
};
export const HOST_UNREACHABLE: Problem = {
  type: ICMP_UNREACHABLE,
  code: ICMP_CODE_HOST,
  type6: ICMPV6_UNREACHABLE,
  code6: ICMPV6_CODE_ADDRESS,
};
export const TIME_EXCEEDED: Problem = {
  type: ICMP_TIME_EXCEEDED,
  code: 0,
  type6: ICMPV6_TIME_EXCEEDED,
  code6: 0,
};
export const REASSEMBLY_TIME_EXCEEDED: Problem = {
  type: ICMP_TIME_EXCEEDED,
  code: 1,
  type6: ICMPV6_TIME_EXCEEDED,
  code6: 1,
};
export const TOO_BIG: Problem = {
  type: ICMP_UNREACHABLE,
  code: ICMP_CODE_FRAGMENTATION_NEEDED,
  type6: ICMPV6_TOO_BIG,
  code6: 0,
};

/** Whole message, IP header included (RFC 1812, 4.3.2.3). */
const MESSAGE_BYTES_MAX = 576;
const TTL = 64;
/** Precedence "internetwork control" on errors (RFC 1812, 4.3.2.5). */
const PRECEDENCE = 0xc0;
const TOS_MASK = 0x1e;
/** Errors a second and at once, over all peers. */
export const ICMP_ERRORS_PER_SECOND = 1000;
const BURST = 50;

export class IcmpBudget {
  readonly #ratePerSecond: number;
  #tokens = BURST;
  #refilledMs = 0;

  constructor(ratePerSecond: number) {
    this.#ratePerSecond = ratePerSecond;
  }

  take(nowMs: number): boolean {
    if (this.#ratePerSecond === Number.POSITIVE_INFINITY) return true;
    const gained = ((nowMs - this.#refilledMs) * this.#ratePerSecond) / 1000;
    if (gained >= 1) {
      this.#tokens = Math.min(BURST, this.#tokens + gained);
      this.#refilledMs = nowMs;
    }
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

/**
 * The address that an error about a packet to a virtual address comes from: that address, when it is one of this
 * host's interfaces or counts as such by its mark. If not, IPv4 says nothing, and IPv6 speaks from the address it uses towards the client.
 */
export function virtualAddressForErrors(context: EngineContext, packet: Packet): AddressWords {
  const { ipv6, destination0, destination1, destination2, destination3, markedByRule } = packet;
  if (markedByRule || context.network.ownsAddress(ipv6, destination0, destination1, destination2, destination3)) {
    return { address0: destination0, address1: destination1, address2: destination2, address3: destination3 };
  }
  if (!ipv6) return NO_ADDRESS;
  return context.egresses.towards(context, true, packet.source0, packet.source1, packet.source2, packet.source3).source;
}

/** This host's own address on the link the packet came by: what a router says an error from. */
export function addressTowardsSender(context: EngineContext, packet: Packet): AddressWords {
  const link = context.network.link(packet.ingress);
  if (link === null) return NO_ADDRESS;
  if (!packet.ipv6) return { ...NO_ADDRESS, address3: sourceOnIpv4(link, packet.source3) };
  const { source0, source1, source2, source3 } = packet;
  const sender = { address0: source0, address1: source1, address2: source2, address3: source3 };
  return chooseIpv6Source(link.addresses6, sender) ?? NO_ADDRESS;
}

/**
 * Tells the sender of `packet` about a problem, from `source`. Nothing is said without a source, to a group or a
 * sender without address, and never more than the budget allows. `mtu` goes with TOO_BIG. What is said about a
 * connection whose replies do not come this way is counted as one of its replies, as in the kernel.
 */
export function sendIcmpError(
  context: EngineContext,
  packet: Packet,
  source: AddressWords,
  problem: Problem,
  mtu = 0,
): void {
  const { source0, source1, source2, source3 } = packet;
  if ((source.address0 | source.address1 | source.address2 | source.address3) === 0) return;
  if ((source0 | source1 | source2 | source3) === 0 || isMulticast(packet.ipv6, source0, source3)) return;
  if (!context.icmpBudget.take(context.nowMs)) return;
  const slot = context.claimOutboxSlot();
  if (slot < 0) return;
  if (packet.ipv6) writeIpv6Error(context, packet, slot, source, problem, mtu);
  else {
    const { bytes, ipAt, end } = packet;
    writeIpv4Error(context, slot, source.address3, source3, problem.type, problem.code, mtu, bytes, ipAt, end);
  }
  countOwnError(context, packet, ipBytesOf(context, slot));
  sendOwnFrame(context, slot, packet.ipv6, source0, source1, source2, source3);
}

/**
 * The same about an IPv4 packet `bytes[at..end)` that lies in the quote of another error: its ends are `ends`. `info`
 * is the word behind the checksum.
 */
export function sendErrorAboutQuote(
  context: EngineContext,
  ends: Endpoints,
  bytes: Uint8Array,
  at: number,
  end: number,
  type: number,
  code: number,
  info: number,
): void {
  if (!context.network.isHostAddress(ends.destination3) || !context.icmpBudget.take(context.nowMs)) return;
  const slot = context.claimOutboxSlot();
  if (slot < 0) return;
  writeIpv4Error(context, slot, ends.destination3, ends.source3, type, code, info, bytes, at, end);
  countOwnError(context, ends, ipBytesOf(context, slot));
  sendOwnFrame(context, slot, false, 0, 0, 0, ends.source3);
}

function ipBytesOf({ outbox }: EngineContext, slot: number): number {
  return (outbox.end[slot] as number) - (outbox.start[slot] as number) - ETHERNET_HEADER_BYTES;
}

function writeIpv4Error(
  context: EngineContext,
  slot: number,
  source: number,
  destination: number,
  type: number,
  code: number,
  info: number,
  bytes: Uint8Array,
  at: number,
  packetEnd: number,
): void {
  const { outbox } = context;
  const start = outbox.start[slot] as number;
  const ipAt = start + ETHERNET_HEADER_BYTES;
  const icmpAt = ipAt + IPV4_HEADER_BYTES_MIN;
  const quoteAt = icmpAt + ICMP_HEADER_BYTES;
  const quoted = Math.min(packetEnd - at, MESSAGE_BYTES_MAX - IPV4_HEADER_BYTES_MIN - ICMP_HEADER_BYTES);
  outbox.bytes.set(bytes.subarray(at, at + quoted), quoteAt);
  const end = quoteAt + quoted;
  writeIcmpErrorHeader(outbox.bytes, icmpAt, type, code, info);
  fillIcmpChecksum(outbox.bytes, icmpAt, end);
  writeIpv4Header(outbox.bytes, ipAt, {
    tos: (ipv4Tos(bytes, at) & TOS_MASK) | PRECEDENCE,
    totalLength: end - ipAt,
    id: context.random.int32() & 0xffff,
    ttl: TTL,
    protocol: PROTOCOL_ICMP,
    source,
    destination,
  });
  setEtherType(outbox.bytes, start, ETHERTYPE_IPV4);
  outbox.end[slot] = end;
}

function writeIpv6Error(
  context: EngineContext,
  packet: Packet,
  slot: number,
  source: AddressWords,
  problem: Problem,
  mtu: number,
): void {
  const { bytes, start: starts, end: ends } = context.outbox;
  const start = starts[slot] as number;
  const ipAt = start + ETHERNET_HEADER_BYTES;
  const icmpAt = ipAt + IPV6_HEADER_BYTES;
  const quoteAt = icmpAt + ICMP_HEADER_BYTES;
  const quoted = Math.min(packet.ipBytes, IPV6_MTU_MIN - IPV6_HEADER_BYTES - ICMP_HEADER_BYTES);
  bytes.set(packet.bytes.subarray(packet.ipAt, packet.ipAt + quoted), quoteAt);
  const end = quoteAt + quoted;
  writeIpv6Header(bytes, ipAt, 0, end - icmpAt, PROTOCOL_ICMPV6, TTL);
  writeIpv6Address(bytes, ipAt + IPV6_SOURCE, source.address0, source.address1, source.address2, source.address3);
  writeIpv6Address(bytes, ipAt + IPV6_DESTINATION, packet.source0, packet.source1, packet.source2, packet.source3);
  writeIcmpv6ErrorHeader(bytes, icmpAt, problem.type6, problem.code6, mtu);
  fillIcmpv6Checksum(bytes, ipAt, icmpAt, end);
  setEtherType(bytes, start, ETHERTYPE_IPV6);
  ends[slot] = end;
}
