/**
 * Packets of RADIUS as bytes: an Access-Request with a password, and the proof that an answer comes from somebody
 * who shares the secret. Pure. Sources: RFC 2865, RFC 3579 section 3.2 (Message-Authenticator).
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { isIPv4 } from 'node:net';

const HEADER_BYTES = 20;
const AUTHENTICATOR_AT = 4;
const AUTHENTICATOR_BYTES = 16;
const PACKET_BYTES_MAX = 4_096;
const ACCESS_REQUEST = 1;
const ANSWERS: Readonly<Record<number, AccessAnswer['kind']>> = { 2: 'accept', 3: 'reject', 11: 'challenge' };

const USER_NAME = 1;
const USER_PASSWORD = 2;
const NAS_IP_ADDRESS = 4;
const REPLY_MESSAGE = 18;
const NAS_IDENTIFIER = 32;
const MESSAGE_AUTHENTICATOR = 80;

const VALUE_BYTES_MAX = 253;
const PASSWORD_BYTES_MAX = 128;

export interface AccessRequest {
  /** 0..255. */
  readonly id: number;
  /** 16 random bytes. */
  readonly authenticator: Buffer;
  readonly login: string;
  readonly password: string;
  readonly secret: string;
  /** Who asks: numeric. */
  readonly ownAddress: string;
}

export interface AccessAnswer {
  readonly kind: 'accept' | 'reject' | 'challenge';
  /** What the server has to say to the user; mostly empty. */
  readonly text: string;
}

export type AccessReply =
  | AccessAnswer
  /** To another question. */
  | { readonly kind: 'stranger' }
  /** A whole sentence. */
  | { readonly kind: 'bad'; readonly problem: string };

/** Why no request can be made of these, or `null`. */
export function requestProblem(login: string, password: string): string | null {
  if (Buffer.byteLength(login) > VALUE_BYTES_MAX) return `the login is longer than ${VALUE_BYTES_MAX} bytes`;
  if (Buffer.byteLength(password) > PASSWORD_BYTES_MAX)
    return `the password is longer than ${PASSWORD_BYTES_MAX} bytes`;
  return null;
}

export function encodeAccessRequest(request: AccessRequest): Buffer {
  const { id, authenticator, login, password, secret, ownAddress } = request;
  const parts = [
    // First, so that nobody can put anything before it.
    attribute(MESSAGE_AUTHENTICATOR, Buffer.alloc(AUTHENTICATOR_BYTES)),
    attribute(USER_NAME, Buffer.from(login, 'utf8')),
    attribute(USER_PASSWORD, hidePassword(password, secret, authenticator)),
    ...(isIPv4(ownAddress) ? [attribute(NAS_IP_ADDRESS, Buffer.from(ownAddress.split('.').map(Number)))] : []),
    attribute(NAS_IDENTIFIER, Buffer.from('uipvs', 'ascii')),
  ];
  const attributes = Buffer.concat(parts);
  const header = Buffer.alloc(AUTHENTICATOR_AT);
  header.writeUInt8(ACCESS_REQUEST, 0);
  header.writeUInt8(id, 1);
  header.writeUInt16BE(HEADER_BYTES + attributes.length, 2);
  const packet = Buffer.concat([header, authenticator, attributes]);
  messageAuthenticator(packet, secret).copy(packet, HEADER_BYTES + 2);
  return packet;
}

