/**
 * Tunnelling: outer headers in front of an IP packet, written into the free bytes before it. The inner packet stays
 * where it is; its time to live has been taken down by the caller.
 */
import type { TunnelSpec } from '../../model/forwarding.ts';
import { readUint8, readUint16 } from '../../wire/bytes.ts';
import {
  GRE_HEADER_BYTES,
  GRE_HEADER_BYTES_WITH_CHECKSUM,
  GUE_HEADER_BYTES,
  GUE_REMOTE_CHECKSUM_BYTES,
  OUTER_IPV6_HEADER_BYTES,
  OuterHeader,
  PROTOCOL_GRE,
  PROTOCOL_IPV4_INSIDE,
  PROTOCOL_IPV6_INSIDE,
  writeGreHeader,
  writeGueHeader,
  writeGueRemoteChecksum,
  writeOuterHeader,
  writeOuterUdpHeader,
} from '../../wire/encapsulation.ts';
import type { Endpoints } from '../../wire/endpoints.ts';
import { IPV4_HEADER_BYTES_MIN, ipv4DontFragment, ipv4Tos, ipv4Ttl, PROTOCOL_UDP } from '../../wire/ipv4.ts';
import { checksumFieldOf, finishPartialChecksum } from '../../wire/partial-checksum.ts';
import { UDP_HEADER_BYTES } from '../../wire/udp.ts';

/** A tunnel that leaves less than this for the inner packet is not used: the packet is dropped. */
export const TUNNEL_MTU_MIN_IPV4 = 68;
export const TUNNEL_MTU_MIN_IPV6 = 1280;

/** Answers of `encapsulate` that are no offset. */
export const NO_ROOM_FOR_TUNNEL = -1;
/** One frame that stands for many segments must be cut into them first. */
export const SUPER_FRAME_IN_TUNNEL = -2;

const IP_BYTES_MAX = 65_535;
const ECN_MASK = 3;
const ECN_CONGESTION_EXPERIENCED = 3;
const ECN_ECT0 = 2;

/** The packet that goes into the tunnel. `Packet` has this form. */
export interface InnerPacket {
  readonly bytes: Uint8Array;
  readonly ipAt: number;
  readonly transportAt: number;
  readonly end: number;
  readonly ipv6: boolean;
  readonly protocol: number;
  /** The transport checksum is the sender's unfinished one. */
  readonly partialChecksum: boolean;
  /** Not 0: a super-frame. */
  readonly segmentBytes: number;
}

/**
 * Where to and how. The engine keeps one, fills in addresses, and calls `encapsulate`, which sets the rest of the
 * outer header from the inner one.
 */
export class TunnelWay {
  readonly outer: OuterHeader = new OuterHeader();
  /** The setting `pmtu_disc`: an IPv4 packet hands its "do not fragment" on. */
  pathMtuDiscovery = true;
  /** Identification for the next outer IPv4 header that may be fragmented; counts up with every use. */
  nextIdentification = 0;
  /** GUE: from `gueSourcePort`. */
  sourcePort = 0;
}

/**
 * Bytes that the outer headers take. `remoteChecksum`: a packet with an unfinished checksum in a GUE tunnel that
 * leaves completing it to the other end.
 */
export function tunnelOverhead(tunnel: TunnelSpec, outerIpv6: boolean, remoteChecksum = false): number {
  const ipBytes = outerIpv6 ? OUTER_IPV6_HEADER_BYTES : IPV4_HEADER_BYTES_MIN;
  if (tunnel.type === 'gue') {
    return ipBytes + UDP_HEADER_BYTES + GUE_HEADER_BYTES + (remoteChecksum ? GUE_REMOTE_CHECKSUM_BYTES : 0);
  }
  if (tunnel.type === 'ipip') return ipBytes;
  return ipBytes + (tunnel.checksum === 'none' ? GRE_HEADER_BYTES : GRE_HEADER_BYTES_WITH_CHECKSUM);
}

/** True when `packet`'s unfinished checksum is handed to the other end of the tunnel as it is. */
export function usesRemoteChecksum(tunnel: TunnelSpec, packet: InnerPacket): boolean {
  return (
    packet.partialChecksum &&
    tunnel.type === 'gue' &&
    tunnel.checksum === 'remote' &&
    checksumFieldOf(packet.protocol) >= 0
  );
}

/**
 * Puts the outer headers before `packet`, down to `floor` at most, and answers where the outer IP header begins, or
 * NO_ROOM_FOR_TUNNEL or SUPER_FRAME_IN_TUNNEL with nothing changed. An unfinished checksum is finished (or handed to
 * the other end): after an answer above 0 the frame has none any more.
 */
