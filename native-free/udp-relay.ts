/**
 * UDP: every client endpoint gets a socket of its own towards its server, so that answers find their way back. With
 * one-packet scheduling every datagram is a conversation by itself, which ends with its first answer.
 */
import { createSocket, type Socket, type SocketType } from 'node:dgram';
import type { VirtualService } from '../src/balance/virtual-service.ts';
import type { AddressServiceKey } from '../src/model/service.ts';
import type { Books } from './books.ts';
import type { Chooser } from './chooser.ts';
import { listenerRefusal } from './listener.ts';
import { Session } from './session.ts';

/** How long a one-packet conversation waits for its answer. */
const ONE_PACKET_MS = 5_000;
/** Datagrams kept for a client while its socket is being bound. */
const WAITING_MAX = 64;

export interface UdpRelayParts {
  readonly books: Books;
  readonly chooser: Chooser;
  readonly nowMs: () => number;
}

interface Conversation {
  readonly session: Session;
  readonly socket: Socket;
  /** `null` once the socket is connected. */
  waiting: Buffer[] | null;
}

export class UdpRelay {
  readonly #service: VirtualService;
  readonly #parts: UdpRelayParts;
  readonly #listener: Socket;
  readonly #conversations = new Map<string, Conversation>();

  private constructor(service: VirtualService, parts: UdpRelayParts) {
    this.#service = service;
    this.#parts = parts;
    this.#listener = createSocket({ type: socketType(service.ipv6) });
    this.#listener.on('message', (datagram, { address, port }) => this.#hear(datagram, address, port));
  }

  /** Rejects with an IpvsError when the address and port cannot be had. */
  static open(service: VirtualService, parts: UdpRelayParts): Promise<UdpRelay> {
    const relay = new UdpRelay(service, parts);
    const { address, port } = service.key as AddressServiceKey;
    return new Promise((resolve, reject) => {
      relay.#listener.once('error', (error: NodeJS.ErrnoException) => {
        relay.#listener.close();
        reject(listenerRefusal(service.key, error));
      });
      relay.#listener.bind({ address, port, exclusive: true }, () => {
        relay.#listener.removeAllListeners('error');
        relay.#listener.on('error', () => parts.books.drop('datagram-not-sent'));
        resolve(relay);
      });
    });
  }

  /** Without the listener no answer can be given, so conversations end too. */
  close(): void {
    for (const { session } of [...this.#conversations.values()]) session.end('closed');
    this.#listener.close();
  }

  #hear(datagram: Buffer, address: string, port: number): void {
    const { books, chooser, nowMs } = this.#parts;
    const service = this.#service;
    const name = service.onePacket ? `${books.nextSerial()}` : `${address} ${port}`;
    let conversation = this.#conversations.get(name);
    if (conversation === undefined) {
      const choice = books.full ? null : chooser.choose(service, { address, port }, nowMs());
      if (choice === null) {
        books.drop(books.full ? 'table-full' : 'no-destination');
        return;
      }
      conversation = this.#begin(name, { address, port }, choice);
    }
    const { session, socket, waiting } = conversation;
    session.lastMs = nowMs();
    books.countIn(session.destination, datagram.length);
    if (waiting === null) this.#send(socket, datagram);
    else if (waiting.length < WAITING_MAX) waiting.push(datagram);
    else books.drop('datagram-not-sent');
  }

  #begin(
    name: string,
    client: { readonly address: string; readonly port: number },
    choice: NonNullable<ReturnType<Chooser['choose']>>,
  ): Conversation {
    const { books, nowMs } = this.#parts;
    const service = this.#service;
    const { address, port } = service.key as AddressServiceKey;
    const { destination } = choice;
    const socket = createSocket(socketType(destination.ipv6));
    const end = (): void => {
      if (this.#conversations.get(name) !== conversation) return;
      this.#conversations.delete(name);
      clearTimeout(timer);
      socket.close();
      books.remove(session);
    };
    const timer = service.onePacket ? setTimeout(end, ONE_PACKET_MS) : undefined;
    const session = new Session({
      serial: books.nextSerial(),
      protocol: 'UDP',
      client,
      virtual: { address, port },
      service,
      destination,
      serverPort: choice.port,
      nowMs: nowMs(),
      end,
    });
    session.membership = choice.membership;
    const conversation: Conversation = { session, socket, waiting: [] };
    this.#conversations.set(name, conversation);
    books.add(session);
    books.countConnection(session);
    // Mostly "connection refused": the next datagram of this client finds another server.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      books.drop(error.code === 'EMFILE' ? 'out-of-sockets' : 'no-server-answers');
      end();
    });
    socket.on('message', (datagram) => {
      session.lastMs = nowMs();
      books.countOut(destination, datagram.length);
      this.#listener.send(datagram, client.port, client.address, (error) => {
        if (error !== null) books.drop('datagram-not-sent');
      });
      if (service.onePacket) end();
    });
    socket.connect(choice.port, destination.address, () => {
      const { address: localAddress, port: localPort } = socket.address();
      session.server = { localAddress, localPort };
      const waiting = conversation.waiting ?? [];
      conversation.waiting = null;
      for (const datagram of waiting) this.#send(socket, datagram);
    });
    return conversation;
  }

  #send(socket: Socket, datagram: Buffer): void {
    socket.send(datagram, (error) => {
      if (error !== null) this.#parts.books.drop('datagram-not-sent');
    });
  }
}

function socketType(ipv6: boolean): SocketType {
  return ipv6 ? 'udp6' : 'udp4';
}
