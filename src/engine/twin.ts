/**
 * A twin of an engine's state, as far as one packet has to do with it: what happens in the twin does not happen in the
 * original. The original is only read. Services, servers with their loads, schedulers at the place where they are,
 * the packet's connections and templates, neighbours, settings, and the numbers that chance will give next.
 */
import type { Destination } from '../balance/destination.ts';
import type { Explanation } from '../balance/explanation.ts';
import type { Flow, Scheduler } from '../balance/scheduler.ts';
import type { VirtualService } from '../balance/virtual-service.ts';
import { IpvsError } from '../model/errors.ts';
import type { Endpoints } from '../wire/endpoints.ts';
import {
  CLIENT_EGRESS,
  CONTROLLER,
  ConnectionFlag,
  DESTINATION,
  EXPIRES_TICK,
  FLAGS,
  KIND,
  LOCAL_NEXT,
  NEXT,
  NO_ROW,
  ROW_SHIFT,
  ROW_WORDS,
  TIMER_BUCKET,
  TIMER_NEXT,
  TIMER_PREVIOUS,
} from './connection.ts';
import { EngineContext } from './context.ts';
import { NO_ADDRESS } from './network.ts';

/** Enough for the pieces of the largest packet over the smallest IPv4 link that matters (576 bytes). */
const OUTBOX_FRAMES = 128;

/** Rows for what the packet itself makes: a connection, a template, data of a control connection. */
const SPARE_ROWS = 16;

/** The columns that are links of the original's lists, or mean something only there. */
const OWN_COLUMNS = [
  NEXT,
  LOCAL_NEXT,
  TIMER_BUCKET,
  TIMER_NEXT,
  TIMER_PREVIOUS,
  CLIENT_EGRESS,
  DESTINATION,
  CONTROLLER,
];

export interface TwinWish {
  /** The packet's ends, and those of the datagram it quotes: their services come along. */
  readonly ends: readonly Endpoints[];
  /** Connections and templates that come along, with what controls them. */
  readonly rows: readonly number[];
}

export function createTwin(original: EngineContext, { ends, rows }: TwinWish): EngineContext {
  const free = original.connections.capacity - original.connections.count;
  const wanted = withControllers(original, rows);
  const twin = new EngineContext({
    seed: 1,
    hashSeed: original.connections.seed,
    connectionsMax: wanted.length + Math.min(free, SPARE_ROWS),
    defaultSourceNat: 'none',
    nowMs: original.nowMs,
    outboxFrames: OUTBOX_FRAMES,
    ...(original.shard === null ? {} : { shard: original.shard }),
  });
  copySurroundings(original, twin);
  const destinations = new Map<Destination, Destination>();
  copyServices(original, twin, ends, wanted, destinations);
  copyRows(original, twin, wanted, destinations);
  twin.pathMtu.copyFrom(original.pathMtu, (index) => destinations.get(original.services.destinationAt(index))?.index);
  twin.random.follow(original.random);
  return twin;
}

function copySurroundings(original: EngineContext, twin: EngineContext): void {
  Object.assign(twin.settings, original.settings);
  Object.assign(twin.services.environment, {
    lblcExpirationSeconds: original.services.environment.lblcExpirationSeconds,
    lblcrExpirationSeconds: original.services.environment.lblcrExpirationSeconds,
    unprivilegedPortStart: original.services.environment.unprivilegedPortStart,
  });
  twin.network = original.network;
  twin.neighbors.copyFrom(original.neighbors);
  twin.sourceNat.copyFrom(original.sourceNat);
  twin.markRules.copyFrom(original.markRules);
  twin.defences.copyFrom(original.defences);
  twin.tcpTable = original.tcpTable;
  twin.tcpTimeoutTicks.set(original.tcpTimeoutTicks);
  twin.udpTimeoutTicks = original.udpTimeoutTicks;
  twin.timeouts = original.timeouts;
  twin.paused = original.paused;
}

