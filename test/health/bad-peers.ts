/**
 * Bad peers: what a check must survive, the same list for every kind. A subject says how a good server talks; the
 * peers here keep silent, break off, say too much or something else. Each must end in a reason, in time, with
 * nothing left open.
 */
import { getEventListeners } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CheckerKind, CheckResult, CheckTarget } from '../../src/health/checker.ts';
import { type Certificates, createCertificates } from './certificates.ts';

/** For a check that is expected to run out of time. */
const SHORT_MS = 400;
/** For one that is expected to see what is wrong before. */
const LONG_MS = 15_000;
/** What a busy machine may add. */
const SLACK_MS = 3_000;
const CLOSING_MS = 10_000;
const DRIBBLE_MS = 20;
const POURED_BYTES_MAX = 64 * 1024 * 1024;
/** Taken from an endless answer by any check, with what the buffers of the kernel hold. */
const TAKEN_BYTES_MAX = 32 * 1024 * 1024;
/** Places at which a good server falls silent. */
const SILENCES_MAX = 12;

export type Bytes = string | Buffer;

/** What a peer says, or makes of the first words of the client. */
export type Words = Bytes | ((heard: Buffer) => Bytes);

export interface GoodServer {
  /** Said to whoever connects. Absent: the client speaks first. */
  readonly greeting?: Bytes;
  /** What is said to a piece of what the client sends; `null`: closes. */
  answer(heard: Buffer): Bytes | null;
}

export interface Expectation {
  readonly reason: RegExp;
  /** Whether the check has to use up its time. */
  readonly late?: boolean;
}

export interface Subject {
  readonly name: string;
  readonly kind: CheckerKind;
  target(port: number): Partial<CheckTarget>;
  /** The peers speak TLS, except where the question is what happens if not. */
  readonly secure?: boolean;
  /** What an expired certificate means. Only with `secure`. */
  readonly expired?: 'healthy' | 'unhealthy';
  /** The check closes its sending side and goes on listening, and so do the peers. */
  readonly halfCloses?: boolean;
  /** One for each connection. */
  good(): GoodServer;
  /** So many bytes of the good server decide that it is healthy; breaking off before that is a failure. */
  readonly decisiveBytes: number;
  /** Well-formed first words that mean no, and the reason each must give. */
  readonly wrong: readonly (readonly [said: Words, reason: RegExp])[];
  /** Well formed; said again and again it is never an answer. Absent: only noise is endless. */
  readonly endless?: Bytes | undefined;
  /** What is expected where the common reasons do not fit. */
  readonly expected?: Readonly<Partial<Record<PeerName, Expectation>>>;
}

interface Connection {
  readonly socket: Socket;
  /** Sends a reset, below TLS. */
  reset(): void;
}

interface Peer extends Expectation {
  behave(connection: Connection, subject: Subject): void;
}

export const LATE: Expectation = { reason: /^(no .+|the .+ was not complete) within 400 ms$/, late: true };
const CLOSED = /^(closed|connection reset|broken pipe) (before|in the middle of) the .+$/;
/** Every byte but the line end. */
const NOISE = Buffer.from(Array.from({ length: 256 }, (_, index) => (index * 167 + 13) & 0xff).filter((b) => b !== 10));

const PEERS = {
  'says nothing': { behave: () => {}, ...LATE },
  'closes at once': { behave: ({ socket }) => void socket.end(), reason: CLOSED },
  'resets the connection': {
    behave: ({ reset }) => reset(),
    reason: /^(connection reset|closed|broken pipe)( before the .+)?$/,
  },
  'talks noise': {
    behave: ({ socket }, subject) =>
      whenItsTurn(socket, subject, () => socket.write(Buffer.concat([NOISE, Buffer.from('\r\n\r\n')]))),
    reason: /^.+ was \S+.*$/,
  },
  'talks noise without end': {
    behave: ({ socket }, subject) => whenItsTurn(socket, subject, () => pour(socket, NOISE)),
    reason: /^said \d+ bytes without a line end instead of the .+$/,
  },
  'repeats itself without end': {
    behave: ({ socket }, subject) => whenItsTurn(socket, subject, () => pour(socket, subject.endless ?? NOISE)),
    reason: /^.+ has more than \d+ lines$/,
  },
  'dribbles for ever': {
    behave: ({ socket }, subject) => whenItsTurn(socket, subject, () => dribble(socket, subject.good())),
    ...LATE,
  },
} as const satisfies Record<string, Peer>;
const TLS_EXPECTED = {
  'speaks plainly': { reason: /^TLS: the server does not speak it$/ },
  'never shakes hands': LATE,
  'closes in the handshake': { reason: /^closed before the TLS handshake$/ },
} as const satisfies Record<string, Expectation>;
export type PeerName = keyof typeof PEERS | keyof typeof TLS_EXPECTED;

let certificates: Certificates;

