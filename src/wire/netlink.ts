/**
 * Netlink messages and their attributes. Headers and integers are in the order of the machine, which is
 * little-endian wherever we make system calls; where an attribute is in network order, its name here says so.
 * Source: RFC 3549, section 2, and netlink(7).
 */

/** Bytes that are no netlink message, or less of one than they promise. */
export class NetlinkFormatError extends Error {
  override readonly name = 'NetlinkFormatError';
}

export const MessageType = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4 } as const;
export const MessageFlag = { REQUEST: 1, ACK: 4, DUMP_INTERRUPTED: 0x10, DUMP: 0x300 } as const;

const HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
/** The two upper bits say "nested" and "network order". */
const ATTRIBUTE_TYPE_MASK = 0x3fff;
const NESTED = 0x8000;
const ATTRIBUTE_BYTES_MAX = 0xffff;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** A view of the datagram it came in. */
  readonly payload: Uint8Array;
}

export function writeMessage({ type, flags, sequence, payload }: NetlinkMessage): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const view = viewOf(bytes);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** The messages of one datagram. Throws a NetlinkFormatError when one is not there whole. */
export function readMessages(datagram: Uint8Array): NetlinkMessage[] {
  const view = viewOf(datagram);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at < datagram.length; ) {
    if (datagram.length - at < HEADER_BYTES) throw new NetlinkFormatError('a message header is cut short');
    const length = view.getUint32(at, true);
    if (length < HEADER_BYTES || length > datagram.length - at) {
      throw new NetlinkFormatError(`a message of ${length} bytes does not fit into the ${datagram.length - at} left`);
    }
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      payload: datagram.subarray(at + HEADER_BYTES, at + length),
    });
    at += aligned(length);
  }
  return messages;
}

/** The errno of an ERROR message, or of a DONE message that carries one: above 0 a failure, 0 an acknowledgement. */
export function readErrno(payload: Uint8Array): number {
  if (payload.length < 4) throw new NetlinkFormatError('an error message has no error number');
  const value = viewOf(payload).getInt32(0, true);
  if (value > 0) throw new NetlinkFormatError(`an error message has the error number ${value}`);
  return 0 - value;
}

/** Attributes one after the other, as they stand in a message. */
export function joinAttributes(attributes: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(attributes.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const each of attributes) {
    bytes.set(each, at);
    at += each.length;
  }
  return bytes;
}

export function attribute(type: number, value: Uint8Array): Uint8Array {
  const length = ATTRIBUTE_HEADER_BYTES + value.length;
  if (length > ATTRIBUTE_BYTES_MAX) throw new RangeError(`an attribute cannot have ${value.length} bytes`);
  const bytes = new Uint8Array(aligned(length));
  const view = viewOf(bytes);
  view.setUint16(0, length, true);
  view.setUint16(2, type, true);
  bytes.set(value, ATTRIBUTE_HEADER_BYTES);
  return bytes;
}

export function nestedAttribute(type: number, attributes: readonly Uint8Array[]): Uint8Array {
  return attribute(type | NESTED, joinAttributes(attributes));
}

export function uint8Attribute(type: number, value: number): Uint8Array {
  return attribute(type, Uint8Array.of(value));
}

export function uint16Attribute(type: number, value: number): Uint8Array {
  return attribute(type, Uint8Array.of(value, value >>> 8));
}

/** In network order. */
export function networkUint16Attribute(type: number, value: number): Uint8Array {
  return attribute(type, Uint8Array.of(value >>> 8, value));
}

/** Takes negative numbers as well: their 32 bits are written. */
export function uint32Attribute(type: number, value: number): Uint8Array {
  return attribute(type, Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
}

/** ASCII with the final zero byte; other letters, which no name in the kernel has, become question marks. */
export function textAttribute(type: number, text: string): Uint8Array {
  return attribute(
    type,
    Uint8Array.from([...text, ''], (letter) => asciiCode(letter)),
  );
}

function asciiCode(letter: string): number {
  if (letter === '') return 0;
  const code = letter.charCodeAt(0);
  return code > 0 && code < 0x7f ? code : 0x3f;
}

/** Attribute values by type, as views. */
export type Attributes = ReadonlyMap<number, Uint8Array>;

/** Reads what fills `bytes` exactly. Of two with one type the last counts. Throws a NetlinkFormatError. */
export function readAttributes(bytes: Uint8Array): Attributes {
  const view = viewOf(bytes);
  const found = new Map<number, Uint8Array>();
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < ATTRIBUTE_HEADER_BYTES) throw new NetlinkFormatError('an attribute header is cut short');
    const length = view.getUint16(at, true);
    if (length < ATTRIBUTE_HEADER_BYTES || length > bytes.length - at) {
      throw new NetlinkFormatError(`an attribute of ${length} bytes does not fit into the ${bytes.length - at} left`);
    }
    found.set(
      view.getUint16(at + 2, true) & ATTRIBUTE_TYPE_MASK,
      bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length),
    );
    at += aligned(length);
  }
  return found;
}

/** The value of an attribute that must be there with at least `bytesMin` bytes; otherwise a NetlinkFormatError. */
export function requireAttribute(attributes: Attributes, type: number, bytesMin: number, what: string): Uint8Array {
  const value = attributes.get(type);
  if (value === undefined) throw new NetlinkFormatError(`there is no attribute ${type} (${what})`);
  if (value.length < bytesMin) throw new NetlinkFormatError(`attribute ${type} (${what}) has ${value.length} bytes`);
  return value;
}

/** A whole number of one, two, four or eight bytes, by the length it came with. Above 2^53 it is rounded. */
export function readUint(value: Uint8Array): number {
  const view = viewOf(value);
  switch (value.length) {
    case 1:
      return view.getUint8(0);
    case 2:
      return view.getUint16(0, true);
    case 4:
      return view.getUint32(0, true);
    case 8:
      return Number(view.getBigUint64(0, true));
    default:
      throw new NetlinkFormatError(`a number cannot have ${value.length} bytes`);
  }
}

export function readNetworkUint16(value: Uint8Array): number {
  if (value.length !== 2) throw new NetlinkFormatError(`a port cannot have ${value.length} bytes`);
  return viewOf(value).getUint16(0, false);
}

/** Up to the first zero byte. */
export function readText(value: Uint8Array): string {
  const end = value.indexOf(0);
  return String.fromCharCode(...value.subarray(0, end < 0 ? value.length : end));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Messages and attributes begin at multiples of four bytes. */
function aligned(length: number): number {
  return (length + 3) & ~3;
}
