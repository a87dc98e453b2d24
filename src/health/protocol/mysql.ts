/**
 * Packets of the MySQL protocol as bytes, as far as a login and the first row of an answer need them. Pure. Sources:
 * the chapters "Connection Phase" and "Text Protocol" of the protocol's public documentation (MySQL and MariaDB).
 */
const PROTOCOL_VERSION = 10;
const PACKET_BYTES_MAX = 0xff_ff_ff;
const UTF8MB4_GENERAL = 45;

const CONNECT_WITH_DATABASE = 0x8;
const PROTOCOL_41 = 0x200;
const TLS = 0x800;
const TRANSACTIONS = 0x2000;
const SECURE_CONNECTION = 0x8000;
const PLUGIN_AUTHENTICATION = 0x80000;

const QUIT = 0x01;
const QUERY = 0x03;

export const OK = 0x00;
export const MORE_DATA = 0x01;
export const LOCAL_FILE = 0xfb;
/** The end of rows, in a packet shorter than 9 bytes; during the login the wish for another method. */
export const END = 0xfe;
export const ERROR = 0xff;
export const END_BYTES_MAX = 8;

export interface MysqlGreeting {
  readonly version: string;
  /** 20 bytes. */
  readonly nonce: Buffer;
  /** Name of the way to log in that the server likes best. */
  readonly method: string;
  readonly offersTls: boolean;
}

/** Header of a packet: 3 bytes of length, 1 of sequence. */
export function readPacketHeader(header: Buffer): { readonly length: number; readonly sequence: number } {
  return { length: header.readUIntLE(0, 3), sequence: header[3] };
}

export function packet(sequence: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(4);
  header.writeUIntLE(Math.min(payload.length, PACKET_BYTES_MAX), 0, 3);
  header[3] = sequence & 0xff;
  return Buffer.concat([header, payload]);
}

/** `null` when it is not the greeting of a server of our time. */
export function decodeGreeting(payload: Buffer): MysqlGreeting | null {
  const versionEnd = payload.indexOf(0, 1);
  // The fixed parts: thread, nonce, filler, capabilities, character set, status, capabilities, nonce length, reserved.
  const at = versionEnd + 1;
  if (payload[0] !== PROTOCOL_VERSION || versionEnd < 0 || payload.length < at + 31) return null;
  const capabilities = payload.readUInt16LE(at + 13) + payload.readUInt16LE(at + 18) * 0x1_00_00;
  if ((capabilities & PROTOCOL_41) === 0 || (capabilities & SECURE_CONNECTION) === 0) return null;
  const restAt = at + 31;
  const rest = payload.subarray(restAt, restAt + 12);
  if (rest.length < 12) return null;
  const named = (capabilities & PLUGIN_AUTHENTICATION) !== 0;
  return {
    version: payload.toString('latin1', 1, versionEnd),
    nonce: Buffer.concat([payload.subarray(at + 4, at + 12), rest]),
    method: named ? textUntilZero(payload, restAt + 13) : 'mysql_native_password',
    offersTls: (capabilities & TLS) !== 0,
  };
}

export interface MysqlLogin {
  readonly login: string;
  /** Empty: none. */
  readonly database: string;
  readonly method: string;
  /** At most 250 bytes. */
  readonly proof: Uint8Array;
}

export function encodeLogin({ login, database, method, proof }: MysqlLogin, overTls: boolean): Buffer {
  return Buffer.concat([
    loginHead(database, overTls),
    zeroEnded(login),
    Buffer.of(proof.length),
    proof,
    ...(database === '' ? [] : [zeroEnded(database)]),
    zeroEnded(method),
  ]);
}

/** Asks to go on over TLS: the beginning of a login, after which the login comes again. */
export function encodeTlsRequest(database: string): Buffer {
  return loginHead(database, true);
}

export function encodeQuery(statement: string): Buffer {
  return Buffer.concat([Buffer.of(QUERY), Buffer.from(statement, 'utf8')]);
}

export function encodeQuit(): Buffer {
  return Buffer.of(QUIT);
}

/** `payload` begins with `ERROR`: `Access denied for user ... (1045)`. */
export function decodeError(payload: Buffer): string {
  if (payload.length < 3) return 'an error without a number';
  const code = payload.readUInt16LE(1);
  // After the login comes a mark and five letters of SQLSTATE.
  const textAt = payload[3] === 0x23 ? 9 : 3;
  return `${payload.toString('latin1', textAt).trim() || 'an error without a text'} (${code})`;
}

/** `payload` begins with `END` and comes during the login. `null`: a method older than 4.1. */
export function decodeMethodSwitch(payload: Buffer): { readonly method: string; readonly nonce: Buffer } | null {
  if (payload.length < 2) return null;
  const method = textUntilZero(payload, 1);
  const nonce = payload.subarray(1 + method.length + 1);
  // The last byte of the nonce is a zero that does not belong to it.
  return { method, nonce: nonce.at(-1) === 0 ? nonce.subarray(0, -1) : nonce };
}

/** How many columns the answer to a query has; `null` when the packet does not say. */
export function decodeColumnCount(payload: Buffer): number | null {
  const [first = LOCAL_FILE] = payload;
  if (first < LOCAL_FILE) return payload.length === 1 ? first : null;
  return first === 0xfc && payload.length === 3 ? payload.readUInt16LE(1) : null;
}

function loginHead(database: string, overTls: boolean): Buffer {
  const head = Buffer.alloc(32);
  let capabilities = PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTHENTICATION;
  if (database !== '') capabilities |= CONNECT_WITH_DATABASE;
  if (overTls) capabilities |= TLS;
  head.writeUInt32LE(capabilities, 0);
  head.writeUInt32LE(PACKET_BYTES_MAX, 4);
  head[8] = UTF8MB4_GENERAL;
  return head;
}

function textUntilZero(bytes: Buffer, at: number): string {
  const end = bytes.indexOf(0, at);
  return bytes.toString('latin1', at, end < 0 ? bytes.length : end);
}

function zeroEnded(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'utf8');
}
