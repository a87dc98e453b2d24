import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AnswerReader, HttpConnection } from '../../src/control/http-connection.ts';
import { temporaryDirectory } from '../support/served.ts';

describe('an answer', () => {
  const plain = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n"\u00fc12"'; // 6 bytes of UTF-8
  const chunked =
    'HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1,2,\r\nA;x=y\r\n3,4,5,6,7]\r\n0\r\nx-trailer: 1\r\n\r\n';
  const empty = 'HTTP/1.1 204 No Content\r\ncontent-length: 0\r\nConnection: close\r\n\r\n';

  test('is read whole however its bytes were cut', () => {
    const bytes = [plain, chunked, empty, plain].map((text) => Buffer.from(text));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (sizes) => {
        const reader = new AnswerReader();
        const answers: unknown[] = [];
        let turn = 0;
        for (const answer of bytes) {
          for (let at = 0; at < answer.length; ) {
            const size = sizes[turn++ % sizes.length];
            const result = reader.push(answer.subarray(at, at + size));
            at += size;
            if (result !== null) answers.push({ ...result, closes: reader.closes });
          }
        }
        expect(answers).toEqual([
          { status: 200, text: '"\u00fc12"', closes: false },
          { status: 404, text: '[1,2,3,4,5,6,7]', closes: false },
          { status: 204, text: '', closes: true },
          { status: 200, text: '"\u00fc12"', closes: false },
        ]);
      }),
      { numRuns: 500, verbose: 1 },
    );
  });

  test.each([
    ['SSH-2.0-OpenSSH_9.2\r\n\r\n', 'this is not HTTP'],
    ['x'.repeat(20_000), 'this is not HTTP'],
    ['HTTP/1.1 200 OK\r\n\r\n', 'the answer has no length'],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n', 'a chunk has no size'],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n', 'a chunk is longer than it says'],
    [`${empty}HTTP/1.1 200 OK`, 'more came than was asked for'],
  ])('%.40j is refused', (text, message) => {
    expect(() => new AnswerReader().push(Buffer.from(text))).toThrow(message);
  });

  test('whatever bytes come, nothing but a refusal comes of it', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom(plain, chunked, '\r\n', '0\r\n\r\n'), fc.string())), (pieces) => {
        const reader = new AnswerReader();
        try {
          for (const piece of pieces) reader.push(Buffer.from(piece));
        } catch (error) {
          expect(error).toMatchObject({ code: 'EPROTO' });
        }
      }),
      { verbose: 1 },
    );
  });
});

describe('a connection', () => {
  test('is used for one call after the other', async () => {
    const path = join(temporaryDirectory(), 'a.sock');
    let connections = 0;
    let underWay = 0;
    const listener = createHttpServer((request, response) => {
      expect(++underWay).toBe(1);
      setImmediate(() => {
        underWay--;
        response.end(request.url);
      });
    }).listen(path);
    listener.on('connection', () => connections++);
    const connection = new HttpConnection(path);
    const routes = Array.from({ length: 50 }, (_, index) => `/${index}`);
    const answers = await Promise.all(routes.map((route) => connection.call('GET', route)));
    expect(answers.map(({ text }) => text)).toEqual(routes);
    expect(connections).toBe(1);
    connection.close();
    listener.close();
  });

  test('is left when the other end hangs up after an answer', async () => {
    const path = join(temporaryDirectory(), 'b.sock');
    const listener = createHttpServer((_, response) => {
      response.setHeader('connection', 'close');
      response.end('x');
    }).listen(path);
    const connection = new HttpConnection(path);
    const answers = await Promise.all(Array.from({ length: 10 }, () => connection.call('GET', '/')));
    expect(answers).toHaveLength(10);
    connection.close();
    listener.close();
  });

  test('rejects what is under way and what waits when it is closed', async () => {
    const path = join(temporaryDirectory(), 'c.sock');
    const listener = createServer((client) => client.on('error', () => {})).listen(path);
    const connection = new HttpConnection(path);
    const calls = Promise.allSettled([connection.call('GET', '/1'), connection.call('GET', '/2')]);
    connection.close();
    for (const outcome of await calls)
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'ECONNRESET' } });
    listener.close();
  });

  test('one call that breaks leaves those behind it whole', async () => {
    const path = join(temporaryDirectory(), 'd.sock');
    let count = 0;
    const listener = createHttpServer((request, response) => {
      if (count++ === 0) request.socket.destroy();
      else response.end('fine');
    }).listen(path);
    const connection = new HttpConnection(path);
    const [first, second] = await Promise.allSettled([connection.call('GET', '/'), connection.call('GET', '/')]);
    expect(first).toMatchObject({ status: 'rejected' });
    expect(second).toMatchObject({ status: 'fulfilled', value: { status: 200, text: 'fine' } });
    connection.close();
    listener.close();
  });
});
