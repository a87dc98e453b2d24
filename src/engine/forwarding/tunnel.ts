/** Tunnelling: the packet travels to the real server inside another one, with the method its destination names. */
import type { TunnelSpec } from '../../model/forwarding.ts';
import { readInt32 } from '../../wire/bytes.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, setEtherType } from '../../wire/ethernet.ts';
import { PROTOCOL_TCP } from '../../wire/ipv4.ts';
import { FrameFlag } from '../../wire/packet-batch.ts';
import { segmentCount, writeSegment } from '../../wire/segment.ts';
import { ConnectionFlag, DESTINATION, FLAGS, NO_ROW, ROW_SHIFT, SERVER0, SERVER3 } from '../connection.ts';
import type { EngineContext } from '../context.ts';
import { give } from '../dissect.ts';
import type { Egress } from '../egress.ts';
import { virtualAddressForErrors } from '../outgoing-icmp.ts';
import { Packet } from '../packet.ts';
import { sendBy, sendToHost } from '../send.ts';
import { CONSUME, CONTINUE, DROP, REASON, type Verdict } from '../verdict.ts';
import { mayLeave, nobody, stepTtl, unreachable } from './checks.ts';
import {
  encapsulate,
  flowHash,
  gueSourcePort,
  TUNNEL_MTU_MIN_IPV4,
  TUNNEL_MTU_MIN_IPV6,
  TunnelWay,
  tunnelOverhead,
  usesRemoteChecksum,
} from './encapsulate.ts';

/** When the host sets none aside: the usual range for sockets. */
const LOW_PORT = 32_768;
const HIGH_PORT = 60_999;

const way = new TunnelWay();

/** The tunnel of a destination is read now, so that an edit concerns connections that exist. */
export function tunnelInbound(
  context: EngineContext,
  row: number,
  packet: Packet,
  egress: Egress,
  isError: boolean,
): Verdict {
  const { rows } = context.connections;
  const base = row << ROW_SHIFT;
  const index = rows[base + DESTINATION] as number;
  if (index === NO_ROW) return give(packet, DROP, REASON.method);
  const { tunnel } = context.services.destinationAt(index);
  const errorSource = isError ? nobody : virtualAddressForErrors;
  if (egress.kind === 'none') return unreachable(context, packet, errorSource);
  if (egress.kind === 'local') return sendToHost(context, packet);
  const outerIpv6 = ((rows[base + FLAGS] as number) & ConnectionFlag.SERVER_IPV6) !== 0;
  const room = context.pathMtu.towards(context, index, egress.mtu);
  const mtu = room - tunnelOverhead(tunnel, outerIpv6, usesRemoteChecksum(tunnel, packet));
  if (mtu < (outerIpv6 ? TUNNEL_MTU_MIN_IPV6 : TUNNEL_MTU_MIN_IPV4)) return give(packet, DROP, REASON.mtu);
  const pathMtuDiscovery = context.settings.pmtu_disc !== 0;
  // TCP may be cut anywhere, and not every back end knows where its sender wanted it cut.
  if (packet.segmentBytes !== 0 && packet.protocol === PROTOCOL_TCP) {
    packet.segmentBytes = Math.min(packet.segmentBytes, Math.max(1, mtu - packet.headerBytes));
  }
  const verdict = mayLeave(context, packet, mtu, errorSource, packet.ipv6 || pathMtuDiscovery);
  if (verdict !== CONTINUE) return verdict;
  stepTtl(packet);
  way.pathMtuDiscovery = pathMtuDiscovery;
  way.nextIdentification = context.random.int32() & 0xffff;
  fillAddresses(context, base, egress, outerIpv6);
  if (tunnel.type === 'gue') way.sourcePort = sourcePortOf(context, packet);
  return packet.segmentBytes === 0
    ? wrap(context, packet, tunnel, egress)
    : wrapSegments(context, packet, tunnel, egress);
}

const segment = new Packet();

/**
 * A super-frame: no header says how to cut it up inside a tunnel, so its segments go into the outbox, each wrapped by
 * itself. It was counted as one packet, as the kernel counts it.
 */
function wrapSegments(context: EngineContext, packet: Packet, tunnel: TunnelSpec, egress: Egress): Verdict {
  const { bytes, start, end, segmentBytes } = packet;
  const count = segmentCount(bytes, start, end, segmentBytes);
  if (count === 0) return give(packet, DROP, REASON['no-headroom']);
  context.makeRoomInOutbox(count);
  const frameBytes = packet.ipAt - start + packet.headerBytes + segmentBytes;
  for (let index = 0; index < count; index++) {
    const slot = context.claimOutboxSlot();
    if (slot < 0) break;
    const { outbox } = context;
    const at = outbox.start[slot] as number;
    if (at + frameBytes > (outbox.ceiling[slot] as number)) {
      outbox.count = slot;
      return give(packet, DROP, REASON.mtu);
    }
    outbox.end[slot] = at + writeSegment(bytes, start, end, segmentBytes, index, outbox.bytes, at);
    segment.load(outbox, slot);
    segment.ipv6 = packet.ipv6;
    segment.protocol = packet.protocol;
    segment.ipAt = at + packet.ipAt - start;
    segment.transportAt = at + packet.transportAt - start;
    wrap(context, segment, tunnel, egress);
  }
  return give(packet, CONSUME, REASON.none);
}

function wrap(context: EngineContext, packet: Packet, tunnel: TunnelSpec, egress: Egress): Verdict {
  const { batch, slot } = packet;
  const innerAt = packet.ipAt;
  const at = encapsulate(packet, (batch.floor[slot] as number) + ETHERNET_HEADER_BYTES, tunnel, way);
  if (at < 0) return give(packet, DROP, REASON['no-headroom']);
  batch.flags[slot] = (batch.flags[slot] as number) & ~FrameFlag.PARTIAL_CHECKSUM;
  packet.partialChecksum = false;
  packet.ipAt = at;
  packet.transportAt = at + (way.outer.ipv6 ? 40 : 20);
  packet.start = at - ETHERNET_HEADER_BYTES;
  batch.start[slot] = packet.start;
  if (packet.largestFragmentBytes !== 0) packet.firstPieceGrowth = innerAt - at;
  packet.ipv6 = way.outer.ipv6;
  setEtherType(packet.bytes, packet.start, way.outer.ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
  return sendBy(context, packet, egress);
}

function fillAddresses(context: EngineContext, base: number, egress: Egress, outerIpv6: boolean): void {
  const { rows } = context.connections;
  const { outer } = way;
  outer.ipv6 = outerIpv6;
  outer.source0 = egress.source.address0;
  outer.source1 = egress.source.address1;
  outer.source2 = egress.source.address2;
  outer.source3 = egress.source.address3;
  outer.destination0 = rows[base + SERVER0] as number;
  outer.destination1 = rows[base + SERVER0 + 1] as number;
  outer.destination2 = rows[base + SERVER0 + 2] as number;
  outer.destination3 = rows[base + SERVER3] as number;
}

function sourcePortOf(context: EngineContext, packet: Packet): number {
  const [low, high] = context.network.localPortRange;
  const usable = low > 0 && low < high;
  // A sender that names its flows has one port for each of them.
  const label = packet.ipv6 ? readInt32(packet.bytes, packet.ipAt) & 0xf_ffff : 0;
  const hash = flowHash(context.connections.seed ^ Math.imul(label, 0x9e3779b1), packet);
  return usable ? gueSourcePort(hash, low, high) : gueSourcePort(hash, LOW_PORT, HIGH_PORT);
}
