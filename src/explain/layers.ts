/**
 * A frame taken apart for reading: layer by layer, field by field, each with its place. Short or damaged headers end
 * the list early, and what is left is payload. Sources: RFC 791, 8200, 9293, 768, 792, 4443, 826, 2784, 9260.
 */
import { formatIpv4, formatMac, formatWords } from '../wire/address.ts';
import { readInt32, readUint8, readUint16 } from '../wire/bytes.ts';
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from '../wire/ethernet.ts';
import { readIpv4Header } from './ip-header.ts';

export interface Field {
  readonly name: string;
  /** Offset in the frame, and length. */
  readonly at: number;
  readonly bytes: number;
  readonly text: string;
}

export type LayerKind =
  | 'ethernet'
  | 'arp'
  | 'ipv4'
  | 'ipv6'
  | 'extension'
  | 'tcp'
  | 'udp'
  | 'sctp'
  | 'icmp'
  | 'icmpv6'
  | 'gre'
  | 'gue'
  | 'payload';

export interface Layer {
  readonly kind: LayerKind;
  readonly title: string;
  /** First byte of the layer, one past its last header byte, and one past all that belongs to it. */
  readonly at: number;
  readonly headerEnd: number;
  readonly end: number;
  /** It stands in the quote of an ICMP error. */
  readonly quoted: boolean;
  readonly fields: readonly Field[];
}

export interface LayerOptions {
  /** UDP port behind which GUE is read, `null`: none. */
  readonly guePort: number | null;
}

const NAMES: Readonly<Record<LayerKind, string>> = {
  ethernet: 'Ethernet',
  arp: 'ARP',
  ipv4: 'IPv4',
  ipv6: 'IPv6',
  extension: 'IPv6 extension',
  tcp: 'TCP',
  udp: 'UDP',
  sctp: 'SCTP',
  icmp: 'ICMP',
  icmpv6: 'ICMPv6',
  gre: 'GRE',
  gue: 'GUE',
  payload: 'payload',
};

/** Packets inside packets that are taken apart. */
const DEPTH_MAX = 6;

interface Place {
  readonly bytes: Uint8Array;
  readonly end: number;
  readonly quoted: boolean;
  readonly depth: number;
  readonly options: LayerOptions;
}

/** The Ethernet frame `bytes`. */
export function layersOf(bytes: Uint8Array, options: LayerOptions = { guePort: null }): Layer[] {
  const place: Place = { bytes, end: bytes.length, quoted: false, depth: 0, options };
  if (bytes.length < 14) return payload(place, 0);
  const type = readUint16(bytes, 12);
  const ethernet = layer(place, 'ethernet', 0, 14, [
    ['destination MAC', 6, formatMac(bytes, 0)],
    ['source MAC', 6, formatMac(bytes, 6)],
    ['type', 2, hex(type, 4)],
  ]);
  if (type === ETHERTYPE_IPV4) return [ethernet, ...ipv4(place, 14)];
  if (type === ETHERTYPE_IPV6) return [ethernet, ...ipv6(place, 14)];
  if (type === ETHERTYPE_ARP) return [ethernet, ...arp(place, 14)];
  return [ethernet, ...payload(place, 14)];
}

type FieldRow = readonly [name: string, bytes: number, text: string | number];

function layer(place: Place, kind: LayerKind, at: number, headerBytes: number, rows: readonly FieldRow[]): Layer {
  let fieldAt = at;
  const fields = rows.map(([name, bytes, text]) => {
    const field = { name, at: fieldAt, bytes, text: String(text) };
    fieldAt += bytes;
    return field;
  });
  const title = place.quoted ? `${NAMES[kind]}, quoted` : NAMES[kind];
  return { kind, title, at, headerEnd: at + headerBytes, end: place.end, quoted: place.quoted, fields };
}

function payload(place: Place, at: number): Layer[] {
  const bytes = place.end - at;
  if (bytes <= 0) return [];
  return [layer(place, 'payload', at, bytes, [['data', bytes, describeData(place.bytes, at, place.end)]])];
}

