/**
 * MySQL and MariaDB: the login is accepted and the statement answers with at least one row. Only the first row is
 * waited for. Over TLS where the server offers it. Source: the protocol's public documentation.
 */
import { type CheckerKind, type CheckResult, type CheckTarget, healthy, unhealthy } from '../checker.ts';
import type { Dialogue } from '../dialogue.ts';
import { type BecomeSecure, conversePreferringTls } from '../prefer-tls.ts';
import {
  decodeColumnCount,
  decodeError,
  decodeGreeting,
  decodeMethodSwitch,
  END,
  END_BYTES_MAX,
  ERROR,
  encodeLogin,
  encodeQuery,
  encodeQuit,
  encodeTlsRequest,
  LOCAL_FILE,
  MORE_DATA,
  type MysqlGreeting,
  OK,
  packet,
  readPacketHeader,
} from '../protocol/mysql.ts';
import {
  CACHING_SHA2,
  clearPassword,
  encryptedPassword,
  passwordProof,
  SHA2_ASKS_FOR_PASSWORD,
  SHA2_KNOWN,
  SHA2_PUBLIC_KEY_REQUEST,
} from '../protocol/mysql-login.ts';
import { CheckFailure, excerpt } from '../reasons.ts';

const PAYLOAD_BYTES_MAX = 32 * 1_024;
/** As many as a table of MySQL can have. */
const COLUMNS_MAX = 4_096;
/** Of one column's names and type. */
const COLUMN_BYTES_MAX = 4 * 1_024;
const LOGIN_STEPS_MAX = 8;

export const mysql: CheckerKind = {
  name: 'mysql',
  summary: 'MySQL or MariaDB answers a statement with a row',
  concurrencyMax: 256,
  create: () => ({ check: checkMysql }),
};

async function checkMysql(target: CheckTarget, signal: AbortSignal): Promise<CheckResult> {
  if (target.login === undefined) return unhealthy('no login is configured');
  if (target.request === undefined) return unhealthy('no statement is configured');
  return conversePreferringTls(target, signal, (dialogue, becomeSecure) =>
    new Session(dialogue, target).run(becomeSecure),
  );
}

class Session {
  readonly #dialogue: Dialogue;
  readonly #target: CheckTarget;
  /** Of the next packet, in either direction. */
  #sequence = 0;

  constructor(dialogue: Dialogue, target: CheckTarget) {
    this.#dialogue = dialogue;
    this.#target = target;
  }

  async run(becomeSecure: BecomeSecure | null): Promise<CheckResult> {
    const greeting = await this.#readGreeting();
    const overTls = greeting.offersTls && becomeSecure !== null;
    if (overTls) {
      this.#send(encodeTlsRequest(this.#target.database ?? ''));
      await becomeSecure();
    }
    await this.#logIn(greeting, overTls);
    const result = await this.#query();
    this.#sequence = 0;
    this.#send(encodeQuit());
    return result;
  }

