/** What every forwarding method asks of a packet that leaves this host: source, time to live, size. */
import {
  ICMP_CODE_FRAGMENTATION_NEEDED,
  ICMP_CODE_HOST,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
} from '../../wire/icmp.ts';
import { decrementIpv4Ttl, ipv4DontFragment, ipv4Ttl } from '../../wire/ipv4.ts';
import type { EngineContext } from '../context.ts';
import { give } from '../dissect.ts';
import { sendIcmpError } from '../outgoing-icmp.ts';
import type { Packet } from '../packet.ts';
import { CONTINUE, DROP, REASON, type Verdict } from '../verdict.ts';

/**
 * Checks a packet for a way out with `mtu`; errors go to its sender from `errorSource` (0: nobody is told).
 * `isError`: the packet is an ICMP error itself, about which no error is ever sent.
 */
export function mayLeave(
  context: EngineContext,
  packet: Packet,
  mtu: number,
  errorSource: number,
  isError: boolean,
): Verdict {
  const { bytes, ipAt } = packet;
  const source = isError ? 0 : errorSource;
  if (packet.source3 >>> 24 === 127) return give(packet, DROP, REASON['loopback-source']);
  if (ipv4Ttl(bytes, ipAt) <= 1) {
    sendIcmpError(context, packet, source, ICMP_TIME_EXCEEDED, 0);
    return give(packet, DROP, REASON.ttl);
  }
  if (packet.wireBytes > mtu) {
    if (!ipv4DontFragment(bytes, ipAt)) return give(packet, DROP, REASON['needs-fragmenting']);
    // The quoted packet has the time to live it would have left with.
    decrementIpv4Ttl(bytes, ipAt);
    sendIcmpError(context, packet, source, ICMP_UNREACHABLE, ICMP_CODE_FRAGMENTATION_NEEDED, mtu);
    return give(packet, DROP, REASON.mtu);
  }
  return CONTINUE;
}

/** No route: the sender learns that the host cannot be reached. */
export function unreachable(context: EngineContext, packet: Packet, errorSource: number): Verdict {
  sendIcmpError(context, packet, errorSource, ICMP_UNREACHABLE, ICMP_CODE_HOST);
  return give(packet, DROP, REASON['no-route']);
}

/** The VIP as source of errors, but only when it is an address of this host: the kernel is silent otherwise. */
export function virtualAddressForErrors(context: EngineContext, packet: Packet): number {
  return context.network.isHostAddress(packet.destination3) ? packet.destination3 : 0;
}
