/**
 * A packet as a list of named fields, for telling two packets apart in words. Only for reports: whether packets are
 * equal is decided by their bytes.
 */
import { formatIpv4, formatWords } from '../wire/address.ts';

export interface PacketField {
  /** `IPv4 time to live`, `TCP checksum`, `quoted IPv4 source` */
  readonly name: string;
  readonly value: string;
}

/** A field of a header: name, first bit, bits, how its number is written. */
type FieldRow = readonly [name: string, bit: number, bits: number, format?: (bytes: Buffer) => string];

const hex = (bytes: Buffer): string => `0x${bytes.toString('hex')}`;
const ipv4 = (bytes: Buffer): string => formatIpv4(bytes.readInt32BE(0));
const ipv6 = (bytes: Buffer): string =>
  formatWords(true, bytes.readInt32BE(0), bytes.readInt32BE(4), bytes.readInt32BE(8), bytes.readInt32BE(12));
const tcpFlags = (bytes: Buffer): string => {
  const names = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'].filter((_, bit) => (bytes[0]! >> bit) & 1);
  return names.join('+') || 'none';
};

const IPV4: readonly FieldRow[] = [
  ['version', 0, 4],
  ['header length', 4, 4],
  ['type of service', 8, 8, hex],
  ['total length', 16, 16],
  ['identification', 32, 16],
  ['flags', 48, 3],
  ['fragment offset', 51, 13],
  ['time to live', 64, 8],
  ['protocol', 72, 8],
  ['header checksum', 80, 16, hex],
  ['source', 96, 32, ipv4],
  ['destination', 128, 32, ipv4],
];
const IPV6: readonly FieldRow[] = [
  ['version', 0, 4],
  ['traffic class', 4, 8],
  ['flow label', 12, 20],
  ['payload length', 32, 16],
  ['next header', 48, 8],
  ['hop limit', 56, 8],
  ['source', 64, 128, ipv6],
  ['destination', 192, 128, ipv6],
];
const FRAGMENT: readonly FieldRow[] = [
  ['next header', 0, 8],
  ['reserved', 8, 8],
  ['offset', 16, 13],
  ['flags', 29, 3],
  ['identification', 32, 32, hex],
];
const PORTS: readonly FieldRow[] = [
  ['source port', 0, 16],
  ['destination port', 16, 16],
];
const TCP: readonly FieldRow[] = [
  ...PORTS,
  ['sequence number', 32, 32],
  ['acknowledgement number', 64, 32],
  ['data offset', 96, 4],
  ['reserved bits', 100, 4],
  ['flags', 104, 8, tcpFlags],
  ['window', 112, 16],
  ['checksum', 128, 16, hex],
  ['urgent pointer', 144, 16],
];
const UDP: readonly FieldRow[] = [...PORTS, ['length', 32, 16], ['checksum', 48, 16, hex]];
const SCTP: readonly FieldRow[] = [...PORTS, ['verification tag', 32, 32, hex], ['checksum', 64, 32, hex]];
const ICMP: readonly FieldRow[] = [
  ['type', 0, 8],
  ['code', 8, 8],
  ['checksum', 16, 16, hex],
  ['rest of header', 32, 32, hex],
];
const GUE: readonly FieldRow[] = [
  ['version', 0, 2],
  ['control', 2, 1],
  ['header length', 3, 5],
  ['inner protocol', 8, 8],
  ['flags', 16, 16, hex],
];
const GRE: readonly FieldRow[] = [
  ['flags and version', 0, 16, hex],
  ['protocol', 16, 16, hex],
];

const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'ICMP',
  4: 'IPv4',
  6: 'TCP',
  17: 'UDP',
  41: 'IPv6',
  44: 'fragment header',
  47: 'GRE',
  58: 'ICMPv6',
  132: 'SCTP',
};
const TABLES: Readonly<Record<string, readonly FieldRow[]>> = {
  IPv4: IPV4,
  IPv6: IPV6,
  'fragment header': FRAGMENT,
  TCP,
  UDP,
  SCTP,
  ICMP,
  ICMPv6: ICMP,
  GUE,
  GRE,
};
/** Headers inside headers that are told; a deeper one is data. */
const LAYERS_MAX = 8;

/** The packet's fields from the outside in, the data last; never throws. */
export function packetFields(packet: Buffer): PacketField[] {
  const fields: PacketField[] = [];
  let at = 0;
  let end = packet.length;
  let prefix = '';
  let layer: string | null = end > 0 && packet[0]! >>> 4 === 6 ? 'IPv6' : 'IPv4';
  for (let depth = 0; depth < LAYERS_MAX && layer !== null; depth++) {
    const next: Inside | null = readLayer(packet, at, end, layer, prefix, fields);
    if (next === null) break;
    ({ at, end, layer } = next);
    prefix += next.prefix;
  }
  fields.push({ name: `${prefix}data`, value: packet.subarray(at).toString('hex') });
  return fields;
}

interface Inside {
  readonly at: number;
  readonly end: number;
  readonly layer: string | null;
  readonly prefix: string;
}

