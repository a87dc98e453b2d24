/**
 * Traces that somebody reads over and over (`readTrace`). A trace begins with its first reading and ends by itself
 * when nobody has read it for a while, so that a reader who was killed leaves no cost behind.
 */
import type { TracePage } from '../model/commands.ts';
import { IpvsError } from '../model/errors.ts';
import { FRAME_BYTES_MAX, TRACE_KEPT_BYTES_MAX, TRACE_KEPT_MAX, TRACES_MAX } from '../model/limits.ts';
import { type FilteredEnd, type PacketFilter, parsePacketFilter } from '../model/packet-filter.ts';
import type { PacketTrace } from '../model/packet-trace.ts';
import { readUint16 } from '../wire/bytes.ts';
import { ipv4Destination, ipv4Source } from '../wire/ipv4.ts';
import { ipv6DestinationWord, ipv6SourceWord } from '../wire/ipv6.ts';
import {
  CLIENT_AND_VIRTUAL_PORT,
  CLIENT0,
  CLIENT3,
  DESTINATION_AND_LOCAL_PORT,
  KIND,
  KIND_IPV6,
  NO_ROW,
  ROW_SHIFT,
  SERVER0,
  SERVER3,
  VIRTUAL0,
  VIRTUAL3,
} from './connection.ts';
import type { EngineContext } from './context.ts';
import { type Facts, type Listener, observe } from './observation.ts';
import { TRACE_PROFILES } from './trace-profiles.ts';

/** Nobody has read it for so long: it ends. */
const LEASE_MS = 5_000;

export interface TraceWish {
  readonly id: string;
  readonly filter?: string;
  readonly profile?: string;
  readonly limit?: number;
  readonly snapBytes?: number;
}

export class Traces {
  readonly #context: EngineContext;
  readonly #traces = new Map<string, Trace>();

  constructor(context: EngineContext) {
    this.#context = context;
  }

