/** The few frames that an examination sends. Addresses are text; both of a packet are of one family. */
import { type Address, parseAddress, parseMac } from '../../wire/address.ts';
import { ARP_BYTES, writeArpRequest } from '../../wire/arp.ts';
import { writeInt32, writeUint8, writeUint16 } from '../../wire/bytes.ts';
import { checksum, pseudoHeaderSum } from '../../wire/checksum.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  setEthernetAddresses,
  setEtherType,
} from '../../wire/ethernet.ts';
import { fillIcmpChecksum } from '../../wire/icmp.ts';
import { fillIcmpv6Checksum } from '../../wire/icmpv6.ts';
import {
  fillIpv4Checksum,
  IPV4_HEADER_BYTES_MIN,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  writeIpv4Header,
} from '../../wire/ipv4.ts';
import {
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_SOURCE,
  ipv6PseudoHeaderSum,
  PROTOCOL_ICMPV6,
  writeIpv6Address,
  writeIpv6Header,
} from '../../wire/ipv6.ts';
import { NEIGHBOR_FRAME_BYTES, writeNeighborSolicitation } from '../../wire/neighbor-discovery.ts';
import { TCP_HEADER_BYTES_MIN } from '../../wire/tcp.ts';

const TTL = 64;
const WINDOW = 1024;
const ETHERNET_BYTES_MIN = 60;
const DONT_FRAGMENT = 0x4000;
const IPV4_FRAGMENT_AT = 6;
const ICMP_ECHO = 8;
const ICMPV6_ECHO = 128;
export const ICMP_ECHO_REPLY = 0;
export const ICMPV6_ECHO_REPLY = 129;
const ECHO_BYTES = 8;

export interface Macs {
  readonly fromMac: string;
  readonly toMac: string;
}

export interface TcpFields extends Macs {
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly flags: number;
  readonly sequence: number;
}

/** "Who has `target`?" as a probe (RFC 5227): it names no sender, so that nobody learns anything from it. */
export function arpProbe(fromMac: string, target: string): Uint8Array {
  const frame = new Uint8Array(Math.max(ETHERNET_BYTES_MIN, ETHERNET_HEADER_BYTES + ARP_BYTES));
  writeArpRequest(frame, 0, mac(fromMac), 0, words(target)[3] as number);
  return frame;
}

/** The same for IPv6, which has to name a sender: an address of the link it is sent by. */
export function neighborQuestion(fromMac: string, sender: string, target: string): Uint8Array {
  const frame = new Uint8Array(NEIGHBOR_FRAME_BYTES);
  writeNeighborSolicitation(frame, 0, mac(fromMac), addressWords(sender), addressWords(target));
  return frame;
}

/** A segment without data and options. */
export function tcpSegment(fields: TcpFields): Uint8Array {
  const { source, destination, sourcePort, destinationPort, flags, sequence } = fields;
  const { frame, ipAt, at } = packet(fields, source, destination, PROTOCOL_TCP, TCP_HEADER_BYTES_MIN, true);
  writeUint16(frame, at, sourcePort);
  writeUint16(frame, at + 2, destinationPort);
  writeInt32(frame, at + 4, sequence | 0);
  writeUint8(frame, at + 12, (TCP_HEADER_BYTES_MIN / 4) << 4);
  writeUint8(frame, at + 13, flags);
  writeUint16(frame, at + 14, WINDOW);
  const sum = source.includes(':')
    ? ipv6PseudoHeaderSum(frame, ipAt, PROTOCOL_TCP, TCP_HEADER_BYTES_MIN)
    : pseudoHeaderSum(words(source)[3] as number, words(destination)[3] as number, PROTOCOL_TCP, TCP_HEADER_BYTES_MIN);
  writeUint16(frame, at + 16, checksum(frame, at, at + TCP_HEADER_BYTES_MIN, sum));
  return frame;
}

/** An echo request that nobody may cut; `packetBytes` is the length of the whole IP packet. */
export function wholeEcho(
  fields: Macs & { readonly source: string; readonly destination: string; readonly info: number },
  packetBytes: number,
): Uint8Array {
  const { source, destination, info } = fields;
  const six = source.includes(':');
  const bodyBytes = Math.max(ECHO_BYTES, packetBytes - (six ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES_MIN));
  const { frame, ipAt, at } = packet(
    fields,
    source,
    destination,
    six ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP,
    bodyBytes,
    true,
  );
  writeUint8(frame, at, six ? ICMPV6_ECHO : ICMP_ECHO);
  writeInt32(frame, at + 4, info | 0);
  if (six) fillIcmpv6Checksum(frame, ipAt, at, at + bodyBytes);
  else fillIcmpChecksum(frame, at, at + bodyBytes);
  return frame;
}

/** Ethernet and IP headers before `bodyBytes` zeros. */
function packet(
  { fromMac, toMac }: Macs,
  source: string,
  destination: string,
  protocol: number,
  bodyBytes: number,
  whole: boolean,
): { frame: Uint8Array; ipAt: number; at: number } {
  const six = source.includes(':');
  const ipAt = ETHERNET_HEADER_BYTES;
  const at = ipAt + (six ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES_MIN);
  const frame = new Uint8Array(Math.max(ETHERNET_BYTES_MIN, at + bodyBytes));
  setEthernetAddresses(frame, 0, mac(toMac), mac(fromMac));
  setEtherType(frame, 0, six ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
  const [from, to] = [words(source), words(destination)];
  if (six) {
    writeIpv6Header(frame, ipAt, 0, bodyBytes, protocol, TTL);
    for (const [field, { 0: w0, 1: w1, 2: w2, 3: w3 }] of [
      [IPV6_SOURCE, from],
      [IPV6_DESTINATION, to],
    ] as const) {
      writeIpv6Address(frame, ipAt + field, w0 as number, w1 as number, w2 as number, w3 as number);
    }
  } else {
    writeIpv4Header(frame, ipAt, {
      tos: 0,
      totalLength: IPV4_HEADER_BYTES_MIN + bodyBytes,
      id: 0,
      ttl: TTL,
      protocol,
      source: from[3] as number,
      destination: to[3] as number,
    });
    if (whole) writeUint16(frame, ipAt + IPV4_FRAGMENT_AT, DONT_FRAGMENT);
    fillIpv4Checksum(frame, ipAt, IPV4_HEADER_BYTES_MIN);
  }
  return { frame, ipAt, at };
}

function mac(text: string): Uint8Array {
  const bytes = parseMac(text);
  if (bytes === null) throw new TypeError(`${text} is no MAC`);
  return bytes;
}

function words(text: string): Int32Array {
  const address: Address | null = parseAddress(text);
  if (address === null) throw new TypeError(`${text} is no IP address`);
  return address.words;
}

function addressWords(text: string) {
  const [address0, address1, address2, address3] = words(text) as unknown as [number, number, number, number];
  return { address0, address1, address2, address3 };
}
