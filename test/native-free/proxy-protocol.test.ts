import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { judgeBy } from '../../native-free/front.ts';
import { PROXY_HEADER_BYTES_MAX, readProxyHeader, writeProxyHeader } from '../../native-free/proxy-protocol.ts';
import { HOST, ProxyWorld, readAll, until } from './support.ts';

const CLIENT = { address: '192.0.2.7', port: 40_000 };
const VIRTUAL = { address: '198.51.100.1', port: 443 };
const CLIENT6 = { address: '2001:db8::7', port: 40_000 };
const VIRTUAL6 = { address: '2001:db8::1', port: 443 };

describe('a PROXY header', () => {
  test('of version 1 is the line of the specification', () => {
    expect(String(writeProxyHeader('v1', CLIENT, VIRTUAL))).toBe('PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n');
    expect(String(writeProxyHeader('v1', CLIENT6, VIRTUAL6))).toBe('PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n');
  });

  test('of version 2 has the bytes of the specification', () => {
    expect(writeProxyHeader('v2', CLIENT, VIRTUAL).toString('hex')).toBe(
      `0d0a0d0a000d0a515549540a${'21'}${'11'}${'000c'}c0000207c63364019c4001bb`,
    );
  });

  test.each([
    ['v1', CLIENT, VIRTUAL],
    ['v1', CLIENT6, VIRTUAL6],
    ['v2', CLIENT, VIRTUAL],
    ['v2', CLIENT6, VIRTUAL6],
  ] as const)('of %s comes back from its bytes, and wants more of every beginning', (version, client, virtual) => {
    const header = writeProxyHeader(version, client, virtual);
    expect(readProxyHeader(Buffer.concat([header, Buffer.from('GET /')]))).toEqual({
      bytes: header.length,
      client,
      virtual,
    });
    for (let end = 0; end < header.length; end++) expect(readProxyHeader(header.subarray(0, end))).toBe('more');
  });

  test.each([
    ['another protocol', 'GET / HTTP/1.1\r\n'],
    ['an address that is none', 'PROXY TCP4 300.1.1.1 10.0.0.1 1 2\r\n'],
    ['the other family', 'PROXY TCP4 ::1 ::1 1 2\r\n'],
    ['a port that is none', 'PROXY TCP4 10.0.0.1 10.0.0.2 70000 2\r\n'],
    ['a word too many', 'PROXY TCP4 10.0.0.1 10.0.0.2 1 2 3\r\n'],
    ['a line without end', `PROXY ${'x'.repeat(200)}`],
    ['a wrong version', Buffer.from('0d0a0d0a000d0a515549540a3111000c', 'hex')],
    ['a length that nobody sends', Buffer.from('0d0a0d0a000d0a515549540a2111ffff', 'hex')],
    ['a body too short for its addresses', Buffer.from('0d0a0d0a000d0a515549540a21110004c0000207', 'hex')],
  ])('is refused: %s', (_, bytes) => {
    expect(readProxyHeader(Buffer.from(bytes as string))).toBe('bad');
  });

  test('that says UNKNOWN or LOCAL lets the front speak for itself', () => {
    expect(readProxyHeader(Buffer.from('PROXY UNKNOWN\r\nx'))).toEqual({ bytes: 15, client: null, virtual: null });
    const local = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');
    expect(readProxyHeader(local)).toEqual({ bytes: 16, client: null, virtual: null });
  });

  test('of random and broken bytes never throws, never reads too far and never waits for more than its bound', () => {
    const good = [writeProxyHeader('v1', CLIENT, VIRTUAL), writeProxyHeader('v2', CLIENT6, VIRTUAL6)];
    const broken = fc
      .tuple(fc.constantFrom(...good), fc.nat(60), fc.nat(255), fc.nat(80))
      .map(([bytes, at, value, length]) => {
        const copy = Buffer.from(bytes);
        copy[at % copy.length] = value;
        return copy.subarray(0, length);
      });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), broken), (bytes) => {
        const result = readProxyHeader(Buffer.from(bytes));
        if (typeof result !== 'string') expect(result.bytes).toBeLessThanOrEqual(bytes.length);
      }),
    );
    expect(readProxyHeader(Buffer.alloc(PROXY_HEADER_BYTES_MAX + 1, 'P'))).toBe('bad');
  });
});

describe('between a front, the proxy and a server', () => {
  let world: ProxyWorld;
  afterEach(() => world.close());

  test('the header arrives before the first byte of the client', async () => {
    world = new ProxyWorld({ sendProxy: 'v1' });
    const key = await world.service([await world.server(async (socket) => socket.end(await readAll(socket)))]);
    const client = await world.client(key);
    const { localPort } = client;
    client.end('hello');
    expect(String(await readAll(client))).toBe(`PROXY TCP4 ${HOST} ${HOST} ${localPort} ${key.port}\r\nhello`);
  });

  test('a trusted front tells who the client is, in whatever pieces', async () => {
    world = new ProxyWorld({ sendProxy: 'v2', judgePeer: judgeBy(['127.0.0.0/8']) });
    let heard: Buffer = Buffer.alloc(0);
    const key = await world.service([
      await world.server(async (socket) => {
        heard = await readAll(socket);
        socket.end('done');
      }),
    ]);
    const front = await world.client(key);
    front.setNoDelay(true);
    for (const byte of writeProxyHeader('v1', CLIENT, VIRTUAL)) front.write(Buffer.of(byte));
    front.end('hello');
    expect(String(await readAll(front))).toBe('done');
    expect(heard).toEqual(Buffer.concat([writeProxyHeader('v2', CLIENT, VIRTUAL), Buffer.from('hello')]));
  });

  test('a front without a header, and a stranger, are reset', async () => {
    world = new ProxyWorld({ judgePeer: judgeBy(['127.0.0.1']) });
    const key = await world.service([await world.server((socket) => socket.end('secret'))]);
    const front = await world.client(key);
    front.write('GET / HTTP/1.1\r\n\r\n');
    await until(() => front.errored !== null);
    expect(front.errored).toMatchObject({ code: 'ECONNRESET' });
    await world.close();
    world = new ProxyWorld({ judgePeer: judgeBy(['192.0.2.0/24']) });
    const other = await world.service([await world.server((socket) => socket.end('secret'))]);
    const stranger = await world.client(other);
    await until(() => stranger.errored !== null);
    expect(stranger.errored).toMatchObject({ code: 'ECONNRESET' });
  });

  test.each(['nonsense', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8'])('%s is no network of fronts', (text) => {
    expect(() => judgeBy([text])).toThrow(/a front must be an address or a network/);
  });
});
