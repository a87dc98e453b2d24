/**
 * A packet in words, as tcpdump writes them: `tcp 10.0.0.5:40000 > 192.168.1.120:80 S`. The `>` may be left out or be
 * written `to`, since shells take it for a redirection. What is not said has a usual value; checksums are right.
 */
import { IpvsError } from '../model/errors.ts';
import { type Address, parseAddress } from '../wire/address.ts';
import { writeInt32, writeUint8, writeUint16 } from '../wire/bytes.ts';
import { addBytes, addInt32, checksum } from '../wire/checksum.ts';
import { fillIcmpChecksum, writeIcmpErrorHeader } from '../wire/icmp.ts';
import { fillIcmpv6Checksum } from '../wire/icmpv6.ts';
import { writeIpv4Header } from '../wire/ipv4.ts';
import { writeIpv6Address, writeIpv6Header } from '../wire/ipv6.ts';
import { fillSctpChecksum } from '../wire/sctp.ts';

export const TYPED_PACKET_SYNTAX = `tcp|udp|sctp CLIENT:PORT > ADDRESS:PORT [FLAGS] [len=BYTES] [ttl=HOPS]
icmp FROM > TO echo | unreachable-port | unreachable-host | time-exceeded | too-big=MTU [about PACKET]
The ">" may be left out or written "to"; PACKET is such a packet again. FLAGS of TCP are letters as in tcpdump:
S(yn) F(in) R(st) P(ush) . or A(ck), or "none"; absent: S. IPv6 addresses with ports stand in brackets.`;

interface End {
  readonly address: Address;
  /** `null`: not said. */
  readonly port: number | null;
}

interface Transport {
  readonly protocol: number;
  readonly bytes: Uint8Array;
  /** Offset of the checksum that covers the addresses, too; `null`: none does. */
  readonly checksumAt: number | null;
}

interface Options {
  ttl: number;
  payloadBytes: number;
  words: string[];
}

const CLIENT_PORT = 40_000;
const TTL = 64;
const PAYLOAD_BYTES_MAX = 9_000;
const DEPTH_MAX = 2;
const FLAG_BITS: Readonly<Record<string, number>> = {
  F: 0x01,
  S: 0x02,
  R: 0x04,
  P: 0x08,
  '.': 0x10,
  A: 0x10,
  U: 0x20,
  E: 0x40,
  W: 0x80,
};

/** The bytes from the IP header on. Throws EINVAL with a sentence. */
export function buildTypedPacket(words: readonly string[], depth = 0): Uint8Array {
  const given = words
    .flatMap((word) => word.split(/\s+/))
    .filter((word) => word !== '' && word !== '>' && word !== 'to');
  const [protocol, from, to, ...rest] = given;
  if (protocol === undefined || from === undefined || to === undefined)
    throw refuse('a packet has a protocol, a source and a destination');
  const source = parseEnd(from);
  const destination = parseEnd(to);
  if (source.address.family !== destination.address.family) throw refuse(`${from} and ${to} are of different families`);
  const about = rest.indexOf('about');
  const quoted = about < 0 ? null : rest.slice(about + 1);
  const options = readOptions(about < 0 ? rest : rest.slice(0, about));
  const transport = transportOf(protocol.toLowerCase(), source, destination, options, quoted, depth);
  if (options.words.length > 0) throw refuse(`"${options.words[0]}" is not understood`);
  return wrap(source.address, destination.address, transport, options.ttl);
}

function transportOf(
  protocol: string,
  source: End,
  destination: End,
  options: Options,
  quoted: readonly string[] | null,
  depth: number,
): Transport {
  if (quoted !== null && protocol !== 'icmp') throw refuse('only an ICMP error is about another packet');
  switch (protocol) {
    case 'tcp':
      return tcp(source, destination, options);
    case 'udp':
      return udp(source, destination, options);
    case 'sctp':
      return sctp(source, destination, options);
    case 'icmp':
      return icmp(source, destination, options, quoted, depth);
    default:
      throw refuse(`"${protocol}" is no protocol that can be typed; there are tcp, udp, sctp and icmp`);
  }
}

