/** ICMP errors that the director itself sends. Sources: RFC 792, RFC 1812 section 4.3, RFC 1191. */

import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, setEtherType } from '../wire/ethernet.ts';
import { fillIcmpChecksum, ICMP_HEADER_BYTES, writeIcmpErrorHeader } from '../wire/icmp.ts';
import { IPV4_HEADER_BYTES_MIN, ipv4Tos, PROTOCOL_ICMP, writeIpv4Header } from '../wire/ipv4.ts';
import type { EngineContext } from './context.ts';
import type { Packet } from './packet.ts';
import { sendOwnFrame } from './send.ts';

/** Whole message, IP header included (RFC 1812, 4.3.2.3). */
const MESSAGE_BYTES_MAX = 576;
const TTL = 64;
/** Precedence "internetwork control" on errors (RFC 1812, 4.3.2.5). */
const PRECEDENCE = 0xc0;
/** Errors a second and at once, over all peers. */
const RATE_PER_SECOND = 1000;
const BURST = 50;

export class IcmpBudget {
  #tokens = BURST;
  #refilledMs = 0;

  take(nowMs: number): boolean {
    const gained = ((nowMs - this.#refilledMs) * RATE_PER_SECOND) / 1000;
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
 * Tells the sender of `packet` about `type`/`code`, from `source`. Nothing is said without a source, and never
 * more than the budget allows. `mtu` goes with "fragmentation needed".
 */
export function sendIcmpError(
  context: EngineContext,
  packet: Packet,
  source: number,
  type: number,
  code: number,
  mtu = 0,
): void {
  if (source === 0 || !context.icmpBudget.take(context.nowMs)) return;
  const slot = context.claimOutboxSlot();
  if (slot < 0) return;
  const { outbox } = context;
  const start = outbox.start[slot] as number;
  const ipAt = start + ETHERNET_HEADER_BYTES;
  const icmpAt = ipAt + IPV4_HEADER_BYTES_MIN;
  const quoteAt = icmpAt + ICMP_HEADER_BYTES;
  const quoted = Math.min(packet.ipBytes, MESSAGE_BYTES_MAX - IPV4_HEADER_BYTES_MIN - ICMP_HEADER_BYTES);
  outbox.bytes.set(packet.bytes.subarray(packet.ipAt, packet.ipAt + quoted), quoteAt);
  const end = quoteAt + quoted;
  writeIcmpErrorHeader(outbox.bytes, icmpAt, type, code, mtu);
  fillIcmpChecksum(outbox.bytes, icmpAt, end);
  writeIpv4Header(outbox.bytes, ipAt, {
    tos: (ipv4Tos(packet.bytes, packet.ipAt) & 0x1e) | PRECEDENCE,
    totalLength: end - ipAt,
    id: context.random.int32() & 0xffff,
    ttl: TTL,
    protocol: PROTOCOL_ICMP,
    source,
    destination: packet.source3,
  });
  setEtherType(outbox.bytes, start, ETHERTYPE_IPV4);
  outbox.end[slot] = end;
  sendOwnFrame(context, slot, packet.source3);
}
