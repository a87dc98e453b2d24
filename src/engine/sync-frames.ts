/** Synchronisation datagrams as frames: UDP to the group, written into the outbox, and found among what comes in. */
import { readUint16, writeUint16 } from '../wire/bytes.ts';
import { addBytes, fold, pseudoHeaderSum } from '../wire/checksum.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherType,
  setEthernetAddresses,
  setEtherType,
} from '../wire/ethernet.ts';
import {
  IPV4_HEADER_BYTES_MIN,
  ipv4Destination,
  ipv4HeaderBytes,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
  isIpv4Fragment,
  PROTOCOL_UDP,
  writeIpv4Header,
} from '../wire/ipv4.ts';
import {
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE,
  ipv6DestinationWord,
  ipv6PayloadLength,
  ipv6PseudoHeaderSum,
  isIpv6Header,
  writeIpv6Address,
  writeIpv6Header,
} from '../wire/ipv6.ts';
import { fillUdpChecksum, UDP_HEADER_BYTES, udpChecksum } from '../wire/udp.ts';
import type { EngineContext } from './context.ts';
import type { EngineLink } from './network.ts';
import type { Packet } from './packet.ts';
import { chooseIpv6Source } from './source-address.ts';
import { receiveSyncMessage } from './sync-backup.ts';
import type { RunningDaemon } from './sync-daemon.ts';
import type { SyncDatagram } from './sync-queue.ts';
import { syncTable } from './sync-table.ts';

const IPV6_NEXT_HEADER = 6;

/** Puts what the master has to say by now into the outbox. */
export function sendSyncMessages(context: EngineContext): void {
  const { master, masterDaemon } = context.sync;
  if (master === null || masterDaemon === null) return;
  const link = context.network.link(masterDaemon.linkIndex);
  const due = master.takeDue(context.nowMs);
  if (link === null) return;
  for (const datagram of due) sendDatagram(context, masterDaemon, link, datagram);
}

