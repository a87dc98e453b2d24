/** Every check in lines of text, before a good server and all the bad ones. */
import { createSocket } from 'node:dgram';
import { getEventListeners } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CheckerKind, CheckResult, CheckTarget } from '../../src/health/checker.ts';
import { CHECKERS } from '../../src/health/checkers/index.ts';
import { describeBadPeers, type GoodServer, LATE, type Subject } from './bad-peers.ts';

const LOGIN = { login: 'uipvs', password: 'se"cr\\et' };
const bytes = (...texts: string[]): number => Buffer.byteLength(texts.join(''));

/** A server that answers a line by one of its words, and closes at one it does not know. */
function speaker(greeting: string, answers: Readonly<Record<string, string>>, wordIndex = 0): () => GoodServer {
  return () => ({
    greeting,
    answer: (heard) => answers[heard.toString('latin1').trim().split(' ')[wordIndex]] ?? null,
  });
}

const SMTP = ['220 mail.test ESMTP\r\n', '250-mail.test\r\n250-SIZE 1000\r\n250 PIPELINING\r\n'];
describeBadPeers({
  name: 'smtp',
  kind: CHECKERS.smtp,
  target: () => ({}),
  good: speaker(SMTP[0], { EHLO: SMTP[1] }),
  decisiveBytes: bytes(...SMTP),
  wrong: [
    ['554 no service\r\n', /^greeting was 554 no service$/],
    ['421-busy\r\n421 try later\r\n', /^greeting was 421-busy$/],
    ['+OK POP3 ready\r\n', /^greeting was \+OK POP3 ready$/],
    ['\r\n', /^greeting was an empty line$/],
    ['220 old\r\n502 what\r\n500 what again\r\n', /^answer to HELO was 500 what again$/],
  ],
  endless: '220-welcome\r\n',
});

const POP = ['+OK ready\r\n', '+OK\r\n', '+OK welcome\r\n'];
const pop: Subject = {
  name: 'pop with a login',
  kind: CHECKERS.pop,
  target: () => LOGIN,
  good: speaker(POP[0], { USER: POP[1], PASS: POP[2] }),
  decisiveBytes: bytes(...POP),
  wrong: [
    ['-ERR too busy\r\n', /^greeting was -ERR too busy$/],
    ['220 ready\r\n', /^greeting was 220 ready$/],
    ['+OKAY\r\n', /^greeting was \+OKAY$/],
    ['+OK\r\n-ERR who?\r\n', /^answer to USER was -ERR who\?$/],
    ['+OK\r\n+OK\r\n-ERR [AUTH] wrong\r\n', /^answer to PASS was -ERR \[AUTH\] wrong$/],
  ],
};
describeBadPeers(pop);
describeBadPeers({
  ...pop,
  name: 'pops',
  secure: true,
  expired: 'unhealthy',
  target: () => ({ ...LOGIN, secure: true }),
});
describeBadPeers({ ...pop, name: 'pop without a login', target: () => ({}), decisiveBytes: bytes(POP[0]), wrong: [] });

const IMAP = ['* OK IMAP4rev1 ready\r\n', '* CAPABILITY IMAP4rev1\r\na1 OK welcome\r\n'];
const imap: Subject = {
  name: 'imap with a login',
  kind: CHECKERS.imap,
  target: () => LOGIN,
  good: speaker(IMAP[0], { LOGIN: IMAP[1] }, 1),
  decisiveBytes: bytes(...IMAP),
  wrong: [
    ['* BYE overloaded\r\n', /^greeting was \* BYE overloaded$/],
    ['+OK ready\r\n', /^greeting was \+OK ready$/],
    ['* OK hi\r\na1 NO [AUTHENTICATIONFAILED] wrong\r\n', /^answer to LOGIN was a1 NO \[AUTHENTICATIONFAILED\] wrong$/],
    ['* OK hi\r\na2 OK to another question\r\n', /^answer to LOGIN was a2 OK/],
  ],
  endless: '* OK still here\r\n',
};
describeBadPeers(imap);
describeBadPeers({
  ...imap,
  name: 'imaps',
  secure: true,
  expired: 'unhealthy',
  target: () => ({ ...LOGIN, secure: true }),
});
describeBadPeers({
  ...imap,
  name: 'imap without a login',
  target: () => ({}),
  decisiveBytes: bytes(IMAP[0]),
  wrong: [],
  endless: undefined,
});

