/**
 * Deleted destinations. They are kept while connections use them and a while longer, so that a server that is
 * added again finds its connections and counters. Behaviour: that of IPVS.
 */
import { TICKS_PER_SECOND } from '../model/settings.ts';
import type { Destination } from './destination.ts';
import { DestinationIndex } from './real-servers.ts';
import type { VirtualService } from './virtual-service.ts';

const VISIT_TICKS = 60 * TICKS_PER_SECOND;
/** How long nobody must have used a destination, from the first visit that found it so. */
const IDLE_TICKS = 120 * TICKS_PER_SECOND;
const IN_USE = -1;

export class Trash {
  readonly #places = new DestinationIndex();
  /** Since when each was found unused, or IN_USE. */
  readonly #idleSinceTicks = new Map<Destination, number>();
  readonly #release: (destination: Destination) => void;
  #visitAtTicks = Number.POSITIVE_INFINITY;

  /** `release` is told about each destination that is gone for good. */
  constructor(release: (destination: Destination) => void) {
    this.#release = release;
  }

  put(destination: Destination, nowTicks: number): void {
    if (this.#idleSinceTicks.size === 0) this.#visitAtTicks = nowTicks + VISIT_TICKS;
    this.#idleSinceTicks.set(destination, IN_USE);
    this.#places.add(destination, destination.port);
  }

  /** Takes back what a service with the same identity had, or returns `null`. */
  take(
    service: VirtualService,
    ipv6: boolean,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
    port: number,
  ): Destination | null {
    const found = this.#places.at(ipv6, w0, w1, w2, w3, port)?.find((it) => isSameIdentity(it.service, service));
    if (found === undefined) return null;
    this.#remove(found);
    return found;
  }

  advance(nowTicks: number): void {
    while (nowTicks >= this.#visitAtTicks) {
      this.#visit(this.#visitAtTicks);
      this.#visitAtTicks =
        this.#idleSinceTicks.size === 0 ? Number.POSITIVE_INFINITY : this.#visitAtTicks + VISIT_TICKS;
    }
  }

  #visit(nowTicks: number): void {
    for (const [destination, idleSinceTicks] of this.#idleSinceTicks) {
      if (destination.references > 0) continue;
      if (idleSinceTicks === IN_USE) {
        this.#idleSinceTicks.set(destination, nowTicks);
      } else if (nowTicks >= idleSinceTicks + IDLE_TICKS) {
        this.#remove(destination);
        this.#release(destination);
      }
    }
  }

  #remove(destination: Destination): void {
    this.#idleSinceTicks.delete(destination);
    this.#places.remove(destination, destination.port);
  }
}

/** A firewall mark stands for itself; other services are the same by protocol, address and port. */
function isSameIdentity(a: VirtualService, b: VirtualService): boolean {
  if (a.mark !== b.mark || a.protocol !== b.protocol) return false;
  if (a.mark !== 0) return true;
  return (
    a.ipv6 === b.ipv6 &&
    a.address0 === b.address0 &&
    a.address1 === b.address1 &&
    a.address2 === b.address2 &&
    a.address3 === b.address3 &&
    a.port === b.port
  );
}
