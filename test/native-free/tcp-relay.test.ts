import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { freePort, HOST, ProxyWorld, readAll, until } from './support.ts';

let world: ProxyWorld;
beforeEach(() => {
  world = new ProxyWorld();
});
afterEach(() => world.close());

const names = (name: string) => (socket: Socket) => socket.end(name);
const echo = (socket: Socket) => socket.pipe(socket);

describe('a TCP service of the proxy', () => {
  test('lets the servers take turns', async () => {
    const key = await world.service([await world.server(names('a')), await world.server(names('b'))]);
    const answers: string[] = [];
    for (let i = 0; i < 6; i++) answers.push(String(await readAll((await world.client(key)).end())));
    expect(answers.slice(0, 2).sort()).toEqual(['a', 'b']);
    expect(answers).toEqual([...answers.slice(0, 2), ...answers.slice(0, 2), ...answers.slice(0, 2)]);
  });

  test('carries a half-close: the server answers after the client has ended', async () => {
    const key = await world.service([
      await world.server(async (socket) => socket.end(`got ${(await readAll(socket)).length}`)),
    ]);
    const client = await world.client(key);
    client.end('x'.repeat(1000));
    expect(String(await readAll(client))).toBe('got 1000');
    await until(async () => (await world.connections()).length === 0);
  });

  test('carries the other half-close: the server ends first and goes on listening', async () => {
    let heard: Promise<Buffer> | null = null;
    const key = await world.service([
      await world.server((socket) => {
        heard = readAll(socket);
        socket.end('that is all');
      }),
    ]);
    const client = await world.client(key);
    expect(String(await readAll(client))).toBe('that is all');
    expect((await world.connections())[0]).toMatchObject({ state: 'CLOSE_WAIT' });
    client.end('and this is mine');
    expect(String(await heard)).toBe('and this is mine');
  });

  test('brings many megabytes through in both directions unchanged', async () => {
    const key = await world.service([await world.server(echo)]);
    const client = await world.client(key);
    const sent = createHash('sha256');
    const received = createHash('sha256');
    client.on('data', (piece) => received.update(piece));
    for (let i = 0; i < 64; i++) {
      const piece = randomBytes(700_001);
      sent.update(piece);
      if (!client.write(piece)) await once(client, 'drain');
    }
    client.end();
    await once(client, 'end');
    expect(received.digest('hex')).toBe(sent.digest('hex'));
    const [{ statistics }] = (await estimated(key)).destinations;
    expect(statistics).toMatchObject({ inBytes: 64 * 700_001, outBytes: 64 * 700_001, connections: 1 });
  });

  test('holds little for a reader that does not read, in either direction', async () => {
    let written = 0;
    const flood = (socket: Socket): void => {
      const piece = Buffer.alloc(100_000);
      const more = (): void => {
        while (written < 400_000_000 && socket.write(piece)) written += piece.length;
      };
      socket.on('drain', more);
      more();
    };
    const key = await world.service([await world.server(flood)]);
    const client = await world.client(key);
    await settled(() => written);
    // Mostly what the kernel holds between the three.
    expect((await counted()).outBytes).toBeGreaterThan(0);
    expect(written).toBeLessThan(60_000_000);
    client.resume();
    await until(() => written >= 100_000_000);
  });

  test('asks the next server when one refuses, and nothing is lost', async () => {
    const key = await world.service([await freePort(), await world.server(echo), await freePort()]);
    for (let i = 0; i < 6; i++) {
      const client = await world.client(key);
      client.end('hello');
      expect(String(await readAll(client))).toBe('hello');
    }
    const { destinations } = await estimated(key);
    expect(destinations.map(({ statistics }) => statistics.connections).sort()).toEqual([0, 0, 6]);
    expect(destinations.every((it) => it.activeConnections === 0 && it.inactiveConnections === 0)).toBe(true);
  });

  test('resets the client when no server answers, or none may be asked', async () => {
    const refused = await world.service([await freePort()]);
    expect(await howItEnds(await world.client(refused))).toBe('ECONNRESET');
    const empty = await world.service([]);
    expect(await howItEnds(await world.client(empty))).toBe('ECONNRESET');
    const quiescent = await world.service([]);
    await world.addServer(quiescent, await world.server(echo), { weight: 0 });
    expect(await howItEnds(await world.client(quiescent))).toBe('ECONNRESET');
    const { drops } = await world.plane.execute<'getCounters'>({ name: 'getCounters' });
    expect(drops).toEqual({ 'no-server-answers': 1, 'no-destination': 2 });
  });

  test('passes a reset on, from either side', async () => {
    const sockets: Socket[] = [];
    const key = await world.service([await world.server((socket) => void sockets.push(socket))]);
    const first = await world.client(key);
    await until(() => sockets.length === 1);
    sockets[0]?.resetAndDestroy();
    expect(await howItEnds(first)).toBe('ECONNRESET');
    const second = await world.client(key);
    await until(() => sockets.length === 2);
    const ended = howItEnds(sockets[1] as Socket);
    second.resetAndDestroy();
    expect(await ended).toBe('ECONNRESET');
  });

  test('ends a conversation in which nobody says anything for longer than the timeout', async () => {
    const key = await world.service([await world.server(echo)]);
    await world.plane.execute({ name: 'setTimeouts', timeouts: { tcpSeconds: 60, tcpFinSeconds: 0, udpSeconds: 0 } });
    const client = await world.client(key);
    client.write('x');
    await once(client, 'data');
    expect((await world.connections())[0]).toMatchObject({ state: 'ESTABLISHED', expiresSeconds: 59 });
    world.skippedMs += 59_000;
    world.plane.advance();
    expect(await world.connections()).toHaveLength(1);
    world.skippedMs += 2_000;
    const ended = howItEnds(client);
    world.plane.advance();
    expect(await ended).toBe('ECONNRESET');
  });

  test('goes on with what a quiescent server has, and gives it nothing new', async () => {
    const port = await world.server(echo);
    const key = await world.service([port]);
    const client = await world.client(key);
    client.write('before');
    await once(client, 'data');
    await world.plane.execute({ name: 'editDestination', service: key, destination: spec(port, 0) });
    client.write('after');
    expect(String((await once(client, 'data'))[0])).toBe('after');
    expect(await howItEnds(await world.client(key))).toBe('ECONNRESET');
    expect((await world.status(key)).destinations[0]).toMatchObject({ activeConnections: 1 });
  });

  test('with expire_nodest_conn ends what a deleted server had', async () => {
    const port = await world.server(echo);
    const key = await world.service([port]);
    const client = await world.client(key);
    client.write('x');
    await once(client, 'data');
    await world.plane.execute({ name: 'setSetting', setting: 'expire_nodest_conn', value: '1' });
    const ended = howItEnds(client);
    await world.plane.execute({ name: 'deleteDestination', service: key, destination: { address: HOST, port } });
    expect(await ended).toBe('ECONNRESET');
  });

  test('keeps a client at its server while it is persistent', async () => {
    const ports = [await world.server(names('a')), await world.server(names('b')), await world.server(names('c'))];
    const key = await world.service(ports, { persistenceTimeoutSeconds: 300 });
    const answers = new Set<string>();
    for (let i = 0; i < 5; i++) answers.add(String(await readAll((await world.client(key)).end())));
    expect(answers.size).toBe(1);
    const templates = (await world.connections()).filter(({ template }) => template);
    expect(templates).toMatchObject([{ client: { address: HOST, port: 0 }, state: 'NONE', expiresSeconds: 299 }]);
    await until(async () => (await world.connections()).length === 1);
    world.skippedMs += 301_000;
    world.plane.advance();
    expect(await world.connections()).toEqual([]);
    expect((await world.status(key)).destinations.map((it) => it.persistentConnections)).toEqual([0, 0, 0]);
  });

  test('passes an overloaded server by', async () => {
    const key = await world.service([]);
    await world.addServer(key, await world.server(echo), { upperThreshold: 2 });
    const second = await world.server(echo);
    await world.addServer(key, second);
    for (let i = 0; i < 8; i++) {
      const client = await world.client(key);
      client.write('x');
      await once(client, 'data');
    }
    const loads = (await world.status(key)).destinations.map((it) => it.activeConnections);
    expect(loads.sort()).toEqual([2, 6]);
  });

  test('carries two thousand conversations at once, each with its own bytes', async () => {
    const key = await world.service([await world.server(echo), await world.server(echo)]);
    const one = async (): Promise<boolean> => {
      const client = await world.client(key);
      const text = randomBytes(2_000).toString('hex');
      client.end(text);
      return String(await readAll(client)) === text;
    };
    const results: boolean[] = [];
    // The backlog of the kernel is short, so they come in waves that overlap.
    const waves = Array.from({ length: 20 }, async (_, wave) => {
      await new Promise((wake) => setTimeout(wake, wave * 10));
      results.push(...(await Promise.all(Array.from({ length: 100 }, one))));
    });
    await Promise.all(waves);
    expect(results.filter(Boolean)).toHaveLength(2_000);
    await until(async () => (await world.connections()).length === 0);
    expect((await world.status(key)).destinations.map((it) => it.activeConnections + it.inactiveConnections)).toEqual([
      0, 0,
    ]);
  });

  test('lists conversations page by page, none twice and none left out', async () => {
    const key = await world.service([await world.server(echo)]);
    for (let i = 0; i < 7; i++) await world.client(key);
    await until(async () => (await world.connections()).length === 7);
    const ports: number[] = [];
    let cursor: string | undefined;
    do {
      const page: { items: readonly { client: { port: number } }[]; next: string | null } =
        await world.plane.execute<'listConnections'>({
          name: 'listConnections',
          limit: 3,
          ...(cursor === undefined ? {} : { cursor }),
        });
      ports.push(...page.items.map(({ client }) => client.port));
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
    expect(new Set(ports).size).toBe(7);
    expect(ports).toHaveLength(7);
  });
});

const spec = (port: number, weight: number) => ({
  address: HOST,
  port,
  method: 'masquerade' as const,
  weight,
  upperThreshold: 0,
  lowerThreshold: 0,
  tunnel: { type: 'ipip' as const, port: 0, checksum: 'none' as const },
});

/** Once the estimator has read the counters. */
async function estimated(key: Parameters<ProxyWorld['status']>[0]) {
  await until(async () => (await world.status(key)).statistics.connections > 0);
  const { connections } = (await counted()) as { connections: number };
  await until(async () => (await world.status(key)).statistics.connections === connections);
  await until(async () => (await world.status(key)).statistics.outBytes === (await counted()).outBytes);
  return world.status(key);
}

async function counted() {
  const { processors } = await world.plane.execute<'getPerCpu'>({ name: 'getPerCpu' });
  return processors[0]?.counted as { outBytes: number; connections: number };
}

/** The code of the error that ends a socket, or `end`. */
async function howItEnds(socket: Socket): Promise<string> {
  if (socket.errored !== null) return (socket.errored as NodeJS.ErrnoException).code ?? '';
  socket.resume();
  return new Promise((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once('end', () => resolve('end'));
  });
}

/** Until a number stops to grow. */
async function settled(value: () => number): Promise<void> {
  let last = -1;
  let quiet = 0;
  while (quiet < 20) {
    quiet = value() === last && last > 0 ? quiet + 1 : 0;
    last = value();
    await new Promise((wake) => setTimeout(wake, 10));
  }
}
