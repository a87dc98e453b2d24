/**
 * IPv4 options, as a host treats them that a packet passes: it fills its address and the time in where the sender left
 * room, and refuses packets that name their own route. Source: RFC 791, section 3.1.
 */
import { readUint8, writeInt32, writeUint8 } from '../wire/bytes.ts';
import { fillIpv4Checksum, IPV4_HEADER_BYTES_MIN } from '../wire/ipv4.ts';
import type { EngineContext } from './context.ts';
import type { Packet } from './packet.ts';

const END = 0;
const NO_OPERATION = 1;
const RECORD_ROUTE = 7;
const TIMESTAMP = 68;
const LOOSE_SOURCE_ROUTE = 131;
const STRICT_SOURCE_ROUTE = 137;

const TIMESTAMP_ONLY = 0;
const TIMESTAMP_AND_ADDRESS = 1;
const MS_PER_DAY = 86_400_000;
/** A time that is not counted from midnight says so. */
const NOT_UNIVERSAL_TIME = 0x8000_0000 | 0;

export function isSourceRouted(packet: Packet): boolean {
  const end = packet.ipAt + headerBytes(packet);
  for (let at = packet.ipAt + IPV4_HEADER_BYTES_MIN; at < end; at = nextOption(packet.bytes, at, end)) {
    const type = readUint8(packet.bytes, at);
    if (type === LOOSE_SOURCE_ROUTE || type === STRICT_SOURCE_ROUTE) return true;
  }
  return false;
}

/** Puts `address` and the time into the next free place, if the sender asks for it. */
export function fillOptions(context: EngineContext, packet: Packet, address: number): void {
  const { bytes, ipAt } = packet;
  const end = ipAt + headerBytes(packet);
  for (let at = ipAt + IPV4_HEADER_BYTES_MIN; at < end; at = nextOption(bytes, at, end)) {
    const type = readUint8(bytes, at);
    // Both options need more than three bytes; one whose length leads out of the header is left alone.
    if (end - at < 4 || readUint8(bytes, at + 1) > end - at) continue;
    if (type === RECORD_ROUTE) recordRoute(bytes, at, address);
    else if (type === TIMESTAMP) recordTime(context, bytes, at, address);
  }
  fillIpv4Checksum(bytes, ipAt, end - ipAt);
}

function recordRoute(bytes: Uint8Array, at: number, address: number): void {
  const length = readUint8(bytes, at + 1);
  const pointer = readUint8(bytes, at + 2);
  if (pointer < 4 || pointer + 3 > length) return;
  writeInt32(bytes, at + pointer - 1, address);
  writeUint8(bytes, at + 2, pointer + 4);
}

function recordTime(context: EngineContext, bytes: Uint8Array, at: number, address: number): void {
  const length = readUint8(bytes, at + 1);
  if (length < 4) return;
  const pointer = readUint8(bytes, at + 2);
  const flags = readUint8(bytes, at + 3);
  const kind = flags & 15;
  const entryBytes = kind === TIMESTAMP_ONLY ? 4 : 8;
  if (kind !== TIMESTAMP_ONLY && kind !== TIMESTAMP_AND_ADDRESS) return;
  if (pointer < 5) return;
  if (pointer - 1 + entryBytes > length) {
    // No room: the overflow counter goes up instead.
    if (flags >>> 4 < 15) writeUint8(bytes, at + 3, flags + 16);
    return;
  }
  let entryAt = at + pointer - 1;
  if (kind === TIMESTAMP_AND_ADDRESS) {
    writeInt32(bytes, entryAt, address);
    entryAt += 4;
  }
  writeInt32(bytes, entryAt, NOT_UNIVERSAL_TIME | (Math.floor(context.nowMs) % MS_PER_DAY));
  writeUint8(bytes, at + 2, pointer + entryBytes);
}

/** Where the next option begins; `end` behind the last and behind one that cannot be read. */
function nextOption(bytes: Uint8Array, at: number, end: number): number {
  const type = readUint8(bytes, at);
  if (type === END) return end;
  if (type === NO_OPERATION) return at + 1;
  const length = at + 1 < end ? readUint8(bytes, at + 1) : 0;
  if (length < 2 || at + length > end) return end;
  return at + length;
}

function headerBytes({ bytes, ipAt }: Packet): number {
  return (readUint8(bytes, ipAt) & 15) * 4;
}
