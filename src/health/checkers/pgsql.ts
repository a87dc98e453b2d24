/**
 * PostgreSQL: the login is accepted and the statement answers with at least one row. Only the first row is waited
 * for. Over TLS where the server offers it. Source: the chapter "Frontend/Backend Protocol" of its documentation.
 */
import { randomBytes } from 'node:crypto';
import { type CheckerKind, type CheckResult, type CheckTarget, healthy, unhealthy } from '../checker.ts';
import type { Dialogue } from '../dialogue.ts';
import { type BecomeSecure, conversePreferringTls } from '../prefer-tls.ts';
import {
  decodeDemand,
  decodeError,
  encodeMd5Password,
  encodePassword,
  encodeQuery,
  encodeSaslAnswer,
  encodeSaslStart,
  encodeStartup,
  encodeTerminate,
  encodeTlsRequest,
  type PostgresDemand,
  readMessageHeader,
} from '../protocol/postgres.ts';
import { proveScram, SCRAM_SHA_256, scramFirst } from '../protocol/scram.ts';
import { CheckFailure, excerpt } from '../reasons.ts';

const BODY_BYTES_MAX = 32 * 1_024;
/** Of a message that is let go by; the description of 1,600 columns is the longest that may be meant. */
const SKIPPED_BYTES_MAX = 1_024 * 1_024;
/** Of settings and notices between the answers that count. */
const MESSAGES_MAX = 1_000;
const NONCE_BYTES = 18;

export const pgsql: CheckerKind = {
  name: 'pgsql',
  summary: 'PostgreSQL answers a statement with a row',
  concurrencyMax: 256,
  create: () => ({ check: checkPgsql }),
};

async function checkPgsql(target: CheckTarget, signal: AbortSignal): Promise<CheckResult> {
  if (target.login === undefined) return unhealthy('no login is configured');
  if (target.request === undefined) return unhealthy('no statement is configured');
  return conversePreferringTls(target, signal, (dialogue, becomeSecure) => talk(dialogue, target, becomeSecure));
}

async function talk(dialogue: Dialogue, target: CheckTarget, becomeSecure: BecomeSecure | null): Promise<CheckResult> {
  if (becomeSecure !== null) await askForTls(dialogue, becomeSecure);
  dialogue.writeBytes(encodeStartup(target.login ?? '', target.database ?? ''));
  await logIn(dialogue, target);
  await readUntil(dialogue, 'Z', 'end of the login');
  dialogue.writeBytes(encodeQuery(target.request ?? ''));
  const result = await firstRow(dialogue);
  dialogue.writeBytes(encodeTerminate());
  return result;
}

async function askForTls(dialogue: Dialogue, becomeSecure: BecomeSecure): Promise<void> {
  dialogue.writeBytes(encodeTlsRequest());
  const answer = (await dialogue.readBytes(1, 'answer to the wish for TLS')).toString('latin1');
  if (answer === 'S') return becomeSecure();
  if (answer !== 'N') throw notPostgres();
}

async function logIn(dialogue: Dialogue, target: CheckTarget): Promise<void> {
  const demand = await readDemand(dialogue);
  if (demand.kind === 'none') return;
  const { login = '', password } = target;
  if (demand.kind === 'other') {
    throw new CheckFailure(`the server wants ${demand.name} to log this user in, which checks do not speak`);
  }
  if (password === undefined) throw new CheckFailure('the server asks for a password, and none is configured');
  if (demand.kind === 'clear-password') dialogue.writeBytes(encodePassword(password));
  else if (demand.kind === 'md5') dialogue.writeBytes(encodeMd5Password(login, password, demand.salt));
  else if (demand.kind === 'sasl') await logInByScram(dialogue, password, demand.mechanisms);
  else throw notPostgres();
  if ((await readDemand(dialogue)).kind !== 'none') throw notPostgres();
}

