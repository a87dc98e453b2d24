/**
 * Who sends what to whom, as numbers and offsets, for those who look at packets without deciding about them: filters,
 * notes in captures, the story of a connection. One object is read again and again. Never throws, whatever the bytes are.
 */
import { readInt32, readUint8, readUint16 } from './bytes.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, ETHERTYPE_IPV6, etherType } from './ethernet.ts';
import { ipv4FragmentOffset, ipv4HeaderBytes, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from './ipv4.ts';
import { IPV6_HEADER_BYTES, Ipv6Walk, isIpv6Header, walkIpv6 } from './ipv6.ts';
import { formatIpv4At, formatIpv6At } from './print-address.ts';
import { tcpHeaderBytes } from './tcp.ts';

const IPV4_SOURCE = 12;
const IPV4_DESTINATION = 16;
const IPV6_SOURCE = 8;
const IPV6_DESTINATION = 24;
const UDP_HEADER_BYTES = 8;

const walk = new Ipv6Walk();

export class PacketFacts {
  /** 0 for a frame that is too short. */
  etherType = 0;
  ip = false;
  ipv6 = false;
  ipAt = 0;
  /** One past the IP packet, as far as it is here. */
  end = 0;
  /** -1: no IP. */
  protocol = -1;
  /** Offsets of the addresses; 4 or 16 bytes each. */
  sourceAt = 0;
  destinationAt = 0;
  /** -1: not here (no IP, a later fragment, or cut off). */
  transportAt = -1;
  /** -1: the packet has none. */
  sourcePort = -1;
  destinationPort = -1;
  /** Where the payload of TCP and UDP begins; -1: not known. */
  payloadAt = -1;

  /** Reads the Ethernet frame in `bytes[at..end)`. Returns whether it holds an IP packet. */
  read(bytes: Uint8Array, at: number, end: number): boolean {
    this.etherType = 0;
    this.ip = false;
    this.protocol = this.transportAt = this.sourcePort = this.destinationPort = this.payloadAt = -1;
    this.end = end;
    if (end - at < ETHERNET_HEADER_BYTES) return false;
    this.etherType = etherType(bytes, at);
    this.ipAt = at + ETHERNET_HEADER_BYTES;
    if (this.etherType === ETHERTYPE_IPV4) this.#readIpv4(bytes, end);
    else if (this.etherType === ETHERTYPE_IPV6) this.#readIpv6(bytes, end);
    if (this.transportAt >= 0) this.#readPorts(bytes);
    return this.ip;
  }

  source(bytes: Uint8Array): string {
    return this.#address(bytes, this.sourceAt);
  }

  destination(bytes: Uint8Array): string {
    return this.#address(bytes, this.destinationAt);
  }

  #address(bytes: Uint8Array, at: number): string {
    return this.ipv6 ? formatIpv6At(bytes, at) : formatIpv4At(bytes, at);
  }

  #readIpv4(bytes: Uint8Array, end: number): void {
    const { ipAt } = this;
    const headerBytes = ipv4HeaderBytes(bytes, ipAt, end);
    if (headerBytes === 0) return;
    this.ip = true;
    this.ipv6 = false;
    this.protocol = readUint8(bytes, ipAt + 9);
    this.sourceAt = ipAt + IPV4_SOURCE;
    this.destinationAt = ipAt + IPV4_DESTINATION;
    // Super-frames may have a total length of 0; what follows the datagram is padding of the link.
    const totalLength = readUint16(bytes, ipAt + 2);
    if (totalLength >= headerBytes) this.end = Math.min(end, ipAt + totalLength);
    if (ipv4FragmentOffset(bytes, ipAt) === 0) this.transportAt = ipAt + headerBytes;
  }

  #readIpv6(bytes: Uint8Array, end: number): void {
    const { ipAt } = this;
    if (!isIpv6Header(bytes, ipAt, end)) return;
    this.ip = true;
    this.ipv6 = true;
    this.sourceAt = ipAt + IPV6_SOURCE;
    this.destinationAt = ipAt + IPV6_DESTINATION;
    const payloadBytes = readUint16(bytes, ipAt + 4);
    if (payloadBytes > 0) this.end = Math.min(end, ipAt + IPV6_HEADER_BYTES + payloadBytes);
    this.protocol = readUint8(bytes, ipAt + 6);
    if (!walkIpv6(bytes, ipAt, this.end, walk)) return;
    this.protocol = walk.protocol;
    const isLaterFragment = walk.fragmentAt >= 0 && (readUint16(bytes, walk.fragmentAt + 2) & 0xfff8) !== 0;
    if (!isLaterFragment) this.transportAt = walk.transportAt;
  }

  #readPorts(bytes: Uint8Array): void {
    const { protocol, transportAt, end } = this;
    if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP && protocol !== PROTOCOL_SCTP) return;
    if (end - transportAt < 4) {
      this.transportAt = -1;
      return;
    }
    this.sourcePort = readUint16(bytes, transportAt);
    this.destinationPort = readUint16(bytes, transportAt + 2);
    if (protocol === PROTOCOL_TCP) {
      const headerBytes = tcpHeaderBytes(bytes, transportAt, end);
      if (headerBytes > 0) this.payloadAt = transportAt + headerBytes;
    } else if (protocol === PROTOCOL_UDP && end - transportAt >= UDP_HEADER_BYTES) {
      this.payloadAt = transportAt + UDP_HEADER_BYTES;
    }
  }
}

/** Do two addresses of one family say the same? */
export function sameAddress(
  one: Uint8Array,
  oneAt: number,
  other: Uint8Array,
  otherAt: number,
  ipv6: boolean,
): boolean {
  for (let i = 0; i < (ipv6 ? 16 : 4); i += 4) {
    if (readInt32(one, oneAt + i) !== readInt32(other, otherAt + i)) return false;
  }
  return true;
}
