/** Why a check failed, in one sentence for people. */
import { getSystemErrorMap } from 'node:util';

const EXCERPT_LENGTH_MAX = 80;

/** What a server did wrong; its message is the whole reason. */
export class CheckFailure extends Error {
  override readonly name = 'CheckFailure';
}

/** Errors that say something else than they mean. */
const SENTENCES: Readonly<Record<string, string>> = {
  ECONNRESET: 'connection reset',
  HPE_HEADER_OVERFLOW: 'the headers of the answer are too long',
};

/** The sentence for an error of Node: sockets, TLS, HTTP. */
export function failureReason(error: Error): string {
  if (error instanceof CheckFailure) return error.message;
  const { code = '' } = error as NodeJS.ErrnoException;
  if (error.message === 'socket hang up') return 'closed before the answer';
  if (error.message.includes('before secure TLS connection')) return 'closed before the TLS handshake';
  if (code in SENTENCES) return SENTENCES[code];
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_')) return tlsSentence(error.message);
  if (code.startsWith('HPE_')) return `the answer is not HTTP: ${error.message.replace(/^Parse Error: /, '')}`;
  return systemSentence(code) ?? error.message.split('\n')[0];
}

/** `5 s`, `300 ms`. */
export function inTime(timeMs: number): string {
  return timeMs < 1_000 ? `${timeMs} ms` : `${timeMs / 1_000} s`;
}

/** What a server said, one character per byte, fit to be printed within a sentence. */
export function excerpt(said: string): string {
  const text = Buffer.from(said.slice(0, 4 * EXCERPT_LENGTH_MAX), 'latin1').toString('utf8');
  const line = text.replace(/\s+/g, ' ').trim().replace(/\p{C}/gu, '?');
  if (line === '') return 'an empty line';
  return line.length > EXCERPT_LENGTH_MAX ? `${line.slice(0, EXCERPT_LENGTH_MAX)}...` : line;
}

/** `...:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:FILE:LINE:` of OpenSSL. */
function tlsSentence(message: string): string {
  const reason = /:SSL routines:[^:]*:([^:]+)/.exec(message)?.[1] ?? 'the handshake failed';
  const isOther = /^(wrong version number|packet length too long|http request)$/.test(reason);
  return `TLS: ${isOther ? 'the server does not speak it' : reason}`;
}

function systemSentence(code: string): string | undefined {
  for (const [name, sentence] of getSystemErrorMap().values()) if (name === code) return sentence;
  return undefined;
}
