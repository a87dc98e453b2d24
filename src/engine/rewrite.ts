/** Network address translation of the packet in hand: addresses, ports, time to live, and every checksum. */
import { readUint16, writeInt32, writeUint8, writeUint16 } from '../wire/bytes.ts';
import { adjustChecksum, changeOf16, changeOf32, pseudoHeaderSum } from '../wire/checksum.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
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
  writeUint16(bytes, transportAt, sourcePort);
  writeUint16(bytes, transportAt + 2, destinationPort);
  if (packet.protocol === PROTOCOL_TCP) {
    if (packet.partialChecksum) adjustPartialTcpChecksum(bytes, transportAt, addresses);
    else adjustTcpChecksum(bytes, transportAt, addresses, ports);
  } else if (packet.partialChecksum) {
    adjustPartialUdpChecksum(bytes, transportAt, addresses);
  } else if (udpChecksum(bytes, transportAt) === 0) {
    const pseudo = pseudoHeaderSum(source, destination, packet.protocol, packet.end - transportAt);
    fillUdpChecksum(bytes, transportAt, packet.end, pseudo);
  } else {
    adjustUdpChecksum(bytes, transportAt, addresses, ports);
  }
}
