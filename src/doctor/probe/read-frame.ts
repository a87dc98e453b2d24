/** What a frame says, as far as an examination asks: ARP, neighbour advertisements, TCP and ICMP; of others who to whom. */
import { formatIpv4, formatIpv6, formatMac } from '../../wire/address.ts';
import { arpOperation, arpSenderAddress, arpTargetAddress, copyArpSenderMac, isArp } from '../../wire/arp.ts';
import { readInt32, readUint8, readUint16 } from '../../wire/bytes.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  etherType,
} from '../../wire/ethernet.ts';
import { ICMPV6_NEIGHBOR_ADVERTISEMENT, icmpv6Type } from '../../wire/icmpv6.ts';
import {
  ipv4Destination,
  ipv4FragmentOffset,
  ipv4HeaderBytes,
  ipv4Protocol,
  ipv4Source,
  ipv4TotalLength,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
} from '../../wire/ipv4.ts';
import {
  IPV6_HEADER_BYTES,
  Ipv6Walk,
  ipv6DestinationWord,
  ipv6PayloadLength,
  ipv6SourceWord,
  isIpv6Header,
  PROTOCOL_ICMPV6,
  walkIpv6,
} from '../../wire/ipv6.ts';
import { copyNeighborMac, isNeighborMessage, neighborTargetWord } from '../../wire/neighbor-discovery.ts';
import { tcpFlags, tcpHeaderBytes } from '../../wire/tcp.ts';

/** `fromMac` and `toMac`: the frame's own. */
interface Framed {
  readonly fromMac: string;
  readonly toMac: string;
}

export interface ArpFrame extends Framed {
  readonly kind: 'arp';
  readonly reply: boolean;
  /** "I am `sender`, at `senderMac`"; 0.0.0.0 in a probe. */
  readonly sender: string;
  readonly senderMac: string;
  readonly target: string;
}

/** A neighbour advertisement: the same for IPv6. */
export interface NeighborFrame extends Framed {
  readonly kind: 'neighbor';
  readonly target: string;
  readonly targetMac: string;
}

export interface TcpFrame extends Framed {
  readonly kind: 'tcp';
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  /** Bits of wire/tcp.ts. */
  readonly flags: number;
  readonly sequence: number;
  readonly payloadBytes: number;
  /** Announced in a SYN; `null`: none. */
  readonly maximumSegment: number | null;
  /** Of the IP packet. */
  readonly packetBytes: number;
}

export interface IcmpFrame extends Framed {
  readonly kind: 'icmp';
  readonly source: string;
  readonly destination: string;
  readonly type: number;
  readonly code: number;
  /** The second word: identifier and number of an echo, next hop's MTU of "too big". */
  readonly info: number;
  /** Destination of the packet that an error quotes, and the second word of what was inside; or `null`. */
  readonly quoted: { readonly destination: string; readonly info: number } | null;
}

/** Another protocol over IP. */
export interface OtherFrame extends Framed {
  readonly kind: 'other';
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
}

export type ReadFrame = ArpFrame | NeighborFrame | TcpFrame | IcmpFrame | OtherFrame;

const IPV6_ECHO_OFFSET = 4;
const TCP_SEQUENCE = 4;
const TCP_OPTIONS = 20;
const OPTION_END = 0;
const OPTION_NOTHING = 1;
const OPTION_MAXIMUM_SEGMENT = 2;

const mac = new Uint8Array(6);
const walk = new Ipv6Walk();

/** `null`: something else, or damaged. */
export function readFrame(bytes: Uint8Array, start: number, end: number): ReadFrame | null {
  if (end - start < ETHERNET_HEADER_BYTES) return null;
  const at = start + ETHERNET_HEADER_BYTES;
  const framed = { fromMac: formatMac(bytes, start + 6), toMac: formatMac(bytes, start) };
  switch (etherType(bytes, start)) {
    case ETHERTYPE_ARP:
      return readArp(bytes, at, end, framed);
    case ETHERTYPE_IPV4:
      return readIpv4(bytes, at, end, framed);
    case ETHERTYPE_IPV6:
      return readIpv6(bytes, at, end, framed);
    default:
      return null;
  }
}

function readArp(bytes: Uint8Array, at: number, end: number, framed: Framed): ArpFrame | null {
  if (!isArp(bytes, at, end)) return null;
  copyArpSenderMac(bytes, at, mac);
  return {
    ...framed,
    kind: 'arp',
    reply: arpOperation(bytes, at) === 2,
    sender: formatIpv4(arpSenderAddress(bytes, at)),
    senderMac: formatMac(mac, 0),
    target: formatIpv4(arpTargetAddress(bytes, at)),
  };
}

