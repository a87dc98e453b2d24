/**
 * ICMP echo, one question and one answer, for health checks. Runs on the event loop of any thread: the socket
 * never blocks and is asked by a timer. Sources: RFC 792, RFC 4443, raw(7), icmp(7).
 */
import { randomBytes } from 'node:crypto';
import { NativeUnavailableError } from './ffi.ts';
import { getLibc, type Libc, LibcError, SOCK_CLOEXEC, SOCK_NONBLOCK } from './libc.ts';
import { NativeMemory } from './native-memory.ts';

export interface PingRequest {
  /** IPv4 or IPv6 address as text; no names. */
  readonly address: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface PingResult {
  readonly ok: boolean;
  /** Round trip, in milliseconds; `null` when no answer came. */
  readonly rttMs: number | null;
  /** Why it failed, as part of a sentence; `null` when it did not. */
  readonly reason: string | null;
}

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const ECHO_REQUEST = 8;
const ECHO_REPLY = 0;
const ECHO_REQUEST_V6 = 128;
const ECHO_REPLY_V6 = 129;
const HEADER_BYTES = 8;
/** The answer to our question repeats these bytes; nothing else on the network does. */
const COOKIE_BYTES = 24;
const POLL_MS = 2;
/** Raw sockets see everybody's ICMP: at most so many of it in one tick. */
const MESSAGES_MAX = 64;
const MEMORY_BYTES = 4096;
const RECEIVE_AT = 512;

interface Question {
  readonly libc: Libc;
  readonly fd: number;
  readonly memory: NativeMemory;
  readonly ipv6: boolean;
  readonly cookie: Buffer;
}

/**
 * Sends one echo request and waits for its reply. A failure of any kind, missing rights and a missing package
 * included, is a result with a reason; nothing is thrown.
 */
export async function pingOnce(request: PingRequest): Promise<PingResult> {
  if (request.signal?.aborted) return failed('cancelled');
  let question: Question;
  try {
    question = openQuestion(request.address);
  } catch (error) {
    return failed((error as Error).message);
  }
  try {
    const beganMs = performance.now();
    const reason = await ask(question, request, beganMs);
    return reason === null ? { ok: true, rttMs: performance.now() - beganMs, reason: null } : failed(reason);
  } finally {
    question.libc.close(question.fd);
  }
}

/** `null` when echo requests can be sent from here, otherwise one sentence with the way out. */
export function pingUnavailable(): string | null {
  try {
    const libc = getLibc();
    libc.close(openSocket(libc, false));
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

function failed(reason: string): PingResult {
  return { ok: false, rttMs: null, reason };
}

function openQuestion(address: string): Question {
  const libc = getLibc();
  const bytes = libc.parseAddress(address);
  if (bytes === null) throw new Error(`${address} is not an IP address`);
  const ipv6 = bytes.length === 16;
  const fd = openSocket(libc, ipv6);
  const memory = new NativeMemory(libc, MEMORY_BYTES);
  try {
    connect(libc, fd, bytes, memory);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
  return { libc, fd, memory, ipv6, cookie: randomBytes(COOKIE_BYTES) };
}

/** A raw socket needs CAP_NET_RAW; a ping socket needs our group in net.ipv4.ping_group_range. */
function openSocket(libc: Libc, ipv6: boolean): number {
  const domain = ipv6 ? AF_INET6 : AF_INET;
  const protocol = ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
  for (const type of [SOCK_RAW, SOCK_DGRAM]) {
    try {
      return libc.socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    } catch (error) {
      if (error instanceof LibcError && (error.code === 'EPERM' || error.code === 'EACCES')) continue;
      throw error;
    }
  }
  throw new NativeUnavailableError(
    'no right to send ICMP; give CAP_NET_RAW, or let the group in: sysctl -w net.ipv4.ping_group_range="0 2147483647"',
  );
}

/** Connected, the socket hears that address only, and the kernel's errors about it. */
function connect(libc: Libc, fd: number, address: Uint8Array, memory: NativeMemory): void {
  const ipv6 = address.length === 16;
  memory.bytes.fill(0, 0, 28);
  memory.view.setUint16(0, ipv6 ? AF_INET6 : AF_INET, true);
  memory.bytes.set(address, ipv6 ? 8 : 4);
  libc.connect(fd, memory.bytes.slice(0, ipv6 ? 28 : 16));
}

/** Resolves with `null` when the reply has come, otherwise with the reason why not. */
function ask(question: Question, request: PingRequest, beganMs: number): Promise<string | null> {
  const refused = sendRequest(question);
  if (refused !== null) return Promise.resolve(refused);
  return new Promise((resolve) => {
    const finish = (reason: string | null) => {
      clearInterval(timer);
      request.signal?.removeEventListener('abort', cancel);
      resolve(reason);
    };
    const cancel = () => finish('cancelled');
    request.signal?.addEventListener('abort', cancel, { once: true });
    const timer = setInterval(() => {
      const answer = readAnswers(question);
      if (answer !== undefined) finish(answer);
      else if (performance.now() - beganMs >= request.timeoutMs) finish(`no answer in ${request.timeoutMs} ms`);
    }, POLL_MS);
  });
}

function sendRequest({ libc, fd, memory, ipv6, cookie }: Question): string | null {
  const { bytes, view } = memory;
  bytes.fill(0, 0, HEADER_BYTES);
  bytes[0] = ipv6 ? ECHO_REQUEST_V6 : ECHO_REQUEST;
  bytes.set(cookie.subarray(0, 2), 4);
  bytes.set(cookie, HEADER_BYTES);
  // The kernel finishes ICMPv6 checksums, whose pseudo-header needs the source address it chooses.
  if (!ipv6) view.setUint16(2, internetChecksum(bytes, HEADER_BYTES + COOKIE_BYTES), false);
  const sent = libc.sendto(fd, memory.address, HEADER_BYTES + COOKIE_BYTES, 0, 0, 0);
  return sent < 0 ? libc.errnoText() : null;
}

/** `null`: our reply; text: why there will be none; `undefined`: nothing yet. */
function readAnswers(question: Question): string | null | undefined {
  const { libc, fd, memory, ipv6 } = question;
  for (let n = 0; n < MESSAGES_MAX; n++) {
    const length = libc.recv(fd, memory.address + RECEIVE_AT, MEMORY_BYTES - RECEIVE_AT, 0);
    if (length < 0) {
      const error = libc.errnoText();
      return error === 'EAGAIN' || error === 'EINTR' ? undefined : error;
    }
    const message = memory.bytes.subarray(RECEIVE_AT, RECEIVE_AT + length);
    // A raw IPv4 socket hands over the IP header as well, which no ICMP type looks like.
    const icmp =
      !ipv6 && (message[0] as number) >>> 4 === 4 ? message.subarray(((message[0] as number) & 15) * 4) : message;
    if (icmp[0] === (ipv6 ? ECHO_REPLY_V6 : ECHO_REPLY) && quotes(icmp, question.cookie)) return null;
  }
  return undefined;
}

function quotes(message: Uint8Array, cookie: Buffer): boolean {
  return Buffer.from(message.buffer, message.byteOffset, message.length).includes(cookie);
}

/** RFC 1071, of an even number of bytes. */
function internetChecksum(bytes: Uint8Array, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i += 2) sum += ((bytes[i] as number) << 8) | (bytes[i + 1] as number);
  while (sum > 0xffff) sum = (sum >>> 16) + (sum & 0xffff);
  return ~sum & 0xffff;
}
