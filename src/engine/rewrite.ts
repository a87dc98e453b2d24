/** Network address translation of the packet in hand: addresses, ports, time to live, and every checksum. */
import { readUint16, writeInt32, writeUint8, writeUint16 } from '../wire/bytes.ts';
import { adjustChecksum, changeOf16, changeOf32, pseudoHeaderSum } from '../wire/checksum.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import { IPV6_DESTINATION, IPV6_SOURCE, ipv6PseudoHeaderSum, replaceIpv6Address } from '../wire/ipv6.ts';
import { fillSctpChecksum } from '../wire/sctp.ts';
import { adjustPartialTcpChecksum, adjustTcpChecksum } from '../wire/tcp.ts';
import { adjustPartialUdpChecksum, adjustUdpChecksum, fillUdpChecksum, udpChecksum } from '../wire/udp.ts';
import type { Packet } from './packet.ts';

/**
 * Gives an IPv4 packet other endpoints. `ttlStep` is taken from its time to live (0 or 1). A wrong transport checksum
 * stays wrong by the same amount; a UDP datagram without one gets one, as the kernel does.
 */
export function rewriteIpv4(
  packet: Packet,
  source: number,
  sourcePort: number,
  destination: number,
  destinationPort: number,
  ttlStep: number,
): void {
  const { bytes, ipAt, transportAt } = packet;
  const addresses = changeOf32(packet.source3, source) + changeOf32(packet.destination3, destination);
  const ports = changeOf16(packet.sourcePort, sourcePort) + changeOf16(packet.destinationPort, destinationPort);
  const ttlBefore = readUint16(bytes, ipAt + 8);
  const ttlAfter = ttlBefore - (ttlStep << 8);
  writeUint8(bytes, ipAt + 8, ttlAfter >>> 8);
  writeInt32(bytes, ipAt + 12, source);
  writeInt32(bytes, ipAt + 16, destination);
  const header = adjustChecksum(readUint16(bytes, ipAt + 10), addresses + changeOf16(ttlBefore, ttlAfter));
  writeUint16(bytes, ipAt + 10, header);
  if (packet.protocol === PROTOCOL_TCP) {
    writeUint16(bytes, transportAt, sourcePort);
    writeUint16(bytes, transportAt + 2, destinationPort);
    if (packet.partialChecksum) adjustPartialTcpChecksum(bytes, transportAt, addresses);
    else adjustTcpChecksum(bytes, transportAt, addresses, ports);
  } else if (packet.protocol === PROTOCOL_UDP && !packet.ipsec) {
    writeUint16(bytes, transportAt, sourcePort);
    writeUint16(bytes, transportAt + 2, destinationPort);
    rewriteUdpChecksum(packet, addresses, ports);
  } else if (packet.protocol === PROTOCOL_SCTP) {
    if (sourcePort === packet.sourcePort && destinationPort === packet.destinationPort) return;
    writeUint16(bytes, transportAt, sourcePort);
    writeUint16(bytes, transportAt + 2, destinationPort);
    fillSctpChecksum(bytes, transportAt, packet.end);
  }
}

/** Another source for an IPv6 packet: words `prefix[prefixAt..+2]` and `rows[lastAt]`, and the port. */
export function rewriteIpv6Source(
  packet: Packet,
  prefix: Int32Array,
  prefixAt: number,
  lastAt: number,
  port: number,
  rows: Int32Array,
): void {
  const { bytes, ipAt } = packet;
  const change = replaceIpv6Address(
    bytes,
    ipAt + IPV6_SOURCE,
    prefix[prefixAt] as number,
    prefix[prefixAt + 1] as number,
    prefix[prefixAt + 2] as number,
    rows[lastAt] as number,
  );
  rewriteIpv6Port(packet, packet.transportAt, packet.sourcePort, port, change);
}

/** Another destination, from the words of a connection's row. */
export function rewriteIpv6Destination(
  packet: Packet,
  rows: Int32Array,
  prefixAt: number,
  lastAt: number,
  port: number,
): void {
  const { bytes, ipAt } = packet;
  const change = replaceIpv6Address(
    bytes,
    ipAt + IPV6_DESTINATION,
    rows[prefixAt] as number,
    rows[prefixAt + 1] as number,
    rows[prefixAt + 2] as number,
    rows[lastAt] as number,
  );
  rewriteIpv6Port(packet, packet.transportAt + 2, packet.destinationPort, port, change);
}

function rewriteIpv6Port(packet: Packet, portAt: number, before: number, after: number, addresses: number): void {
  const { bytes, transportAt, protocol } = packet;
  if (protocol === PROTOCOL_TCP) {
    writeUint16(bytes, portAt, after);
    if (packet.partialChecksum) adjustPartialTcpChecksum(bytes, transportAt, addresses);
    else adjustTcpChecksum(bytes, transportAt, addresses, changeOf16(before, after));
  } else if (protocol === PROTOCOL_UDP && !packet.ipsec) {
    writeUint16(bytes, portAt, after);
    rewriteUdpChecksum(packet, addresses, changeOf16(before, after));
  } else if (protocol === PROTOCOL_SCTP && before !== after) {
    writeUint16(bytes, portAt, after);
    fillSctpChecksum(bytes, transportAt, packet.end);
  }
}

function rewriteUdpChecksum(packet: Packet, addresses: number, ports: number): void {
  const { bytes, transportAt } = packet;
  if (packet.partialChecksum) adjustPartialUdpChecksum(bytes, transportAt, addresses);
  else if (udpChecksum(bytes, transportAt) !== 0) adjustUdpChecksum(bytes, transportAt, addresses, ports);
  else fillUdpChecksum(bytes, transportAt, packet.end, pseudoHeaderOf(packet));
}

/** Sum of the pseudo-header as the packet is now. */
export function pseudoHeaderOf(packet: Packet): number {
  const { bytes, ipAt, transportAt, end, protocol } = packet;
  if (packet.ipv6) return ipv6PseudoHeaderSum(bytes, ipAt, protocol, end - transportAt);
  return pseudoHeaderSum(readAddress(bytes, ipAt + 12), readAddress(bytes, ipAt + 16), protocol, end - transportAt);
}

function readAddress(bytes: Uint8Array, at: number): number {
  return (readUint16(bytes, at) << 16) | readUint16(bytes, at + 2);
}
