/**
 * http and https: the URL answers with a 2xx status, after redirects, and the body matches. Certificates are not
 * verified: the question is whether the server lives, asked by its address. The time is for the whole exchange.
 */
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { type CheckerKind, type CheckResult, type CheckTarget, healthy, unhealthy } from '../checker.ts';
import { CheckFailure, excerpt, failureReason, inTime } from '../reasons.ts';
import { withinTime } from '../time-limit.ts';

const REDIRECTS_MAX = 7;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** More of a body is not looked at. */
const BODY_BYTES_MAX = 8 * 1024 * 1024;
/** More of a body that does not match is not told. */
const TOLD_BYTES_MAX = 64 * 1024;

export const http: CheckerKind = {
  name: 'http',
  summary: 'an HTTP or HTTPS request is answered with 2xx and a matching body',
  concurrencyMax: 1_024,
  create: () => ({ check: checkHttp }),
};

interface Reply {
  readonly status: number;
  readonly reason: string;
  readonly location: string | undefined;
  /** One character per byte. */
  readonly body: string;
}

function checkHttp(target: CheckTarget, signal: AbortSignal): Promise<CheckResult> {
  return withinTime(signal, target.timeoutMs, (limited) => exchange(target, signal, limited));
}

/** `limited`: aborts with `signal`, and when the time is over. */
async function exchange(target: CheckTarget, signal: AbortSignal, limited: AbortSignal): Promise<CheckResult> {
  try {
    let url = parseUrl(target.url ?? '');
    let reply = await ask(target, url, true, limited);
    for (let redirects = 0; isRedirect(reply); redirects++) {
      if (redirects === REDIRECTS_MAX) return unhealthy(`more than ${REDIRECTS_MAX} redirects`);
      url = parseUrl(reply.location!, url);
      reply = await ask(target, url, false, limited);
    }
    return judgeReply(target, reply);
  } catch (error) {
    if (signal.aborted) return unhealthy('stopped');
    if (limited.aborted) return unhealthy(`no complete answer within ${inTime(target.timeoutMs)}`);
    return unhealthy(failureReason(error as Error));
  }
}

function parseUrl(text: string, base?: URL): URL {
  if (URL.canParse(text, base?.href)) return new URL(text, base);
  throw new CheckFailure(
    base === undefined ? `${excerpt(text)} is not a whole URL` : `redirected to ${excerpt(text)}, which is no address`,
  );
}

function isRedirect({ status, location }: Reply): boolean {
  return REDIRECTS.has(status) && location !== undefined;
}

function judgeReply(target: CheckTarget, { status, reason, body }: Reply): CheckResult {
  const line = `${status} ${reason}`.trim();
  if (status < 200 || status > 299) return unhealthy(line);
  if (target.receive === undefined) return healthy(line);
  const matches = new RegExp(target.receive.source, target.receive.flags).test(body);
  if (matches) return healthy(line);
  const sentence = body === '' ? 'the body is empty' : `the body does not match: ${excerpt(body)}`;
  return { ...unhealthy(sentence), body: body.slice(0, TOLD_BYTES_MAX) };
}

/** `first`: the URL that was asked for, to which the configured `Host` header belongs. */
function ask(target: CheckTarget, url: URL, first: boolean, signal: AbortSignal): Promise<Reply> {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return Promise.reject(new CheckFailure(`redirected to ${url.protocol} which is not HTTP`));
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const secure = url.protocol === 'https:';
  const viaProxy = target.proxy === true && !secure;
  const hostHeader = first && !viaProxy ? (target.virtualHost ?? url.hostname) : url.host;
  const options = {
    host: viaProxy ? target.address : host,
    port: viaProxy ? target.port : Number(url.port || (secure ? 443 : 80)),
    path: viaProxy ? url.href : url.pathname + url.search,
    method: target.method ?? 'GET',
    headers: { Host: hostHeader, 'User-Agent': 'uipvs', Connection: 'close' },
    agent: false,
    signal,
  } as const;
  return new Promise((resolve, reject) => {
    const received = (answer: IncomingMessage): void => readReply(answer, resolve, reject);
    const serverName = hostHeader.replace(/:\d+$/, '');
    const request: ClientRequest = secure
      ? httpsRequest(
          { ...options, rejectUnauthorized: false, ...(isIP(serverName) ? {} : { servername: serverName }) },
          received,
        )
      : httpRequest(options, received);
    // More than one may come; only the first counts.
    request.on('error', reject);
    request.end();
  });
}

function readReply(answer: IncomingMessage, resolve: (reply: Reply) => void, reject: (error: Error) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const finish = (): void =>
    resolve({
      status: answer.statusCode ?? 0,
      reason: answer.statusMessage ?? '',
      location: answer.headers.location,
      body: Buffer.concat(chunks).toString('latin1'),
    });
  answer.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes < BODY_BYTES_MAX) return;
    finish();
    answer.destroy();
  });
  answer.once('end', finish);
  answer.on('error', reject);
  answer.once('aborted', () => reject(new CheckFailure('closed in the middle of the answer')));
}
