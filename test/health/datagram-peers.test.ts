/** The checks in datagrams, DNS and RADIUS, before good and bad peers: each must end in a reason, in time. */
import { createSocket, type Socket } from 'node:dgram';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import type { CheckerKind, CheckResult, CheckTarget } from '../../src/health/checker.ts';
import { CHECKERS } from '../../src/health/checkers/index.ts';
import { responseAuthenticator } from '../../src/health/protocol/radius.ts';

/** For a check that is expected to run out of time. */
const SHORT_MS = 400;
/** For one that is expected to see what is wrong before. */
const LONG_MS = 15_000;
/** What a busy machine may add. */
const SLACK_MS = 3_000;

type Reply = (question: Buffer) => readonly Buffer[];

let peer: Socket | null = null;
afterEach(() => {
  peer?.close();
  peer = null;
});

async function listen(reply: Reply): Promise<number> {
  const socket = createSocket('udp4');
  socket.on('message', (question, { port, address }) => {
    for (const bytes of reply(question)) socket.send(bytes, port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  peer = socket;
  return socket.address().port;
}

interface Subject {
  readonly name: string;
  readonly kind: CheckerKind;
  readonly target: Partial<CheckTarget>;
  good(question: Buffer): Buffer;
  /** What answers mean that are not good. */
  readonly wrong: readonly (readonly [
    name: string,
    change: (good: Buffer, question: Buffer) => Buffer,
    reason: RegExp,
  ])[];
  /** Of something that is not the protocol. */
  readonly noise: RegExp;
  /** Where the number of a question stands, and what is said when only others were answered. */
  readonly numberAt: number;
  readonly strangers: RegExp;
}

async function check({ kind, target }: Subject, port: number, timeoutMs: number): Promise<CheckResult> {
  const checker = kind.create();
  const full = { address: '127.0.0.1', port, timeoutMs, ...target };
  const startedMs = performance.now();
  const result = await checker.check(full, new AbortController().signal);
  expect(performance.now() - startedMs).toBeLessThan(timeoutMs + SLACK_MS);
  checker.close?.();
  await deserted();
  expect(result.message).toMatch(/^[^\p{C}]{1,200}$/u);
  return result;
}

/** No socket of datagrams is left but that of the peer. */
async function deserted(): Promise<void> {
  const openSockets = (): number => process.getActiveResourcesInfo().filter((name) => name === 'UDPWrap').length;
  await expect.poll(openSockets, { interval: 2, timeout: LONG_MS }).toBeLessThanOrEqual(peer === null ? 0 : 1);
}

const LATE = /^no answer within 400 ms(; a server is also silent when .+)?$/;

function describePeers(subject: Subject): void {
  const expectReason = async (reply: Reply, reason: RegExp, timeoutMs = LONG_MS): Promise<void> => {
    const result = await check(subject, await listen(reply), timeoutMs);
    expect(result.message).toMatch(reason);
    expect(result.healthy).toBe(false);
  };

  describe(subject.name, () => {
    test('a good server is healthy, also after others have answered', async () => {
      const stranger = (question: Buffer): Buffer => {
        const bytes = Buffer.from(subject.good(question));
        bytes[subject.numberAt] ^= 1;
        return bytes;
      };
      const port = await listen((question) => [stranger(question), subject.good(question)]);
      expect(await check(subject, port, LONG_MS)).toMatchObject({ healthy: true });
    });

    test('a good server that does not hear the first question is healthy', async () => {
      let heard = 0;
      const port = await listen((question) => (++heard === 1 ? [] : [subject.good(question)]));
      expect(await check(subject, port, LONG_MS)).toMatchObject({ healthy: true });
      expect(heard).toBe(2);
    });

    test('a closed port is refused', async () => {
      const port = await listen(() => []);
      peer?.close();
      peer = null;
      expect(await check(subject, port, LONG_MS)).toEqual({ healthy: false, message: 'connection refused' });
    });

    test('silence', () => expectReason(() => [], LATE, SHORT_MS));
    test('an empty datagram', () => expectReason(() => [Buffer.alloc(0)], subject.noise));
    test('a datagram as large as can be', () => {
      const large = (question: Buffer): Buffer => {
        const bytes = Buffer.alloc(65_507, 0xc0);
        question.copy(bytes, 0, 0, subject.numberAt + 2);
        return bytes;
      };
      return expectReason((question) => [large(question)], /^answered .+$/);
    });
    test('a flood of answers to other questions', () =>
      expectReason(
        (question) => {
          const bytes = Buffer.from(subject.good(question));
          bytes[subject.numberAt] ^= 1;
          return Array<Buffer>(1_000).fill(bytes);
        },
        subject.strangers,
        SHORT_MS,
      ));
    for (const [name, change, reason] of subject.wrong) {
      test(name, () => expectReason((question) => [change(Buffer.from(subject.good(question)), question)], reason));
    }

    test('a good answer that is cut short at any of its bytes', async () => {
      let bytesMax = 0;
      let length = 1;
      const port = await listen((question) => {
        const good = subject.good(question);
        length = good.length;
        return [good.subarray(0, bytesMax)];
      });
      for (; bytesMax < length; bytesMax++) {
        const { healthy } = await check(subject, port, LONG_MS);
        expect([bytesMax, healthy]).toEqual([bytesMax, false]);
      }
    });

    test('a check that is stopped leaves nothing open', async () => {
      const stopper = new AbortController();
      const full = { address: '127.0.0.1', port: await listen(() => []), timeoutMs: LONG_MS, ...subject.target };
      const checked = subject.kind.create().check(full, stopper.signal);
      stopper.abort();
      expect(await checked).toEqual({ healthy: false, message: 'stopped' });
      await deserted();
    });

    test('no bytes are an accident', async () => {
      let words = Buffer.alloc(0);
      const port = await listen((question) => {
        const bytes = Buffer.concat([words, Buffer.alloc(4)]);
        question.copy(bytes, subject.numberAt, subject.numberAt, subject.numberAt + 2);
        return [bytes];
      });
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
          words = Buffer.from(bytes);
          expect((await check(subject, port, LONG_MS)).healthy).toBe(false);
        }),
        { numRuns: 50 },
      );
    });
  });
}