function sendDatagram(context: EngineContext, daemon: RunningDaemon, link: EngineLink, datagram: SyncDatagram): void {
  const slot = context.claimOutboxSlot();
  if (slot < 0) return;
  const { bytes, start: starts, end: ends, egress, ceiling } = context.outbox;
  const start = starts[slot] as number;
  const ipAt = start + ETHERNET_HEADER_BYTES;
  const ipv6 = daemon.group.family === 'ipv6';
  const udpAt = ipAt + (ipv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES_MIN);
  const end = udpAt + UDP_HEADER_BYTES + datagram.bytes.length;
  // A datagram longer than a frame of ours would have to be sent in pieces.
  if (end > (ceiling[slot] as number) || end - ipAt > link.mtu) return;
  const udpBytes = end - udpAt;
  if (ipv6) writeIpv6(context, daemon, link, ipAt, udpBytes);
  else writeIpv4(context, daemon, link, ipAt, end - ipAt);
  setGroupMac(daemon, bytes, start, link);
  setEtherType(bytes, start, ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
  writeUint16(bytes, udpAt, daemon.sourcePort + datagram.thread);
  writeUint16(bytes, udpAt + 2, daemon.spec.port + datagram.thread);
  writeUint16(bytes, udpAt + 4, udpBytes);
  bytes.set(datagram.bytes, udpAt + UDP_HEADER_BYTES);
  const pseudo = ipv6
    ? ipv6PseudoHeaderSum(bytes, ipAt, PROTOCOL_UDP, udpBytes)
    : pseudoHeaderSum(ipv4Source(bytes, ipAt), ipv4Destination(bytes, ipAt), PROTOCOL_UDP, udpBytes);
  fillUdpChecksum(bytes, udpAt, end, pseudo);
  ends[slot] = end;
  egress[slot] = link.index;
}

function writeIpv4(
  context: EngineContext,
  daemon: RunningDaemon,
  link: EngineLink,
  ipAt: number,
  ipBytes: number,
): void {
  writeIpv4Header(context.outbox.bytes, ipAt, {
    tos: 0,
    totalLength: ipBytes,
    id: context.random.int32() & 0xffff,
    ttl: daemon.spec.ttl,
    protocol: PROTOCOL_UDP,
    source: link.addresses[0]?.address ?? 0,
    destination: daemon.group.words[3] as number,
  });
}

function writeIpv6(
  context: EngineContext,
  daemon: RunningDaemon,
  link: EngineLink,
  ipAt: number,
  udpBytes: number,
): void {
  const { bytes } = context.outbox;
  const [g0, g1, g2, g3] = daemon.group.words as unknown as [number, number, number, number];
  const global = link.addresses6.find((address) => address.address0 >>> 22 !== 0xfe80 >>> 6);
  const group = { address0: g0, address1: g1, address2: g2, address3: g3 };
  const source = global ?? chooseIpv6Source(link.addresses6, group);
  writeIpv6Header(bytes, ipAt, 0, udpBytes, PROTOCOL_UDP, daemon.spec.ttl);
  writeIpv6Address(
    bytes,
    ipAt + IPV6_SOURCE,
    source?.address0 ?? 0,
    source?.address1 ?? 0,
    source?.address2 ?? 0,
    source?.address3 ?? 0,
  );
  writeIpv6Address(bytes, ipAt + IPV6_DESTINATION, g0, g1, g2, g3);
}

const groupMac = new Uint8Array(6);

/** 01:00:5e and 23 bits of an IPv4 group (RFC 1112), 33:33 and 32 bits of an IPv6 one (RFC 2464). */
function setGroupMac(daemon: RunningDaemon, bytes: Uint8Array, start: number, link: EngineLink): void {
  const last = daemon.group.words[3] as number;
  const ipv6 = daemon.group.family === 'ipv6';
  groupMac[0] = ipv6 ? 0x33 : 0x01;
  groupMac[1] = ipv6 ? 0x33 : 0x00;
  groupMac[2] = ipv6 ? last >>> 24 : 0x5e;
  groupMac[3] = ipv6 ? last >>> 16 : (last >>> 16) & 0x7f;
  groupMac[4] = last >>> 8;
  groupMac[5] = last;
  setEthernetAddresses(bytes, start, groupMac, link.mac);
}

/** True when the frame in hand, not dissected yet, is a datagram for the backup; it was taken in. */
export function takeSyncFrame(context: EngineContext, packet: Packet): boolean {
  const daemon = context.sync.backupDaemon as RunningDaemon;
  if (packet.ingress !== daemon.linkIndex) return false;
  const { bytes, start } = packet;
  const ipAt = start + ETHERNET_HEADER_BYTES;
  if (packet.end - ipAt < IPV4_HEADER_BYTES_MIN) return false;
  const ipv6 = daemon.group.family === 'ipv6';
  if (etherType(bytes, start) !== (ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4)) return false;
  const udpAt = ipv6 ? findIpv6Datagram(daemon, packet, ipAt) : findIpv4Datagram(daemon, packet, ipAt);
  if (udpAt < 0) return false;
  const end = ipAt + (ipv6 ? IPV6_HEADER_BYTES + ipv6PayloadLength(bytes, ipAt) : ipv4TotalLength(bytes, ipAt));
  if (end > packet.end || end - udpAt < UDP_HEADER_BYTES || readUint16(bytes, udpAt + 4) !== end - udpAt) return false;
  const thread = readUint16(bytes, udpAt + 2) - daemon.spec.port;
  if (thread < 0 || thread >= daemon.threads || !checksumIsRight(packet, ipv6, ipAt, udpAt, end)) return false;
  const payloadAt = udpAt + UDP_HEADER_BYTES;
  // A socket reads no more than its buffer holds.
  const readEnd = Math.min(end, payloadAt + daemon.spec.maxLength);
  receiveSyncMessage(bytes, payloadAt, readEnd, daemon.spec.syncId, syncTable(context));
  return true;
}

function findIpv4Datagram(daemon: RunningDaemon, { bytes, end }: Packet, ipAt: number): number {
  const headerBytes = ipv4HeaderBytes(bytes, ipAt, end);
  if (headerBytes === 0 || ipv4Protocol(bytes, ipAt) !== PROTOCOL_UDP || isIpv4Fragment(bytes, ipAt)) return -1;
  return ipv4Destination(bytes, ipAt) === daemon.group.words[3] ? ipAt + headerBytes : -1;
}

function findIpv6Datagram(daemon: RunningDaemon, { bytes, end }: Packet, ipAt: number): number {
  if (!isIpv6Header(bytes, ipAt, end) || bytes[ipAt + IPV6_NEXT_HEADER] !== PROTOCOL_UDP) return -1;
  for (let i = 0; i < 4; i++) if (ipv6DestinationWord(bytes, ipAt, i) !== daemon.group.words[i]) return -1;
  return ipAt + IPV6_HEADER_BYTES;
}

function checksumIsRight(
  { bytes, partialChecksum }: Packet,
  ipv6: boolean,
  ipAt: number,
  udpAt: number,
  end: number,
): boolean {
  if (partialChecksum || (!ipv6 && udpChecksum(bytes, udpAt) === 0)) return true;
  const pseudo = ipv6
    ? ipv6PseudoHeaderSum(bytes, ipAt, PROTOCOL_UDP, end - udpAt)
    : pseudoHeaderSum(ipv4Source(bytes, ipAt), ipv4Destination(bytes, ipAt), PROTOCOL_UDP, end - udpAt);
  return fold(addBytes(pseudo, bytes, udpAt, end)) === 0xffff;
}
