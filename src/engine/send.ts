/** The last step of every path: put MAC addresses on a frame and name its link, or keep it until they are known. */

import { writeUint16 } from '../wire/bytes.ts';
import { addBytes, fold } from '../wire/checksum.ts';
import { setEthernetAddresses } from '../wire/ethernet.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import { ipv6DestinationWord } from '../wire/ipv6.ts';
import { FrameFlag, NO_LINK, TO_HOST } from '../wire/packet-batch.ts';
import type { EngineContext } from './context.ts';
import { give } from './dissect.ts';
import type { Egress } from './egress.ts';
import { sendInPieces } from './fragmentation.ts';
import type { Neighbor } from './neighbor.ts';
import { isLoopback } from './network.ts';
import type { Packet } from './packet.ts';
import { pseudoHeaderOf } from './rewrite.ts';
import { CONSUME, DELIVER, DROP, REASON, TRANSMIT, type Verdict } from './verdict.ts';

/** Sends the packet in hand by a `remote` egress. */
export function sendBy(context: EngineContext, packet: Packet, egress: Egress): Verdict {
  context.observation?.leaves(egress);
  const neighbor = egress.neighbor as Neighbor;
  if ((packet.end - packet.ipAt > egress.mtu && packet.segmentBytes === 0) || packet.largestFragmentBytes !== 0) {
    if (packet.partialChecksum) finishChecksum(packet);
    const { mac, link } = neighbor;
    return sendInPieces(
      context,
      packet,
      { neighbor, linkIndex: link.index, destinationMac: mac, sourceMac: link.mac },
      egress.mtu,
    );
  }
  if (!neighbor.resolved) return park(context, packet, neighbor);
  context.neighbors.refresh(context, neighbor);
  setEthernetAddresses(packet.bytes, packet.start, neighbor.mac, neighbor.link.mac);
  packet.batch.egress[packet.slot] = neighbor.link.index;
  return TRANSMIT;
}

/** Gives the packet in hand, as it is now, to the host's own stack. */
export function sendToHost(context: EngineContext, packet: Packet): Verdict {
  const { cable } = context.network;
  if (cable === null) {
    packet.batch.egress[packet.slot] = TO_HOST;
    return DELIVER;
  }
  const { loopback } = context.network;
  // No stack takes packets to ::1 from any other link (RFC 4291, 2.5.3).
  const byLoopback = loopback !== null && packet.ipv6 && goesToIpv6Loopback(packet);
  const link = byLoopback ? loopback : cable.link;
  const destinationMac = byLoopback ? loopback.mac : cable.hostMac;
  const sourceMac = byLoopback ? loopback.mac : cable.engineMac;
  if (packet.largestFragmentBytes !== 0) {
    return sendInPieces(
      context,
      packet,
      { neighbor: null, linkIndex: link.index, destinationMac, sourceMac },
      link.mtu,
    );
  }
  setEthernetAddresses(packet.bytes, packet.start, destinationMac, sourceMac);
  packet.batch.egress[packet.slot] = link.index;
  return DELIVER;
}

/** By its bytes: the destination may have been rewritten. */
function goesToIpv6Loopback({ bytes, ipAt }: Packet): boolean {
  return isLoopback(
    true,
    ipv6DestinationWord(bytes, ipAt, 0),
    ipv6DestinationWord(bytes, ipAt, 1),
    ipv6DestinationWord(bytes, ipAt, 2),
    ipv6DestinationWord(bytes, ipAt, 3),
  );
}

/** Sends a frame of the engine's own, already in outbox `slot`, towards an address. */
export function sendOwnFrame(
  context: EngineContext,
  slot: number,
  ipv6: boolean,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
): void {
  const { outbox } = context;
  const start = outbox.start[slot] as number;
  const egress = context.egresses.towards(context, ipv6, w0, w1, w2, w3);
  if (egress.kind === 'local') {
    const { cable } = context.network;
    if (cable === null) outbox.egress[slot] = TO_HOST;
    else {
      setEthernetAddresses(outbox.bytes, start, cable.hostMac, cable.engineMac);
      outbox.egress[slot] = cable.link.index;
    }
    return;
  }
  outbox.egress[slot] = NO_LINK;
  if (egress.kind === 'none') return;
  const neighbor = egress.neighbor as Neighbor;
  if (neighbor.resolved) {
    setEthernetAddresses(outbox.bytes, start, neighbor.mac, neighbor.link.mac);
    outbox.egress[slot] = neighbor.link.index;
  } else {
    context.neighbors.park(context, neighbor, outbox.bytes, start, outbox.end[slot] as number);
  }
}

function park(context: EngineContext, packet: Packet, neighbor: Neighbor): Verdict {
  if (packet.segmentBytes !== 0) return give(packet, DROP, REASON['parking-full']);
  if (packet.partialChecksum) finishChecksum(packet);
  if (context.neighbors.park(context, neighbor, packet.bytes, packet.start, packet.end)) return CONSUME;
  return give(packet, DROP, REASON['parking-full']);
}

/** A parked frame is sent later from other memory, where nobody would finish its checksum. */
function finishChecksum(packet: Packet): void {
  const { bytes, transportAt, end } = packet;
  const field = transportAt + (packet.protocol === PROTOCOL_TCP ? 16 : 6);
  writeUint16(bytes, field, 0);
  const pseudo = pseudoHeaderOf(packet);
  const check = ~fold(addBytes(pseudo, bytes, transportAt, end)) & 0xffff;
  writeUint16(bytes, field, check === 0 && packet.protocol !== PROTOCOL_TCP ? 0xffff : check);
  packet.batch.flags[packet.slot] = (packet.batch.flags[packet.slot] as number) & ~FrameFlag.PARTIAL_CHECKSUM;
  packet.partialChecksum = false;
}