/** Each row once, and what controls it before it. */
function withControllers({ connections }: EngineContext, rows: readonly number[]): number[] {
  const all = new Set<number>();
  const add = (row: number): void => {
    if (row === NO_ROW || all.has(row)) return;
    add(connections.rows[(row << ROW_SHIFT) + CONTROLLER] as number);
    all.add(row);
  };
  rows.forEach(add);
  return [...all];
}

function copyServices(
  original: EngineContext,
  twin: EngineContext,
  ends: readonly Endpoints[],
  rows: readonly number[],
  destinations: Map<Destination, Destination>,
): void {
  const bound = rows.flatMap((row) => {
    const index = original.connections.rows[(row << ROW_SHIFT) + DESTINATION] as number;
    return index === NO_ROW ? [] : [original.services.destinationAt(index)];
  });
  const all = original.services.services();
  const concerned = new Set(all.filter((service) => isConcerned(service, ends, bound)));
  for (const ipv6 of [false, true]) {
    // Without any service of its family a packet is not even looked at.
    const first = all.find((service) => service.ipv6 === ipv6);
    if (first !== undefined) concerned.add(first);
  }
  for (const service of [...concerned].sort((a, b) => a.serial - b.serial)) {
    const copy = twin.services.addService(service.spec(), 0);
    for (const destination of [...service.destinations].reverse())
      copyDestination(twin, service, destination, destinations);
    copy.scheduler = new TwinScheduler(service.scheduler, destinations, original.nowTick);
  }
  for (const destination of bound) if (!destinations.has(destination)) copyDeleted(twin, destination, destinations);
}

function isConcerned(service: VirtualService, ends: readonly Endpoints[], bound: readonly Destination[]): boolean {
  if (service.mark !== 0) return true;
  if (bound.some((destination) => destination.service === service)) return true;
  return ends.some(
    (each) => isEndOf(service, each) || service.destinations.some((destination) => isEndOf(destination, each)),
  );
}

interface Place {
  readonly ipv6: boolean;
  readonly address0: number;
  readonly address1: number;
  readonly address2: number;
  readonly address3: number;
}

/** The address is the source or the destination. */
function isEndOf({ ipv6, address0, address1, address2, address3 }: Place, ends: Endpoints): boolean {
  if (ipv6 !== ends.ipv6) return false;
  if (ends.source3 === address3 && ends.source2 === address2 && ends.source1 === address1) {
    if (ends.source0 === address0) return true;
  }
  return (
    ends.destination3 === address3 &&
    ends.destination2 === address2 &&
    ends.destination1 === address1 &&
    ends.destination0 === address0
  );
}

function copyDestination(
  twin: EngineContext,
  service: VirtualService,
  destination: Destination,
  destinations: Map<Destination, Destination>,
): Destination {
  const copy = twin.services.addDestination(service.key, destination.spec(), 0);
  copy.lastWeight = destination.lastWeight;
  copy.overloaded = destination.overloaded;
  copy.activeConnections = destination.activeConnections;
  copy.inactiveConnections = destination.inactiveConnections;
  copy.persistentConnections = destination.persistentConnections;
  copy.references = destination.references;
  destinations.set(destination, copy);
  return copy;
}

/** One that is kept only for its connections; its service may be gone as well. */
function copyDeleted(twin: EngineContext, destination: Destination, destinations: Map<Destination, Destination>): void {
  const { service } = destination;
  const { services } = twin;
  try {
    let hadService = true;
    try {
      services.getService(service.key);
    } catch {
      hadService = false;
      services.addService(service.spec(), 0);
    }
    const { address, port } = copyDestination(twin, service, destination, destinations);
    services.deleteDestination(service.key, { address, port }, 0);
    if (!hadService) services.deleteService(service.key, 0);
  } catch (error) {
    // Another server has its place by now. Then the twin's connection has none, as it will be once its trash is emptied.
    if (!(error instanceof IpvsError)) throw error;
  }
}