/** Adds the fields of one header and says what lies inside; `null` when it is cut short. */
function readLayer(
  packet: Buffer,
  at: number,
  end: number,
  layer: string,
  prefix: string,
  fields: PacketField[],
): Inside | null {
  const table = TABLES[layer]!;
  const [, lastBit, lastBits] = table[table.length - 1]!;
  let headerBytes = (lastBit + lastBits) / 8;
  if (end - at < headerBytes) return null;
  for (const [name, bit, bits, format] of table) {
    fields.push({ name: `${prefix}${layer} ${name}`, value: readField(packet, at, bit, bits, format) });
  }
  const lengthNibble = layer === 'IPv4' ? packet[at]! & 15 : layer === 'TCP' ? packet[at + 12]! >>> 4 : 0;
  if (lengthNibble * 4 > headerBytes && at + lengthNibble * 4 <= end) {
    const options = packet.subarray(at + headerBytes, at + lengthNibble * 4);
    fields.push({ name: `${prefix}${layer} options`, value: options.toString('hex') });
    headerBytes = lengthNibble * 4;
  }
  const inside = at + headerBytes;
  return { at: inside, end, ...insideOf(packet, at, inside, layer) };
}

function insideOf(packet: Buffer, at: number, inside: number, layer: string): { layer: string | null; prefix: string } {
  const nothing = { layer: null, prefix: '' };
  switch (layer) {
    case 'IPv4':
      // Only a first fragment has the header of the next layer.
      if ((packet.readUInt16BE(at + 6) & 0x1fff) !== 0) return nothing;
      return { layer: PROTOCOLS[packet[at + 9]!] ?? null, prefix: isIp(packet[at + 9]!) ? 'inner ' : '' };
    case 'IPv6':
      return { layer: PROTOCOLS[packet[at + 6]!] ?? null, prefix: isIp(packet[at + 6]!) ? 'inner ' : '' };
    case 'fragment header':
      if ((packet.readUInt16BE(at + 2) & 0xfff8) !== 0) return nothing;
      return { layer: PROTOCOLS[packet[at]!] ?? null, prefix: isIp(packet[at]!) ? 'inner ' : '' };
    case 'ICMP':
      return [3, 4, 5, 11, 12].includes(packet[at]!) ? { layer: 'IPv4', prefix: 'quoted ' } : nothing;
    case 'ICMPv6':
      return packet[at]! < 128 ? { layer: 'IPv6', prefix: 'quoted ' } : nothing;
    case 'GRE':
      if (packet.readUInt16BE(at) !== 0) return nothing;
      return { layer: packet.readUInt16BE(at + 2) === 0x86dd ? 'IPv6' : 'IPv4', prefix: 'inner ' };
    default:
      return looksLikeGue(packet, at, inside, layer) ? { layer: 'GUE', prefix: '' } : innerOfGue(packet, at, layer);
  }
}

function isIp(protocol: number): boolean {
  return protocol === 4 || protocol === 41;
}

/** GUE has no port of its own; what follows its header must look like the packet that the header announces. */
function looksLikeGue(packet: Buffer, at: number, inside: number, layer: string): boolean {
  if (layer !== 'UDP' || packet.length < inside + 24 || at === 0) return false;
  const version = packet[inside + 4]! >>> 4;
  return packet[inside] === 0 && packet[inside + 1] === (version === 6 ? 41 : 4) && (version === 4 || version === 6);
}

function innerOfGue(packet: Buffer, at: number, layer: string): { layer: string | null; prefix: string } {
  if (layer !== 'GUE') return { layer: null, prefix: '' };
  return { layer: packet[at + 1] === 41 ? 'IPv6' : 'IPv4', prefix: 'inner ' };
}

function readField(packet: Buffer, at: number, bit: number, bits: number, format?: (bytes: Buffer) => string): string {
  const first = at + (bit >>> 3);
  const last = at + ((bit + bits + 7) >>> 3);
  if (format !== undefined) return format(packet.subarray(first, last));
  let value = 0;
  for (let i = first; i < last; i++) value = value * 256 + packet[i]!;
  const below = (last - at) * 8 - bit - bits;
  return String(Math.floor(value / 2 ** below) % 2 ** bits);
}

/** One line for each field in which the packets differ; a part that only one of them has is one line in all. */
export function differingFields(kernel: Buffer, came: Buffer): string[] {
  const want = packetFields(kernel);
  const have = packetFields(came);
  const lines: string[] = [];
  for (const [index, field] of want.entries()) {
    const other = have[index];
    if (other === undefined || other.name !== field.name) {
      lines.push(`${field.name}: came ${other === undefined ? 'nothing' : `a packet with "${other.name}" here`}`);
      return lines;
    }
    if (other.value !== field.value) lines.push(`${field.name}: ${tellValues(field.value, other.value)}`);
  }
  return lines;
}

const SHORT_VALUE = 48;

function tellValues(kernel: string, came: string): string {
  if (kernel.length <= SHORT_VALUE && came.length <= SHORT_VALUE) {
    return `came ${came === '' ? 'nothing' : came}, the kernel sent ${kernel === '' ? 'nothing' : kernel}`;
  }
  if (kernel.length !== came.length) return `came ${came.length / 2} bytes, the kernel sent ${kernel.length / 2}`;
  const at = [...kernel].findIndex((digit, index) => digit !== came[index]) & ~1;
  const piece = (text: string): string => text.slice(at, at + 16);
  return `differs from byte ${at / 2} on: came ${piece(came)}..., the kernel sent ${piece(kernel)}...`;
}
