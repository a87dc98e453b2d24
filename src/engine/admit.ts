/** Step 5: a packet without a connection. Finds its service, asks the scheduler, makes the connection. */
import type { Destination } from '../balance/destination.ts';
import type { VirtualService } from '../balance/virtual-service.ts';
import { parseIpv4 } from '../wire/address.ts';
import { ICMP_CODE_PORT, ICMP_UNREACHABLE } from '../wire/icmp.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import { TCP_RST, TCP_SYN } from '../wire/tcp.ts';
import {
  CLIENT_AND_VIRTUAL_PORT,
  CLIENT0,
  CLIENT3,
  ConnectionFlag,
  DESTINATION,
  DESTINATION_AND_LOCAL_PORT,
  FLAGS,
  KIND,
  KIND_IPV6,
  LOCAL3,
  METHOD_DIRECT,
  METHOD_LOCAL,
  METHOD_MASQUERADE,
  METHOD_TUNNEL,
  NO_ROW,
  ROW_SHIFT,
  SERVER0,
  SERVER3,
  SERVICE_MARK,
  STATE,
  VIRTUAL0,
  VIRTUAL3,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import { give } from './dissect.ts';
import { sendIcmpError } from './outgoing-icmp.ts';
import type { Packet } from './packet.ts';
import { TCP_NONE } from './protocols/tcp-states.ts';
import { chooseSourcePort } from './source-port.ts';
import { DROP, PASS, REASON, type Verdict } from './verdict.ts';

/** FTP's data port: never scheduled, whatever the protocol. */
const NEVER_SCHEDULED_CLIENT_PORT = 20;

const METHOD_NUMBER = {
  masquerade: METHOD_MASQUERADE,
  local: METHOD_LOCAL,
  tunnel: METHOD_TUNNEL,
  direct: METHOD_DIRECT,
  bypass: METHOD_DIRECT,
} as const;

/** The row of a new connection, or NO_ROW with the verdict in `admission.verdict`. */
export function admit(context: EngineContext, packet: Packet, admission: { verdict: Verdict }): number {
  if (packet.protocol === PROTOCOL_TCP && (packet.tcpFlags & (TCP_RST | TCP_SYN)) !== TCP_SYN) {
    return refuse(packet, admission, PASS, REASON['no-connection']);
  }
  const service = context.services.findService(
    packet.mark,
    packet.ipv6,
    packet.protocol,
    packet.destination0,
    packet.destination1,
    packet.destination2,
    packet.destination3,
    packet.destinationPort,
  );
  if (service === null) return refuse(packet, admission, PASS, REASON['no-service']);
  if (packet.sourcePort === NEVER_SCHEDULED_CLIENT_PORT) {
    return refuse(packet, admission, PASS, REASON['client-port-20']);
  }
  const destination = service.port === packet.destinationPort ? schedule(context, packet, service) : null;
  if (destination === null) return leave(context, packet, service, admission);
  return connect(context, packet, service, destination, admission);
}

function schedule(context: EngineContext, packet: Packet, service: VirtualService): Destination | null {
  const { flow } = context;
  flow.ipv6 = packet.ipv6;
  flow.protocol = packet.protocol;
  flow.client0 = packet.source0;
  flow.client1 = packet.source1;
  flow.client2 = packet.source2;
  flow.client3 = packet.source3;
  flow.clientPort = packet.sourcePort;
  flow.virtual0 = packet.destination0;
  flow.virtual1 = packet.destination1;
  flow.virtual2 = packet.destination2;
  flow.virtual3 = packet.destination3;
  flow.virtualPort = packet.destinationPort;
  flow.mark = packet.mark;
  return service.scheduler.pick(flow, context.nowTick);
}

/** A service without a destination for this packet: the client is told, from the VIP if that is ours. */
function leave(
  context: EngineContext,
  packet: Packet,
  service: VirtualService,
  admission: { verdict: Verdict },
): number {
  if (service.port === 21 && packet.destinationPort !== 21) {
    return refuse(packet, admission, PASS, REASON['no-service']);
  }
  if (context.network.isHostAddress(packet.destination3)) {
    sendIcmpError(context, packet, packet.destination3, ICMP_UNREACHABLE, ICMP_CODE_PORT);
  }
  return refuse(packet, admission, DROP, REASON['no-destination']);
}

function connect(
  context: EngineContext,
  packet: Packet,
  service: VirtualService,
  destination: Destination,
  admission: { verdict: Verdict },
): number {
  const { connections } = context;
  const destinationPort = destination.port === 0 ? packet.destinationPort : destination.port;
  const method = METHOD_NUMBER[destination.method];
  let flags: number = method | ConnectionFlag.INACTIVE;
  if (method !== METHOD_MASQUERADE) flags |= ConnectionFlag.NO_OUTPUT;
  let local = 0;
  let localPort = 0;
  const egress = context.egresses.ofDestination(context, destination.index, destination.address3);
  if (egress.kind === 'local') flags |= ConnectionFlag.LOCAL_SERVER;
  if (method === METHOD_MASQUERADE) {
    local = sourceFor(context, packet, service, egress.kind, egress.source);
    if (local === NO_SOURCE) return refuse(packet, admission, DROP, REASON['no-source-address']);
    if (local !== 0) {
      localPort = chooseSourcePort(
        context,
        packet.protocol,
        local,
        destination.address3,
        destinationPort,
        packet.sourcePort,
      );
      if (localPort === 0) return refuse(packet, admission, DROP, REASON['ports-used-up']);
      flags |= ConnectionFlag.FULL_NAT;
    }
  }
  const row = connections.allocate();
  if (row === NO_ROW) return refuse(packet, admission, DROP, REASON['table-full']);
  const { rows } = connections;
  const base = row << ROW_SHIFT;
  rows[base + KIND] = packet.protocol | (packet.ipv6 ? KIND_IPV6 : 0);
  rows[base + STATE] = TCP_NONE;
  rows[base + FLAGS] = flags;
  rows[base + CLIENT_AND_VIRTUAL_PORT] = (packet.sourcePort << 16) | packet.destinationPort;
  rows[base + DESTINATION_AND_LOCAL_PORT] = (destinationPort << 16) | localPort;
  rows[base + CLIENT0] = packet.source0;
  rows[base + CLIENT0 + 1] = packet.source1;
  rows[base + CLIENT0 + 2] = packet.source2;
  rows[base + CLIENT3] = packet.source3;
  rows[base + VIRTUAL0] = packet.destination0;
  rows[base + VIRTUAL0 + 1] = packet.destination1;
  rows[base + VIRTUAL0 + 2] = packet.destination2;
  rows[base + VIRTUAL3] = packet.destination3;
  rows[base + SERVER0] = destination.address0;
  rows[base + SERVER0 + 1] = destination.address1;
  rows[base + SERVER0 + 2] = destination.address2;
  rows[base + SERVER3] = destination.address3;
  rows[base + LOCAL3] = local;
  rows[base + DESTINATION] = destination.index;
  rows[base + SERVICE_MARK] = service.mark | 0;
  connections.insert(row);
  destination.bind(true, false);
  destination.counters.countConnection();
  service.counters.countConnection();
  context.services.totals.countConnection();
  return row;
}

/** Marks "full NAT is wanted but this host has no address to do it with"; no unicast address is 255.255.255.255. */
const NO_SOURCE = -1;

/**
 * The source address of full NAT, 0 for none. Besides what the service asks for, two cases need it to make
 * answers come back this way: a server on this host, and a client on this host.
 */
function sourceFor(
  context: EngineContext,
  packet: Packet,
  service: VirtualService,
  kind: 'remote' | 'local' | 'none',
  egressSource: number,
): number {
  if (kind === 'none') return 0;
  if (kind === 'local') return context.network.cable?.engineAddress ?? 0;
  if (service.sourceNat !== 'none' && service.sourceNat !== 'masquerade')
    return parseIpv4(service.sourceNat) ?? NO_SOURCE;
  const wanted = service.sourceNat === 'masquerade' || context.network.isHostAddress(packet.source3);
  if (!wanted) return 0;
  return egressSource === 0 ? NO_SOURCE : egressSource;
}

function refuse(packet: Packet, admission: { verdict: Verdict }, verdict: Verdict, reason: number): number {
  admission.verdict = give(packet, verdict, reason);
  return NO_ROW;
}
