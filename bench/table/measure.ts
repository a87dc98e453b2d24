/** One size of the table, measured from empty to full, in use, while it churns, and until it is empty again. */
import type { Engine } from '../../src/engine/engine.ts';
import { TRANSMIT } from '../../src/engine/verdict.ts';
import { PacketBatch } from '../../src/wire/packet-batch.ts';
import { measureEstablished } from '../established.ts';
import {
  BATCH,
  CLIENT_MAC,
  clientOf,
  createEngine,
  DIRECTOR_MAC,
  fillHeaderChecksum,
  portOf,
  segment,
  VIP,
} from '../flows.ts';
import { median, percentile } from '../statistics.ts';
import { Stopwatch } from '../stopwatch.ts';
import { measureLookups } from './bare-table.ts';

export interface TableFigures {
  readonly connections: number;
  /** Resident memory a connection; `null` where a process is bigger than the table. */
  readonly bytesPerConnection: number | null;
  readonly residentBytes: number;
  /** SYNs a second, each scheduled by wlc over 16 destinations and entered; `null`: too few to tell. */
  readonly opensPerSecond: number | null;
  /** One lookup in the bare table: alone, and after the look ahead over its batch. */
  readonly findNanoseconds: number;
  readonly findInBatchNanoseconds: number;
  /** One read of memory that had to be waited for, in a table of this size: what no lookup can avoid, twice. */
  readonly readNanoseconds: number;
  /** A whole packet of an established flow, both directions in turn. */
  readonly packetNanoseconds: number;
  /** One connection that ends by its timer, when all end together. */
  readonly expireNanoseconds: number | null;
  /**
   * Steady churn, each connection living for 20 s: the longest turn (64 packets and the timers that are due), which
   * is what a packet waits for at most. Turns are counted by the processor's time or the clock, whichever is less:
   * being interrupted by other programs is not the engine's doing.
   */
  readonly longestTurnMs: number;
  readonly turnP999Ms: number;
  /** The same when all connections end at one moment. */
  readonly longestTurnAtMassExpiryMs: number;
  /** The longest of the questions that one listing of all connections consists of. */
  readonly longestPageMs: number;
}

const WLC_OVER_16 = { scheduler: 'wlc', destinations: 16 };
const LIFE_SECONDS = 20;
const SYN = 0x02;
const ACK = 0x10;
/** Room for what comes while the old is still waiting for the coarse end of its time. */
const SPARE = 1.5;
/** Below this the process itself is bigger than the table, and opening is over before a clock notices. */
const ENOUGH_CONNECTIONS = 100_000;

export function measureTable(connections: number, turns: number): TableFigures {
  const lookup = measureLookups(connections);
  warmUp();
  const before = residentBytes();
  const engine = createEngine(Math.ceil(connections * SPARE) + 4096, WLC_OVER_16);
  const writer = new Writer(engine);
  const opensPerSecond = fill(writer, connections);
  const resident = residentBytes();
  const servers = writer.servers(connections);
  const effort = { rounds: 3, packetsPerRound: Math.max(1_000_000, Math.min(2 * connections, 4_000_000)) };
  const packets = measureEstablished(engine, connections, servers, effort);
  const longestPageMs = listAll(engine);
  const mass = expireAll(engine, connections);
  const churn = measureChurn(engine, writer, connections, turns);
  return {
    connections,
    bytesPerConnection: connections < ENOUGH_CONNECTIONS ? null : Math.round((resident - before) / connections),
    residentBytes: resident,
    opensPerSecond,
    findNanoseconds: lookup.singleNanoseconds,
    findInBatchNanoseconds: lookup.inBatchNanoseconds,
    readNanoseconds: lookup.readNanoseconds,
    packetNanoseconds: median(packets.map((measured) => measured.nanosecondsPerPacket)),
    expireNanoseconds: connections < ENOUGH_CONNECTIONS ? null : mass.nanosecondsEach,
    longestTurnMs: churn.longestMs,
    turnP999Ms: churn.p999Ms,
    longestTurnAtMassExpiryMs: mass.longestMs,
    longestPageMs,
  };
}

/** The compiler sees every path of the engine before anything is timed. */
function warmUp(): void {
  const engine = createEngine(100_000, WLC_OVER_16);
  const writer = new Writer(engine);
  fill(writer, 40_000);
  expireAll(engine, 40_000);
}

/** Writes packets of clients into one batch and gives it to the engine. */
class Writer {
  readonly #engine: Engine;
  readonly #batch = PacketBatch.allocate(BATCH, 128);
  readonly #view = new DataView(this.#batch.bytes.buffer);
  readonly #frame = segment(0, 0, VIP, 80, ACK, DIRECTOR_MAC, CLIENT_MAC);

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get full(): boolean {
    return this.#batch.count === BATCH;
  }

  get empty(): boolean {
    return this.#batch.count === 0;
  }

