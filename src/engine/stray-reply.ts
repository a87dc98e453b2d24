/** Packets of NAT servers that belong to no connection: with nat_icmp_send the server is told that nobody listens. */
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import { SCTP_ABORT, sctpFirstChunk } from '../wire/sctp.ts';
import { TCP_RST } from '../wire/tcp.ts';
import type { EngineContext } from './context.ts';
import { isForwardable, stepTtl } from './forwarding/checks.ts';
import { addressTowardsSender, PORT_UNREACHABLE, sendIcmpError } from './outgoing-icmp.ts';
import type { Packet } from './packet.ts';

/** True: the server was told, the packet is to be dropped. */
export function refusesStrayReply(context: EngineContext, packet: Packet): boolean {
  if (context.settings.nat_icmp_send === 0) return false;
  const { protocol, ipv6, source0, source1, source2, source3, sourcePort } = packet;
  if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP && protocol !== PROTOCOL_SCTP) return false;
  const server = context.services.findRealServer(protocol, ipv6, source0, source1, source2, source3, sourcePort);
  if (server === null || givesUp(packet)) return false;
  // What passes through this host has been taken down by then.
  const { destination0, destination1, destination2, destination3 } = packet;
  if (!context.network.ownsAddress(ipv6, destination0, destination1, destination2, destination3)) {
    const egress = context.egresses.towards(context, ipv6, destination0, destination1, destination2, destination3);
    if (!isForwardable(packet, egress.mtu)) return false;
    stepTtl(packet);
  }
  sendIcmpError(context, packet, addressTowardsSender(context, packet), PORT_UNREACHABLE);
  return true;
}

/** The server ends the conversation itself. */
function givesUp(packet: Packet): boolean {
  if (packet.protocol === PROTOCOL_TCP) return (packet.tcpFlags & TCP_RST) !== 0;
  if (packet.protocol !== PROTOCOL_SCTP) return false;
  return sctpFirstChunk(packet.bytes, packet.transportAt, packet.end) === SCTP_ABORT;
}
