/**
 * What was changed on a packet, in a few words for people:
 *
 *     dst 192.168.1.120 → 192.168.1.11, checksum 1a2b → 3c4d
 *
 * Ports stand there where they changed, the MAC address only when neither end did (direct
 * routing).
 */
import { formatMac } from './address.ts';
import { readInt32, readUint8, readUint16 } from './bytes.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from './ipv4.ts';
import { PacketFacts, sameAddress } from './packet-facts.ts';
import { tcpHeaderBytes } from './tcp.ts';

const PROTOCOL_GRE = 47;
const TUNNEL_NAMES: Readonly<Record<number, string>> = {
  4: 'IPIP',
  41: 'IPIP',
  [PROTOCOL_GRE]: 'GRE',
  [PROTOCOL_UDP]: 'GUE',
};
const TCP_CHECKSUM = 16;
const UDP_CHECKSUM = 6;
const TCP_SEQUENCE = 4;
const TCP_ACKNOWLEDGEMENT = 8;

const before = new PacketFacts();
const after = new PacketFacts();

/** A frame, as bytes `[at, end)`. */
export interface FrameBytes {
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly end: number;
}

/** The same packet as it came and as it left, both Ethernet frames. */
export function rewriteNote(came: FrameBytes, left: FrameBytes): string {
  const bothIp = before.read(came.bytes, came.at, came.end) && after.read(left.bytes, left.at, left.end);
  if (!bothIp) return sameBytes(came, left) ? 'unchanged' : 'changed';
  const tunnel = tunnelNote(came, left);
  if (tunnel !== null) return tunnel;
  const notes: string[] = [];
  if (before.ipv6 === after.ipv6) {
    endNote(notes, 'src', came, left, before.sourceAt, after.sourceAt, before.sourcePort, after.sourcePort);
    endNote(
      notes,
      'dst',
      came,
      left,
      before.destinationAt,
      after.destinationAt,
      before.destinationPort,
      after.destinationPort,
    );
  }
  // Direct routing changes nothing but where the frame goes.
  if (notes.length === 0) notes.push(`to MAC ${formatMac(left.bytes, left.at)}`);
  ttlNote(notes, came.bytes, left.bytes);
  if (before.protocol === after.protocol && before.transportAt >= 0 && after.transportAt >= 0) {
    transportNotes(notes, came.bytes, left.bytes);
  }
  return notes.join(', ');
}

function endNote(
  notes: string[],
  name: string,
  came: FrameBytes,
  left: FrameBytes,
  cameAt: number,
  leftAt: number,
  camePort: number,
  leftPort: number,
): void {
  const samePort = camePort === leftPort || camePort < 0 || leftPort < 0;
  const same = sameAddress(came.bytes, cameAt, left.bytes, leftAt, before.ipv6);
  if (same && samePort) return;
  const write = (facts: PacketFacts, { bytes }: FrameBytes, port: number): string => {
    const address = name === 'src' ? facts.source(bytes) : facts.destination(bytes);
    if (samePort) return address;
    return facts.ipv6 ? `[${address}]:${port}` : `${address}:${port}`;
  };
  notes.push(`${name} ${write(before, came, camePort)} → ${write(after, left, leftPort)}`);
}

/** Time to live, or the hop limit. */
function ttlNote(notes: string[], came: Uint8Array, left: Uint8Array): void {
  const field = before.ipv6 ? 7 : 8;
  const ttl = readUint8(came, before.ipAt + field);
  const now = readUint8(left, after.ipAt + field);
  if (ttl !== now) notes.push(`ttl ${ttl} → ${now}`);
}

function transportNotes(notes: string[], came: Uint8Array, left: Uint8Array): void {
  const field = before.protocol === PROTOCOL_TCP ? TCP_CHECKSUM : before.protocol === PROTOCOL_UDP ? UDP_CHECKSUM : -1;
  if (field < 0) return;
  const cameAt = before.transportAt;
  const leftAt = after.transportAt;
  if (before.end - cameAt < field + 2 || after.end - leftAt < field + 2) return;
  if (before.protocol === PROTOCOL_TCP) {
    numberNote(notes, 'seq', readInt32(came, cameAt + TCP_SEQUENCE), readInt32(left, leftAt + TCP_SEQUENCE));
    const acknowledged = readInt32(came, cameAt + TCP_ACKNOWLEDGEMENT);
    numberNote(notes, 'ack', acknowledged, readInt32(left, leftAt + TCP_ACKNOWLEDGEMENT));
    const bytesCame = before.end - cameAt - tcpHeaderBytes(came, cameAt, before.end);
    const bytesLeft = after.end - leftAt - tcpHeaderBytes(left, leftAt, after.end);
    if (bytesCame !== bytesLeft) notes.push(`payload ${bytesCame} → ${bytesLeft} bytes`);
  }
  const check = readUint16(came, cameAt + field);
  const now = readUint16(left, leftAt + field);
  if (check !== now) notes.push(`checksum ${hex(check)} → ${hex(now)}`);
}

function numberNote(notes: string[], name: string, was: number, is: number): void {
  if (was !== is) notes.push(`${name} ${was >>> 0} → ${is >>> 0}`);
}

/** The packet that came is inside the one that left. */
function tunnelNote(came: FrameBytes, left: FrameBytes): string | null {
  const grown = left.end - left.at - (came.end - came.at);
  const kind = TUNNEL_NAMES[after.protocol];
  if (grown < 20 || kind === undefined || after.transportAt < 0) return null;
  if (after.protocol === before.protocol && after.protocol === PROTOCOL_UDP && grown < 28) return null;
  const ends = `src ${after.source(left.bytes)}, dst ${after.destination(left.bytes)}`;
  return `in a tunnel (${kind}, ${grown} bytes more): ${ends}`;
}

function sameBytes(came: FrameBytes, left: FrameBytes): boolean {
  if (came.end - came.at !== left.end - left.at) return false;
  for (let i = 0; i < came.end - came.at; i++) if (came.bytes[came.at + i] !== left.bytes[left.at + i]) return false;
  return true;
}

function hex(value: number): string {
  return value.toString(16).padStart(4, '0');
}