function tcp(source: End, destination: End, options: Options): Transport {
  const flags = flagsOf(options);
  const bytes = new Uint8Array(20 + options.payloadBytes);
  writePorts(bytes, source, destination, 'tcp');
  writeInt32(bytes, 4, 1_000);
  writeInt32(bytes, 8, (flags & 0x10) === 0 ? 0 : 5_000);
  writeUint8(bytes, 12, 5 << 4);
  writeUint8(bytes, 13, flags);
  writeUint16(bytes, 14, 64_240);
  return { protocol: 6, bytes, checksumAt: 16 };
}

function flagsOf(options: Options): number {
  const at = options.words.findIndex((word) => word === 'none' || /^[FSRP.AUEW]+$/i.test(word));
  if (at < 0) return FLAG_BITS['S'] as number;
  const [letters] = options.words.splice(at, 1) as [string];
  if (letters === 'none') return 0;
  return [...letters.toUpperCase()].reduce((flags, letter) => flags | (FLAG_BITS[letter] as number), 0);
}

function udp(source: End, destination: End, options: Options): Transport {
  const bytes = new Uint8Array(8 + options.payloadBytes);
  writePorts(bytes, source, destination, 'udp');
  writeUint16(bytes, 4, bytes.length);
  return { protocol: 17, bytes, checksumAt: 6 };
}

/** An INIT chunk (RFC 9260, 3.3.2), which opens an association. */
function sctp(source: End, destination: End, { words }: Options): Transport {
  const at = words.findIndex((word) => word.toLowerCase() === 'init');
  if (at >= 0) words.splice(at, 1);
  const bytes = new Uint8Array(32);
  writePorts(bytes, source, destination, 'sctp');
  writeUint8(bytes, 12, 1);
  writeUint16(bytes, 14, 20);
  writeInt32(bytes, 16, 0x1234_5678);
  writeInt32(bytes, 20, 0xffff);
  writeUint16(bytes, 24, 1);
  writeUint16(bytes, 26, 1);
  writeInt32(bytes, 28, 1);
  fillSctpChecksum(bytes, 0, bytes.length);
  return { protocol: 132, bytes, checksumAt: null };
}

/** Type and code by word, for IPv4 and IPv6. */
const ICMP_ERRORS: Readonly<Record<string, readonly [type: number, code: number, type6: number, code6: number]>> = {
  'unreachable-port': [3, 3, 1, 4],
  'unreachable-host': [3, 1, 1, 3],
  'time-exceeded': [11, 0, 3, 0],
  'too-big': [3, 4, 2, 0],
};

function icmp(
  source: End,
  destination: End,
  options: Options,
  quoted: readonly string[] | null,
  depth: number,
): Transport {
  if (source.port !== null || destination.port !== null) throw refuse('ICMP has no ports');
  const ipv6 = source.address.family === 'ipv6';
  const protocol = ipv6 ? 58 : 1;
  const kind = options.words.shift() ?? 'echo';
  if (kind === 'echo') {
    const bytes = new Uint8Array(8 + options.payloadBytes);
    writeUint8(bytes, 0, ipv6 ? 128 : 8);
    writeInt32(bytes, 4, 1);
    return { protocol, bytes, checksumAt: 2 };
  }
  const [name = '', mtu] = kind.split('=');
  const numbers = Object.hasOwn(ICMP_ERRORS, name) ? ICMP_ERRORS[name] : undefined;
  if (numbers === undefined) throw refuse(`"${kind}" is no ICMP message that can be typed`);
  if (quoted === null || quoted.length === 0)
    throw refuse('an ICMP error is about a packet: say which, behind "about"');
  if (depth >= DEPTH_MAX) throw refuse('there are too many packets inside packets');
  const inside = buildTypedPacket(quoted, depth + 1);
  const isIpv6Inside = (inside[0] as number) >>> 4 === 6;
  if (isIpv6Inside !== ipv6) throw refuse('an ICMP error is about a packet of its own family');
  const bytes = new Uint8Array(8 + inside.length);
  const info = name === 'too-big' ? numberOf(mtu ?? '1400', 68, 65_535, 'the MTU behind "too-big="') : 0;
  writeIcmpErrorHeader(bytes, 0, ipv6 ? numbers[2] : numbers[0], ipv6 ? numbers[3] : numbers[1], info);
  bytes.set(inside, 8);
  return { protocol, bytes, checksumAt: 2 };
}