/** Registers the tests of one subject; answers how many bad peers those are. */
export function describeBadPeers(subject: Subject): number {
  let peerCount = 0;
  const bad = (name: string, work: () => Promise<void>): void => {
    peerCount += 1;
    test(name, work);
  };
  describe(subject.name, () => {
    beforeAll(() => {
      if (subject.secure === true) certificates = createCertificates();
    });
    afterAll(() => {
      if (subject.secure === true) certificates.remove();
    });

    test('a good server is healthy', async () => {
      const peer = await listen(subject, ({ socket }) => beGood(socket, subject.good()));
      expect(await checkOnce(subject, peer, LONG_MS)).toMatchObject({ healthy: true });
    });

    bad('a closed port is refused', async () => {
      const peer = await listen(subject, () => {});
      await peer.close();
      expectReason(await checkOnce(subject, peer, LONG_MS), { reason: /^connection refused$/ });
    });

    for (const [name, peer] of Object.entries(PEERS) as [keyof typeof PEERS, Peer][]) {
      if (name === 'repeats itself without end' && subject.endless === undefined) continue;
      const expectation = subject.expected?.[name] ?? peer;
      bad(`a peer that ${name}`, async () => {
        const listening = await listen(subject, (connection) => peer.behave(connection, subject));
        expectReason(await checkOnce(subject, listening, expectation.late ? SHORT_MS : LONG_MS), expectation);
      });
    }

    for (const [said, reason] of subject.wrong) {
      bad(`a peer that says ${nameOf(said)}`, async () => {
        const peer = await listen(subject, ({ socket }) =>
          whenItsTurn(socket, subject, (heard) => socket.write(typeof said === 'function' ? said(heard) : said)),
        );
        expectReason(await checkOnce(subject, peer, LONG_MS), { reason });
      });
    }

    bad('a good server that closes after any of its bytes', async () => {
      let bytesMax = 0;
      const peer = await listen(subject, ({ socket }) => beGood(socket, subject.good(), bytesMax, 'close'));
      for (; bytesMax < subject.decisiveBytes; bytesMax++) {
        const result = await checkOnce(subject, peer, LONG_MS, { isLast: bytesMax === subject.decisiveBytes - 1 });
        expect(result.message, `after ${bytesMax} bytes`).toMatch(
          subject.expected?.['closes at once']?.reason ?? CLOSED,
        );
        expectReason(result, { reason: /./ });
      }
    });

    bad('a good server that falls silent after any of its bytes', async () => {
      const step = Math.ceil(subject.decisiveBytes / SILENCES_MAX);
      const places = Array.from({ length: Math.ceil(subject.decisiveBytes / step) }, (_, index) => index * step);
      const outcomes = places.map(async (bytesMax) => {
        const peer = await listen(subject, ({ socket }) => beGood(socket, subject.good(), bytesMax, 'silence'));
        return checkOnce(subject, peer, SHORT_MS);
      });
      for (const outcome of await Promise.all(outcomes)) expectReason(outcome, LATE);
    });

    test('a check that is stopped leaves nothing open', async () => {
      const peer = await listen(subject, () => {});
      const stopper = new AbortController();
      const { target } = subject;
      const checker = subject.kind.create();
      const full = { address: '127.0.0.1', port: peer.port, timeoutMs: LONG_MS, ...target(peer.port) };
      const checked = checker.check(full, stopper.signal);
      await peer.connected();
      stopper.abort();
      expect(await checked).toEqual({ healthy: false, message: 'stopped' });
      expect(await checker.check(full, stopper.signal)).toEqual({ healthy: false, message: 'stopped' });
      checker.close?.();
      await peer.deserted();
      await peer.close();
    });

    if (subject.secure !== true) return;
    const behaviours: Record<keyof typeof TLS_EXPECTED, (socket: Socket) => void> = {
      'speaks plainly': (socket) => socket.write(subject.good().greeting ?? 'HTTP/1.1 400 Bad Request\r\n\r\n'),
      'never shakes hands': () => {},
      'closes in the handshake': (socket) => socket.once('data', () => socket.end()),
    };
    for (const [name, expectation] of Object.entries(TLS_EXPECTED) as [keyof typeof TLS_EXPECTED, Expectation][]) {
      bad(`a peer that ${name} where TLS is expected`, async () => {
        const peer = await listen({ ...subject, secure: false }, ({ socket }) => behaviours[name](socket));
        expectReason(await checkOnce(subject, peer, expectation.late ? SHORT_MS : LONG_MS), expectation);
      });
    }
    bad(`an expired certificate is ${subject.expired}`, async () => {
      const peer = await listen(subject, ({ socket }) => beGood(socket, subject.good()), 'expired');
      const result = await checkOnce(subject, peer, LONG_MS);
      if (subject.expired === 'healthy') expect(result).toMatchObject({ healthy: true });
      else expectReason(result, { reason: /^TLS: certificate has expired$/ });
    });
  });
  return peerCount;
}

interface Listening {
  readonly port: number;
  /** Somebody has come. */
  connected(): Promise<void>;
  /** Nobody is connected any more, without our having closed anything. Throws when it takes too long. */
  deserted(): Promise<void>;
  /** Bytes that were taken from us. */
  takenBytes(): number;
  close(): Promise<void>;
}

