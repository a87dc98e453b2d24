/**
 * TCP: accepts a client, finds a server for it, and passes bytes both ways until both sides have ended. A server that
 * cannot be reached is given up for the next one as long as nothing was said to it.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Destination } from '../src/balance/destination.ts';
import type { VirtualService } from '../src/balance/virtual-service.ts';
import type { Endpoint } from '../src/model/connection-status.ts';
import type { AddressServiceKey } from '../src/model/service.ts';
import type { Books } from './books.ts';
import type { Choice, Chooser } from './chooser.ts';
import { listenerRefusal } from './listener.ts';
import { PROXY_HEADER_BYTES_MAX, type ProxyVersion, readProxyHeader, writeProxyHeader } from './proxy-protocol.ts';
import { pump, ServerPump } from './pump.ts';
import { Session } from './session.ts';

/** A server that does not answer by then is given up for the next one. */
const CONNECT_TIMEOUT_MS = 5_000;
/** A trusted front has this long to say who the client is. */
const PROXY_HEADER_TIMEOUT_MS = 5_000;
const BACKLOG = 4_096;

export interface TcpRelayParts {
  readonly books: Books;
  readonly chooser: Chooser;
  readonly nowMs: () => number;
  /** The header that servers of this service are sent, `null`: none. */
  readonly sendProxy: (service: VirtualService) => ProxyVersion | null;
  /** `open`: clients come directly. `trusted`: this peer must send a header; `refused`: it may not come at all. */
  readonly judgePeer: (address: string) => 'open' | 'trusted' | 'refused';
}

export class TcpRelay {
  readonly #service: VirtualService;
  readonly #parts: TcpRelayParts;
  readonly #server: Server;

  private constructor(service: VirtualService, parts: TcpRelayParts, server?: Server) {
    this.#service = service;
    this.#parts = parts;
    const options = { allowHalfOpen: true, pauseOnConnect: true, noDelay: true };
    // A server that came from another process has lost its options on the way.
    this.#server = server === undefined ? createServer(options) : Object.assign(server, options);
    this.#server.on('connection', (client) => this.#accept(client));
    if (server !== undefined) server.on('error', () => parts.books.drop('out-of-sockets'));
  }