function ipv4(place: Place, at: number): Layer[] {
  const { bytes } = place;
  const header = readIpv4Header(bytes, at);
  const headerBytes = (header?.ihl ?? 0) * 4;
  if (header === null || headerBytes < 20 || at + headerBytes > place.end) return payload(place, at);
  const end = Math.max(at + headerBytes, Math.min(place.end, header.length === 0 ? place.end : at + header.length));
  const inside = { ...place, end };
  const rows: FieldRow[] = [
    ['version and header length', 1, `4, ${headerBytes} bytes`],
    ['type of service', 1, hex(readUint8(bytes, at + 1), 2)],
    ['total length', 2, header.length],
    ['identification', 2, header.identification],
    ['flags and offset', 2, describeFragment(header.flags, header.fragmentOffset * 8)],
    ['time to live', 1, header.ttl],
    ['protocol', 1, describeProtocol(header.protocol)],
    ['header checksum', 2, hex(header.checksum, 4)],
    ['source address', 4, header.sourceIp],
    ['destination address', 4, header.destinationIp],
  ];
  if (headerBytes > 20) rows.push(['options', headerBytes - 20, describeHex(bytes, at + 20, at + headerBytes)]);
  const self = layer(inside, 'ipv4', at, headerBytes, rows);
  if (header.fragmentOffset > 0) return [self, ...payload(inside, at + headerBytes)];
  return [self, ...inner(inside, at + headerBytes, header.protocol)];
}

function ipv6(place: Place, at: number): Layer[] {
  const { bytes } = place;
  if (place.end - at < 40 || readUint8(bytes, at) >>> 4 !== 6) return payload(place, at);
  const length = readUint16(bytes, at + 4);
  const inside = { ...place, end: Math.min(place.end, length === 0 ? place.end : at + 40 + length) };
  const address = (from: number): string =>
    formatWords(
      true,
      readInt32(bytes, from),
      readInt32(bytes, from + 4),
      readInt32(bytes, from + 8),
      readInt32(bytes, from + 12),
    );
  const next = readUint8(bytes, at + 6);
  const self = layer(inside, 'ipv6', at, 40, [
    ['version, class, flow label', 4, hex(readInt32(bytes, at) >>> 0, 8)],
    ['payload length', 2, length],
    ['next header', 1, describeProtocol(next)],
    ['hop limit', 1, readUint8(bytes, at + 7)],
    ['source address', 16, address(at + 8)],
    ['destination address', 16, address(at + 24)],
  ]);
  return [self, ...behindIpv6(inside, at + 40, next)];
}

function behindIpv6(place: Place, from: number, first: number): Layer[] {
  const layers: Layer[] = [];
  let at = from;
  let next = first;
  while ((next === 0 || next === 43 || next === 44 || next === 60) && place.end - at >= 8 && layers.length < 8) {
    const headerBytes = next === 44 ? 8 : (readUint8(place.bytes, at + 1) + 1) * 8;
    if (at + headerBytes > place.end) break;
    layers.push(
      layer(place, 'extension', at, headerBytes, [
        ['next header', 1, describeProtocol(readUint8(place.bytes, at))],
        ['rest', headerBytes - 1, describeHex(place.bytes, at + 1, at + headerBytes)],
      ]),
    );
    const isLaterFragment = next === 44 && (readUint16(place.bytes, at + 2) & 0xfff8) !== 0;
    next = readUint8(place.bytes, at);
    at += headerBytes;
    if (isLaterFragment) return [...layers, ...payload(place, at)];
  }
  return [...layers, ...inner(place, at, next)];
}

function inner(place: Place, at: number, protocol: number): Layer[] {
  const deeper = { ...place, depth: place.depth + 1 };
  if (deeper.depth > DEPTH_MAX) return payload(place, at);
  switch (protocol) {
    case 6:
      return tcp(place, at);
    case 17:
      return udp(deeper, at);
    case 132:
      return sctp(place, at);
    case 1:
      return icmp(deeper, at, 'icmp');
    case 58:
      return icmp(deeper, at, 'icmpv6');
    case 4:
      return ipv4(deeper, at);
    case 41:
      return ipv6(deeper, at);
    case 47:
      return gre(deeper, at);
    default:
      return payload(place, at);
  }
}

