/**
 * What the guard on this host keeps from its own stack. The packet I/O sees those frames first; the ones that turn out
 * not to be ours must be given back, and only those - the stack has all others already. So these rules are the guard's
 * (data-plane/guard-entries.ts, where they stand in words), asked of the engine's own tables.
 */
import { EndpointIndex } from '../balance/endpoint-index.ts';
import { isGroupAddressed } from '../wire/ethernet.ts';
import { icmpType, isIcmpError } from '../wire/icmp.ts';
import { ICMPV6_PARAMETER_PROBLEM, ICMPV6_UNREACHABLE, icmpv6Type } from '../wire/icmpv6.ts';
import { PROTOCOL_ICMP, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import { PROTOCOL_ICMPV6 } from '../wire/ipv6.ts';
import type { EngineContext } from './context.ts';
import type { Packet } from './packet.ts';
import { isLinkLocal } from './source-address.ts';
import { REASON } from './verdict.ts';

const FTP_PORT = 21;

/** A frame that passes: did the guard keep it? */
export function isHeldBack(context: EngineContext, packet: Packet): boolean {
  const { reason } = packet;
  if (reason === REASON['other-host'] || reason === REASON['not-ip'] || reason === REASON.sync) return false;
  if (isNeverHeld(packet)) return false;
  // Fragments are looked at before they are kept: one that passes alone the stack has, a whole packet it has not.
  if (reason === REASON.fragment) return false;
  if (packet.largestFragmentBytes !== 0) return true;
  const { services } = context;
  if (packet.protocol === PROTOCOL_ICMPV6 && packet.ipv6) {
    const type = icmpv6Type(packet.bytes, packet.transportAt);
    if (type >= ICMPV6_UNREACHABLE && type <= ICMPV6_PARAMETER_PROBLEM) {
      return packet.markedByRule || services.serviceCountOf(true) > 0;
    }
  } else if (packet.protocol === PROTOCOL_ICMP && !packet.ipv6) {
    if (isIcmpError(icmpType(packet.bytes, packet.transportAt))) {
      return packet.markedByRule || services.serviceCountOf(false) > 0;
    }
  }
  if (packet.markedByRule) return true;
  const { protocol } = packet;
  if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP && protocol !== PROTOCOL_SCTP) return false;
  return isToService(context, packet) || isFromServer(context, packet);
}

/** A fragment, dissected but not kept yet: does the guard keep it? */
export function isFragmentHeldBack(context: EngineContext, packet: Packet): boolean {
  if (isNeverHeld(packet)) return false;
  const { ipv6, source0, source1, source2, source3, destination0, destination1, destination2, destination3 } = packet;
  const { services, serverAddresses, markRules } = context;
  return (
    services.isServiceAddress(ipv6, destination0, destination1, destination2, destination3) ||
    serverAddresses.has(context, ipv6, source0, source1, source2, source3) ||
    (markRules.size > 0 && markRules.mayMark(context, packet))
  );
}

function isNeverHeld(packet: Packet): boolean {
  if (isGroupAddressed(packet.bytes, packet.start)) return true;
  if (!packet.ipv6) return false;
  const { destination0, destination1, destination2, destination3 } = packet;
  return isLinkLocal({
    address0: destination0,
    address1: destination1,
    address2: destination2,
    address3: destination3,
  });
}

function isToService({ services }: EngineContext, packet: Packet): boolean {
  const { ipv6, protocol, destination0, destination1, destination2, destination3, destinationPort } = packet;
  // Also finds what belongs to FTP services.
  const service = services.findService(
    0,
    ipv6,
    protocol,
    destination0,
    destination1,
    destination2,
    destination3,
    destinationPort,
  );
  return service !== null;
}

function isFromServer(context: EngineContext, packet: Packet): boolean {
  if (!isServer(context, packet, packet.sourcePort) && !isServer(context, packet, 0)) {
    if (packet.protocol !== PROTOCOL_TCP || !isServer(context, packet, FTP_PORT)) return false;
  }
  const { network } = context;
  const [low, high] = network.localPortRange;
  const { ipv6, destination0, destination1, destination2, destination3, destinationPort } = packet;
  const toOwnSocket = destinationPort >= low && destinationPort <= high;
  return !(toOwnSocket && network.hasLocalRoute(ipv6, destination0, destination1, destination2, destination3));
}

function isServer({ services }: EngineContext, packet: Packet, port: number): boolean {
  const { protocol, ipv6, source0, source1, source2, source3 } = packet;
  return services.findRealServer(protocol, ipv6, source0, source1, source2, source3, port) !== null;
}

/** The addresses of masquerade destinations, whatever their port: made anew when a fragment asks after a change. */
export class ServerAddresses {
  #addresses = new EndpointIndex<true>();
  #version = -1;

  has({ services }: EngineContext, ipv6: boolean, w0: number, w1: number, w2: number, w3: number): boolean {
    if (this.#version !== services.version) {
      this.#version = services.version;
      this.#addresses = new EndpointIndex();
      for (const { destinations } of services.services()) {
        for (const { method, ipv6: six, address0, address1, address2, address3 } of destinations) {
          if (method === 'masquerade')
            this.#addresses.set(six ? 1 : 0, address0, address1, address2, address3, 0, true);
        }
      }
    }
    return this.#addresses.find(ipv6 ? 1 : 0, w0, w1, w2, w3, 0) !== null;
  }
}
