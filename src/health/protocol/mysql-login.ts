/**
 * Proofs of a password for MySQL and MariaDB. Pure. Sources: the pages "mysql_native_password" and
 * "caching_sha2_password" of the protocol's public documentation.
 */
import { constants, createHash, publicEncrypt } from 'node:crypto';

/** The password itself, ended by a zero: only over TLS. */
export const CLEAR_PASSWORD = 'mysql_clear_password';
export const CACHING_SHA2 = 'caching_sha2_password';

/** Within `caching_sha2_password`: the one byte of the server's answer. */
export const SHA2_KNOWN = 3;
export const SHA2_ASKS_FOR_PASSWORD = 4;
/** Within `caching_sha2_password`: asks for the server's public key. */
export const SHA2_PUBLIC_KEY_REQUEST = Buffer.of(2);

const METHODS: Readonly<Record<string, (password: string, nonce: Buffer) => Buffer>> = {
  mysql_native_password: nativeProof,
  [CACHING_SHA2]: sha2Proof,
};

/** `null`: a method that is not spoken here. An empty password proves itself by nothing. */
export function passwordProof(method: string, password: string, nonce: Buffer, overTls: boolean): Buffer | null {
  if (method === CLEAR_PASSWORD && overTls) return clearPassword(password);
  const prove = METHODS[method];
  if (prove === undefined) return null;
  return password === '' ? Buffer.alloc(0) : prove(password, nonce);
}

export function clearPassword(password: string): Buffer {
  return Buffer.from(`${password}\0`, 'utf8');
}

/** For `caching_sha2_password` without TLS. `null` when this is no public key of RSA. */
export function encryptedPassword(password: string, nonce: Buffer, publicKeyPem: string): Buffer | null {
  const clear = clearPassword(password);
  const hidden = nonce.length === 0 ? clear : clear.map((byte, index) => byte ^ nonce[index % nonce.length]);
  try {
    return publicEncrypt({ key: publicKeyPem, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }, hidden);
  } catch {
    return null;
  }
}

/** SHA1(password) XOR SHA1(nonce, SHA1(SHA1(password))). */
function nativeProof(password: string, nonce: Buffer): Buffer {
  const once = digest('sha1', password);
  return xor(once, digest('sha1', nonce, digest('sha1', once)));
}

/** SHA256(password) XOR SHA256(SHA256(SHA256(password)), nonce). */
function sha2Proof(password: string, nonce: Buffer): Buffer {
  const once = digest('sha256', password);
  return xor(once, digest('sha256', digest('sha256', once), nonce));
}

function digest(name: string, ...parts: readonly (string | Uint8Array)[]): Buffer {
  const hash = createHash(name);
  for (const part of parts) hash.update(part);
  return hash.digest();
}

function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(a.map((byte, index) => byte ^ b[index]));
}
