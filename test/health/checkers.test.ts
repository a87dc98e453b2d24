import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { CheckerKind, CheckResult, CheckTarget } from '../../src/health/checker.ts';
import { CHECKERS } from '../../src/health/checkers/index.ts';
import { pingKind } from '../../src/health/checkers/ping.ts';
import { RawIcmp } from '../../src/health/raw-icmp.ts';
import { loadRawSocket } from '../../src/native/raw-socket.ts';
import { type Compiled, compileSources } from './compiled.ts';

const isRoot = process.getuid?.() === 0;
/** The package is optional: where it could not be built, pings go another way, and the other tests cover that. */
const hasRawSocket = (() => {
  try {
    loadRawSocket();
    return true;
  } catch {
    return false;
  }
})();
const SHORT_MS = 300;
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function run(
  kind: CheckerKind,
  target: Partial<CheckTarget>,
): Promise<CheckResult & { readonly tookMs: number }> {
  const checker = kind.create();
  const startedMs = performance.now();
  const full: CheckTarget = { address: '127.0.0.1', port: 0, timeoutMs: SHORT_MS, ...target };
  const result = await checker.check(full, new AbortController().signal);
  checker.close?.();
  return { ...result, tookMs: performance.now() - startedMs };
}

/** A TCP server that does one thing with every connection. */
async function tcpServer(serve: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function httpServer(serve: RequestListener): Promise<number> {
  const server: Server = createHttpServer(serve);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function closedPort(): Promise<number> {
  const port = await tcpServer(() => {});
  closers.pop()!();
  await new Promise((resolve) => setTimeout(resolve, 20));
  return port;
}

/** Two namespaces with a cable, seen from the first: 10.99.73.2 answers, 10.99.73.3 drops everything. */
const NETWORK = `uild-${process.pid}`;
const LIVE = '10.99.73.2';
const SILENT = '10.99.73.3';
const ip = (...words: string[]) => execFileSync('ip', words, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });

/** Runs a check in a namespace of its own: the process that makes it lives there. */
function checkInNamespace(checker: string, target: Partial<CheckTarget>): CheckResult & { tookMs: number } {
  const script = `
    const { CHECKERS } = await import(${JSON.stringify(join(compiled.folder, 'health/checkers/index.js'))});
    const checker = CHECKERS[${JSON.stringify(checker)}].create();
    const startedMs = performance.now();
    const target = ${JSON.stringify({ port: 0, timeoutMs: SHORT_MS, ...target })};
    const result = await checker.check(target, new AbortController().signal);
    checker.close?.();
    console.log(JSON.stringify({ ...result, tookMs: performance.now() - startedMs }));`;
  const words = ['netns', 'exec', `${NETWORK}-a`, process.execPath, '--input-type=module', '-e', script];
  return JSON.parse(ip(...words));
}

let compiled: Compiled;

beforeAll(() => {
  if (!isRoot) return;
  compiled = compileSources('health');
  for (const side of ['a', 'b']) ip('netns', 'add', `${NETWORK}-${side}`);
  ip('link', 'add', 'uild0', 'netns', `${NETWORK}-a`, 'type', 'veth', 'peer', 'name', 'uild0', 'netns', `${NETWORK}-b`);
  for (const [side, addresses] of [
    ['a', ['10.99.73.1']],
    ['b', [LIVE, SILENT]],
  ] as const) {
    for (const address of addresses) ip('-n', `${NETWORK}-${side}`, 'addr', 'add', `${address}/24`, 'dev', 'uild0');
    ip('-n', `${NETWORK}-${side}`, 'link', 'set', 'uild0', 'up');
    ip('-n', `${NETWORK}-${side}`, 'link', 'set', 'lo', 'up');
  }
  const drop = `table ip t { chain c { type filter hook input priority 0; ip daddr ${SILENT} drop; }; }`;
  ip('netns', 'exec', `${NETWORK}-b`, 'nft', drop);
}, 120_000);

afterAll(() => {
  if (!isRoot) return;
  for (const side of ['a', 'b']) ip('netns', 'del', `${NETWORK}-${side}`);
  compiled.remove();
});

describe('ping', () => {
  const bySocket = CHECKERS.ping;
  const byProgram = pingKind({
    libcProblem: async () => 'not here',
    openRaw: () => {
      throw new Error('Operation not permitted');
    },
    program: 'ping',
  });

  const byLibc = pingKind({
    libcProblem: async () => null,
    openRaw: () => {
      throw new Error('Operation not permitted');
    },
    program: '/nonexistent/ping',
  });

  test.runIf(isRoot).each([
    ['what is best here', bySocket],
    ['a socket of libc', byLibc],
    ['the program ping', byProgram],
  ])('with %s the loopback answers, IPv4 and IPv6', async (_, kind) => {
    expect(await run(kind, { address: '127.0.0.1', timeoutMs: 2_000 })).toMatchObject({ healthy: true });
    expect(await run(kind, { address: '::1', timeoutMs: 2_000 })).toMatchObject({ healthy: true });
  });

  test.runIf(isRoot && hasRawSocket)('many echoes share one socket and each finds its own answer', async () => {
    const icmp = RawIcmp.open();
    const addresses = Array.from({ length: 100 }, (_, index) => `127.0.1.${index + 1}`);
    const answers = await Promise.all(addresses.map((address) => icmp.echo(address, AbortSignal.timeout(5_000))));
    icmp.close();
    expect(answers.filter((answer) => answer !== null)).toEqual([]);
  });

  test.runIf(isRoot)('a host across a cable answers', () => {
    expect(checkInNamespace('ping', { address: LIVE, timeoutMs: 2_000 }).healthy).toBe(true);
  });

  test.runIf(isRoot)('a host that drops everything fails after every attempt has had its time', () => {
    const result = checkInNamespace('ping', { address: SILENT, attempts: 3 });
    expect(result).toMatchObject({ healthy: false, message: 'no echo reply' });
    expect(result.tookMs).toBeGreaterThan(3 * SHORT_MS - 50);
    expect(result.tookMs).toBeLessThan(3 * SHORT_MS + 400);
  });

  test.runIf(isRoot)('a network that cannot be reached is said', () => {
    const result = checkInNamespace('ping', { address: '203.0.113.1' });
    expect(result.healthy).toBe(false);
    expect(result.message).toMatch(/unreachable/i);
  });

  test.runIf(isRoot && hasRawSocket)('without the rights of root a raw socket is refused', () => {
    process.seteuid!(65_534);
    try {
      expect(() => RawIcmp.open()).toThrow(/not permitted/i);
    } finally {
      process.seteuid!(0);
    }
  });

  test('when neither way works a sentence says what is missing', async () => {
    const neither = pingKind({
      libcProblem: async () => 'not here',
      openRaw: () => {
        throw new Error('Operation not permitted');
      },
      program: '/nonexistent/ping',
    });
    const sentence = await neither.refusal!();
    expect(sentence).toMatch(/raw-socket.*Operation not permitted.*ping of iputils.*ENOENT/);
    expect((await run(neither, {})).message).toBe(sentence);
  });
});

describe('connect', () => {
  test('an accepted connection is success, and is closed again', async () => {
    let closed = false;
    const port = await tcpServer((socket) => socket.on('close', () => (closed = true)));
    expect(await run(CHECKERS.connect, { port })).toMatchObject({ healthy: true });
    await expect.poll(() => closed).toBe(true);
  });

  test('a refused connection fails at once', async () => {
    const result = await run(CHECKERS.connect, { port: await closedPort(), timeoutMs: 5_000 });
    expect(result).toMatchObject({ healthy: false });
    expect(result.message).toBe('connection refused');
    expect(result.tookMs).toBeLessThan(2_000);
  });

  test.runIf(isRoot)('a host that drops everything fails when the time is over', () => {
    const result = checkInNamespace('connect', { address: SILENT, port: 80 });
    expect(result).toMatchObject({ healthy: false, message: `no connection within ${SHORT_MS} ms` });
    expect(result.tookMs).toBeLessThan(SHORT_MS + 400);
  });
});

describe('http', () => {
  const web = (port: number, changes: Partial<CheckTarget> = {}) =>
    run(CHECKERS.http, { port, url: `http://127.0.0.1:${port}/live`, timeoutMs: SHORT_MS, ...changes });

  test('a 2xx answer is success, with the bare address as host and no port', async () => {
    let asked = '';
    const port = await httpServer((request, response) => {
      asked = `${request.method} ${request.url} ${request.headers.host}`;
      response.end('fine');
    });
    expect(await web(port)).toMatchObject({ healthy: true, message: '200 OK' });
    expect(asked).toBe('GET /live 127.0.0.1');
    await web(port, { method: 'HEAD', virtualHost: 'www.example.com' });
    expect(asked).toBe('HEAD /live www.example.com');
  });

  test('the body has to match when something is expected', async () => {
    const port = await httpServer((_, response) => response.end('All systems go'));
    const receive = (source: string) => ({ receive: { source, flags: '' } });
    expect(await web(port, receive('systems (go|nominal)'))).toMatchObject({ healthy: true });
    expect(await web(port, receive('^systems'))).toMatchObject({ healthy: false, body: 'All systems go' });
  });

  test('the status is that after redirects, and redirects have an end', async () => {
    const port = await httpServer((request, response) => {
      if (request.url === '/live') response.writeHead(302, { Location: '/next' }).end();
      else if (request.url === '/next') response.writeHead(404).end();
      else response.writeHead(301, { Location: '/loop' }).end();
    });
    expect(await web(port)).toMatchObject({ healthy: false, message: '404 Not Found' });
    expect((await web(port, { url: `http://127.0.0.1:${port}/loop` })).message).toContain('redirects');
  });

  test('a proxy is given the whole URL', async () => {
    let asked = '';
    const port = await httpServer((request, response) => {
      asked = `${request.url} ${request.headers.host}`;
      response.end('pong');
    });
    const result = await web(port, { url: 'http://www.example.com/ping', proxy: true });
    expect(result.healthy).toBe(true);
    expect(asked).toBe('http://www.example.com/ping www.example.com');
  });

  test.each<[string, (socket: Socket) => void, RegExp]>([
    ['says nothing', () => {}, /no complete answer/],
    ['closes at once', (socket) => socket.end(), /^closed before the answer$/],
    ['talks garbage', (socket) => socket.write('\x00\x01 220 ready\r\n\r\n'), /^the answer is not HTTP/],
    ['stops in the middle of the headers', (socket) => socket.write('HTTP/1.1 200 OK\r\nServer: x'), /no complete/],
    [
      'breaks off in the body',
      (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort'),
      /^closed in the middle of the answer$/,
    ],
    [
      'dribbles for ever',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
        const timer = setInterval(() => socket.write('1\r\nx\r\n'), 20);
        socket.on('close', () => clearInterval(timer));
      },
      /no complete answer/,
    ],
    ['redirects to another world', (socket) => socket.end('HTTP/1.1 302 x\r\nLocation: ftp://x/\r\n\r\n'), /not HTTP/],
    ['answers 500', (socket) => socket.end('HTTP/1.1 500 Broken\r\n\r\n'), /^500 Broken$/],
  ])('a peer that %s has failed in time', async (_, behave, message) => {
    const port = await tcpServer((socket) => socket.once('data', () => behave(socket)));
    const result = await web(port);
    expect(result.healthy).toBe(false);
    expect(result.message).toMatch(message);
    expect(result.tookMs).toBeLessThan(SHORT_MS + 500);
  });

  test('https is asked without looking at the certificate', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'uild-'));
    const files = ['-keyout', join(folder, 'key'), '-out', join(folder, 'cert')];
    const words = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=wrong', ...files];
    try {
      execFileSync('openssl', words, { stdio: 'ignore' });
      const { createServer: createHttpsServer } = await import('node:https');
      const key = readFileSync(join(folder, 'key'));
      const cert = readFileSync(join(folder, 'cert'));
      const server = createHttpsServer({ key, cert }, (_, response) => response.end('secret'));
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      closers.push(() => {
        server.closeAllConnections();
        server.close();
      });
      const { port } = server.address() as AddressInfo;
      const url = `https://127.0.0.1:${port}/`;
      const receive = { source: 'secret', flags: '' };
      expect(await web(port, { url, receive, timeoutMs: 3_000 })).toMatchObject({ healthy: true });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('simpletcp', () => {
  const ask = (port: number, source?: string) =>
    run(CHECKERS.simpletcp, {
      port,
      request: 'PING\nQUIT\n',
      ...(source === undefined ? {} : { receive: { source, flags: '' } }),
    });

  test('what is sent arrives, followed by the end, and a matching line is success', async () => {
    const port = await tcpServer((socket) => {
      let heard = '';
      socket.on('data', (bytes) => (heard += bytes));
      socket.on('end', () => socket.end(heard === 'PING\nQUIT\n' ? 'hello\nPONG\n' : 'what?\n'));
    });
    expect(await ask(port, '^PONG')).toMatchObject({ healthy: true });
    expect(await ask(port, '^PANG')).toMatchObject({ healthy: false, message: 'no line matches' });
    expect(await ask(port)).toMatchObject({ healthy: true });
  });

  test('a line that comes in pieces matches as a whole, also without a newline at the end', async () => {
    const port = await tcpServer((socket) => {
      socket.write('PO');
      setTimeout(() => socket.end('NG'), 30);
    });
    expect(await ask(port, '^PONG')).toMatchObject({ healthy: true });
  });

  test('silence fails when the time is over', async () => {
    const result = await ask(await tcpServer(() => {}), 'x');
    expect(result).toMatchObject({ healthy: false, message: `no matching line within ${SHORT_MS} ms` });
  });
});

describe('external', () => {
  const folder = mkdtempSync(join(tmpdir(), 'uild-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const program = (body: string): string => {
    const path = join(folder, `probe-${Math.abs(body.length * 7919)}-${process.hrtime.bigint()}`);
    writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    return path;
  };
  const words = ['192.0.2.1', '80', '192.0.2.11', '8080'];
  const check = (command: string, timeoutMs = 2_000) =>
    run(CHECKERS.external, { command, arguments: words, timeoutMs });

  test('status 0 is success, and the four arguments arrive', async () => {
    expect(await check(program(`[ "$*" = "${words.join(' ')}" ]`))).toMatchObject({ healthy: true });
    expect(await check(program('exit 3'))).toMatchObject({ healthy: false, message: 'status 3' });
  });

  test('a program killed by a signal has failed, and one that is not there too', async () => {
    expect((await check(program('kill -9 $$'))).message).toBe('killed by SIGKILL');
    expect((await check('/nonexistent/probe')).message).toContain('cannot be started');
  });

  test('a program that does not end is told to, with all it has started', async () => {
    const mark = join(folder, 'pid');
    // Time enough for a shell to begin.
    const result = await check(program(`sleep 60 & echo $! > ${mark}; wait`), 1_500);
    expect(result.healthy).toBe(false);
    expect(result.tookMs).toBeLessThan(1_500 + 500);
    const stat = `/proc/${readFileSync(mark, 'utf8').trim()}/stat`;
    await expect.poll(() => (existsSync(stat) ? readFileSync(stat, 'utf8').split(' ')[2] : 'Z')).toBe('Z');
  });

  test('external-perl runs a script, and says when there is no perl', async () => {
    const script = join(folder, 'probe.pl');
    writeFileSync(script, 'exit(@ARGV == 4 ? 0 : 1);');
    const result = await run(CHECKERS['external-perl'], { command: script, arguments: words, timeoutMs: 5_000 });
    expect(result.healthy).toBe(true);
    const path = process.env.PATH;
    process.env.PATH = '/nonexistent';
    try {
      expect(await CHECKERS['external-perl'].refusal!()).toContain('needs the program perl');
    } finally {
      process.env.PATH = path;
    }
  });
});