  async #readGreeting(): Promise<MysqlGreeting> {
    const payload = await this.#readPayload('greeting');
    if (payload[0] === ERROR) throw new CheckFailure(`refuses: ${excerpt(decodeError(payload))}`);
    const greeting = decodeGreeting(payload);
    if (greeting === null) throw new CheckFailure('the greeting is not that of MySQL');
    return greeting;
  }

  async #logIn({ nonce: greetingNonce, method: greetingMethod }: MysqlGreeting, overTls: boolean): Promise<void> {
    const { login = '', password = '', database = '' } = this.#target;
    let method = greetingMethod;
    let nonce = greetingNonce;
    // What is not spoken here is left to the server to change.
    const proof = passwordProof(method, password, nonce, overTls) ?? Buffer.alloc(0);
    this.#send(encodeLogin({ login, database, method, proof }, overTls));
    for (let steps = 0; steps < LOGIN_STEPS_MAX; steps++) {
      const payload = await this.#readPayload('answer to the login');
      const [first] = payload;
      if (first === OK) return;
      if (first === ERROR) throw loginRefused(payload);
      if (first === END) {
        const wanted = decodeMethodSwitch(payload);
        if (wanted === null) throw new CheckFailure('the server wants a login older than MySQL 4.1');
        ({ method, nonce } = wanted);
        const answer = passwordProof(method, password, nonce, overTls);
        if (answer === null) throw new CheckFailure(methodRefused(method));
        this.#send(answer);
      } else if (first === MORE_DATA && method === CACHING_SHA2) {
        await this.#continueSha2(payload, nonce, overTls);
      } else throw new CheckFailure('the answer to the login is not that of MySQL');
    }
    throw new CheckFailure(`the login has more than ${LOGIN_STEPS_MAX} steps`);
  }

  /** The server remembers the proof of a password it has seen before; otherwise it wants the password itself. */
  async #continueSha2(payload: Buffer, nonce: Buffer, overTls: boolean): Promise<void> {
    const { password = '' } = this.#target;
    if (payload.length !== 2 || (payload[1] !== SHA2_KNOWN && payload[1] !== SHA2_ASKS_FOR_PASSWORD)) {
      throw new CheckFailure('the answer to the login is not that of MySQL');
    }
    if (payload[1] === SHA2_KNOWN) return;
    if (overTls) return this.#send(clearPassword(password));
    this.#send(SHA2_PUBLIC_KEY_REQUEST);
    const key = await this.#readPayload('public key of the server');
    if (key[0] === ERROR) throw loginRefused(key);
    const encrypted = encryptedPassword(password, nonce, key.toString('latin1', 1));
    if (encrypted === null) throw new CheckFailure('the server sent no public key to hide the password with');
    this.#send(encrypted);
  }

  async #query(): Promise<CheckResult> {
    this.#sequence = 0;
    this.#send(encodeQuery(this.#target.request ?? ''));
    const payload = await this.#readPayload('answer to the statement');
    const [first] = payload;
    if (first === ERROR) return unhealthy(`statement refused: ${excerpt(decodeError(payload))}`);
    if (first === OK) return unhealthy('no row came back: the statement is not one that answers with rows');
    if (first === LOCAL_FILE) return unhealthy('no row came back: the statement asks for a file');
    const columns = decodeColumnCount(payload);
    if (columns === null || columns > COLUMNS_MAX) {
      throw new CheckFailure('the answer to the statement is not that of MySQL');
    }
    for (let column = 0; column < columns; column++) await this.#skipPayload('columns of the answer');
    await this.#skipPayload('columns of the answer');
    return this.#firstRow();
  }

  async #firstRow(): Promise<CheckResult> {
    const length = await this.#readHeader('first row');
    if (length === 0) throw new CheckFailure('the first row is empty');
    const [first] = await this.#dialogue.readBytes(1, 'first row');
    if (first === END && length <= END_BYTES_MAX) return unhealthy('no row came back');
    if (first !== ERROR) return healthy('a row came back');
    const rest = await this.#dialogue.readBytes(Math.min(length, PAYLOAD_BYTES_MAX) - 1, 'first row');
    return unhealthy(`statement refused: ${excerpt(decodeError(Buffer.concat([Buffer.of(ERROR), rest])))}`);
  }

  #send(payload: Uint8Array): void {
    this.#dialogue.writeBytes(packet(this.#sequence, payload));
    this.#sequence = (this.#sequence + 1) & 0xff;
  }

  async #readPayload(awaited: string): Promise<Buffer> {
    const length = await this.#readHeader(awaited);
    if (length === 0 || length > PAYLOAD_BYTES_MAX) throw new CheckFailure(`the ${awaited} claims ${length} bytes`);
    return this.#dialogue.readBytes(length, awaited);
  }

  async #skipPayload(awaited: string): Promise<void> {
    const length = await this.#readHeader(awaited);
    if (length > COLUMN_BYTES_MAX) throw new CheckFailure(`the ${awaited} claim ${length} bytes`);
    await this.#dialogue.skipBytes(length, awaited);
  }

  /** Bytes of the next packet. */
  async #readHeader(awaited: string): Promise<number> {
    const { length, sequence } = readPacketHeader(await this.#dialogue.readBytes(4, awaited));
    if (sequence !== this.#sequence) {
      throw new CheckFailure(`the ${awaited} has number ${sequence} instead of ${this.#sequence}`);
    }
    this.#sequence = (this.#sequence + 1) & 0xff;
    return length;
  }
}

function loginRefused(payload: Buffer): CheckFailure {
  return new CheckFailure(`login refused: ${excerpt(decodeError(payload))}`);
}

function methodRefused(method: string): string {
  const wish = `the server wants ${excerpt(method)} to log this user in`;
  return `${wish}, which checks do not speak; give them a user with mysql_native_password or ${CACHING_SHA2}`;
}
