/** Counting what passes: for the destination, its service and the whole table together, or for none of them. */
import type { Statistics } from '../model/statistics.ts';
import type { Endpoints } from '../wire/endpoints.ts';
import { DESTINATION, NO_ROW, ROW_SHIFT } from './connection.ts';
import type { EngineContext } from './context.ts';

/** A packet of `ipBytes` for connection `row`, from its client. Nothing counts without a configured destination. */
export function countInbound(context: EngineContext, row: number, ipBytes: number): void {
  const index = context.connections.rows[(row << ROW_SHIFT) + DESTINATION] as number;
  if (index === NO_ROW) return;
  const destination = context.services.destinationAt(index);
  if (!destination.available) return;
  destination.counters.countIn(ipBytes);
  destination.service.counters.countIn(ipBytes);
  context.services.totals.countIn(ipBytes);
}

/** The same towards the client. */
export function countOutbound(context: EngineContext, row: number, ipBytes: number): void {
  const index = context.connections.rows[(row << ROW_SHIFT) + DESTINATION] as number;
  if (index === NO_ROW) return;
  const destination = context.services.destinationAt(index);
  if (!destination.available) return;
  destination.counters.countOut(ipBytes);
  destination.service.counters.countOut(ipBytes);
  context.services.totals.countOut(ipBytes);
}

/** Packets that somebody else has carried for the connection, counted as if each had come here. */
export function addInbound(context: EngineContext, row: number, packets: number, bytes: number): void {
  add(context, row, { connections: 0, inPackets: packets, outPackets: 0, inBytes: bytes, outBytes: 0 });
}

/** The same towards the client. */
export function addOutbound(context: EngineContext, row: number, packets: number, bytes: number): void {
  add(context, row, { connections: 0, inPackets: 0, outPackets: packets, inBytes: 0, outBytes: bytes });
}

function add(context: EngineContext, row: number, carried: Statistics): void {
  const index = context.connections.rows[(row << ROW_SHIFT) + DESTINATION] as number;
  if (index === NO_ROW) return;
  const destination = context.services.destinationAt(index);
  if (!destination.available) return;
  destination.counters.add(carried);
  destination.service.counters.add(carried);
  context.services.totals.add(carried);
}

/** The two ends of a packet exchanged. */
class Exchanged implements Endpoints {
  ipv6 = false;
  protocol = 0;
  source0 = 0;
  source1 = 0;
  source2 = 0;
  source3 = 0;
  sourcePort = 0;
  destination0 = 0;
  destination1 = 0;
  destination2 = 0;
  destination3 = 0;
  destinationPort = 0;
}

const exchanged = new Exchanged();

/**
 * An error of `ipBytes` that this host says about `packet`. The kernel finds the connection of the quoted packet on
 * the error's way out and takes it for a reply; with NAT it finds none, since the quote is not translated yet.
 */
export function countOwnError(context: EngineContext, packet: Endpoints, ipBytes: number): void {
  exchanged.ipv6 = packet.ipv6;
  exchanged.protocol = packet.protocol;
  exchanged.source0 = packet.destination0;
  exchanged.source1 = packet.destination1;
  exchanged.source2 = packet.destination2;
  exchanged.source3 = packet.destination3;
  exchanged.sourcePort = packet.destinationPort;
  exchanged.destination0 = packet.source0;
  exchanged.destination1 = packet.source1;
  exchanged.destination2 = packet.source2;
  exchanged.destination3 = packet.source3;
  exchanged.destinationPort = packet.sourcePort;
  const row = context.connections.findOutbound(exchanged);
  if (row !== NO_ROW) countOutbound(context, row, ipBytes);
}