async function logInByScram(dialogue: Dialogue, password: string, mechanisms: readonly string[]): Promise<void> {
  if (!mechanisms.includes(SCRAM_SHA_256)) {
    throw new CheckFailure(`the server wants one of ${excerpt(mechanisms.join(' '))}, which checks do not speak`);
  }
  const nonce = randomBytes(NONCE_BYTES).toString('base64');
  dialogue.writeBytes(encodeSaslStart(SCRAM_SHA_256, scramFirst(nonce)));
  const challenge = await readDemand(dialogue);
  if (challenge.kind !== 'sasl-continue') throw notPostgres();
  const proof = await proveScram(nonce, password, challenge.text);
  if (typeof proof === 'string') throw new CheckFailure(proof);
  dialogue.writeBytes(encodeSaslAnswer(proof.text));
  const final = await readDemand(dialogue);
  if (final.kind !== 'sasl-final') throw notPostgres();
  if (!proof.isConfirmedBy(final.text)) {
    throw new CheckFailure('the server let us in without a proof that it knows the password');
  }
}

async function readDemand(dialogue: Dialogue): Promise<PostgresDemand> {
  const demand = decodeDemand(await readUntil(dialogue, 'R', 'answer to the login'));
  if (demand === null) throw notPostgres();
  return demand;
}

/** The body of the next message of this type. Settings and notices before it are let go by; an error is thrown. */
async function readUntil(dialogue: Dialogue, type: string, awaited: string): Promise<Buffer> {
  for (let messages = 0; messages < MESSAGES_MAX; messages++) {
    const header = await readHeader(dialogue, awaited);
    if (header.type === type) return readBody(dialogue, header.bytes, awaited);
    if (header.type === 'E') {
      const problem = decodeError(await readBody(dialogue, header.bytes, awaited));
      throw new CheckFailure(`login refused: ${excerpt(problem)}`);
    }
    if (!'SKNv'.includes(header.type)) throw notPostgres();
    await skipBody(dialogue, header.bytes, awaited);
  }
  throw new CheckFailure(`more than ${MESSAGES_MAX} messages before the ${awaited}`);
}

async function firstRow(dialogue: Dialogue): Promise<CheckResult> {
  const awaited = 'answer to the statement';
  for (let messages = 0; messages < MESSAGES_MAX; messages++) {
    const { type, bytes } = await readHeader(dialogue, awaited);
    switch (type) {
      case 'D':
        return healthy('a row came back');
      case 'E':
        return unhealthy(`statement refused: ${excerpt(decodeError(await readBody(dialogue, bytes, awaited)))}`);
      case 'Z':
        return unhealthy('no row came back');
      case 'G':
      case 'H':
      case 'W':
        return unhealthy('no row came back: the statement copies a file');
      case 'A':
      case 'C':
      case 'I':
      case 'N':
      case 'S':
      case 'T':
        await skipBody(dialogue, bytes, awaited);
        break;
      default:
        throw notPostgres();
    }
  }
  throw new CheckFailure(`more than ${MESSAGES_MAX} messages before a row`);
}

async function readHeader(dialogue: Dialogue, awaited: string): Promise<{ type: string; bytes: number }> {
  const header = readMessageHeader(await dialogue.readBytes(5, awaited));
  if (header === null) throw notPostgres();
  return header;
}

function skipBody(dialogue: Dialogue, bytes: number, awaited: string): Promise<void> {
  if (bytes > SKIPPED_BYTES_MAX) throw new CheckFailure(`the ${awaited} claims ${bytes} bytes`);
  return dialogue.skipBytes(bytes, awaited);
}

function readBody(dialogue: Dialogue, bytes: number, awaited: string): Promise<Buffer> {
  if (bytes > BODY_BYTES_MAX) throw new CheckFailure(`the ${awaited} claims ${bytes} bytes`);
  return dialogue.readBytes(bytes, awaited);
}

function notPostgres(): CheckFailure {
  return new CheckFailure('the server does not speak as PostgreSQL does');
}
