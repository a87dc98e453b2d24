/**
 * Locality-based least-connection with replication: an address that clients ask for has a set of destinations, and
 * the least loaded of them serves it. The set grows when that one is too busy while another is half idle, and
 * loses its busiest member when it has not changed for long. Behaviour: ipvsadm(8), scheduler `lblcr`.
 */
import { TICKS_PER_SECOND } from '../../model/settings.ts';
import type { Destination } from '../destination.ts';
import { candidatesOf, type Explanation, endpointOf, overheadSum } from '../explanation.ts';
import type { Flow, Scheduler, SchedulerEnvironment, SchedulerKind } from '../scheduler.ts';
import { overhead, productExceeds, weightedLeast } from './load.ts';
import { isOutweighed, LocalityCache } from './locality-cache.ts';

export const lblcr: SchedulerKind = {
  name: 'lblcr',
  summary: 'locality-based least-connection with replication',
  create: (service, environment) => new LocalityBasedReplication(service.destinations, environment),
};

interface ServerSet {
  /** The newest member first. */
  readonly members: Destination[];
  changedTicks: number;
}

class LocalityBasedReplication implements Scheduler {
  readonly #destinations: readonly Destination[];
  readonly #environment: SchedulerEnvironment;
  readonly #cache: LocalityCache<ServerSet>;

  constructor(destinations: readonly Destination[], environment: SchedulerEnvironment) {
    this.#destinations = destinations;
    this.#environment = environment;
    this.#cache = new LocalityCache(environment.nowTicks, () => environment.lblcrExpirationSeconds);
  }

  pick(flow: Flow, nowTicks: number): Destination | null {
    const entry = this.#cache.find(flow);
    if (entry === null) {
      const first = weightedLeast(this.#destinations, overhead);
      if (first !== null) this.#cache.add(flow, { members: [first], changedTicks: nowTicks }, nowTicks);
      return first;
    }
    entry.lastUseTicks = nowTicks;
    const set = entry.value;
    const known = leastLoaded(set.members);
    this.#shrink(set, nowTicks);
    if (known !== null && !isOutweighed(known, this.#destinations)) return known;
    const choice = weightedLeast(this.#destinations, overhead);
    if (choice !== null && !set.members.includes(choice)) {
      set.members.unshift(choice);
      set.changedTicks = nowTicks;
    }
    return choice;
  }

  explain(flow: Flow): Explanation {
    const rule =
      'the least loaded of the set that serves this address; the set grows when that one is too busy, and shrinks again';
    const candidates = candidatesOf(this.#destinations, overheadSum);
    const members = this.#cache.find(flow)?.value.members ?? null;
    const best = weightedLeast(this.#destinations, overhead);
    if (members === null) {
      return {
        chosen: best,
        rule,
        steps: ['no set serves this address yet: the least loaded of all begins one'],
        candidates,
      };
    }
    const known = leastLoaded(members);
    const set = `the set of this address: ${members.map(endpointOf).join(', ') || 'nobody'}`;
    if (known !== null && !isOutweighed(known, this.#destinations)) {
      return { chosen: known, rule, steps: [set, `${endpointOf(known)} has the least load of it`], candidates };
    }
    const why =
      known === null ? 'none of them can take it' : `${endpointOf(known)} is too busy, and another is half idle`;
    return { chosen: best, rule, steps: [set, `${why}: the least loaded of all joins the set`], candidates };
  }

  destinationsChanged(): void {} // What is remembered is checked when it is used.

  advance(nowTicks: number): void {
    this.#cache.advance(nowTicks);
  }

  #shrink(set: ServerSet, nowTicks: number): void {
    const expirationTicks = this.#environment.lblcrExpirationSeconds * TICKS_PER_SECOND;
    if (set.members.length <= 1 || nowTicks <= set.changedTicks + expirationTicks) return;
    const busiest = mostLoaded(set.members);
    if (busiest === null) return;
    set.members.splice(set.members.indexOf(busiest), 1);
    set.changedTicks = nowTicks;
  }
}

function leastLoaded(members: readonly Destination[]): Destination | null {
  // Deleted members stay in the set until they are the busiest; they are not chosen.
  return weightedLeast(members, overhead);
}

/** The member with the most load for its weight, whatever its flags; quiesced ones do not count. */
function mostLoaded(members: readonly Destination[]): Destination | null {
  let most: Destination | null = null;
  for (const member of members) {
    if (member.weight === 0) continue;
    if (most === null || productExceeds(overhead(member), most.weight, overhead(most), member.weight)) most = member;
  }
  return most;
}
