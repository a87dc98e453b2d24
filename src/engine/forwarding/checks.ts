/** What every forwarding method asks of a packet that leaves this host: source, time to live, size. */
import { decrementIpv4Ttl, ipv4DontFragment, ipv4Ttl } from '../../wire/ipv4.ts';
import { decrementIpv6HopLimit, ipv6HopLimit } from '../../wire/ipv6.ts';
import type { AddressWords } from '../../wire/neighbor-discovery.ts';
import type { EngineContext } from '../context.ts';
import { give } from '../dissect.ts';
import { isLoopback, NO_ADDRESS } from '../network.ts';
import { HOST_UNREACHABLE, sendIcmpError, TIME_EXCEEDED, TOO_BIG } from '../outgoing-icmp.ts';
import type { Packet } from '../packet.ts';
import { CONTINUE, DROP, REASON, type Verdict } from '../verdict.ts';

/** Where errors about a packet come from: `virtualAddressForErrors`, `addressTowardsSender`, `nobody`. */
export type ErrorSource = (context: EngineContext, packet: Packet) => AddressWords;

/** For packets that are errors themselves: about those nobody is told. */
export const nobody: ErrorSource = () => NO_ADDRESS;

/** Checks a packet for a way out with `mtu`; errors go to its sender from `errorSource`. Changes nothing if it may. */
export function mayLeave(
  context: EngineContext,
  packet: Packet,
  mtu: number,
  errorSource: ErrorSource,
  checksSize = true,
): Verdict {
  const { bytes, ipAt, ipv6 } = packet;
  if (isLoopback(ipv6, packet.source0, packet.source1, packet.source2, packet.source3)) {
    return give(packet, DROP, REASON['loopback-source']);
  }
  if ((ipv6 ? ipv6HopLimit(bytes, ipAt) : ipv4Ttl(bytes, ipAt)) <= 1) {
    sendIcmpError(context, packet, errorSource(context, packet), TIME_EXCEEDED);
    return give(packet, DROP, REASON.ttl);
  }
  if (!checksSize || packet.wireBytes <= mtu) return CONTINUE;
  // What may be cut is cut on its way out; so is an IPv4 error, whatever it says about that.
  if (!ipv6 && (errorSource === nobody || !ipv4DontFragment(bytes, ipAt))) return CONTINUE;
  // The quoted packet has the time to live it would have left with.
  stepTtl(packet);
  sendIcmpError(context, packet, errorSource(context, packet), TOO_BIG, mtu);
  return give(packet, DROP, REASON.mtu);
}

/** One less to live; the caller knows that more than one is left. */
export function stepTtl(packet: Packet): void {
  if (packet.ipv6) decrementIpv6HopLimit(packet.bytes, packet.ipAt);
  else decrementIpv4Ttl(packet.bytes, packet.ipAt);
}

/** No route: the sender learns that the host cannot be reached. */
export function unreachable(context: EngineContext, packet: Packet, errorSource: ErrorSource): Verdict {
  sendIcmpError(context, packet, errorSource(context, packet), HOST_UNREACHABLE);
  return give(packet, DROP, REASON['no-route']);
}

/** True when a router with this `mtu` would send the packet on. */
export function isForwardable(packet: Packet, mtu: number): boolean {
  const { bytes, ipAt, ipv6 } = packet;
  if ((ipv6 ? ipv6HopLimit(bytes, ipAt) : ipv4Ttl(bytes, ipAt)) <= 1) return false;
  return packet.wireBytes <= mtu || (!ipv6 && !ipv4DontFragment(bytes, ipAt));
}
