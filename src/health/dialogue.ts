/**
 * Talks with a server over TCP or TLS, in lines of text or in counted bytes. Everything is bounded: the time of the whole conversation,
 * the length of a line, the lines of an answer, and what is kept of it. Whatever goes wrong is one sentence that says
 * how far the conversation had come.
 */
import { type Socket, connect as tcpConnect } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import { type CheckResult, type CheckTarget, unhealthy } from './checker.ts';
import { CheckFailure, excerpt, failureReason, inTime } from './reasons.ts';

const LINE_BYTES_MAX = 64 * 1024;
const REPLY_LINES_MAX = 1_000;
/** So much may wait to be read before the server has to wait. */
const BUFFER_BYTES_MAX = 64 * 1024;
/** For the answer to a goodbye; the result is known by then. */
const GOODBYE_MS = 1_000;

export type Partner = Pick<CheckTarget, 'address' | 'port' | 'timeoutMs' | 'secure'>;

/** An answer that begins with three digits, as of SMTP, FTP and NNTP. */
export interface Reply {
  readonly code: number;
  /** Its first line. */
  readonly line: string;
}

/**
 * Opens a connection, lets `talk` use it, and answers what that answers. Never rejects; a CheckFailure of `talk`, a
 * connection that breaks and the end of the time become `unhealthy`. Then every connection is closed.
 */
export async function converse(
  partner: Partner,
  signal: AbortSignal,
  talk: (dialogue: Dialogue) => Promise<CheckResult>,
): Promise<CheckResult> {
  const limit = new AbortController();
  const stop = (): void => limit.abort(new CheckFailure('stopped'));
  const timer = setTimeout(() => limit.abort(), partner.timeoutMs);
  signal.addEventListener('abort', stop);
  const opened: Dialogue[] = [];
  try {
    if (signal.aborted) return unhealthy('stopped');
    const dialogue = new Dialogue(partner, limit.signal, opened);
    await dialogue.connected();
    return await talk(dialogue);
  } catch (error) {
    return unhealthy(failureReason(error as Error));
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    for (const dialogue of opened) dialogue.close();
  }
}

export class Dialogue {
  readonly #partner: Partner;
  readonly #limit: AbortSignal;
  readonly #opened: Dialogue[];
  #socket: Socket;
  /** What is being waited for, for the sentence when it does not come. */
  #awaited = 'connection';
  /** Received and not yet read, one character per byte. */
  #waiting = '';
  /** Before this there is no line end in `#waiting`. */
  #searchedTo = 0;
  #isConnected = false;
  #hasEnded = false;
  /** Why nothing more will come. */
  #failure: CheckFailure | null = null;
  #wake: () => void = () => {};

