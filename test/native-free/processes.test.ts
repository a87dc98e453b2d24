/** The proxy in several processes: the compiled daemon's data plane, real sockets on loopback. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { DataPlane } from '../../src/model/data-plane.ts';
import type { AddressServiceKey, ServiceStatus } from '../../src/model/service.ts';
import { CompiledProxy } from './compiled-proxy.ts';
import { destinationSpec, freePort, HOST, readAll, serviceSpec } from './support.ts';

const PROCESSES = 3;
const CONNECTIONS = 120;
const PATIENCE_MS = 30_000;

let compiled: CompiledProxy;
beforeAll(() => {
  compiled = new CompiledProxy();
});
afterAll(() => compiled?.remove());

let plane: DataPlane;
let servers: Server[];
let accepted: number[];
let open: Socket[];
beforeEach(async () => {
  plane = await compiled.open(PROCESSES);
  servers = [];
  accepted = [];
  open = [];
});
afterEach(async () => {
  for (const socket of open) socket.destroy();
  await plane.close();
  for (const server of servers) server.close();
});

/** A server that echoes; returns its port. */
async function server(): Promise<number> {
  const place = servers.length;
  accepted.push(0);
  const made = createServer({ allowHalfOpen: true }, (socket) => {
    accepted[place] = (accepted[place] as number) + 1;
    open.push(socket);
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  servers.push(made);
  made.listen(0, HOST);
  await once(made, 'listening');
  return (made.address() as { port: number }).port;
}

async function service(ports: readonly number[], changes: object = {}): Promise<AddressServiceKey> {
  const key: AddressServiceKey = { protocol: 'tcp', address: HOST, port: await freePort() };
  await plane.execute({ name: 'addService', service: serviceSpec(key, changes) });
  for (const port of ports)
    await plane.execute({ name: 'addDestination', service: key, destination: destinationSpec(port) });
  return key;
}

async function client({ port }: AddressServiceKey): Promise<Socket> {
  const socket = connect({ host: HOST, port, allowHalfOpen: true });
  open.push(socket);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Says something and waits for the echo, so that the conversation stands. */
async function talk(key: AddressServiceKey, text: string): Promise<Socket> {
  const socket = await client(key);
  socket.write(text);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(String(answer)).toBe(text);
  return socket;
}

const status = (key: AddressServiceKey): Promise<ServiceStatus> =>
  plane.execute<'getService'>({ name: 'getService', key });
const helpers = (): number[] =>
  readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8')
    .split(' ')
    .map(Number)
    .filter((pid) => pid > 0)
    .filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('processes/helper.js'));

async function eventually(isTrue: () => Promise<boolean>): Promise<void> {
  const untilMs = performance.now() + PATIENCE_MS;
  while (!(await isTrue())) {
    if (performance.now() > untilMs) throw new Error(`not true in time: ${isTrue}`);
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

describe('a proxy of three processes', () => {
  test('shares the connections of a service, and tells of all of them as one', async () => {
    const key = await service([await server(), await server()]);
    const sockets = [];
    for (let i = 0; i < CONNECTIONS; i++) sockets.push(await talk(key, `hello ${i}`));
    expect(accepted[0]! + accepted[1]!).toBe(CONNECTIONS);
    // Each process takes turns by itself.
    expect(Math.abs(accepted[0]! - accepted[1]!)).toBeLessThanOrEqual(PROCESSES);
    const listed = (await status(key)).destinations.map((it) => it.activeConnections);
    expect(listed.reduce((sum, count) => sum + count, 0)).toBe(CONNECTIONS);
    expect((await plane.execute<'getCounters'>({ name: 'getCounters' })).connections).toBe(CONNECTIONS);

    const clients = new Set<number>();
    let cursor: string | undefined;
    do {
      const page = await plane.execute<'listConnections'>({
        name: 'listConnections',
        limit: 7,
        ...(cursor === undefined ? {} : { cursor }),
      });
      expect(page.items.length).toBeLessThanOrEqual(7);
      for (const { client } of page.items) clients.add(client.port);
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
    expect(clients).toEqual(new Set(sockets.map((socket) => socket.localPort)));

    for (const socket of sockets) socket.destroy();
    await eventually(async () => (await plane.execute<'getCounters'>({ name: 'getCounters' })).connections === 0);
    await eventually(async () => {
      const { destinations } = await status(key);
      return destinations.every((it) => it.activeConnections + it.inactiveConnections === 0);
    });
    // The estimator shows them at its next tick.
    await eventually(async () => (await status(key)).statistics.connections === CONNECTIONS);
    const { inBytes, outBytes } = (await status(key)).statistics;
    expect(inBytes).toBe(outBytes);
  });

  test('keeps a persistent client at one server', async () => {
    const key = await service([await server(), await server()], { persistenceTimeoutSeconds: 300 });
    for (let i = 0; i < 30; i++) await talk(key, 'again');
    expect([...accepted].sort((a, b) => a - b)).toEqual([0, 30]);
  });

  test('leaves the port when the service goes, and has it again', async () => {
    const port = await server();
    const key = await service([port]);
    await talk(key, 'before');
    await plane.execute({ name: 'deleteService', key });
    await eventually(async () => {
      const socket = connect({ host: HOST, port: key.port });
      const refused = await new Promise<boolean>((resolve) => {
        socket.once('error', () => resolve(true));
        socket.once('connect', () => resolve(false));
      });
      socket.destroy();
      return refused;
    });
    await plane.execute({ name: 'addService', service: serviceSpec(key) });
    await plane.execute({ name: 'addDestination', service: key, destination: destinationSpec(port) });
    const socket = await client(key);
    socket.end('after');
    expect(String(await readAll(socket))).toBe('after');
  });

  test('starts a process anew that was killed, which serves what the others serve', async () => {
    const key = await service([await server()]);
    const notices: string[] = [];
    plane.watch((event) => event.type === 'notice' && notices.push(event.message));
    const [first] = helpers() as [number];
    process.kill(first, 'SIGKILL');
    await eventually(async () => notices.some((it) => it.startsWith('a process of the proxy ended (SIGKILL)')));
    await eventually(async () => helpers().length === PROCESSES - 1);
    for (let i = 0; i < 20; i++) await talk(key, `after ${i}`);
    expect((await status(key)).destinations[0]?.activeConnections).toBe(20);
  });

  test('ends with all its processes', async () => {
    const before = helpers();
    expect(before).toHaveLength(PROCESSES - 1);
    await plane.close();
    expect(helpers()).toEqual([]);
  });
});
