/**
 * Messages of the PostgreSQL protocol 3.0 as bytes, as far as a login and the first row of an answer need them.
 * Pure. Source: the chapter "Frontend/Backend Protocol" of PostgreSQL's documentation.
 */
import { createHash } from 'node:crypto';

const PROTOCOL_3_0 = 0x0003_0000;
const TLS_REQUEST_CODE = 80_877_103;

/** What a server may ask for before it lets somebody in. */
export type PostgresDemand =
  | { readonly kind: 'none' | 'clear-password' }
  | { readonly kind: 'md5'; readonly salt: Buffer }
  | { readonly kind: 'sasl'; readonly mechanisms: readonly string[] }
  | { readonly kind: 'sasl-continue' | 'sasl-final'; readonly text: string }
  | { readonly kind: 'other'; readonly name: string };

const OTHER_DEMANDS: Readonly<Record<number, string>> = { 2: 'Kerberos', 7: 'GSSAPI', 9: 'SSPI' };

/** Header of a message: one letter and 4 bytes of length. `bytes`: how many follow; `null`: that cannot be. */
export function readMessageHeader(header: Buffer): { readonly type: string; readonly bytes: number } | null {
  const length = header.readInt32BE(1);
  return length < 4 ? null : { type: String.fromCharCode(header[0]), bytes: length - 4 };
}

/** Answered with one letter: `S` to go on over TLS, `N` to go on without. */
export function encodeTlsRequest(): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeInt32BE(8, 0);
  bytes.writeInt32BE(TLS_REQUEST_CODE, 4);
  return bytes;
}

/** `database` empty: the one named like the user. */
export function encodeStartup(login: string, database: string): Buffer {
  const words = ['user', login, ...(database === '' ? [] : ['database', database]), 'application_name', 'uipvs'];
  const body = Buffer.from(`${words.join('\0')}\0\0`, 'utf8');
  const head = Buffer.alloc(8);
  head.writeInt32BE(head.length + body.length, 0);
  head.writeInt32BE(PROTOCOL_3_0, 4);
  return Buffer.concat([head, body]);
}

export function encodePassword(password: string): Buffer {
  return message('p', zeroEnded(password));
}

/** `md5` and the digest of the digest of password and login, and the salt. */
export function encodeMd5Password(login: string, password: string, salt: Buffer): Buffer {
  const inner = createHash('md5').update(password).update(login).digest('hex');
  return encodePassword(`md5${createHash('md5').update(inner).update(salt).digest('hex')}`);
}

export function encodeSaslStart(mechanism: string, text: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(Buffer.byteLength(text), 0);
  return message('p', zeroEnded(mechanism), length, Buffer.from(text, 'utf8'));
}

export function encodeSaslAnswer(text: string): Buffer {
  return message('p', Buffer.from(text, 'utf8'));
}

export function encodeQuery(statement: string): Buffer {
  return message('Q', zeroEnded(statement));
}

export function encodeTerminate(): Buffer {
  return message('X');
}

/** Body of a message `R`. `null` when it is none. */
export function decodeDemand(body: Buffer): PostgresDemand | null {
  if (body.length < 4) return null;
  const code = body.readInt32BE(0);
  const rest = body.subarray(4);
  switch (code) {
    case 0:
      return { kind: 'none' };
    case 3:
      return { kind: 'clear-password' };
    case 5:
      return rest.length === 4 ? { kind: 'md5', salt: rest } : null;
    case 10:
      return { kind: 'sasl', mechanisms: rest.toString('latin1').split('\0').filter(Boolean) };
    case 11:
      return { kind: 'sasl-continue', text: rest.toString('utf8') };
    case 12:
      return { kind: 'sasl-final', text: rest.toString('utf8') };
    default:
      return { kind: 'other', name: OTHER_DEMANDS[code] ?? `method ${code}` };
  }
}

/** Body of a message `E`: `password authentication failed for user "x" (28P01)`. */
export function decodeError(body: Buffer): string {
  const fields = new Map<string, string>();
  for (const field of body.toString('latin1').split('\0')) {
    if (field !== '') fields.set(field[0], field.slice(1));
  }
  const code = fields.get('C');
  return `${fields.get('M') || 'an error without a text'}${code === undefined ? '' : ` (${code})`}`;
}

function message(type: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const head = Buffer.alloc(5);
  head.write(type, 0, 'latin1');
  head.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}

function zeroEnded(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'utf8');
}
