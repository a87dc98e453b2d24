/**
 * The calling end of the API: one HTTP/1.1 connection (RFC 9112) over a Unix socket, kept open between calls. It
 * stands here instead of the client of node:http because every `ipvsadm` pays for its start: this one costs a
 * program half as much. It understands what our server says: a length or chunks, nothing compressed.
 */
import { createConnection, type Socket } from 'node:net';

/** A daemon that says nothing for so long is stuck. */
const SILENCE_MS_MAX = 30_000;
const HEAD_BYTES_MAX = 16_384;
const HEAD_END = '\r\n\r\n';

export interface HttpAnswer {
  readonly status: number;
  readonly text: string;
}

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'DELETE';

interface Call {
  readonly method: HttpMethod;
  readonly route: string;
  /** Empty: none. */
  readonly body: string;
  readonly resolve: (answer: HttpAnswer) => void;
  readonly reject: (error: NodeJS.ErrnoException) => void;
}

/** Calls are carried out one after the other, in the order they were made. */
export class HttpConnection {
  readonly #path: string;
  #waiting: Call[] = [];
  /** The call under way, and the socket it went out on. */
  #current: { readonly call: Call; readonly socket: Socket } | null = null;
  #socket: Socket | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  /** Rejects with the error of the socket; `code` is ETIMEDOUT when no answer comes, EPROTO when it is not HTTP. */
  call(method: HttpMethod, route: string, body = ''): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ method, route, body, resolve, reject });
      if (this.#current === null) this.#next();
    });
  }

  /** Breaks off what is under way and waiting. A later call would connect again. */
  close(): void {
    for (const call of this.#waiting) call.reject(closedError());
    this.#waiting = [];
    this.#socket?.destroy();
  }

  #next(): void {
    const call = this.#waiting.shift();
    if (call === undefined) {
      // Nobody waits for an idle connection: the program may end.
      this.#socket?.setTimeout(0).unref();
      return;
    }
    this.#socket ??= this.#connect();
    this.#current = { call, socket: this.#socket };
    const { method, route, body } = call;
    const length =
      body === '' ? '' : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`;
    this.#socket.setTimeout(SILENCE_MS_MAX).ref();
    this.#socket.write(`${method} ${route} HTTP/1.1\r\nhost: uipvs\r\n${length}\r\n${body}`);
  }

  #connect(): Socket {
    const socket = createConnection(this.#path);
    const reader = new AnswerReader();
    let failure = closedError();
    socket.on('timeout', () => socket.destroy(withCode('ETIMEDOUT', 'no answer')));
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('data', (bytes: Buffer) => {
      try {
        const answer = reader.push(bytes);
        if (answer === null) return;
        if (reader.closes) this.#leave(socket);
        this.#finish(socket, (call) => call.resolve(answer));
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    // No new call may go out on a connection that the other end has finished with.
    socket.on('end', () => this.#leave(socket));
    socket.on('close', () => {
      this.#leave(socket);
      this.#finish(socket, (call) => call.reject(failure));
    });
    return socket;
  }

  #leave(socket: Socket): void {
    if (this.#socket === socket) this.#socket = null;
  }

  #finish(socket: Socket, settle: (call: Call) => void): void {
    if (this.#current?.socket !== socket) return;
    const { call } = this.#current;
    this.#current = null;
    settle(call);
    this.#next();
  }
}

type Expecting = 'head' | 'body' | 'chunk size' | 'chunk' | 'chunk end' | 'trailer';

/** Puts answers together from bytes that come in pieces of any size. */
export class AnswerReader {
  #expecting: Expecting = 'head';
  #rest: Buffer = Buffer.alloc(0);
  #status = 0;
  /** Bytes missing of the body or the chunk. */
  #missing = 0;
  #parts: Buffer[] = [];
  #closes = false;

  /** Whether the last answer said that the other end hangs up after it. */
  get closes(): boolean {
    return this.#closes;
  }

  /** The answer that these bytes complete, or `null`. Throws EPROTO when they are no answer. */
  push(bytes: Buffer): HttpAnswer | null {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    while (this.#step()) {
      if (this.#expecting !== 'head') continue;
      const answer = { status: this.#status, text: Buffer.concat(this.#parts).toString('utf8') };
      this.#parts = [];
      // We ask one thing at a time, so nothing may follow.
      if (this.#rest.length > 0) throw withCode('EPROTO', 'more came than was asked for');
      return answer;
    }
    return null;
  }

  /** One step onward; false when more bytes are needed. After the last step of an answer `head` is expected again. */
  #step(): boolean {
    switch (this.#expecting) {
      case 'head':
        return this.#readHead();
      case 'body':
      case 'chunk':
        return this.#readBytes(this.#expecting === 'body' ? 'head' : 'chunk end');
      case 'chunk size': {
        const line = this.#takeThrough('\r\n');
        if (line === null) return false;
        const digits = /^[0-9a-fA-F]{1,8}(?=\s*(?:;|\r\n$))/.exec(line)?.[0];
        if (digits === undefined) throw withCode('EPROTO', 'a chunk has no size');
        this.#missing = Number.parseInt(digits, 16);
        this.#expecting = this.#missing === 0 ? 'trailer' : 'chunk';
        return true;
      }
      case 'chunk end': {
        const line = this.#takeThrough('\r\n');
        if (line === null) return false;
        if (line !== '\r\n') throw withCode('EPROTO', 'a chunk is longer than it says');
        this.#expecting = 'chunk size';
        return true;
      }
      case 'trailer': {
        const line = this.#takeThrough('\r\n');
        if (line === null) return false;
        this.#expecting = line === '\r\n' ? 'head' : 'trailer';
        return true;
      }
    }
  }

  #readHead(): boolean {
    const head = this.#takeThrough(HEAD_END);
    if (head === null) return false;
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1];
    if (status === undefined) throw withCode('EPROTO', 'this is not HTTP');
    this.#status = Number(status);
    const length = /\r\ncontent-length: *(\d{1,12}) *\r\n/i.exec(head)?.[1];
    const chunked = /\r\ntransfer-encoding: *chunked *\r\n/i.test(head);
    if (!chunked && length === undefined) throw withCode('EPROTO', 'the answer has no length');
    this.#closes = /\r\nconnection: *close *\r\n/i.test(head);
    this.#missing = Number(length ?? 0);
    this.#expecting = chunked ? 'chunk size' : this.#missing === 0 ? 'head' : 'body';
    return true;
  }

  #readBytes(then: Expecting): boolean {
    const part = this.#rest.subarray(0, this.#missing);
    if (part.length === 0) return false;
    this.#parts.push(part);
    this.#rest = this.#rest.subarray(part.length);
    this.#missing -= part.length;
    if (this.#missing === 0) this.#expecting = then;
    return this.#missing === 0;
  }

  /** Text up to and with `mark`, or `null` while it has not come. */
  #takeThrough(mark: string): string | null {
    const at = this.#rest.indexOf(mark);
    if (at < 0 || at > HEAD_BYTES_MAX) {
      if (this.#rest.length > HEAD_BYTES_MAX) throw withCode('EPROTO', 'this is not HTTP');
      return null;
    }
    const text = this.#rest.toString('latin1', 0, at + mark.length);
    this.#rest = this.#rest.subarray(at + mark.length);
    return text;
  }
}

function closedError(): NodeJS.ErrnoException {
  return withCode('ECONNRESET', 'the connection was closed');
}

function withCode(code: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code });
}
