/** A proxy in this process, servers of many characters, and clients, all on loopback. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { ProxyDataPlane, type ProxyOptions } from '../../native-free/proxy-data-plane.ts';
import type { ConnectionStatus } from '../../src/model/connection-status.ts';
import type { DestinationSpec } from '../../src/model/destination.ts';
import { PLAIN_TUNNEL } from '../../src/model/forwarding.ts';
import type { AddressServiceKey, ServiceSpec, ServiceStatus } from '../../src/model/service.ts';

export const HOST = '127.0.0.1';

export class ProxyWorld {
  readonly plane: ProxyDataPlane;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  /** Added to the clock: minutes pass in no time. */
  skippedMs = 0;

  constructor(options: ProxyOptions = {}) {
    this.plane = new ProxyDataPlane({ nowMs: () => performance.now() + this.skippedMs, ...options });
  }

  /** A server on a port of its own. */
  async server(serve: (socket: Socket) => void, port = 0): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      serve(socket);
    });
    this.#servers.push(server);
    server.listen(port, HOST);
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  async stopServers(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#servers.splice(0).map((server) => new Promise((done) => server.close(done))));
  }

  async service(ports: readonly number[], changes: Partial<ServiceSpec> = {}): Promise<AddressServiceKey> {
    const key: AddressServiceKey = { protocol: 'tcp', address: HOST, port: await freePort(), ...changes.key };
    await this.plane.execute({ name: 'addService', service: serviceSpec(key, changes) });
    for (const port of ports) await this.addServer(key, port);
    return key;
  }

  async addServer(key: AddressServiceKey, port: number, changes: Partial<DestinationSpec> = {}): Promise<void> {
    const destination = destinationSpec(port, changes);
    await this.plane.execute({ name: 'addDestination', service: key, destination });
  }

  /** A client's socket, connected to the service. */
  async client({ port }: AddressServiceKey, options: { readonly localPort?: number } = {}): Promise<Socket> {
    const socket = connect({ host: HOST, port, allowHalfOpen: true, ...options });
    this.#sockets.add(socket);
    socket.on('error', () => {});
    // The proxy accepts everybody, and a reset may follow at once.
    await Promise.race([once(socket, 'connect'), once(socket, 'close')]).catch(() => {});
    return socket;
  }

  async connections(): Promise<readonly ConnectionStatus[]> {
    return (await this.plane.execute<'listConnections'>({ name: 'listConnections' })).items;
  }

  status(key: AddressServiceKey): Promise<ServiceStatus> {
    return this.plane.execute<'getService'>({ name: 'getService', key });
  }

  async close(): Promise<void> {
    await this.plane.close();
    await this.stopServers();
    for (const socket of this.#sockets) socket.destroy();
  }
}

export function serviceSpec(key: AddressServiceKey, changes: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    scheduler: 'rr',
    schedulerFlags: [],
    persistenceTimeoutSeconds: null,
    netmask: '255.255.255.255',
    persistenceEngine: null,
    onePacket: false,
    ...changes,
    key,
  };
}

export function destinationSpec(port: number, changes: Partial<DestinationSpec> = {}): DestinationSpec {
  return {
    address: HOST,
    port,
    method: 'masquerade',
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    tunnel: PLAIN_TUNNEL,
    ...changes,
  };
}

/** A port that nobody had a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

/** Everything a socket says until its end; rejects when it breaks off. The socket stays open for what we have to say. */
export function readAll(socket: Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  return new Promise((resolve, reject) => {
    socket.on('data', (piece: Buffer) => pieces.push(piece));
    socket.once('end', () => resolve(Buffer.concat(pieces)));
    socket.once('error', reject);
  });
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (;;) {
    if (await condition()) return;
    await new Promise((wake) => setTimeout(wake, 5));
  }
}