/** Behind the header of 12 bytes the question, and behind that the address. */
function dnsAnswer(question: Buffer): Buffer {
  const header = Buffer.from([...question.subarray(0, 2), 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
  return Buffer.concat([header, question.subarray(12), record]);
}

describePeers({
  name: 'dns over udp',
  kind: CHECKERS.dns,
  target: { protocol: 'udp', request: 'www.uipvs.test' },
  good: dnsAnswer,
  numberAt: 0,
  noise: /^answered something that is not DNS$/,
  strangers: /^no answer within 400 ms, only \d+ with another number than the question$/,
  wrong: [
    ['its own question', (_, question) => question, /^answered with a question$/],
    ['a failure', (good) => changed(good, 3, 0x82), /^answered SERVFAIL for www\.uipvs\.test$/],
    ['a refusal', (good) => changed(good, 3, 0x85).fill(0, 4, 12).subarray(0, 12), /^answered REFUSED for www\.uipvs/],
    ['an answer to another name', (good) => changed(good, 13, 0x78), /^answered another question$/],
    ['a pointer to itself', (good) => changed(good, good.length - 15, good.length - 16), /^answered .+ not DNS: .+$/],
    ['more records than there are', (good) => changed(good, 6, 0xff), /^answered something that is not DNS: .+$/],
    [
      'an answer that should be asked for over TCP, where nobody is',
      (good) => changed(good, 2, 0x83),
      /^connection ref/,
    ],
  ],
});

function radiusAnswer(question: Buffer, code: number, secret = 'shared'): Buffer {
  const packet = Buffer.alloc(20);
  packet[0] = code;
  packet[1] = question[1];
  packet.writeUInt16BE(20, 2);
  responseAuthenticator(packet, question.subarray(4, 20), secret).copy(packet, 4);
  return packet;
}

describePeers({
  name: 'radius',
  kind: CHECKERS.radius,
  target: { login: 'probe', password: 'x', secret: 'shared' },
  good: (question) => radiusAnswer(question, 2),
  numberAt: 1,
  noise: /^answered with something that is not RADIUS$/,
  strangers: /^no answer within 400 ms, only \d+ to other questions$/,
  wrong: [
    ['its own question', (_, question) => question, /^answered with code 1 instead of Access-Accept$/],
    ['a rejection', (_, question) => radiusAnswer(question, 3), /^Access-Reject$/],
    ['a challenge', (_, question) => radiusAnswer(question, 11), /^Access-Challenge$/],
    [
      'another secret',
      (_, question) => radiusAnswer(question, 2, 'other'),
      /^the response authenticator is wrong: is the/,
    ],
    ['a wrong authenticator', (good) => changed(good, 4, good[4] ^ 1), /^the response authenticator is wrong: is the/],
    [
      'a length above its own',
      (good) => changed(good, 2, 0x10),
      /^answered with a packet of 20 bytes that claims 4116$/,
    ],
    [
      'a length below the header',
      (good) => changed(good, 3, 19),
      /^answered with a packet of 20 bytes that claims 19$/,
    ],
    [
      'an attribute without a length',
      (good) => changed(Buffer.concat([good, Buffer.from([18, 0])]), 3, 22),
      /^answered with attributes that do not fit their lengths$/,
    ],
  ],
});

function changed(bytes: Buffer, at: number, byte: number): Buffer {
  bytes[at] = byte;
  return bytes;
}

test('what does not fit into a question is not asked', async () => {
  const ask = (kind: CheckerKind, target: Partial<CheckTarget>) =>
    kind
      .create()
      .check({ address: '127.0.0.1', port: 9, timeoutMs: SHORT_MS, ...target }, new AbortController().signal);
  expect((await ask(CHECKERS.radius, { login: 'x'.repeat(254) })).message).toBe('the login is longer than 253 bytes');
  expect((await ask(CHECKERS.radius, { password: 'x'.repeat(129) })).message).toBe(
    'the password is longer than 128 bytes',
  );
  expect((await ask(CHECKERS.dns, { request: 'a..b' })).message).toBe('request: a..b is no name of DNS');
});