async function listen(
  subject: Subject,
  behave: (connection: Connection) => void,
  certificate: 'valid' | 'expired' = 'valid',
): Promise<Listening> {
  const raw = new Set<Socket>();
  let takenBytes = 0;
  let come: () => void = () => {};
  const hasCome = new Promise<void>((resolve) => {
    come = resolve;
  });
  const begin = (socket: Socket, below: Socket): void => {
    socket.on('error', () => {});
    come();
    behave({ socket, reset: () => below.resetAndDestroy() });
    // Who does not read does not hear the end.
    socket.resume();
  };
  const accept = (socket: Socket): void => {
    raw.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => {
      takenBytes += socket.bytesWritten - socket.writableLength;
      raw.delete(socket);
    });
  };
  // One at a time: the raw socket below a secure one is the last that was accepted.
  let latest: Socket;
  const server =
    subject.secure === true
      ? createTlsServer(certificates[certificate], (socket) => begin(socket, latest))
      : createServer({ allowHalfOpen: subject.halfCloses === true }, (socket) => begin(socket, socket));
  server.prependListener('connection', (socket: Socket) => {
    latest = socket;
    accept(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    connected: () => hasCome,
    async deserted() {
      const untilMs = performance.now() + CLOSING_MS;
      while (raw.size > 0) {
        // Whoever has closed only one side still takes this; whoever is gone answers with a reset.
        if (subject.halfCloses === true) for (const socket of raw) socket.write('\n');
        if (performance.now() > untilMs) throw new Error(`${raw.size} connections are still open`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    takenBytes: () => takenBytes,
    async close() {
      for (const socket of raw) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

interface Outcome extends CheckResult {
  readonly tookMs: number;
  readonly timeoutMs: number;
}

/** One check, after which nobody is connected any more and nothing listens for its being stopped. */
async function checkOnce(
  { kind, target }: Subject,
  peer: Listening,
  timeoutMs: number,
  { isLast = true } = {},
): Promise<Outcome> {
  const checker = kind.create();
  const full: CheckTarget = { address: '127.0.0.1', port: peer.port, timeoutMs, ...target(peer.port) };
  const { signal } = new AbortController();
  const startedMs = performance.now();
  const result = await checker.check(full, signal);
  const tookMs = performance.now() - startedMs;
  checker.close?.();
  expect(getEventListeners(signal, 'abort')).toEqual([]);
  await peer.deserted();
  expect(peer.takenBytes()).toBeLessThan(TAKEN_BYTES_MAX);
  if (isLast) await peer.close().catch(() => {});
  return { ...result, tookMs, timeoutMs };
}

function expectReason({ healthy, message, tookMs, timeoutMs }: Outcome, { reason, late = false }: Expectation): void {
  expect(message).toMatch(reason);
  expect(healthy).toBe(false);
  // One sentence, fit for a terminal.
  expect(message).toMatch(/^[^\p{C}]{1,200}$/u);
  expect(tookMs).toBeLessThan((late ? timeoutMs : LONG_MS) + SLACK_MS);
}

function whenItsTurn(socket: Socket, subject: Subject, act: (heard: Buffer) => void): void {
  if (subject.good().greeting === undefined) socket.once('data', act);
  else act(Buffer.alloc(0));
}

/** In the name of a test: the words of a function are its own name. */
function nameOf(said: Words): string {
  return typeof said === 'function' ? said.name : JSON.stringify(said.toString('latin1').slice(0, 60));
}

/** Talks as the good server does; after `bytesMax` bytes it closes or says nothing more. */
function beGood(
  socket: Socket,
  good: GoodServer,
  bytesMax = Number.POSITIVE_INFINITY,
  then: 'close' | 'silence' = 'close',
) {
  let saidBytes = 0;
  const say = (words: Bytes): void => {
    const bytes = Buffer.from(words).subarray(0, Math.max(0, bytesMax - saidBytes));
    saidBytes += bytes.length;
    const isOver = saidBytes >= bytesMax;
    if (isOver && then === 'close') socket.end(bytes);
    else if (bytes.length > 0) socket.write(bytes);
  };
  if (good.greeting !== undefined) say(good.greeting);
  socket.on('data', (heard) => {
    if (saidBytes >= bytesMax && bytesMax > 0) return;
    const answer = good.answer(heard);
    if (answer !== null) say(answer);
    else if (saidBytes < bytesMax) socket.end();
  });
}

function pour(socket: Socket, bytes: Bytes): void {
  const block = Buffer.concat(Array.from({ length: 256 }, () => Buffer.from(bytes)));
  const more = (): void => {
    while (!socket.destroyed && socket.bytesWritten < POURED_BYTES_MAX) if (!socket.write(block)) return;
  };
  socket.on('drain', more);
  more();
}

/** The beginning of a good answer, ever more slowly: one byte at a time, and never the last one. */
function dribble(socket: Socket, { greeting, answer }: GoodServer): void {
  const words = Buffer.from(greeting ?? answer(Buffer.alloc(0)) ?? '');
  let at = 0;
  const timer = setInterval(() => {
    if (at < words.length && words[at] !== 10 && words[at] !== 13) socket.write(words.subarray(at, ++at));
  }, DRIBBLE_MS);
  socket.once('close', () => clearInterval(timer));
}
