/**
 * Source hashing: the client's address decides, with the flag `port` its port too. 256 buckets are dealt out to
 * the destinations in list order, each taking as many in a row as its weight says and at least one. With the
 * flag `fallback` a client whose destination cannot take it goes on to other buckets.
 * Behaviour: ipvsadm(8), scheduler `sh`.
 */
import type { Destination } from '../destination.ts';
import { candidatesOf, type Explanation, endpointOf, hexWord, whyNotUsable } from '../explanation.ts';
import type { Flow, Scheduler, SchedulerKind } from '../scheduler.ts';
import { ServiceFlag, type VirtualService } from '../virtual-service.ts';
import { clientPortOf, foldAddress, hash32, share } from './hashing.ts';
import { isUsable } from './load.ts';

export const sh: SchedulerKind = {
  name: 'sh',
  summary: 'source hashing',
  create: (service) => new SourceHashing(service),
};

const TABLE_BITS = 8;
const TABLE_SIZE = 1 << TABLE_BITS;
const FALLBACK = ServiceFlag.SCHEDULER_1;
const PORT = ServiceFlag.SCHEDULER_2;

export class SourceHashing implements Scheduler {
  readonly #service: VirtualService;
  readonly #buckets: (Destination | null)[] = new Array<Destination | null>(TABLE_SIZE).fill(null);

  constructor(service: VirtualService) {
    this.#service = service;
    this.#deal();
  }

  pick(flow: Flow): Destination | null {
    const flags = this.#service.flags;
    const port = (flags & PORT) !== 0 ? clientPortOf(flow) : 0;
    const hash = hash32(port + foldAddress(flow.client0, flow.client1, flow.client2, flow.client3), TABLE_BITS);
    const choice = this.#buckets[hash] as Destination | null;
    if (choice === null || isUsable(choice)) return choice;
    return (flags & FALLBACK) !== 0 ? this.#fallBack(hash) : null;
  }

  explain(flow: Flow): Explanation {
    const { flags, destinations } = this.#service;
    const port = (flags & PORT) !== 0 ? clientPortOf(flow) : 0;
    const fold = foldAddress(flow.client0, flow.client1, flow.client2, flow.client3);
    const bucket = hash32(port + fold, TABLE_BITS);
    const owner = this.#buckets[bucket] as Destination | null;
    const whyNot = owner === null ? null : whyNotUsable(owner);
    const chosen = this.pick(flow);
    const steps = [
      `the client's address as one word: ${hexWord(fold)}${(flags & PORT) !== 0 ? `, plus its port ${port}` : ''}`,
      `its hash, ${TABLE_SIZE} buckets: bucket ${bucket}`,
      owner === null ? 'the bucket is empty' : `the bucket belongs to ${endpointOf(owner)}`,
    ];
    if (whyNot !== null) {
      const onwards =
        chosen === null ? 'and no other bucket has one' : `the search goes on at bucket ${(2 * bucket) % TABLE_SIZE}`;
      steps.push(
        `it is passed by: ${whyNot}; ${(flags & FALLBACK) !== 0 ? onwards : 'without the flag sh-fallback there is no second choice'}`,
      );
    }
    return {
      chosen,
      rule: 'the client decides: the same client always comes to the same server',
      steps,
      candidates: candidatesOf(destinations, (each) => share(this.#buckets, each)),
    };
  }

  destinationsChanged(): void {
    this.#deal();
  }

  /** For tests: the destination of each bucket. */
  get buckets(): readonly (Destination | null)[] {
    return this.#buckets;
  }

  /** The hash counts twice in IPVS: the walk starts at bucket 2 * hash, not at the next one. */
  #fallBack(hash: number): Destination | null {
    for (let offset = 0; offset < TABLE_SIZE; offset++) {
      const choice = this.#buckets[(offset + 2 * hash) % TABLE_SIZE] as Destination | null;
      if (choice === null || isUsable(choice)) return choice;
    }
    return null;
  }

  #deal(): void {
    const destinations = this.#service.destinations;
    if (destinations.length === 0) {
      this.#buckets.fill(null);
      return;
    }
    let turn = 0;
    let taken = 0;
    for (let bucket = 0; bucket < TABLE_SIZE; bucket++) {
      const destination = destinations[turn] as Destination;
      this.#buckets[bucket] = destination;
      taken++;
      if (taken >= destination.weight) {
        turn = (turn + 1) % destinations.length;
        taken = 0;
      }
    }
  }
}