function tcp(place: Place, at: number): Layer[] {
  const { bytes, end } = place;
  if (end - at < 20) return place.quoted ? cutShort(place, 'tcp', at) : payload(place, at);
  const headerBytes = (readUint8(bytes, at + 12) >>> 4) * 4;
  const here = Math.min(headerBytes, end - at);
  if (headerBytes < 20) return payload(place, at);
  const rows: FieldRow[] = [
    ['source port', 2, readUint16(bytes, at)],
    ['destination port', 2, readUint16(bytes, at + 2)],
    ['sequence number', 4, readInt32(bytes, at + 4) >>> 0],
    ['acknowledgement', 4, readInt32(bytes, at + 8) >>> 0],
    ['header length and flags', 2, `${headerBytes} bytes, ${describeFlags(readUint8(bytes, at + 13))}`],
    ['window', 2, readUint16(bytes, at + 14)],
    ['checksum', 2, hex(readUint16(bytes, at + 16), 4)],
    ['urgent pointer', 2, readUint16(bytes, at + 18)],
  ];
  if (here > 20) rows.push(['options', here - 20, describeHex(bytes, at + 20, at + here)]);
  return [layer(place, 'tcp', at, here, rows), ...payload(place, at + here)];
}

/** Of a quote: the ports at least. */
function cutShort(place: Place, kind: 'tcp' | 'udp', at: number): Layer[] {
  const { bytes, end } = place;
  if (end - at < 4) return payload(place, at);
  const rows: FieldRow[] = [
    ['source port', 2, readUint16(bytes, at)],
    ['destination port', 2, readUint16(bytes, at + 2)],
  ];
  if (end - at >= 8) rows.push(['sequence number', 4, readInt32(bytes, at + 4) >>> 0]);
  const headerBytes = end - at >= 8 ? 8 : 4;
  return [layer(place, kind, at, headerBytes, rows), ...payload(place, at + headerBytes)];
}

function udp(place: Place, at: number): Layer[] {
  const { bytes, end, options } = place;
  if (end - at < 8) return payload(place, at);
  const check = readUint16(bytes, at + 6);
  const self = layer(place, 'udp', at, 8, [
    ['source port', 2, readUint16(bytes, at)],
    ['destination port', 2, readUint16(bytes, at + 2)],
    ['length', 2, readUint16(bytes, at + 4)],
    ['checksum', 2, check === 0 ? 'none' : hex(check, 4)],
  ]);
  if (options.guePort !== null && readUint16(bytes, at + 2) === options.guePort) return [self, ...gue(place, at + 8)];
  return [self, ...payload(place, at + 8)];
}

/** draft-ietf-intarea-gue: version 0, header length in words, protocol, flags. */
function gue(place: Place, at: number): Layer[] {
  const { bytes, end } = place;
  const headerBytes = end - at < 4 ? 0 : 4 + (readUint8(bytes, at) & 0x1f) * 4;
  if (headerBytes === 0 || at + headerBytes > end) return payload(place, at);
  const rows: FieldRow[] = [
    ['version and length', 1, `${headerBytes} bytes`],
    ['protocol', 1, describeProtocol(readUint8(bytes, at + 1))],
    ['flags', 2, hex(readUint16(bytes, at + 2), 4)],
  ];
  if (headerBytes > 4) rows.push(['options', headerBytes - 4, describeHex(bytes, at + 4, at + headerBytes)]);
  return [layer(place, 'gue', at, headerBytes, rows), ...inner(place, at + headerBytes, readUint8(bytes, at + 1))];
}

function gre(place: Place, at: number): Layer[] {
  const { bytes, end } = place;
  if (end - at < 4) return payload(place, at);
  const hasChecksum = (readUint8(bytes, at) & 0x80) !== 0;
  const headerBytes = hasChecksum ? 8 : 4;
  if (at + headerBytes > end) return payload(place, at);
  const type = readUint16(bytes, at + 2);
  const rows: FieldRow[] = [
    ['flags and version', 2, hex(readUint16(bytes, at), 4)],
    ['protocol type', 2, hex(type, 4)],
  ];
  if (hasChecksum) rows.push(['checksum', 2, hex(readUint16(bytes, at + 4), 4)], ['reserved', 2, 0]);
  const self = layer(place, 'gre', at, headerBytes, rows);
  return [self, ...(type === ETHERTYPE_IPV6 ? ipv6(place, at + headerBytes) : ipv4(place, at + headerBytes))];
}

