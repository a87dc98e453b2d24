/**
 * What the guard on this host keeps from its own stack. The packet I/O sees those frames first; the ones that turn out
 * not to be ours must be given back, and only those - the stack has all others already.
 * The rules are the guard's (data-plane/packet/guard): G1 services, G2 replies of servers, G3 ICMP errors.
 */
import { ETHERTYPE_IPV4 } from '../wire/ethernet.ts';
import { icmpType, isIcmpError } from '../wire/icmp.ts';
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import type { EngineContext } from './context.ts';
import type { Packet } from './packet.ts';
import { REASON } from './verdict.ts';

export function isHeldBack(context: EngineContext, packet: Packet): boolean {
  if (packet.etherType !== ETHERTYPE_IPV4 || packet.reason === REASON['other-host']) return false;
  if (packet.reason === REASON.fragment || packet.largestFragmentBytes !== 0) return false;
  const { services } = context;
  if (packet.protocol === PROTOCOL_ICMP) {
    return services.serviceCount > 0 && isIcmpError(icmpType(packet.bytes, packet.transportAt));
  }
  if (packet.protocol !== PROTOCOL_TCP && packet.protocol !== PROTOCOL_UDP) return false;
  const service = services.findService(0, false, packet.protocol, 0, 0, 0, packet.destination3, packet.destinationPort);
  if (service !== null && (service.port === 0 || service.port === packet.destinationPort)) return true;
  return isFromServer(context, packet);
}

function isFromServer(context: EngineContext, packet: Packet): boolean {
  const { services, network } = context;
  const { protocol, source3 } = packet;
  const server =
    services.findRealServer(protocol, false, 0, 0, 0, source3, packet.sourcePort) ??
    services.findRealServer(protocol, false, 0, 0, 0, source3, 0);
  if (server === null || server.method !== 'masquerade') return false;
  const [low, high] = network.localPortRange;
  const toOwnSocket = packet.destinationPort >= low && packet.destinationPort <= high;
  return !(toOwnSocket && network.isHostAddress(packet.destination3));
}