  /** Use `converse`. `limit` aborts with a CheckFailure, or with anything else when the time is over. */
  constructor(partner: Partner, limit: AbortSignal, opened: Dialogue[]) {
    this.#partner = partner;
    this.#limit = limit;
    this.#opened = opened;
    opened.push(this);
    const { address: host, port } = partner;
    this.#socket = partner.secure === true ? this.#openSecure({ host, port }) : this.#openPlain();
    this.#listen();
    limit.addEventListener('abort', this.#expire);
    if (limit.aborted) this.#expire();
  }

  get localAddress(): string {
    return this.#socket.localAddress ?? '';
  }

  get localPort(): number {
    return this.#socket.localPort ?? 0;
  }

  /** Throws a CheckFailure when there will be no connection. */
  async connected(): Promise<void> {
    while (!this.#isConnected) await this.#news();
  }

  /** Another connection to the same address within the same time; closed with this one. */
  async openSecond(port: number): Promise<Dialogue> {
    const second = new Dialogue({ ...this.#partner, port }, this.#limit, this.#opened);
    await second.connected();
    return second;
  }

  /** Sends bytes, one character each, as they are. */
  write(text: string): void {
    this.#socket.write(text, 'latin1');
  }

  /** Sends a line of UTF-8. */
  send(line: string): void {
    this.#socket.write(`${line}\r\n`, 'utf8');
  }

  writeBytes(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /**
   * Goes on over TLS; to be called when the server has agreed to it. Any certificate will do: without TLS there would
   * be none. Throws a CheckFailure when the handshake fails.
   */
  async becomeSecure(): Promise<void> {
    // Whoever sits in between could have put it there, to be taken for what comes over TLS.
    if (this.#waiting !== '') throw new CheckFailure('sent more than its consent to TLS');
    const plain = this.#socket;
    for (const event of ['data', 'end', 'close']) plain.removeAllListeners(event);
    this.#isConnected = false;
    this.#awaited = 'TLS handshake';
    this.#socket = this.#openSecure({ socket: plain });
    this.#listen();
    this.#socket.once('close', () => plain.destroy());
    await this.connected();
  }

  /** Closes the sending side. */
  endSending(): void {
    this.#socket.end();
  }

  /**
   * The next line without its end, one character per byte. `awaited` is what it is, such as `greeting` or
   * `answer to EHLO`. Throws a CheckFailure when none comes.
   */
  async readLine(awaited: string): Promise<string> {
    const line = await this.readPiece(awaited);
    if (line === null) throw new CheckFailure(`closed before the ${awaited}`);
    if (line.endsWith('\n')) return line.replace(/\r?\n$/, '');
    if (line.length < LINE_BYTES_MAX) throw new CheckFailure(`closed in the middle of the ${awaited}`);
    throw new CheckFailure(`said ${line.length} bytes without a line end instead of the ${awaited}`);
  }

  /** The next line with its end, a piece of a line that is too long, or what stands before the end; then `null`. */
  async readPiece(awaited: string): Promise<string | null> {
    this.#awaited = awaited;
    for (;;) {
      const lineEndAt = this.#waiting.indexOf('\n', this.#searchedTo);
      if (lineEndAt >= 0) return this.#take(lineEndAt + 1);
      this.#searchedTo = this.#waiting.length;
      if (this.#waiting.length >= LINE_BYTES_MAX) return this.#take(this.#waiting.length);
      if (this.#hasEnded && this.#failure === null) return this.#take(this.#waiting.length) || null;
      await this.#news();
    }
  }

  /** Reads an answer of one or more lines that begins with three digits. */
  async readReply(awaited: string): Promise<Reply> {
    const line = await this.readLine(awaited);
    const [, digits, separator] = /^(\d{3})([ -]|$)/.exec(line) ?? [];
    if (digits === undefined) throw new CheckFailure(`${awaited} was ${excerpt(line)}`);
    if (separator === '-') await this.#skipUntil(digits, awaited);
    return { code: Number(digits), line };
  }

  /** As `readReply`; throws a CheckFailure unless the code begins with one of these digits. */
  async expectReply(awaited: string, firstDigits: string): Promise<Reply> {
    const reply = await this.readReply(awaited);
    if (!firstDigits.includes(reply.line[0])) throw new CheckFailure(`${awaited} was ${excerpt(reply.line)}`);
    return reply;
  }

  /** Exactly so many bytes, at most 64 KiB. Throws a CheckFailure when fewer come. */
  async readBytes(count: number, awaited: string): Promise<Buffer> {
    this.#awaited = awaited;
    while (this.#waiting.length < count) {
      if (this.#hasEnded && this.#waiting !== '') throw new CheckFailure(`closed in the middle of the ${awaited}`);
      await this.#news();
    }
    return Buffer.from(this.#take(count), 'latin1');
  }

  /** Lets so many bytes go by without keeping them. */
  async skipBytes(count: number, awaited: string): Promise<void> {
    let left = count;
    while (left > 0) {
      const part = await this.#readSome(awaited, left);
      if (part === '') throw new CheckFailure(`closed in the middle of the ${awaited}`);
      left -= part.length;
    }
  }

  /** Everything until the server closes, one character per byte; of more than `bytesMax` only the beginning. */
  async readToEnd(awaited: string, bytesMax: number): Promise<string> {
    const parts: string[] = [];
    let bytes = 0;
    while (bytes < bytesMax) {
      const part = await this.#readSome(awaited);
      if (part === '') break;
      parts.push(part);
      bytes += part.length;
    }
    return parts.join('').slice(0, bytesMax);
  }

  /** Takes leave, so that the server does not log a broken connection. Whatever happens here changes no result. */
  async sayGoodbye(line: string): Promise<void> {
    const timer = setTimeout(() => this.#fail(new CheckFailure('stays open')), GOODBYE_MS);
    try {
      this.send(line);
      while ((await this.#readSome('goodbye')) !== '');
    } catch {
      // The result is known.
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#limit.removeEventListener('abort', this.#expire);
    this.#socket.destroy();
  }

  #listen(): void {
    this.#socket.on('data', (bytes: Buffer) => this.#receive(bytes));
    this.#socket.on('error', (error) => this.#fail(new CheckFailure(this.#brokenSentence(error))));
    for (const event of ['end', 'close']) this.#socket.on(event, this.#end);
  }

  #openPlain(): Socket {
    const { address, port } = this.#partner;
    return tcpConnect({ host: address, port }, () => this.#becomeConnected());
  }

  /** From the first byte, the certificate has to be in its time; by whom and for whom it was issued is not asked. */
  #openSecure(over: { readonly host: string; readonly port: number } | { readonly socket: Socket }): Socket {
    const socket: TLSSocket = tlsConnect({ ...over, rejectUnauthorized: false }, () => {
      const problem = 'socket' in over ? null : certificateProblem(socket, Date.now());
      if (problem === null) this.#becomeConnected();
      else this.#fail(new CheckFailure(`TLS: ${problem}`));
    });
    socket.once('connect', () => {
      this.#awaited = 'TLS handshake';
    });
    return socket;
  }

  #becomeConnected(): void {
    this.#isConnected = true;
    this.#wake();
  }

  #receive(bytes: Buffer): void {
    this.#waiting += bytes.toString('latin1');
    if (this.#waiting.length > BUFFER_BYTES_MAX) this.#socket.pause();
    this.#wake();
  }

  readonly #end = (): void => {
    this.#hasEnded = true;
    this.#wake();
  };

  readonly #expire = (): void => {
    const { reason } = this.#limit;
    this.#fail(reason instanceof CheckFailure ? reason : new CheckFailure(this.#lateSentence()));
  };

  #fail(failure: CheckFailure): void {
    this.#failure ??= failure;
    this.#wake();
  }

  /** Resolves when something has happened; throws when nothing can. */
  async #news(): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    if (this.#hasEnded) throw new CheckFailure(`closed before the ${this.#awaited}`);
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Empty when the server has closed. */
  async #readSome(awaited: string, bytesMax = BUFFER_BYTES_MAX): Promise<string> {
    this.#awaited = awaited;
    while (this.#waiting === '' && (!this.#hasEnded || this.#failure !== null)) await this.#news();
    return this.#take(Math.min(this.#waiting.length, bytesMax));
  }

  #take(bytes: number): string {
    const taken = this.#waiting.slice(0, bytes);
    this.#waiting = this.#waiting.slice(bytes);
    this.#searchedTo = 0;
    if (this.#waiting.length <= BUFFER_BYTES_MAX) this.#socket.resume();
    return taken;
  }

  async #skipUntil(digits: string, awaited: string): Promise<void> {
    for (let lines = 1; lines < REPLY_LINES_MAX; lines++) {
      const line = await this.readLine(`end of the ${awaited}`);
      if (line === digits || line.startsWith(`${digits} `)) return;
    }
    throw new CheckFailure(`${awaited} has more than ${REPLY_LINES_MAX} lines`);
  }

  #lateSentence(): string {
    const time = inTime(this.#partner.timeoutMs);
    return this.#waiting === ''
      ? `no ${this.#awaited} within ${time}`
      : `the ${this.#awaited} was not complete within ${time}`;
  }

  #brokenSentence(error: Error): string {
    const reason = failureReason(error);
    return this.#isConnected ? `${reason} before the ${this.#awaited}` : reason;
  }
}

/** Why nobody should trust this certificate today, or `null`. */
function certificateProblem(socket: TLSSocket, nowMs: number): string | null {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return null;
  if (Date.parse(certificate.validTo) < nowMs) return 'certificate has expired';
  return Date.parse(certificate.validFrom) > nowMs ? 'certificate is not valid yet' : null;
}