function sctp(place: Place, at: number): Layer[] {
  const { bytes, end } = place;
  if (end - at < 12) return payload(place, at);
  const self = layer(place, 'sctp', at, 12, [
    ['source port', 2, readUint16(bytes, at)],
    ['destination port', 2, readUint16(bytes, at + 2)],
    ['verification tag', 4, hex(readInt32(bytes, at + 4) >>> 0, 8)],
    ['checksum (CRC32c)', 4, hex(readInt32(bytes, at + 8) >>> 0, 8)],
  ]);
  return [self, ...payload(place, at + 12)];
}

function icmp(place: Place, at: number, kind: 'icmp' | 'icmpv6'): Layer[] {
  const { bytes, end } = place;
  if (end - at < 8) return payload(place, at);
  const type = readUint8(bytes, at);
  const self = layer(place, kind, at, 8, [
    ['type', 1, type],
    ['code', 1, readUint8(bytes, at + 1)],
    ['checksum', 2, hex(readUint16(bytes, at + 2), 4)],
    ['rest of header', 4, hex(readInt32(bytes, at + 4) >>> 0, 8)],
  ]);
  const isError = kind === 'icmp' ? [3, 4, 5, 11, 12].includes(type) : type < 128;
  if (!isError || place.quoted) return [self, ...payload(place, at + 8)];
  const quote = { ...place, quoted: true };
  return [self, ...(kind === 'icmp' ? ipv4(quote, at + 8) : ipv6(quote, at + 8))];
}

function arp(place: Place, at: number): Layer[] {
  const { bytes, end } = place;
  if (end - at < 28) return payload(place, at);
  const operation = readUint16(bytes, at + 6);
  return [
    layer(place, 'arp', at, 28, [
      ['hardware and protocol', 6, describeHex(bytes, at, at + 6)],
      ['operation', 2, operation === 1 ? '1 (who has)' : operation === 2 ? '2 (is at)' : operation],
      ['sender MAC', 6, formatMac(bytes, at + 8)],
      ['sender address', 4, formatIpv4(readInt32(bytes, at + 14))],
      ['target MAC', 6, formatMac(bytes, at + 18)],
      ['target address', 4, formatIpv4(readInt32(bytes, at + 24))],
    ]),
  ];
}

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  1: 'ICMP',
  4: 'IPv4 inside',
  6: 'TCP',
  17: 'UDP',
  41: 'IPv6 inside',
  44: 'fragment',
  47: 'GRE',
  50: 'ESP',
  51: 'AH',
  58: 'ICMPv6',
  132: 'SCTP',
};

export function protocolName(protocol: number): string {
  return PROTOCOL_NAMES[protocol] ?? `protocol ${protocol}`;
}

function describeProtocol(protocol: number): string {
  return PROTOCOL_NAMES[protocol] === undefined ? String(protocol) : `${protocol} (${PROTOCOL_NAMES[protocol]})`;
}

function describeFragment(flags: number, offset: number): string {
  const words = [(flags & 2) !== 0 ? "don't fragment" : '', (flags & 1) !== 0 ? 'more fragments' : ''];
  if (offset > 0) words.push(`at ${offset}`);
  return words.filter((word) => word !== '').join(', ') || 'none';
}

const FLAG_NAMES = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'];

function describeFlags(flags: number): string {
  return FLAG_NAMES.filter((_, bit) => (flags & (1 << bit)) !== 0).join(' ') || 'no flags';
}

const TEXT_BYTES_MAX = 40;

/** Printable text as it is, anything else by its length. */
function describeData(bytes: Uint8Array, at: number, end: number): string {
  const shown = bytes.subarray(at, Math.min(end, at + TEXT_BYTES_MAX));
  const isText = shown.every((byte) => (byte >= 32 && byte < 127) || byte === 13 || byte === 10);
  const count = `${end - at} bytes`;
  if (!isText) return count;
  const text = String.fromCharCode(...shown)
    .replaceAll('\r', '\\r')
    .replaceAll('\n', '\\n');
  return `${count} "${text}${end - at > TEXT_BYTES_MAX ? '...' : ''}"`;
}

function describeHex(bytes: Uint8Array, at: number, end: number): string {
  const digits = [...bytes.subarray(at, Math.min(end, at + 16))].map((byte) => byte.toString(16).padStart(2, '0'));
  return digits.join(' ') + (end - at > 16 ? ' ...' : '');
}

export function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}