  push(connection: number, flags: number): void {
    const batch = this.#batch;
    const at = batch.start[batch.push(this.#frame, 1)];
    this.#view.setUint32(at + 26, clientOf(connection));
    this.#view.setUint16(at + 34, portOf(connection));
    this.#view.setUint8(at + 47, flags);
    fillHeaderChecksum(this.#view, at + 14);
  }

  /** Server that the packet in `slot` went to. */
  serverOf(slot: number): number {
    return this.#view.getUint32(this.#batch.start[slot] + 30);
  }

  process(nowMs: number): void {
    this.#engine.process(this.#batch, nowMs);
  }

  clear(): void {
    const { count, verdict } = this.#batch;
    for (let slot = 0; slot < count; slot++) {
      if (verdict[slot] !== TRANSMIT) throw new Error('a packet of the benchmark was not sent on');
    }
    this.#batch.clear();
  }

  /** Where each of the first `connections` goes, asked by one more packet each. */
  servers(connections: number): Uint32Array {
    const servers = new Uint32Array(connections);
    for (let first = 0; first < connections; first += BATCH) {
      const last = Math.min(first + BATCH, connections);
      for (let c = first; c < last; c++) this.push(c, ACK);
      this.process(2);
      for (let c = first; c < last; c++) servers[c] = this.serverOf(c - first);
      this.clear();
    }
    return servers;
  }
}

/** Opens and establishes that many; returns SYNs a second, if there were enough to tell. */
function fill(writer: Writer, connections: number): number | null {
  const watch = new Stopwatch();
  for (let first = 0; first < connections; first += BATCH) {
    const last = Math.min(first + BATCH, connections);
    for (const flags of [SYN, ACK]) {
      for (let c = first; c < last; c++) writer.push(c, flags);
      if (flags === SYN) watch.begin();
      writer.process(1);
      if (flags === SYN) watch.end();
      writer.clear();
    }
  }
  return connections < ENOUGH_CONNECTIONS ? null : (BATCH / watch.mean()) * 1e9;
}

/** Page after page, as a person's listing asks for it; ten pages say enough. Milliseconds. */
function listAll(engine: Engine): number {
  const watch = new TurnWatch();
  let cursor: string | null = null;
  for (let page = 0; page < 10 && (page === 0 || cursor !== null); page++) {
    watch.begin();
    const answer: { readonly next: string | null } = engine.execute({
      name: 'listConnections',
      ...(cursor === null ? {} : { cursor }),
    });
    watch.end();
    cursor = answer.next;
  }
  return watch.result().longestMs;
}

interface Turns {
  readonly longestMs: number;
  readonly p999Ms: number;
}

/** All are due within the same moment: the hardest thing that can happen to the timers. */
function expireAll(engine: Engine, connections: number): Turns & { readonly nanosecondsEach: number } {
  const watch = new TurnWatch();
  // The kernel's wheel lets timers of fifteen minutes fire up to 16 s late.
  let nowMs = 900_000 - 1000;
  engine.advance(nowMs);
  const endMs = nowMs + 40_000;
  for (; nowMs < endMs; nowMs++) {
    watch.begin();
    engine.advance(nowMs);
    watch.end();
  }
  const left = engine.execute({ name: 'getCounters' }).connections;
  if (left !== 0) throw new Error(`${left} of ${connections} connections did not end`);
  return { ...watch.result(), nanosecondsEach: (watch.busyMs * 1e6) / connections };
}

/** New ones come at the rate at which old ones go; every millisecond some young ones say something. */
function measureChurn(engine: Engine, writer: Writer, connections: number, turns: number): Turns {
  engine.execute({ name: 'setTimeouts', timeouts: { tcpSeconds: LIFE_SECONDS, tcpFinSeconds: 0, udpSeconds: 0 } });
  const perMs = connections / (LIFE_SECONDS * 1000);
  const rampMs = LIFE_SECONDS * 1000;
  const watch = new TurnWatch();
  const startMs = 2_000_000;
  let opened = 0;
  let owed = 0;
  const flush = (nowMs: number, counts: boolean): void => {
    if (writer.empty) return;
    if (counts) watch.begin();
    writer.process(nowMs);
    engine.advance(nowMs);
    if (counts) watch.end();
    writer.clear();
  };
  // Numbers of connections come again only after those before are long gone.
  const distinct = 4 * connections + 4096;
  for (let ms = 0; ms < rampMs + turns; ms++) {
    const nowMs = startMs + ms;
    const counts = ms >= rampMs;
    owed += perMs;
    const due = Math.floor(owed);
    owed -= due;
    for (const flags of [SYN, ACK]) {
      for (let i = 0; i < due; i++) {
        writer.push((opened + i) % distinct, flags);
        if (writer.full) flush(nowMs, counts);
      }
      flush(nowMs, counts);
    }
    opened += due;
    const young = Math.min(opened, Math.ceil(perMs * 1000));
    for (let i = 0; i < BATCH && young > 0; i++) writer.push((opened - 1 - ((i * 7919) % young)) % distinct, ACK);
    flush(nowMs, counts);
  }
  return watch.result();
}

/** Lengths of turns. */
class TurnWatch {
  readonly #turns: number[] = [];
  #wall = 0n;
  #processor = 0;

  begin(): void {
    const { user, system } = process.cpuUsage();
    this.#processor = user + system;
    this.#wall = process.hrtime.bigint();
  }

  end(): void {
    const wallMs = Number(process.hrtime.bigint() - this.#wall) / 1e6;
    const { user, system } = process.cpuUsage();
    // The processor's clock is coarse below a microsecond or so: short turns go by the wall.
    const ms = wallMs < 0.5 ? wallMs : Math.min(wallMs, (user + system - this.#processor) / 1000);
    this.#turns.push(ms);
  }

  /** All turns together, without what a turn costs in which nothing happens. */
  get busyMs(): number {
    const idleMs = percentile(this.#turns, 0.25);
    return this.#turns.reduce((sum, ms) => sum + Math.max(0, ms - idleMs), 0);
  }

  result(): Turns {
    return { longestMs: this.#turns.reduce((a, b) => Math.max(a, b), 0), p999Ms: percentile(this.#turns, 0.999) };
  }
}

function residentBytes(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage.rss();
}
