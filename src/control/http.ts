/** HTTP of the API server: bodies in, JSON and lines out, always within the limits. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ErrorCode, IpvsError } from '../model/errors.ts';
import { API_BODY_BYTES_MAX } from '../model/limits.ts';
import { errorBody, HTTP_STATUS } from './api.ts';
import { findJsonError } from './json-position.ts';

/** A refused request whose HTTP status says more than its code: 404, 405, 413. */
export class HttpError extends IpvsError {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, code: ErrorCode, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(code, message);
    this.status = status;
    this.headers = headers;
  }
}

/** The whole body as JSON, which should be `what`. Throws HttpError: 413 above the limit, 400 with line and column when it is no JSON. */
export async function readJson(
  request: IncomingMessage,
  what: string,
  bytesMax: number = API_BODY_BYTES_MAX,
): Promise<unknown> {
  const tooLarge = (): HttpError =>
    new HttpError(413, 'EINVAL', `the body may have ${bytesMax} bytes; send the commands in several requests`);
  // What is left of a refused body is read and thrown away by node:http, so the client gets to read the answer.
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    if (bytes > bytesMax) throw tooLarge();
    chunks.push(chunk as Buffer);
  }
  return parseJson(decodeUtf8(Buffer.concat(chunks)), what);
}

function decodeUtf8(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new IpvsError('EINVAL', 'the body is not UTF-8', { cause });
  }
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    if (text.trim() === '') throw new IpvsError('EINVAL', `the body is empty; it must be ${what} as JSON`, { cause });
    const position = findJsonError(text);
    const place = position === null ? '' : ` at line ${position.line}, column ${position.column}`;
    const end = position?.offset === text.length ? ' (it ends too early)' : '';
    throw new IpvsError('EINVAL', `the body is not JSON${place}${end}`, { cause });
  }
}

export function sendJson(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    ...headers,
  });
  response.end(text);
}

export function sendError(response: ServerResponse, error: unknown): void {
  const body = errorBody(error);
  const status = error instanceof HttpError ? error.status : HTTP_STATUS[body.code];
  sendJson(response, status, { error: body }, error instanceof HttpError ? error.headers : {});
}

/** Writes and waits while the client reads slowly. Returns false when the client is gone. */
export async function writeSome(response: ServerResponse, text: string): Promise<boolean> {
  if (response.destroyed || response.closed) return false;
  if (response.write(text)) return true;
  const gone = new AbortController();
  const stop = (): void => gone.abort();
  response.once('close', stop);
  try {
    await once(response, 'drain', { signal: gone.signal });
    return true;
  } catch {
    return false;
  } finally {
    response.off('close', stop);
  }
}

/** A whole number of the query, or `null` when it is not there. Throws EINVAL. */
export function queryNumber(query: URLSearchParams, name: string): number | null {
  const text = query.get(name);
  if (text === null) return null;
  if (!/^[1-9]\d{0,8}$/.test(text)) {
    throw new IpvsError('EINVAL', `${name} must be a whole number from 1 to 999999999, not "${text.slice(0, 60)}"`);
  }
  return Number(text);
}