  /** EINVAL: the filter or the profile is not understood; ENOMEM: too many traces at once. */
  read(wish: TraceWish): TracePage {
    const trace = this.#traces.get(wish.id) ?? this.#begin(wish);
    trace.readAtMs = this.#context.nowMs;
    const page = trace.take(Math.min(wish.limit ?? TRACE_KEPT_MAX, TRACE_KEPT_MAX), this.#context.nowMs);
    if (wish.limit === 0) this.#end(wish.id);
    return page;
  }

  /** Ends traces that nobody reads. */
  advance(nowMs: number): void {
    if (this.#traces.size === 0) return;
    for (const [id, { readAtMs }] of this.#traces) if (nowMs - readAtMs > LEASE_MS) this.#end(id);
  }

  nextDeadlineMs(): number {
    return this.#traces.size === 0 ? Number.POSITIVE_INFINITY : this.#context.nowMs + LEASE_MS;
  }

  #begin(wish: TraceWish): Trace {
    const profile = wish.profile ?? 'all';
    const isWanted = Object.hasOwn(TRACE_PROFILES, profile) ? TRACE_PROFILES[profile] : undefined;
    if (isWanted === undefined) {
      const known = Object.keys(TRACE_PROFILES).join(', ');
      throw new IpvsError('EINVAL', `there is no trace profile ${profile}; there are ${known}`);
    }
    const filter = parsePacketFilter(wish.filter ?? '');
    if (this.#traces.size >= TRACES_MAX) {
      throw new IpvsError('ENOMEM', `${TRACES_MAX} traces are running already; each ends when its reader ends`);
    }
    const trace = new Trace(isWanted, filter, wish.snapBytes ?? FRAME_BYTES_MAX);
    trace.stop = observe(this.#context, trace);
    this.#traces.set(wish.id, trace);
    return trace;
  }

  #end(id: string): void {
    this.#traces.get(id)?.stop();
    this.#traces.delete(id);
  }
}

class Trace implements Listener {
  readonly snapBytes: number;
  readonly #isWanted: (facts: Facts) => boolean;
  readonly #filter: PacketFilter;
  readonly #kept: PacketTrace[] = [];
  #keptBytes = 0;
  #missed = 0;
  readAtMs = 0;
  stop: () => void = () => {};

  constructor(isWanted: (facts: Facts) => boolean, filter: PacketFilter, snapBytes: number) {
    this.#isWanted = isWanted;
    this.#filter = filter;
    this.snapBytes = snapBytes;
  }

  /** What there is no room for is counted and not even put into words. */
  wants(facts: Facts): boolean {
    if (!this.#isWanted(facts) || !this.#filter(filteredOf(facts))) return false;
    if (this.#kept.length < TRACE_KEPT_MAX && this.#keptBytes < TRACE_KEPT_BYTES_MAX) return true;
    this.#missed++;
    return false;
  }

  hear(trace: PacketTrace): void {
    this.#kept.push(trace);
    this.#keptBytes += bytesOf(trace);
  }

  take(limit: number, nowMs: number): TracePage {
    const traces = this.#kept.splice(0, limit);
    for (const trace of traces) this.#keptBytes -= bytesOf(trace);
    const missed = this.#missed;
    this.#missed = 0;
    return { traces, nowMs, missed };
  }
}

function bytesOf({ frame, outputs }: PacketTrace): number {
  return outputs.reduce((sum, output) => sum + output.frame.length, frame.length);
}

function filteredOf({ packet, ends, row, context }: Facts): Parameters<PacketFilter>[0] {
  const { isIp, ipv6, protocol } = ends;
  const all: FilteredEnd[] = [];
  if (!isIp) return { isIp, ipv6, protocol, ends: all };
  const { source0, source1, source2, source3, destination0, destination1, destination2, destination3 } = ends;
  add(all, 'source', ipv6, source0, source1, source2, source3, ends.sourcePort);
  add(all, 'destination', ipv6, destination0, destination1, destination2, destination3, ends.destinationPort);
  addAsItLeaves(all, packet);
  if (row !== NO_ROW) addConnection(all, context, row);
  return { isIp, ipv6, protocol, ends: all };
}

function addAsItLeaves(all: FilteredEnd[], { bytes, ipAt, transportAt, ipv6, sourcePort }: Facts['packet']): void {
  // Of protocols without ports there is nothing to read; those with ports have them in the same place.
  const from = sourcePort === 0 ? 0 : readUint16(bytes, transportAt);
  const to = sourcePort === 0 ? 0 : readUint16(bytes, transportAt + 2);
  if (ipv6) {
    const word = (read: (bytes: Uint8Array, at: number, index: number) => number, index: number): number =>
      read(bytes, ipAt, index);
    const [s, d] = [ipv6SourceWord, ipv6DestinationWord];
    add(all, 'source', true, word(s, 0), word(s, 1), word(s, 2), word(s, 3), from);
    add(all, 'destination', true, word(d, 0), word(d, 1), word(d, 2), word(d, 3), to);
    return;
  }
  add(all, 'source', false, 0, 0, 0, ipv4Source(bytes, ipAt), from);
  add(all, 'destination', false, 0, 0, 0, ipv4Destination(bytes, ipAt), to);
}

function addConnection(all: FilteredEnd[], { connections: { rows } }: EngineContext, row: number): void {
  const base = row << ROW_SHIFT;
  const ipv6 = ((rows[base + KIND] as number) & KIND_IPV6) !== 0;
  const clientPorts = rows[base + CLIENT_AND_VIRTUAL_PORT] as number;
  const serverPorts = rows[base + DESTINATION_AND_LOCAL_PORT] as number;
  const put = (prefix: number, last: number, port: number): void => {
    const [w0, w1, w2] = [
      rows[base + prefix] as number,
      rows[base + prefix + 1] as number,
      rows[base + prefix + 2] as number,
    ];
    add(all, 'other', ipv6, w0, w1, w2, rows[base + last] as number, port);
  };
  put(CLIENT0, CLIENT3, clientPorts >>> 16);
  put(VIRTUAL0, VIRTUAL3, clientPorts & 0xffff);
  put(SERVER0, SERVER3, serverPorts >>> 16);
}

function add(
  all: FilteredEnd[],
  side: FilteredEnd['side'],
  ipv6: boolean,
  address0: number,
  address1: number,
  address2: number,
  address3: number,
  port: number,
): void {
  all.push({ side, ipv6, address0, address1, address2, address3, port });
}