/** Never throws. */
export function decodeAccessReply(bytes: Buffer, { id, authenticator, secret }: AccessRequest): AccessReply {
  if (bytes.length < HEADER_BYTES) return bad('answered with something that is not RADIUS');
  const length = bytes.readUInt16BE(2);
  if (length < HEADER_BYTES || length > PACKET_BYTES_MAX || length > bytes.length) {
    return bad(`answered with a packet of ${bytes.length} bytes that claims ${length}`);
  }
  if (bytes[1] !== id) return { kind: 'stranger' };
  const kind = ANSWERS[bytes[0]];
  if (kind === undefined) return bad(`answered with code ${bytes[0]} instead of Access-Accept`);
  // What follows the length counts as padding.
  const packet = bytes.subarray(0, length);
  const attributes = readAttributes(packet.subarray(HEADER_BYTES));
  if (attributes === null) return bad('answered with attributes that do not fit their lengths');
  if (!isAuthentic(packet, authenticator, secret)) {
    return bad('the response authenticator is wrong: is the secret the same on both sides?');
  }
  if (!hasGoodMessageAuthenticator(packet, attributes, authenticator, secret)) {
    return bad('the Message-Authenticator of the answer is wrong');
  }
  const messages = attributes.filter(({ type }) => type === REPLY_MESSAGE).map(({ value }) => value);
  return { kind, text: Buffer.concat(messages).toString('latin1') };
}

/** The value for a packet in which its place is filled with zeros. */
export function messageAuthenticator(packet: Buffer, secret: string): Buffer {
  return createHmac('md5', secret).update(packet).digest();
}

/** RFC 2865, section 3: over the answer with the authenticator of the request in place of its own, and the secret. */
export function responseAuthenticator(packet: Buffer, requestAuthenticator: Buffer, secret: string): Buffer {
  return createHash('md5')
    .update(packet.subarray(0, AUTHENTICATOR_AT))
    .update(requestAuthenticator)
    .update(packet.subarray(HEADER_BYTES))
    .update(secret)
    .digest();
}

function isAuthentic(packet: Buffer, requestAuthenticator: Buffer, secret: string): boolean {
  const told = packet.subarray(AUTHENTICATOR_AT, AUTHENTICATOR_AT + AUTHENTICATOR_BYTES);
  return timingSafeEqual(told, responseAuthenticator(packet, requestAuthenticator, secret));
}

/** An answer may be without one. */
function hasGoodMessageAuthenticator(
  packet: Buffer,
  attributes: readonly Attribute[],
  requestAuthenticator: Buffer,
  secret: string,
): boolean {
  const found = attributes.find(({ type }) => type === MESSAGE_AUTHENTICATOR);
  if (found === undefined) return true;
  if (found.value.length !== AUTHENTICATOR_BYTES) return false;
  const copy = Buffer.from(packet);
  requestAuthenticator.copy(copy, AUTHENTICATOR_AT);
  const valueAt = HEADER_BYTES + found.at + 2;
  copy.fill(0, valueAt, valueAt + AUTHENTICATOR_BYTES);
  return timingSafeEqual(found.value, messageAuthenticator(copy, secret));
}

/** RFC 2865, section 5.2: each block is hidden by a digest of the secret and the block before. */
function hidePassword(password: string, secret: string, authenticator: Buffer): Buffer {
  const clear = Buffer.from(password, 'utf8');
  const blocks = Math.max(1, Math.ceil(clear.length / AUTHENTICATOR_BYTES));
  const hidden = Buffer.alloc(blocks * AUTHENTICATOR_BYTES);
  clear.copy(hidden);
  let before = authenticator;
  for (let at = 0; at < hidden.length; at += AUTHENTICATOR_BYTES) {
    const pad = createHash('md5').update(secret).update(before).digest();
    for (let index = 0; index < AUTHENTICATOR_BYTES; index++) hidden[at + index] ^= pad[index];
    before = hidden.subarray(at, at + AUTHENTICATOR_BYTES);
  }
  return hidden;
}

interface Attribute {
  readonly type: number;
  /** Below the end of the header. */
  readonly at: number;
  readonly value: Buffer;
}

function readAttributes(bytes: Buffer): Attribute[] | null {
  const attributes: Attribute[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = at + 1 < bytes.length ? bytes[at + 1] : 0;
    if (length < 2 || at + length > bytes.length) return null;
    attributes.push({ type: bytes[at], at, value: bytes.subarray(at + 2, at + length) });
    at += length;
  }
  return attributes;
}

function attribute(type: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type, value.length + 2), value]);
}

function bad(problem: string): AccessReply {
  return { kind: 'bad', problem };
}
