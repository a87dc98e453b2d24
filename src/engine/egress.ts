/**
 * Where a packet leaves: link, next hop, MTU, and the address this host uses there. One object per next hop and
 * link, shared by all connections that go that way and named by a number that a connection row can remember.
 */

import type { Destination } from '../balance/destination.ts';
import { NEIGHBORS_MAX } from '../model/limits.ts';
import type { AddressWords } from '../wire/neighbor-discovery.ts';
import type { EngineContext } from './context.ts';
import type { Neighbor } from './neighbor.ts';
import { LOCAL, NO_ADDRESS } from './network.ts';

export interface Egress {
  /** Identifier for connection rows; valid while `generation` is the network's. */
  readonly id: number;
  readonly generation: number;
  readonly kind: 'remote' | 'local' | 'none';
  /** `remote` only. */
  readonly neighbor: Neighbor | null;
  readonly mtu: number;
  /** Source address towards it; all 0: none. */
  readonly source: AddressWords;
}

/** Next hops come and go; so many are remembered before all are looked up anew. */
const EGRESSES_MAX = 4 * NEIGHBORS_MAX;

export class EgressTable {
  #generation = -1;
  /** Identifiers never repeat, so a row's old one is recognised after the network changed. */
  #firstId = 0;
  #byId: Egress[] = [];
  #byNeighbor = new Map<Neighbor, Egress>();
  #local: Egress | null = null;
  #none: Egress | null = null;
  /** By destination index: most packets go to few servers. */
  #byDestination: (Egress | undefined)[] = [];

  /** The egress a row remembers by its number; `null`: to be looked up anew, the network has changed since. */
  byId(context: EngineContext, id: number): Egress | null {
    if (context.network.generation !== this.#generation) this.#forget(context.network.generation);
    const known = id >= this.#firstId ? this.#byId[id - this.#firstId] : undefined;
    return known === undefined || known.neighbor?.forgotten ? null : known;
  }

  towards(context: EngineContext, ipv6: boolean, w0: number, w1: number, w2: number, w3: number): Egress {
    const { network } = context;
    if (network.generation !== this.#generation) this.#forget(network.generation);
    const hop = network.route(ipv6, w0, w1, w2, w3);
    if (hop === null) return (this.#none ??= this.#add('none', null, 0, NO_ADDRESS));
    if (hop === LOCAL) return (this.#local ??= this.#add('local', null, 65_535, NO_ADDRESS));
    const neighbor = context.neighbors.of(hop.link, hop);
    let egress = this.#byNeighbor.get(neighbor);
    if (egress === undefined || !isSame(egress.source, hop.source)) {
      egress = this.#add('remote', neighbor, hop.mtu, hop.source);
      this.#byNeighbor.set(neighbor, egress);
    }
    return egress;
  }

  ofDestination(context: EngineContext, destination: Destination): Egress {
    const known = this.#byDestination[destination.index];
    if (known !== undefined && known.generation === context.network.generation) {
      const { neighbor } = known;
      if (neighbor === null || !neighbor.forgotten) return known;
    }
    const { ipv6, address0, address1, address2, address3 } = destination;
    const egress = this.towards(context, ipv6, address0, address1, address2, address3);
    this.#byDestination[destination.index] = egress;
    return egress;
  }

  /** A destination index may be used again for another address. */
  forgetDestination(index: number): void {
    this.#byDestination[index] = undefined;
  }

  #add(kind: Egress['kind'], neighbor: Neighbor | null, mtu: number, source: AddressWords): Egress {
    if (this.#byId.length >= EGRESSES_MAX) this.#forget(this.#generation);
    const egress: Egress = {
      id: this.#firstId + this.#byId.length,
      generation: this.#generation,
      kind,
      neighbor,
      mtu,
      source,
    };
    this.#byId.push(egress);
    return egress;
  }

  #forget(generation: number): void {
    this.#firstId += this.#byId.length;
    this.#byId = [];
    this.#byNeighbor = new Map();
    this.#byDestination = [];
    this.#local = null;
    this.#none = null;
    this.#generation = generation;
  }
}

function isSame(a: AddressWords, b: AddressWords): boolean {
  return (
    a.address3 === b.address3 && a.address2 === b.address2 && a.address1 === b.address1 && a.address0 === b.address0
  );
}
