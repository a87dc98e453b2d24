/** Step 5: a packet without a connection. Finds its service, asks the scheduler, makes the connection. */
import type { Destination } from '../balance/destination.ts';
import type { VirtualService } from '../balance/virtual-service.ts';
import type { Endpoints } from '../wire/endpoints.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import { TCP_RST, TCP_SYN } from '../wire/tcp.ts';
import { DESTINATION, NO_ROW, ROW_SHIFT } from './connection.ts';
import type { EngineContext } from './context.ts';
import { createBypass, createConnection, creation } from './create-connection.ts';
import { give } from './dissect.ts';
import { findEngineData } from './engine-data.ts';
import { restartTimer } from './lifetime.ts';
import { isMulticast } from './network.ts';
import { PORT_UNREACHABLE, sendIcmpError, virtualAddressForErrors } from './outgoing-icmp.ts';
import type { Packet } from './packet.ts';
import { findOrMakeTemplate } from './persistence.ts';
import { maySctpBeScheduled } from './protocols/sctp.ts';
import { schedule } from './schedule.ts';
import { DROP, PASS, REASON, type Verdict } from './verdict.ts';

/** FTP's data port: never scheduled, whatever the protocol. */
const NEVER_SCHEDULED_CLIENT_PORT = 20;
const FTP_PORT = 21;

/** Where a refusal says its verdict. */
export interface Admission {
  verdict: Verdict;
}

/** The row of a new connection, or NO_ROW with the verdict in `admission.verdict`. */
export function admit(context: EngineContext, packet: Packet, admission: Admission): number {
  if (!opensConnection(context, packet)) return refuse(packet, admission, PASS, REASON['no-connection']);
  return admitFlow(context, packet, packet, false, admission);
}

/**
 * The same for `ends` alone: `packet` is an ICMP error and quotes what we should have sent (`inError`).
 */
export function admitFlow(
  context: EngineContext,
  packet: Packet,
  ends: Endpoints,
  inError: boolean,
  admission: Admission,
): number {
  const service = context.services.findService(
    packet.mark,
    ends.ipv6,
    ends.protocol,
    ends.destination0,
    ends.destination1,
    ends.destination2,
    ends.destination3,
    ends.destinationPort,
  );
  if (service === null) return refuse(packet, admission, PASS, REASON['no-service']);
  context.observation?.matched(service);
  if (context.defences.dropsPacket()) return refuse(packet, admission, DROP, REASON.defence);
  if (ends.sourcePort === NEVER_SCHEDULED_CLIENT_PORT) {
    return refuse(packet, admission, PASS, REASON['client-port-20']);
  }
  const onePacket = service.onePacket && ends.protocol === PROTOCOL_UDP;
  creation.refusedFor = REASON.none;
  let row = NO_ROW;
  if (service.persistent) {
    if (!findEngineData(packet, service)) {
      return refuse(packet, admission, DROP, REASON['no-engine-data']);
    }
    row = admitPersistent(context, packet, ends, service, onePacket);
  } else {
    const fits = service.mark !== 0 || service.port === ends.destinationPort;
    const destination = fits ? schedule(context, ends, service) : null;
    if (destination !== null) {
      const port = destination.port === 0 ? ends.destinationPort : destination.port;
      row = createConnection(context, ends, service, destination, port, onePacket, NO_ROW, packet.mark);
    }
  }
  if (row !== NO_ROW) return row;
  if (creation.refusedFor !== REASON.none) return refuse(packet, admission, DROP, creation.refusedFor);
  return leave(context, packet, ends, service, inError, admission);
}

function admitPersistent(
  context: EngineContext,
  packet: Packet,
  ends: Endpoints,
  service: VirtualService,
  onePacket: boolean,
): number {
  const template = findOrMakeTemplate(context, packet, ends, service);
  if (template === NO_ROW) return NO_ROW;
  const index = context.connections.rows[(template << ROW_SHIFT) + DESTINATION] as number;
  const destination: Destination = context.services.destinationAt(index);
  const own = ends.destinationPort === service.port && destination.port !== 0;
  const port = own ? destination.port : ends.destinationPort;
  const row = createConnection(context, ends, service, destination, port, onePacket, template, packet.mark);
  // A new member keeps the template alive, the traffic of members does not.
  restartTimer(context, template);
  return row;
}

/** There is a service, but nobody who would serve. */
function leave(
  context: EngineContext,
  packet: Packet,
  ends: Endpoints,
  service: VirtualService,
  inError: boolean,
  admission: Admission,
): number {
  if (context.settings.cache_bypass !== 0 && service.mark !== 0 && !inError && isElsewhere(context, ends)) {
    const row = createBypass(context, ends, service, service.onePacket && ends.protocol === PROTOCOL_UDP);
    return row === NO_ROW ? refuse(packet, admission, DROP, REASON['table-full']) : row;
  }
  if (service.port === FTP_PORT && ends.destinationPort !== FTP_PORT) {
    return refuse(packet, admission, PASS, REASON['no-destination']);
  }
  if (!inError) sendIcmpError(context, packet, virtualAddressForErrors(context, packet), PORT_UNREACHABLE);
  return refuse(packet, admission, DROP, REASON['no-destination']);
}

/** A unicast address that is not this host's. */
function isElsewhere(context: EngineContext, ends: Endpoints): boolean {
  const { ipv6, destination0, destination1, destination2, destination3 } = ends;
  if (isMulticast(ipv6, destination0, destination3)) return false;
  return !context.network.ownsAddress(ipv6, destination0, destination1, destination2, destination3);
}

function opensConnection(context: EngineContext, packet: Packet): boolean {
  const { settings } = context;
  switch (packet.protocol) {
    case PROTOCOL_TCP:
      if ((packet.tcpFlags & TCP_RST) !== 0) return false;
      return (packet.tcpFlags & TCP_SYN) !== 0 || settings.sloppy_tcp !== 0;
    case PROTOCOL_SCTP:
      return maySctpBeScheduled(packet.bytes, packet.transportAt, packet.end, settings.sloppy_sctp !== 0);
    default:
      return !packet.ipsec;
  }
}

function refuse(packet: Packet, admission: Admission, verdict: Verdict, reason: number): number {
  admission.verdict = give(packet, verdict, reason);
  return NO_ROW;
}
