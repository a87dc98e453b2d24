/**
 * SCRAM-SHA-256 from the side of the client, without channel binding: both sides prove that they know the password
 * without telling it. Pure. Sources: RFC 5802, RFC 7677.
 */
import { createHash, createHmac, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';

export const SCRAM_SHA_256 = 'SCRAM-SHA-256';
const KEY_BYTES = 32;
/** A server that asks for more wants our time, not our proof. */
const ITERATIONS_MAX = 1_000_000;
/** No channel binding. */
const HEADER = 'n,,';

export interface ScramProof {
  /** The second message of the client. */
  readonly text: string;
  /** Whether the last message of the server proves that it knows the password too. */
  isConfirmedBy(serverFinal: string): boolean;
}

/** `nonce`: random, printable, without a comma. PostgreSQL knows the user already. */
export function scramFirst(nonce: string): string {
  return `${HEADER}n=,r=${nonce}`;
}

/** Resolves with a sentence when this is no good first message of a server that has heard `scramFirst(nonce)`. */
export async function proveScram(nonce: string, password: string, serverFirst: string): Promise<ScramProof | string> {
  const [, serverNonce, saltText, iterationText] =
    /^r=([^,]+),s=([A-Za-z0-9+/=]+),i=(\d+)(?:,|$)/.exec(serverFirst) ?? [];
  if (serverNonce === undefined) return 'the SCRAM message of the server cannot be understood';
  if (!serverNonce.startsWith(nonce) || serverNonce === nonce) return 'the SCRAM nonce of the server is not ours';
  const iterations = Number(iterationText);
  if (iterations < 1 || iterations > ITERATIONS_MAX) return `the server asks for ${iterationText} rounds of SCRAM`;
  const salted = await derive(password.normalize('NFKC'), Buffer.from(saltText, 'base64'), iterations);
  const withoutProof = `c=${Buffer.from(HEADER).toString('base64')},r=${serverNonce}`;
  const transcript = `n=,r=${nonce},${serverFirst},${withoutProof}`;
  const clientKey = hmac(salted, 'Client Key');
  const signature = hmac(createHash('sha256').update(clientKey).digest(), transcript);
  const proof = Buffer.from(clientKey.map((byte, index) => byte ^ signature[index])).toString('base64');
  const serverSignature = hmac(hmac(salted, 'Server Key'), transcript);
  return {
    text: `${withoutProof},p=${proof}`,
    isConfirmedBy(serverFinal) {
      const told = Buffer.from(/^v=([A-Za-z0-9+/=]+)/.exec(serverFinal)?.[1] ?? '', 'base64');
      return told.length === KEY_BYTES && timingSafeEqual(told, serverSignature);
    },
  };
}

const deriveKey = promisify(pbkdf2);

function derive(password: string, salt: Buffer, iterations: number): Promise<Buffer> {
  return deriveKey(password, salt, iterations, KEY_BYTES, 'sha256');
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
