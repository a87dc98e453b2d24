/**
 * Destinations by their own address and a port, whatever their service: for packets that come from a real server
 * or that are about one. Several services may share a server, so a place holds a list, the newest first.
 */
import type { Destination } from './destination.ts';
import { EndpointIndex } from './endpoint-index.ts';

export class DestinationIndex {
  readonly #lists = new EndpointIndex<Destination[]>();

  add(destination: Destination, port: number): void {
    const { ipv6, address0, address1, address2, address3 } = destination;
    const list = this.at(ipv6, address0, address1, address2, address3, port);
    if (list === null) this.#lists.set(ipv6 ? 1 : 0, address0, address1, address2, address3, port, [destination]);
    else (list as Destination[]).unshift(destination);
  }

  remove(destination: Destination, port: number): void {
    const { ipv6, address0, address1, address2, address3 } = destination;
    const list = this.at(ipv6, address0, address1, address2, address3, port) as Destination[] | null;
    const place = list?.indexOf(destination) ?? -1;
    if (list === null || place < 0) return;
    list.splice(place, 1);
    if (list.length === 0) this.#lists.delete(ipv6 ? 1 : 0, address0, address1, address2, address3, port);
  }

  /** The destinations in one place, the newest first, or `null`. Not to be changed. */
  at(ipv6: boolean, w0: number, w1: number, w2: number, w3: number, port: number): readonly Destination[] | null {
    return this.#lists.find(ipv6 ? 1 : 0, w0, w1, w2, w3, port);
  }
}

/** Masquerade destinations by port, tunnel ends by the port of their tunnel; direct routing is not in here. */
export class RealServers {
  readonly #masquerade = new DestinationIndex();
  readonly #tunnels = new DestinationIndex();

  add(destination: Destination): void {
    if (destination.method === 'masquerade') this.#masquerade.add(destination, destination.port);
    else if (destination.method === 'tunnel') this.#tunnels.add(destination, tunnelPort(destination));
  }

  /** With the method and tunnel it was added with. */
  remove(destination: Destination): void {
    if (destination.method === 'masquerade') this.#masquerade.remove(destination, destination.port);
    else if (destination.method === 'tunnel') this.#tunnels.remove(destination, tunnelPort(destination));
  }

  /** The masquerade destination with exactly this endpoint, of a service of this protocol or of any mark. */
  find(
    protocol: number,
    ipv6: boolean,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
    port: number,
  ): Destination | null {
    const list = this.#masquerade.at(ipv6, w0, w1, w2, w3, port);
    if (list === null) return null;
    for (let i = 0; i < list.length; i++) {
      const destination = list[i] as Destination;
      if (destination.service.protocol === protocol || destination.service.mark !== 0) return destination;
    }
    return null;
  }

  /** The tunnel destination with this address and GUE port (0: IPIP or GRE). */
  findTunnel(ipv6: boolean, w0: number, w1: number, w2: number, w3: number, port: number): Destination | null {
    return this.#tunnels.at(ipv6, w0, w1, w2, w3, port)?.[0] ?? null;
  }
}

function tunnelPort(destination: Destination): number {
  return destination.tunnel.type === 'gue' ? destination.tunnel.port : 0;
}