describeBadPeers({
  name: 'nntp',
  kind: CHECKERS.nntp,
  target: () => ({}),
  good: speaker('201 no posting\r\n', {}),
  decisiveBytes: bytes('201 no posting\r\n'),
  wrong: [
    ['400 not now\r\n', /^greeting was 400 not now$/],
    ['2000 years\r\n', /^greeting was 2000 years$/],
  ],
});

const SIP = 'SIP/2.0 200 OK\r\n';
describeBadPeers({
  name: 'sip over tcp',
  kind: CHECKERS.sip,
  target: () => ({ login: 'ldirectord@lab.test' }),
  good: () => ({ answer: () => `SIP/2.0 100 Trying\r\nContent-Length: 0\r\n\r\n${SIP}Content-Length: 0\r\n\r\n` }),
  decisiveBytes: bytes('SIP/2.0 100 Trying\r\nContent-Length: 0\r\n\r\n', SIP),
  wrong: [
    ['SIP/2.0 503 Service Unavailable\r\n\r\n', /^answer to OPTIONS was SIP\/2\.0 503 Service Unavailable$/],
    ['SIP/2.0 2000\r\n\r\n', /^answer to OPTIONS was SIP\/2\.0 2000$/],
    ['HTTP/1.1 200 OK\r\n\r\n', /^answer to OPTIONS was HTTP\/1\.1 200 OK$/],
  ],
  endless: 'SIP/2.0 100 Trying\r\n\r\n',
  expected: { 'repeats itself without end': { reason: /^no final answer to OPTIONS$/ } },
});

const TOO_MUCH = { reason: /^said more than 8388608 bytes without a matching line$/ };
const NO_MATCH = { reason: /^no line matches$/ };
describeBadPeers({
  name: 'simpletcp over tcp',
  kind: CHECKERS.simpletcp,
  halfCloses: true,
  target: () => ({ request: 'PING\n', receive: { source: '^PONG', flags: '' } }),
  good: () => ({ answer: () => 'hello\r\nPONG\r\n' }),
  decisiveBytes: bytes('hello\r\nPONG'),
  wrong: [],
  endless: 'nothing\r\n',
  expected: {
    'closes at once': NO_MATCH,
    'talks noise': LATE,
    'talks noise without end': TOO_MUCH,
    'repeats itself without end': TOO_MUCH,
  },
});

