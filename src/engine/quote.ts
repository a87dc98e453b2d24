/** The datagram quoted in an ICMP error: whose it is, and where its parts lie. */
import { readUint16 } from '../wire/bytes.ts';
import type { Endpoints } from '../wire/endpoints.ts';
import { ICMP_HEADER_BYTES } from '../wire/icmp.ts';
import {
  ipv4Destination,
  ipv4FragmentOffset,
  ipv4HeaderBytes,
  ipv4Protocol,
  ipv4Source,
  PROTOCOL_AH,
  PROTOCOL_ESP,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import { Ipv6Walk, ipv6DestinationWord, ipv6SourceWord, isIpv6Header, walkIpv6 } from '../wire/ipv6.ts';
import type { Packet } from './packet.ts';

const ISAKMP_PORT = 500;

/** With its ends exchanged: the direction an answer to it would have. */
export class Quote implements Endpoints {
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
  ipAt = 0;
  transportAt = 0;
  /** Of IPsec: looked up as UDP port 500, without ports of its own. */
  ipsec = false;
}

const walk = new Ipv6Walk();

/** Reads the quote of the error in hand. False: it is cut short, a later fragment, or of no balanced protocol. */
export function readQuote(packet: Packet, quote: Quote): boolean {
  const at = packet.transportAt + ICMP_HEADER_BYTES;
  return packet.ipv6 ? readIpv6Quote(packet, at, quote) : readIpv4Quote(packet, at, quote);
}

/** The same for an IPv4 packet that begins at `at`. */
export function readIpv4Quote(packet: Packet, at: number, quote: Quote): boolean {
  const { bytes, end } = packet;
  const headerBytes = ipv4HeaderBytes(bytes, at, end);
  if (headerBytes === 0 || ipv4FragmentOffset(bytes, at) !== 0) return false;
  quote.ipv6 = false;
  quote.ipAt = at;
  quote.transportAt = at + headerBytes;
  quote.protocol = ipv4Protocol(bytes, at);
  quote.source0 = quote.source1 = quote.source2 = 0;
  quote.destination0 = quote.destination1 = quote.destination2 = 0;
  quote.source3 = ipv4Destination(bytes, at);
  quote.destination3 = ipv4Source(bytes, at);
  return readPorts(packet, quote);
}

function readIpv6Quote(packet: Packet, at: number, quote: Quote): boolean {
  const { bytes, end } = packet;
  if (!isIpv6Header(bytes, at, end) || !walkIpv6(bytes, at, end, walk)) return false;
  if (walk.fragmentAt >= 0 && (readUint16(bytes, walk.fragmentAt + 2) & 0xfff8) !== 0) return false;
  quote.ipv6 = true;
  quote.ipAt = at;
  quote.transportAt = walk.transportAt;
  quote.protocol = walk.protocol;
  quote.source0 = ipv6DestinationWord(bytes, at, 0);
  quote.source1 = ipv6DestinationWord(bytes, at, 1);
  quote.source2 = ipv6DestinationWord(bytes, at, 2);
  quote.source3 = ipv6DestinationWord(bytes, at, 3);
  quote.destination0 = ipv6SourceWord(bytes, at, 0);
  quote.destination1 = ipv6SourceWord(bytes, at, 1);
  quote.destination2 = ipv6SourceWord(bytes, at, 2);
  quote.destination3 = ipv6SourceWord(bytes, at, 3);
  return readPorts(packet, quote);
}

function readPorts({ bytes, end }: Packet, quote: Quote): boolean {
  const { protocol, transportAt } = quote;
  quote.ipsec = protocol === PROTOCOL_AH || protocol === PROTOCOL_ESP;
  if (quote.ipsec) {
    quote.protocol = PROTOCOL_UDP;
    quote.sourcePort = ISAKMP_PORT;
    quote.destinationPort = ISAKMP_PORT;
    return true;
  }
  if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP && protocol !== PROTOCOL_SCTP) return false;
  if (end - transportAt < 4) return false;
  quote.sourcePort = readUint16(bytes, transportAt + 2);
  quote.destinationPort = readUint16(bytes, transportAt);
  return true;
}
