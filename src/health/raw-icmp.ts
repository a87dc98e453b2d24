/**
 * ICMP echo over the package `raw-socket`. One socket
 * per family serves all echoes; an answer belongs to the echo with its source, identifier, number and payload.
 * Sources: RFC 792, RFC 4443.
 */
import { randomBytes } from 'node:crypto';
import { SocketAddress } from 'node:net';
import { loadRawSocket, type RawSocket, type RawSocketPackage } from '../native/raw-socket.ts';

/** As much as the `ping` of iputils sends. */
const PAYLOAD_BYTES = 64;
const HEADER_BYTES = 8;
const RECEIVE_BYTES = 2_048;
const KINDS = {
  ipv4: { family: 1, protocol: 1, request: 8, reply: 0 },
  ipv6: { family: 2, protocol: 58, request: 128, reply: 129 },
} as const;
type Family = keyof typeof KINDS;

interface Pending {
  readonly source: string;
  readonly payload: Buffer;
  readonly settle: (problem: string | null) => void;
}

export class RawIcmp {
  readonly #package: RawSocketPackage;
  readonly #identifier = randomBytes(2).readUInt16BE();
  readonly #sockets = new Map<Family, RawSocket>();
  readonly #pending = new Map<number, Pending>();
  #sequence = 0;

  private constructor(rawSocket: RawSocketPackage) {
    this.#package = rawSocket;
  }

  /** Throws when the package is missing or this process may not open raw sockets. */
  static open(): RawIcmp {
    const icmp = new RawIcmp(loadRawSocket());
    icmp.#socket('ipv4');
    return icmp;
  }

  /** One echo. Answers `null` when the reply came, else why there was none; `signal` ends the waiting. */
  echo(address: string, signal: AbortSignal): Promise<string | null> {
    const family: Family = address.includes(':') ? 'ipv6' : 'ipv4';
    const sequence = this.#freeSequence();
    if (sequence === null) return Promise.resolve('too many echoes under way');
    const packet = this.#request(family, sequence);
    return new Promise((resolve) => {
      const settle = (problem: string | null): void => {
        if (this.#pending.delete(sequence)) resolve(problem);
        signal.removeEventListener('abort', abort);
      };
      const abort = (): void => settle('no echo reply');
      const source = canonical(address, family);
      this.#pending.set(sequence, { source, payload: packet.subarray(HEADER_BYTES), settle });
      signal.addEventListener('abort', abort);
      if (signal.aborted) return abort();
      try {
        this.#socket(family).send(packet, 0, packet.length, address, (error) => {
          if (error !== null) settle(error.message);
        });
      } catch (error) {
        settle((error as Error).message);
      }
    });
  }

  close(): void {
    for (const { settle } of this.#pending.values()) settle('closed');
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  #socket(family: Family): RawSocket {
    const open = this.#sockets.get(family);
    if (open !== undefined) return open;
    const { protocol, family: addressFamily } = KINDS[family];
    const socket = this.#package.createSocket({ protocol, addressFamily, bufferSize: RECEIVE_BYTES });
    socket.on('message', (bytes, source) => this.#receive(family, bytes, source));
    const forget = (): void => {
      if (this.#sockets.get(family) === socket) this.#sockets.delete(family);
    };
    // The next echo opens another one.
    socket.on('error', () => {
      if (this.#sockets.get(family) !== socket) return;
      forget();
      socket.close();
    });
    socket.on('close', forget);
    this.#sockets.set(family, socket);
    return socket;
  }

  #freeSequence(): number | null {
    for (let tries = 0; tries <= 0xffff; tries++) {
      this.#sequence = (this.#sequence + 1) & 0xffff;
      if (!this.#pending.has(this.#sequence)) return this.#sequence;
    }
    return null;
  }

  #request(family: Family, sequence: number): Buffer {
    const packet = Buffer.concat([Buffer.alloc(HEADER_BYTES), randomBytes(PAYLOAD_BYTES)]);
    packet.writeUInt8(KINDS[family].request, 0);
    packet.writeUInt16BE(this.#identifier, 4);
    packet.writeUInt16BE(sequence, 6);
    // The kernel fills in the checksum of ICMPv6 itself.
    if (family === 'ipv4') packet.writeUInt16BE(internetChecksum(packet), 2);
    return packet;
  }

  #receive(family: Family, bytes: Buffer, source: string): void {
    // A raw IPv4 socket hands over the IP header too.
    const at = family === 'ipv4' ? (bytes.length > 0 ? (bytes[0] & 15) * 4 : 0) : 0;
    if (bytes.length < at + HEADER_BYTES || bytes[at] !== KINDS[family].reply) return;
    if (bytes.readUInt16BE(at + 4) !== this.#identifier) return;
    const pending = this.#pending.get(bytes.readUInt16BE(at + 6));
    if (pending === undefined || pending.source !== canonical(source, family)) return;
    if (bytes.subarray(at + HEADER_BYTES).equals(pending.payload)) pending.settle(null);
  }
}

function canonical(address: string, family: Family): string {
  return family === 'ipv4' ? address : new SocketAddress({ address: address.replace(/%.*/, ''), family }).address;
}

/** RFC 1071, over an even number of bytes. */
function internetChecksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