export function encapsulate(packet: InnerPacket, floor: number, tunnel: TunnelSpec, way: TunnelWay): number {
  if (packet.segmentBytes !== 0) return SUPER_FRAME_IN_TUNNEL;
  const { bytes, ipAt, end } = packet;
  const { outer } = way;
  const remoteChecksum = usesRemoteChecksum(tunnel, packet);
  const at = ipAt - tunnelOverhead(tunnel, outer.ipv6, remoteChecksum);
  if (at < floor || end - at > IP_BYTES_MAX) return NO_ROOM_FOR_TUNNEL;
  if (packet.partialChecksum && !remoteChecksum) {
    finishPartialChecksum(bytes, packet.transportAt, end, packet.protocol);
  }
  fillOuter(packet, way);
  const headersAt = at + (outer.ipv6 ? OUTER_IPV6_HEADER_BYTES : IPV4_HEADER_BYTES_MIN);
  if (tunnel.type === 'ipip') {
    writeOuterHeader(bytes, at, end, packet.ipv6 ? PROTOCOL_IPV6_INSIDE : PROTOCOL_IPV4_INSIDE, outer);
  } else if (tunnel.type === 'gre') {
    writeGreHeader(bytes, headersAt, end, packet.ipv6, tunnel.checksum !== 'none');
    writeOuterHeader(bytes, at, end, PROTOCOL_GRE, outer);
  } else {
    writeGue(packet, headersAt, tunnel, way, remoteChecksum);
    writeOuterHeader(bytes, at, end, PROTOCOL_UDP, outer);
  }
  return at;
}

/** What the outer header takes from the inner one. */
function fillOuter(packet: InnerPacket, way: TunnelWay): void {
  const { bytes, ipAt } = packet;
  const { outer } = way;
  const inner = packet.ipv6 ? (readUint16(bytes, ipAt) >>> 4) & 0xff : ipv4Tos(bytes, ipAt);
  // "Congestion experienced" stays inside (RFC 3168, 9.1.1, full functionality).
  outer.trafficClass = (inner & ECN_MASK) === ECN_CONGESTION_EXPERIENCED ? (inner & ~ECN_MASK) | ECN_ECT0 : inner;
  outer.ttl = packet.ipv6 ? readUint8(bytes, ipAt + 7) : ipv4Ttl(bytes, ipAt);
  outer.dontFragment = way.pathMtuDiscovery && !packet.ipv6 && ipv4DontFragment(bytes, ipAt);
  if (outer.ipv6) return;
  // A packet that nobody may fragment needs no name for its pieces (RFC 6864).
  outer.identification = outer.dontFragment ? 0 : way.nextIdentification;
  if (!outer.dontFragment) way.nextIdentification = (way.nextIdentification + 1) & 0xffff;
}

function writeGue(
  packet: InnerPacket,
  udpAt: number,
  tunnel: TunnelSpec,
  way: TunnelWay,
  remoteChecksum: boolean,
): void {
  const { bytes } = packet;
  const gueAt = udpAt + UDP_HEADER_BYTES;
  writeGueHeader(bytes, gueAt, packet.ipv6, remoteChecksum ? GUE_REMOTE_CHECKSUM_BYTES : 0);
  if (remoteChecksum) {
    const start = packet.transportAt - packet.ipAt;
    writeGueRemoteChecksum(bytes, gueAt + GUE_HEADER_BYTES, start, start + checksumFieldOf(packet.protocol));
  }
  writeOuterUdpHeader(bytes, udpAt, packet.end, way.sourcePort, tunnel.port, tunnel.checksum !== 'none', way.outer);
}

/** A number that stays the same for all packets of a flow and differs between flows. */
export function flowHash(seed: number, flow: Endpoints): number {
  let hash = seed ^ flow.protocol;
  hash = mix(hash, flow.source0 ^ flow.source1 ^ flow.source2 ^ flow.source3);
  hash = mix(hash, flow.destination0 ^ flow.destination1 ^ flow.destination2 ^ flow.destination3);
  return mix(hash, (flow.sourcePort << 16) | flow.destinationPort);
}

function mix(hash: number, word: number): number {
  hash = Math.imul(hash ^ word, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return hash ^ (hash >>> 13);
}

/** GUE's outer source port: the flow's hash scaled into `low..high`, so that routers may spread flows over paths. */
export function gueSourcePort(hash: number, low: number, high: number): number {
  return low + Math.floor(((hash >>> 0) / 0x1_0000_0000) * (high - low + 1));
}