function wrap({ family, words: from }: Address, { words: to }: Address, transport: Transport, ttl: number): Uint8Array {
  const { protocol, bytes: inside, checksumAt } = transport;
  const isIpv6 = family === 'ipv6';
  const at = isIpv6 ? 40 : 20;
  const bytes = new Uint8Array(at + inside.length);
  bytes.set(inside, at);
  const word = (words: Int32Array, index: number): number => words[index] as number;
  if (isIpv6) {
    writeIpv6Header(bytes, 0, 0, inside.length, protocol, ttl);
    writeIpv6Address(bytes, 8, word(from, 0), word(from, 1), word(from, 2), word(from, 3));
    writeIpv6Address(bytes, 24, word(to, 0), word(to, 1), word(to, 2), word(to, 3));
  } else {
    const fields = {
      tos: 0,
      totalLength: bytes.length,
      id: 1,
      ttl,
      protocol,
      source: word(from, 3),
      destination: word(to, 3),
    };
    writeIpv4Header(bytes, 0, fields);
  }
  if (protocol === 1) fillIcmpChecksum(bytes, at, bytes.length);
  else if (protocol === 58) fillIcmpv6Checksum(bytes, 0, at, bytes.length);
  else if (checksumAt !== null) {
    let sum = protocol + inside.length;
    for (const words of [from, to]) for (const each of isIpv6 ? words : [word(words, 3)]) sum = addInt32(sum, each);
    const check = checksum(bytes, at, bytes.length, addBytes(sum, bytes, at, at));
    writeUint16(bytes, at + checksumAt, check === 0 && protocol === 17 ? 0xffff : check);
  }
  return bytes;
}

function writePorts(bytes: Uint8Array, source: End, destination: End, protocol: string): void {
  if (destination.port === null) throw refuse(`a packet of ${protocol} has a destination port: ADDRESS:PORT`);
  writeUint16(bytes, 0, source.port ?? CLIENT_PORT);
  writeUint16(bytes, 2, destination.port);
}

function readOptions(words: readonly string[]): Options {
  const options: Options = { ttl: TTL, payloadBytes: 0, words: [] };
  for (const word of words) {
    const [name, value] = word.split('=') as [string, string?];
    if (name === 'ttl' && value !== undefined) options.ttl = numberOf(value, 0, 255, '"ttl"');
    else if (name === 'len' && value !== undefined)
      options.payloadBytes = numberOf(value, 0, PAYLOAD_BYTES_MAX, '"len"');
    else options.words.push(word.replace(/,$/, ''));
  }
  return options;
}

function parseEnd(text: string): End {
  const whole = parseAddress(text);
  if (whole !== null) return { address: whole, port: null };
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const address = match === null ? null : parseAddress((match[1] ?? match[2]) as string);
  if (match === null || address === null) {
    throw refuse(`"${text}" is no address with a port, such as 10.0.0.5:40000 or [2001:db8::5]:40000`);
  }
  return { address, port: numberOf(match[3] as string, 0, 65_535, 'a port') };
}

function numberOf(text: string, min: number, max: number, what: string): number {
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < min || value > max)
    throw refuse(`${what} must be a whole number from ${min} to ${max}, not "${text}"`);
  return value;
}

function refuse(problem: string): IpvsError {
  return new IpvsError(
    'EINVAL',
    `the packet is not understood: ${problem}. Packets look like this:\n${TYPED_PACKET_SYNTAX}`,
  );
}
