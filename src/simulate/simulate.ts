/**
 * One scheduler under one scenario: a discrete-event simulation round the production scheduler class, in time of its
 * own. The same scenario and seed give the same arrivals, clients and work for every scheduler, and the same result on
 * every computer.
 */
import type { Destination } from '../balance/destination.ts';
import type { SchedulerKind } from '../balance/scheduler.ts';
import { Random } from '../engine/random.ts';
import { Churn } from './churn.ts';
import { Cluster, type Server } from './cluster.ts';
import { Clients, nextArrivalSeconds, workSeconds } from './distributions.ts';
import { EventQueue } from './event-queue.ts';
import { Observer } from './observer.ts';
import type { SimulationResult } from './result.ts';
import type { Change, Scenario } from './scenario.ts';

type Event =
  | { readonly kind: 'arrival' }
  | {
      readonly kind: 'done';
      readonly server: Server;
      readonly destination: Destination;
      readonly arrivedSeconds: number;
    }
  | { readonly kind: 'forgotten'; readonly destination: Destination }
  | { readonly kind: 'change'; readonly change: Change };

/** Requests between two calls of `progress`. */
const PROGRESS_REQUESTS = 4_096;

export interface SimulateOptions {
  /** Told now and then how far it is, 0..1; a promise is awaited, so others get their turn. */
  readonly progress?: (share: number) => void | Promise<void>;
}

export async function simulate(
  scenario: Scenario,
  kind: SchedulerKind,
  { progress }: SimulateOptions = {},
): Promise<SimulationResult> {
  const run = new Run(scenario, kind);
  while (run.step()) {
    if (progress !== undefined && run.requests % PROGRESS_REQUESTS === 0) await progress(run.share);
  }
  await progress?.(1);
  return run.result();
}

class Run {
  requests = 0;
  readonly #scenario: Scenario;
  readonly #scheduler: string;
  readonly #cluster: Cluster;
  readonly #events = new EventQueue<Event>();
  // Each by a generator of its own: what one scheduler draws changes nothing for the arrivals.
  readonly #arrivalRandom: Random;
  readonly #clientRandom: Random;
  readonly #workRandom: Random;
  readonly #clients: Clients;
  readonly #observer: Observer;
  readonly #churn = new Churn();
  /** Waiting requests by server keep the destination they were bound to. */
  readonly #bound: Destination[][];
  #nowSeconds = 0;

  constructor(scenario: Scenario, kind: SchedulerKind) {
    this.#scenario = scenario;
    this.#scheduler = kind.name;
    this.#cluster = new Cluster(scenario, kind);
    this.#arrivalRandom = new Random(scenario.seed * 3 + 1);
    this.#clientRandom = new Random(scenario.seed * 3 + 2);
    this.#workRandom = new Random(scenario.seed * 3 + 3);
    this.#clients = new Clients(scenario.clients, scenario.zipf);
    this.#observer = new Observer(scenario, this.#cluster.servers);
    this.#bound = scenario.servers.map(() => []);
    for (const change of scenario.changes) this.#events.add(change.atSeconds, { kind: 'change', change });
    this.#events.add(nextArrivalSeconds(scenario.arrivals, 0, this.#arrivalRandom), { kind: 'arrival' });
  }

  get share(): number {
    return Math.min(1, this.#nowSeconds / this.#scenario.seconds);
  }

  /** Answers whether there is more to come. Requests that began in time are followed to their end. */
  step(): boolean {
    if (this.#events.size === 0) return false;
    this.#observer.advance(this.#nowSeconds, Math.min(this.#events.nextSeconds, this.#scenario.seconds));
    this.#nowSeconds = this.#events.nextSeconds;
    const event = this.#events.take();
    switch (event.kind) {
      case 'arrival':
        this.#arrive();
        break;
      case 'done':
        this.#finish(event.server, event.destination, event.arrivedSeconds);
        break;
      case 'forgotten':
        event.destination.unbind(true, false);
        break;
      case 'change':
        this.#change(event.change);
        break;
    }
    return true;
  }

  result(): SimulationResult {
    return this.#observer.result(this.#scheduler, this.requests, this.#churn.results());
  }

  #arrive(): void {
    const { arrivals, seconds, serviceTime } = this.#scenario;
    const client = this.#clients.draw(this.#clientRandom);
    const work = workSeconds(serviceTime, this.#workRandom);
    const picked = this.#cluster.pick(client, this.requests, this.#nowSeconds);
    this.requests++;
    if (picked === null) this.#observer.refuse();
    else {
      picked.destination.bind(false, false);
      this.#observer.take(picked.server);
      this.#churn.note(client, picked.server.index);
      this.#begin(picked.server, picked.destination, work, this.#nowSeconds);
    }
    const next = this.#nowSeconds + nextArrivalSeconds(arrivals, this.requests, this.#arrivalRandom);
    if (next < seconds) this.#events.add(next, { kind: 'arrival' });
  }

  /** A worker takes it, or it waits. */
  #begin(server: Server, destination: Destination, work: number, arrivedSeconds: number): void {
    if (server.busy >= server.settings.workers) {
      server.waiting.push({ workSeconds: work, arrivedSeconds });
      this.#bound[server.index]?.push(destination);
      return;
    }
    server.busy++;
    const endSeconds = this.#nowSeconds + work / server.settings.speed;
    this.#events.add(endSeconds, { kind: 'done', server, destination, arrivedSeconds });
  }

  #finish(server: Server, destination: Destination, arrivedSeconds: number): void {
    this.#observer.finish(this.#nowSeconds - arrivedSeconds);
    const { lingerSeconds } = this.#scenario;
    if (lingerSeconds > 0) {
      destination.setInactive(true);
      this.#events.add(this.#nowSeconds + lingerSeconds, { kind: 'forgotten', destination });
    } else destination.unbind(false, false);
    server.busy--;
    const next = server.waiting.shift();
    const bound = this.#bound[server.index]?.shift();
    if (next !== undefined && bound !== undefined) this.#begin(server, bound, next.workSeconds, next.arrivedSeconds);
  }

  #change(change: Change): void {
    this.#churn.begin(change);
    const { server } = change;
    if (change.kind === 'weight') this.#cluster.setWeight(server, change.weight, this.#nowSeconds);
    else if (change.kind === 'down') this.#cluster.remove(server, this.#nowSeconds);
    else this.#cluster.add(server, this.#nowSeconds);
  }
}
