/**
 * Locality-based least-connection: an address that clients ask for stays with its destination, until that one is
 * too busy while another is half idle; then the weighted least-connection choice takes it over. The overload
 * threshold of a remembered destination is not looked at. Behaviour: ipvsadm(8), scheduler `lblc`.
 */
import type { Destination } from '../destination.ts';
import { candidatesOf, type Explanation, endpointOf, overheadSum } from '../explanation.ts';
import type { Flow, Scheduler, SchedulerEnvironment, SchedulerKind } from '../scheduler.ts';
import { overhead, weightedLeast } from './load.ts';
import { isOutweighed, LocalityCache, whyLeftBy } from './locality-cache.ts';

export const lblc: SchedulerKind = {
  name: 'lblc',
  summary: 'locality-based least-connection',
  create: (service, environment) => new LocalityBasedLeastConnection(service.destinations, environment),
};

class LocalityBasedLeastConnection implements Scheduler {
  readonly #destinations: readonly Destination[];
  readonly #cache: LocalityCache<Destination>;

  constructor(destinations: readonly Destination[], environment: SchedulerEnvironment) {
    this.#destinations = destinations;
    this.#cache = new LocalityCache(environment.nowTicks, () => environment.lblcExpirationSeconds);
  }

  pick(flow: Flow, nowTicks: number): Destination | null {
    const entry = this.#cache.find(flow);
    if (entry !== null) {
      entry.lastUseTicks = nowTicks;
      const known = entry.value;
      if (known.available && known.weight > 0 && !isOutweighed(known, this.#destinations)) return known;
    }
    const choice = weightedLeast(this.#destinations, overhead);
    if (choice === null) return null;
    if (entry === null) this.#cache.add(flow, choice, nowTicks);
    else entry.value = choice;
    return choice;
  }

  explain(flow: Flow): Explanation {
    const known = this.#cache.find(flow)?.value ?? null;
    const whyLeft = known === null ? null : whyLeftBy(known, this.#destinations);
    const keeps = known !== null && whyLeft === null;
    const remembered =
      known === null
        ? 'nobody is remembered for this address: the least loaded takes it over'
        : `${endpointOf(known)} is remembered for this address${whyLeft === null ? ' and keeps it' : `; it is left: ${whyLeft}`}`;
    return {
      chosen: keeps ? known : weightedLeast(this.#destinations, overhead),
      rule: 'who served this address before serves it again; otherwise the least (active*256 + inactive)/weight',
      steps: [remembered],
      candidates: candidatesOf(this.#destinations, overheadSum),
    };
  }

  destinationsChanged(): void {} // What is remembered is checked when it is used.

  advance(nowTicks: number): void {
    this.#cache.advance(nowTicks);
  }
}
