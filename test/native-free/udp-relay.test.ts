import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AddressServiceKey } from '../../src/model/service.ts';
import { freePort, HOST, ProxyWorld, until } from './support.ts';

let world: ProxyWorld;
let sockets: Socket[];
beforeEach(() => {
  world = new ProxyWorld();
  sockets = [];
});
afterEach(async () => {
  for (const socket of sockets) socket.close();
  await world.close();
});

async function bound(): Promise<Socket> {
  const socket = createSocket('udp4');
  sockets.push(socket);
  socket.bind(0, HOST);
  await once(socket, 'listening');
  return socket;
}

/** Answers every datagram with its name in front. */
async function server(name: string): Promise<number> {
  const socket = await bound();
  socket.on('message', (datagram, from) => socket.send(`${name} ${datagram}`, from.port, from.address));
  return socket.address().port;
}

async function ask(client: Socket, { port }: AddressServiceKey, text: string): Promise<string> {
  client.send(text, port, HOST);
  const [answer, from] = (await once(client, 'message')) as [Buffer, { port: number }];
  expect(from.port).toBe(port);
  return String(answer);
}

const udp = async (changes = {}) => ({
  key: { protocol: 'udp' as const, address: HOST, port: await freePort() },
  ...changes,
});

describe('a UDP service of the proxy', () => {
  test('keeps a client at its server and answers from the address it was asked at', async () => {
    const key = await world.service([await server('a'), await server('b')], await udp());
    const [one, other] = [await bound(), await bound()];
    const first = await ask(one, key, '1');
    expect(await ask(one, key, '2')).toBe(first.replace('1', '2'));
    const second = await ask(other, key, '1');
    expect([first, second].sort()).toEqual(['a 1', 'b 1']);
    const rows = await world.connections();
    expect(rows.map(({ protocol, state }) => `${protocol} ${state}`)).toEqual(['UDP UDP', 'UDP UDP']);
  });

  test('with one-packet scheduling sends every datagram to the next server', async () => {
    const key = await world.service([await server('a'), await server('b')], await udp({ onePacket: true }));
    const client = await bound();
    const answers = [await ask(client, key, 'x'), await ask(client, key, 'x'), await ask(client, key, 'x')];
    expect(answers[0]).not.toBe(answers[1]);
    expect(answers[0]).toBe(answers[2]);
    await until(async () => (await world.connections()).length === 0);
  });

  test('forgets a client after the timeout', async () => {
    const key = await world.service([await server('a')], await udp());
    await ask(await bound(), key, 'x');
    expect((await world.connections())[0]).toMatchObject({ expiresSeconds: 299 });
    world.skippedMs += 301_000;
    world.plane.advance();
    expect(await world.connections()).toEqual([]);
  });

  test('finds another server for a client whose server refuses', async () => {
    const key = await world.service([await freePort(), await server('alive')], await udp());
    const client = await bound();
    let answer = '';
    client.on('message', (datagram) => (answer = String(datagram)));
    await until(() => {
      client.send('x', key.port, HOST);
      return answer !== '';
    });
    expect(answer).toBe('alive x');
  });

  test('carries large and empty datagrams', async () => {
    const key = await world.service([await server('a')], await udp());
    const client = await bound();
    expect(await ask(client, key, '')).toBe('a ');
    expect((await ask(client, key, 'x'.repeat(20_000))).length).toBe(20_002);
  });

  test('drops what nobody takes, and counts it', async () => {
    const key = await world.service([], await udp());
    (await bound()).send('x', key.port, HOST);
    const counters = () => world.plane.execute<'getCounters'>({ name: 'getCounters' });
    await until(async () => (await counters()).drops['no-destination'] === 1);
  });
});