const HTTP = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';
const NOT_HTTP = { reason: /^the answer is not HTTP: \w.*$/ };
const http: Subject = {
  name: 'http',
  kind: CHECKERS.http,
  target: (port) => ({ url: `http://127.0.0.1:${port}/`, receive: { source: 'hello', flags: '' } }),
  good: () => ({ answer: () => HTTP }),
  decisiveBytes: bytes(HTTP),
  wrong: [
    ['HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n', /^503 Service Unavailable$/],
    ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbye', /^the body does not match: bye$/],
    ['HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ftp://x/\r\n\r\n', /^redirected to ftp: which is not HTTP$/],
    [
      'HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://[\r\n\r\n',
      /^redirected to http:\/\/\[, which is no address$/,
    ],
    [`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`, /^the headers of the answer are too long$/],
    [`HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(9_000_000)}`, /^the body does not match: x{80}\.\.\.$/],
  ],
  endless: 'HTTP/1.1 200 OK\r\n',
  expected: { 'talks noise': NOT_HTTP, 'talks noise without end': NOT_HTTP, 'repeats itself without end': NOT_HTTP },
};
describeBadPeers(http);
describeBadPeers({
  ...http,
  name: 'http_proxy',
  target: (port) => ({ ...http.target(port), url: 'http://www.example.test/', proxy: true }),
});
describeBadPeers({
  ...http,
  name: 'https',
  secure: true,
  expired: 'healthy',
  target: (port) => ({ ...http.target(port), url: `https://127.0.0.1:${port}/` }),
});

describe('ftp', () => {
  let data: Server;
  let serve: (socket: Socket) => void;
  beforeAll(async () => {
    data = createServer((socket) => {
      socket.on('error', () => {});
      serve(socket);
    });
    await new Promise<void>((resolve) => data.listen(0, '127.0.0.1', resolve));
    serve = (socket) => socket.end('all is well');
  });
  afterAll(() => void data.close());

  /** As long for every port. */
  const passive = (port: number): string => {
    const [high, low] = [port >> 8, port & 0xff].map((part) => String(part).padStart(3, '0'));
    return `227 Entering Passive Mode (10,0,0,1,${high},${low}).\r\n`;
  };
  const said = {
    USER: '331 password?\r\n',
    PASS: '230-welcome\r\n 230 lines\r\n230 in\r\n',
    CWD: '550 no\r\n',
    TYPE: '200 binary\r\n',
    PASV: passive(1),
    RETR: '150 here it comes\r\n226 done\r\n',
  };
  const greeting = '120 wait\r\n220 FTP\r\n';
  const target: Partial<CheckTarget> = { request: '/live', receive: { source: 'is well', flags: '' } };
  const good = (): GoodServer => speaker(greeting, { ...said, PASV: passive((data.address() as AddressInfo).port) })();
  const subject: Subject = {
    name: 'the control connection',
    kind: CHECKERS.ftp,
    target: () => target,
    good,
    decisiveBytes: bytes(greeting, ...Object.values(said)),
    wrong: [
      ['421 too many users\r\n', /^greeting was 421 too many users$/],
      ['220 a\r\n530 no\r\n', /^answer to USER was 530 no$/],
      ['220 a\r\n332 account?\r\n', /^answer to USER was 332, which asks for more than a password$/],
      ['220 a\r\n331 b\r\n530 no\r\n', /^answer to PASS was 530 no$/],
      ['220 a\r\n230 b\r\n250 c\r\n200 d\r\n227 nowhere\r\n', /^answer to PASV was 227 nowhere, without a port$/],
      ['220 a\r\n230 b\r\n250 c\r\n200 d\r\n500 what\r\n', /^answer to PASV was 500 what$/],
      [`220 a\r\n230 b\r\n250 c\r\n200 d\r\n227 (1,2,3,4,999,999)\r\n`, /without a port$/],
      [`220 a\r\n230 b\r\n250 c\r\n200 d\r\n${passive(1)}`, /^connection refused$/],
      ['120 wait\r\n'.repeat(20), /^no greeting but requests for patience$/],
    ],
    endless: '220-welcome\r\n',
  };
  describeBadPeers(subject);

  describeBadPeers({
    ...subject,
    name: 'without a file the login is the question',
    target: () => ({}),
    decisiveBytes: bytes(greeting, said.USER, said.PASS, said.CWD),
    wrong: [],
  });
  /** A check against a good control connection with another data connection. */
  async function fetchFrom(serveData: (socket: Socket) => void, timeoutMs: number, receive = 'is well') {
    const control = createServer((socket) => {
      const { greeting: first, answer } = good();
      socket.write(first ?? '');
      socket.on('error', () => {});
      socket.on('data', (heard) => {
        const words = answer(heard);
        if (words === null) socket.end();
        else socket.write(words);
      });
    });
    await new Promise<void>((resolve) => control.listen(0, '127.0.0.1', resolve));
    const before = serve;
    let sent: Socket | undefined;
    serve = (socket) => {
      sent = socket;
      serveData(socket);
      socket.resume();
    };
    try {
      const { port } = control.address() as AddressInfo;
      const full = { address: '127.0.0.1', port, timeoutMs, ...target, receive: { source: receive, flags: '' } };
      const result = await CHECKERS.ftp.create().check(full, new AbortController().signal);
      await expect.poll(() => sent?.destroyed, { timeout: 10_000 }).toBe(true);
      return result;
    } finally {
      serve = before;
      await new Promise((resolve) => control.close(resolve));
    }
  }

  test('a file that does not match is said', async () => {
    const result = await fetchFrom((socket) => socket.end('all is lost'), 10_000);
    expect(result).toEqual({ healthy: false, message: 'the file does not match' });
  });

  test('a file that never ends is looked at as far as is reasonable', async () => {
    const block = Buffer.alloc(64 * 1024, 'x');
    const pour = (socket: Socket): void => {
      const more = (): void => {
        while (!socket.destroyed && socket.bytesWritten < 64 * 1024 * 1024) if (!socket.write(block)) return;
      };
      socket.on('drain', more);
      more();
    };
    expect(await fetchFrom(pour, 15_000)).toEqual({ healthy: false, message: 'the file does not match' });
    expect(await fetchFrom(pour, 15_000, '^xx')).toMatchObject({ healthy: true });
  });

  test('a file that does not come has failed in time', async () => {
    const result = await fetchFrom((socket) => socket.write('all is'), 400);
    expect(result.healthy).toBe(false);
    expect(result.message).toMatch(LATE.reason);
    expect((await fetchFrom((socket) => socket.resetAndDestroy(), 10_000)).message).toMatch(/^connection reset/);
  });
});

describe('over UDP', () => {
  /** Asks a server that answers each datagram in this way, of which the first ones are lost. */
  async function ask(kind: CheckerKind, target: Partial<CheckTarget>, answers: (heard: string) => string[], lost = 0) {
    const heard: string[] = [];
    const server = createSocket(target.address === '::1' ? 'udp6' : 'udp4');
    server.on('message', (bytes, from) => {
      heard.push(bytes.toString('latin1'));
      if (heard.length <= lost) return;
      for (const answer of answers(heard[heard.length - 1])) server.send(answer, from.port, from.address);
    });
    const address = target.address ?? '127.0.0.1';
    await new Promise<void>((resolve) => server.bind(0, address, resolve));
    const { signal } = new AbortController();
    const full = { address, port: server.address().port, timeoutMs: 10_000, protocol: 'udp', ...target } as const;
    const openBefore = openSockets();
    try {
      const result: CheckResult = await kind.create().check(full, signal);
      await expect.poll(openSockets, { timeout: 10_000 }).toBeLessThanOrEqual(openBefore);
      expect(getEventListeners(signal, 'abort')).toEqual([]);
      return { ...result, heard };
    } finally {
      await new Promise<void>((resolve) => server.close(resolve));
    }
  }
  const openSockets = () => process.getActiveResourcesInfo().filter((name) => name === 'UDPWrap').length;
  const sipKind = CHECKERS.sip;
  const simple = CHECKERS.simpletcp;
  const pong = { request: 'PING', receive: { source: '^PONG', flags: '' } };

  test('SIP OPTIONS is well formed and 200 is good, over IPv4 and IPv6', async () => {
    const ok = () => ['SIP/2.0 100 Trying\r\n\r\n', 'SIP/2.0 200 Keepalive\r\n\r\n'];
    const { heard, ...result } = await ask(sipKind, { login: 'ldirectord@lab.test' }, ok);
    expect(result).toEqual({ healthy: true, message: 'SIP/2.0 200 Keepalive' });
    expect(heard[0]).toMatch(
      /^OPTIONS sip:ldirectord@lab\.test SIP\/2\.0\r\nVia: SIP\/2\.0\/UDP 127\.0\.0\.1:\d+;rport;branch=z9hG4bK\w+\r\n/,
    );
    expect(heard[0]).toMatch(/\r\nContent-Length: 0\r\n\r\n$/);
    const six = await ask(sipKind, { address: '::1' }, ok);
    expect(six.healthy).toBe(true);
    expect(six.heard[0]).toMatch(/^OPTIONS sip:\[::1\] SIP\/2\.0\r\nVia: SIP\/2\.0\/UDP \[::1\]:/);
  });

  test('a lost question is repeated', async () => {
    const result = await ask(sipKind, {}, () => ['SIP/2.0 200 OK\r\n\r\n'], 1);
    expect(result.healthy).toBe(true);
    expect(result.heard.length).toBeGreaterThan(1);
  });

  test('simpletcp hears every line of every datagram', async () => {
    expect((await ask(simple, pong, () => ['hello', 'well\nPONG'])).healthy).toBe(true);
    expect((await ask(simple, { request: '' }, () => [''])).healthy).toBe(true);
  });

  const huge = 'x'.repeat(65_000);
  test.each<[string, CheckerKind, Partial<CheckTarget>, string[], RegExp]>([
    ['sip, silence', sipKind, { timeoutMs: 400 }, [], /^no answer to OPTIONS within 400 ms$/],
    ['sip, only patience', sipKind, { timeoutMs: 400 }, ['SIP/2.0 100 Trying\r\n\r\n'], /^no answer to OPTIONS within/],
    [
      'sip, refusal',
      sipKind,
      {},
      ['SIP/2.0 483 Too Many Hops\r\n\r\n'],
      /^answer to OPTIONS was SIP\/2\.0 483 Too Many Hops$/,
    ],
    ['sip, noise', sipKind, {}, ['\x00\x01\x02\xff'], /^answer to OPTIONS was \?\?\?/],
    ['sip, nothing', sipKind, {}, [''], /^answer to OPTIONS was an empty line$/],
    ['sip, huge', sipKind, {}, [huge], /^answer to OPTIONS was x{80}\.\.\.$/],
    ['sip, half a line', sipKind, {}, ['SIP/2.0 20'], /^answer to OPTIONS was SIP\/2\.0 20$/],
    ['simpletcp, silence', simple, { ...pong, timeoutMs: 400 }, [], /^no matching line within 400 ms$/],
    [
      'simpletcp, others',
      simple,
      { ...pong, timeoutMs: 400 },
      ['PANG\n', huge, ''],
      /^no matching line within 400 ms$/,
    ],
  ])('bad peer: %s', async (_, kind, target, answers, reason) => {
    const result = await ask(kind, target, () => answers);
    expect(result.message).toMatch(reason);
    expect(result.healthy).toBe(false);
  });

  test.each([
    ['sip', sipKind],
    ['simpletcp', simple],
  ])('a closed port is refused: %s', async (_, kind) => {
    const server = createSocket('udp4');
    await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve));
    const { port } = server.address();
    await new Promise<void>((resolve) => server.close(resolve));
    const target = { address: '127.0.0.1', port, timeoutMs: 10_000, protocol: 'udp' } as const;
    const result = await kind.create().check(target, new AbortController().signal);
    expect(result).toEqual({ healthy: false, message: 'connection refused' });
  });

  test('a check that is stopped leaves nothing open', async () => {
    const before = openSockets();
    const stopper = new AbortController();
    const target = { address: '127.0.0.1', port: 9, timeoutMs: 10_000, protocol: 'udp' } as const;
    const checked = sipKind.create().check(target, stopper.signal);
    stopper.abort();
    expect(await checked).toEqual({ healthy: false, message: 'stopped' });
    await expect.poll(openSockets, { timeout: 10_000 }).toBeLessThanOrEqual(before);
  });
});