function copyRows(
  original: EngineContext,
  twin: EngineContext,
  wanted: readonly number[],
  destinations: ReadonlyMap<Destination, Destination>,
): void {
  const { connections } = original;
  const placeOf = new Map<number, number>();
  // Later ones are found first in their bucket: the order is turned round twice.
  for (const row of [...wanted].sort((a, b) => rank(original, a) - rank(original, b))) {
    const copy = twin.connections.allocate();
    if (copy === NO_ROW) return;
    placeOf.set(row, copy);
    const from = row << ROW_SHIFT;
    const to = copy << ROW_SHIFT;
    const { rows } = twin.connections;
    for (let column = 0; column < ROW_WORDS; column++) {
      if (!OWN_COLUMNS.includes(column)) rows[to + column] = connections.rows[from + column] as number;
    }
    const index = connections.rows[from + DESTINATION] as number;
    const destination = index === NO_ROW ? undefined : destinations.get(original.services.destinationAt(index));
    rows[to + DESTINATION] = destination?.index ?? NO_ROW;
    const controller = connections.rows[from + CONTROLLER] as number;
    rows[to + CONTROLLER] = controller === NO_ROW ? NO_ROW : (placeOf.get(controller) ?? NO_ROW);
    copyBeside(original, twin, row, copy);
    const flags = connections.rows[from + FLAGS] as number;
    rows[to + FLAGS] = flags & ~(ConnectionFlag.HASHED | ConnectionFlag.FAST);
    if ((flags & ConnectionFlag.HASHED) !== 0) twin.connections.insert(copy);
    if ((connections.rows[from + TIMER_BUCKET] as number) >= 0) {
      rows[to + EXPIRES_TICK] = 0;
      twin.timers.set(copy, ((connections.rows[from + EXPIRES_TICK] as number) - original.nowTick) | 0);
    }
  }
}

/** Controllers before what they control. */
function rank({ connections }: EngineContext, row: number): number {
  let depth = 0;
  for (let at = row; at !== NO_ROW && depth < 8; at = connections.rows[(at << ROW_SHIFT) + CONTROLLER] as number)
    depth++;
  return depth;
}

/** What is kept beside the rows. */
function copyBeside(original: EngineContext, twin: EngineContext, row: number, copy: number): void {
  const from = original.connections;
  const data = from.templateData.get(row);
  if (data !== undefined) twin.connections.templateData.set(copy, data);
  const flags = from.rows[(row << ROW_SHIFT) + FLAGS] as number;
  const isIpv6 = ((from.rows[(row << ROW_SHIFT) + KIND] as number) & 0x100) !== 0;
  if ((flags & ConnectionFlag.FULL_NAT) !== 0 && isIpv6) {
    const prefix = from.localPrefixes.subarray(3 * row, 3 * row + 3);
    const { address0, address1, address2 } = NO_ADDRESS;
    twin.connections.setLocalPrefix(copy, prefix[0] ?? address0, prefix[1] ?? address1, prefix[2] ?? address2);
  }
  twin.helpers.copyFrom(original.helpers, row, copy);
}

/** Answers what the original would answer, in the twin's destinations, and moves nothing there. */
class TwinScheduler implements Scheduler {
  readonly #original: Scheduler;
  readonly #destinations: ReadonlyMap<Destination, Destination>;
  readonly #nowTicks: number;

  constructor(original: Scheduler, destinations: ReadonlyMap<Destination, Destination>, nowTicks: number) {
    this.#original = original;
    this.#destinations = destinations;
    this.#nowTicks = nowTicks;
  }

  pick(flow: Flow): Destination | null {
    return this.explain(flow).chosen;
  }

  explain(flow: Flow): Explanation {
    const explanation = this.#original.explain(flow, this.#nowTicks);
    const { chosen } = explanation;
    return { ...explanation, chosen: chosen === null ? null : (this.#destinations.get(chosen) ?? null) };
  }

  destinationsChanged(): void {} // The original knows what there is.
}