  /** Rejects with an IpvsError when the address and port cannot be had. */
  static open(service: VirtualService, parts: TcpRelayParts): Promise<TcpRelay> {
    const relay = new TcpRelay(service, parts);
    const { address, port } = service.key as AddressServiceKey;
    return new Promise((resolve, reject) => {
      relay.#server.once('error', (error: NodeJS.ErrnoException) => reject(listenerRefusal(service.key, error)));
      relay.#server.listen({ host: address, port, backlog: BACKLOG }, () => {
        relay.#server.removeAllListeners('error');
        // Out of file descriptors: the client is lost, the listener is not.
        relay.#server.on('error', () => parts.books.drop('out-of-sockets'));
        resolve(relay);
      });
    });
  }

  /** The port that another process listens on; each new client goes to one of those that accept. */
  static join(service: VirtualService, parts: TcpRelayParts, server: Server): TcpRelay {
    return new TcpRelay(service, parts, server);
  }

  /** What other processes need to accept clients of this service as well. */
  get server(): Server {
    return this.#server;
  }

  /** Takes no new clients; conversations under way go on. */
  close(): void {
    this.#server.close();
  }

  #accept(client: Socket): void {
    const { books, judgePeer } = this.#parts;
    client.on('error', () => {});
    const address = client.remoteAddress;
    const port = client.remotePort;
    // It has gone already.
    if (address === undefined || port === undefined) {
      client.destroy();
      return;
    }
    const judgement = judgePeer(address);
    if (books.full) refuse(client, books, 'table-full');
    else if (judgement === 'refused') refuse(client, books, 'untrusted-front');
    else if (judgement === 'open') this.#converse(client, { address, port }, null);
    else readHeader(client, (header, rest) => this.#introduce(client, { address, port }, header, rest));
  }

  /** A front has said who its client is; `front` itself stands in when the header leaves it open. */
  #introduce(client: Socket, front: Endpoint, header: GoodHeader | null, rest: Buffer): void {
    if (header === null) {
      refuse(client, this.#parts.books, 'bad-proxy-header');
      return;
    }
    if (rest.length > 0) client.unshift(rest);
    this.#converse(client, header.client ?? front, header.virtual);
  }

  #converse(client: Socket, from: Endpoint, announced: Endpoint | null): void {
    const { books, chooser, nowMs } = this.#parts;
    const service = this.#service;
    const choice = chooser.choose(service, from, nowMs());
    if (choice === null) {
      refuse(client, books, 'no-destination');
      return;
    }
    const { address, port } = service.key as AddressServiceKey;
    const session = new Session({
      serial: books.nextSerial(),
      protocol: 'TCP',
      client: from,
      virtual: { address, port },
      service,
      destination: choice.destination,
      serverPort: choice.port,
      nowMs: nowMs(),
      end: () => {
        client.resetAndDestroy();
        server?.resetAndDestroy();
      },
    });
    session.membership = choice.membership;
    books.add(session);
    let server: Socket | null = null;
    client.once('close', () => {
      // Whatever is still open towards the server belongs to nobody any more.
      if (server !== null && !server.destroyed) {
        if (client.errored !== null || !client.readableEnded) server.resetAndDestroy();
        else server.destroySoon();
      }
      books.remove(session);
    });
    const tried = new Set<Destination>();
    const attempt = (to: Choice): void => {
      tried.add(to.destination);
      const answers = new ServerPump();
      server = connectTo(service, to, answers, (failed) => {
        if (client.destroyed) return;
        if (failed === null) {
          session.server = server;
          this.#join(client, server as Socket, answers, session, announced);
          return;
        }
        const next = chooser.chooseAgain(service, from, tried);
        if (next === null) {
          refuse(client, books, 'no-server-answers');
          return;
        }
        session.moveTo(next.destination, next.port);
        attempt(next);
      });
    };
    attempt(choice);
  }

  /** Both sides are there. */
  #join(client: Socket, server: Socket, answers: ServerPump, session: Session, announced: Endpoint | null): void {
    const { books, nowMs, sendProxy } = this.#parts;
    const { destination, service } = session;
    session.setState('ESTABLISHED');
    books.countConnection(session);
    const version = sendProxy(service);
    if (version !== null) server.write(writeProxyHeader(version, session.client, announced ?? session.virtual));
    pump(client, server, (bytes) => {
      session.lastMs = nowMs();
      books.countIn(destination, bytes);
    });
    answers.start(server, client, (bytes) => {
      session.lastMs = nowMs();
      books.countOut(destination, bytes);
    });
    client.on('end', () => {
      session.setState('FIN_WAIT');
      server.end();
    });
    server.on('end', () => {
      if (session.state === 'ESTABLISHED') session.setState('CLOSE_WAIT');
      client.end();
    });
    server.on('error', () => client.resetAndDestroy());
    server.on('close', () => {
      if (!server.readableEnded) client.resetAndDestroy();
    });
    // What ended while the server was being reached shows itself once the client is read.
    client.resume();
  }
}

/** `done` is called once: with `null` when the server answers, otherwise with what went wrong. */
function connectTo(
  service: VirtualService,
  { destination, port }: Choice,
  { onread }: ServerPump,
  done: (failed: Error | null) => void,
): Socket {
  const source = service.sourceNatAddress === null ? {} : { localAddress: service.sourceNat };
  const server = connect({ host: destination.address, port, allowHalfOpen: true, noDelay: true, onread, ...source });
  const timer = setTimeout(() => server.destroy(new Error('no answer')), CONNECT_TIMEOUT_MS);
  const fail = (error: Error): void => {
    clearTimeout(timer);
    done(error);
  };
  server.once('error', fail);
  server.once('connect', () => {
    clearTimeout(timer);
    server.off('error', fail);
    done(null);
  });
  return server;
}

function refuse(client: Socket, books: Books, reason: Parameters<Books['drop']>[0]): void {
  books.drop(reason);
  client.resetAndDestroy();
}

type GoodHeader = Exclude<ReturnType<typeof readProxyHeader>, string>;

/** `done` gets the header and what came behind it, or `null` when there is none in time. */
function readHeader(client: Socket, done: (header: GoodHeader | null, rest: Buffer) => void): void {
  let bytes = Buffer.alloc(0);
  const settle = (header: GoodHeader | null): void => {
    clearTimeout(timer);
    client.off('data', hear).off('end', fail).off('close', fail);
    client.pause();
    done(header, header === null ? bytes : bytes.subarray(header.bytes));
  };
  const fail = (): void => settle(null);
  const hear = (piece: Buffer): void => {
    bytes = Buffer.concat([bytes, piece]);
    const result = readProxyHeader(bytes);
    if (result === 'more' && bytes.length <= PROXY_HEADER_BYTES_MAX) return;
    settle(typeof result === 'string' ? null : result);
  };
  const timer = setTimeout(fail, PROXY_HEADER_TIMEOUT_MS);
  client.on('data', hear).on('end', fail).on('close', fail);
  client.resume();
}