function readIpv4(bytes: Uint8Array, at: number, end: number, framed: Framed): ReadFrame | null {
  const headerBytes = ipv4HeaderBytes(bytes, at, end);
  if (headerBytes === 0 || ipv4FragmentOffset(bytes, at) !== 0) return null;
  const packetBytes = ipv4TotalLength(bytes, at);
  // A super-frame's length may not fit its field; then the frame's own end holds.
  const packetEnd = packetBytes >= headerBytes && at + packetBytes <= end ? at + packetBytes : end;
  const addresses = {
    source: formatIpv4(ipv4Source(bytes, at)),
    destination: formatIpv4(ipv4Destination(bytes, at)),
  };
  const transportAt = at + headerBytes;
  const protocol = ipv4Protocol(bytes, at);
  switch (protocol) {
    case PROTOCOL_TCP:
      return readTcp(bytes, at, transportAt, packetEnd, { ...framed, ...addresses });
    case PROTOCOL_ICMP:
      return readIcmp(bytes, transportAt, packetEnd, { ...framed, ...addresses });
    default:
      return { ...framed, ...addresses, kind: 'other', protocol };
  }
}

function readIpv6(bytes: Uint8Array, at: number, end: number, framed: Framed): ReadFrame | null {
  if (!isIpv6Header(bytes, at, end) || !walkIpv6(bytes, at, end, walk)) return null;
  const { protocol, transportAt } = walk;
  const packetEnd = Math.min(end, at + IPV6_HEADER_BYTES + ipv6PayloadLength(bytes, at));
  const word = (read: typeof ipv6SourceWord, index: number) => read(bytes, at, index);
  const text = (read: typeof ipv6SourceWord) => formatIpv6(word(read, 0), word(read, 1), word(read, 2), word(read, 3));
  const addresses = { source: text(ipv6SourceWord), destination: text(ipv6DestinationWord) };
  if (protocol === PROTOCOL_TCP) return readTcp(bytes, at, transportAt, packetEnd, { ...framed, ...addresses });
  if (protocol !== PROTOCOL_ICMPV6) return { ...framed, ...addresses, kind: 'other', protocol };
  if (packetEnd - transportAt < 8) return null;
  if (icmpv6Type(bytes, transportAt) !== ICMPV6_NEIGHBOR_ADVERTISEMENT) {
    return readIcmp(bytes, transportAt, packetEnd, { ...framed, ...addresses });
  }
  if (!isNeighborMessage(bytes, at, transportAt, packetEnd)) return null;
  const target = (index: number) => neighborTargetWord(bytes, transportAt, index);
  const told = copyNeighborMac(bytes, transportAt, packetEnd, mac);
  return {
    ...framed,
    kind: 'neighbor',
    target: formatIpv6(target(0), target(1), target(2), target(3)),
    targetMac: told ? formatMac(mac, 0) : framed.fromMac,
  };
}

type Between = Framed & { readonly source: string; readonly destination: string };

function readTcp(bytes: Uint8Array, ipAt: number, at: number, end: number, between: Between): TcpFrame | null {
  const headerBytes = tcpHeaderBytes(bytes, at, end);
  if (headerBytes === 0) return null;
  return {
    ...between,
    kind: 'tcp',
    sourcePort: readUint16(bytes, at),
    destinationPort: readUint16(bytes, at + 2),
    flags: tcpFlags(bytes, at),
    sequence: readInt32(bytes, at + TCP_SEQUENCE) >>> 0,
    payloadBytes: end - at - headerBytes,
    maximumSegment: maximumSegment(bytes, at, headerBytes),
    packetBytes: end - ipAt,
  };
}

function maximumSegment(bytes: Uint8Array, at: number, headerBytes: number): number | null {
  let option = at + TCP_OPTIONS;
  while (option + 1 < at + headerBytes) {
    const kind = readUint8(bytes, option);
    if (kind === OPTION_END) return null;
    if (kind === OPTION_NOTHING) {
      option++;
      continue;
    }
    const length = readUint8(bytes, option + 1);
    if (length < 2 || option + length > at + headerBytes) return null;
    if (kind === OPTION_MAXIMUM_SEGMENT && length === 4) return readUint16(bytes, option + 2);
    option += length;
  }
  return null;
}

function readIcmp(bytes: Uint8Array, at: number, end: number, between: Between): IcmpFrame | null {
  if (end - at < 8) return null;
  return {
    ...between,
    kind: 'icmp',
    type: readUint8(bytes, at),
    code: readUint8(bytes, at + 1),
    info: readInt32(bytes, at + IPV6_ECHO_OFFSET) >>> 0,
    quoted: readQuoted(bytes, at + 8, end),
  };
}

function readQuoted(bytes: Uint8Array, at: number, end: number): IcmpFrame['quoted'] {
  const headerBytes = ipv4HeaderBytes(bytes, at, end);
  if (headerBytes > 0 && end - at >= headerBytes + 8) {
    const info = readInt32(bytes, at + headerBytes + 4) >>> 0;
    return { destination: formatIpv4(ipv4Destination(bytes, at)), info };
  }
  if (!isIpv6Header(bytes, at, end) || end - at < IPV6_HEADER_BYTES + 8) return null;
  const word = (index: number) => ipv6DestinationWord(bytes, at, index);
  const info = readInt32(bytes, at + IPV6_HEADER_BYTES + 4) >>> 0;
  return { destination: formatIpv6(word(0), word(1), word(2), word(3)), info };
}
