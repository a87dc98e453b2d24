/**
 * A worker's life: open the back end, forward until told to stop, close. As a thread it blocks in the back
 * end's `wait` and looks into its mailbox once a turn; as a process it lives from events. Either way a command
 * is carried out between two batches, never inside one.
 */
import type { Command, EngineCounters } from '../../model/commands.ts';
import { type ErrorCode, IpvsError } from '../../model/errors.ts';
import { BATCH_FRAMES } from '../../model/limits.ts';
import type { NetworkLink, NetworkSnapshot } from '../../model/network.ts';
import type { RehearsedPacket } from '../../model/packet-trace.ts';
import { type Link, type PacketIo, PacketIoError } from '../../packet-io/packet-io.ts';
import type { FastPath } from '../../wire/fast-path.ts';
import type { PacketEngine } from '../packet-engine.ts';
import { Shard } from '../steering/shard.ts';
import { Claimer } from './claimer.ts';
import type { Mailbox } from './mailbox.ts';
import type { NetworkAnswer, ToWorker, WorkerStart } from './messages.ts';
import { ScoreboardWriter } from './scoreboard.ts';
import { Taps } from './tap.ts';
import { idleWaitMs, sendOutbox, type TurnParts, turn } from './turn.ts';

export interface WorkerMakers {
  openIo(start: WorkerStart): Promise<PacketIo>;
  /** `shard`: `null` when there are no others. */
  /** `fastPath`: `null` when there is none. */
  createEngine(start: WorkerStart, nowMs: number, shard: Shard | null, fastPath: FastPath | null): PacketEngine;
}

/** A back end whose `wait` another thread can end by writing eight bytes to an eventfd. */
interface Wakeable {
  readonly wakeFd: number;
}

export async function runWorker(start: WorkerStart, mailbox: Mailbox, makers: WorkerMakers): Promise<void> {
  const opened = await openOrSayWhy(start, mailbox, makers);
  const shard = start.shard === undefined ? null : new Shard(start.shard, start.sourceNat);
  const io = shard === null ? opened : shard.steer(opened);
  const engine = makers.createEngine(start, nowMs(), shard, io.fastPath ?? null);
  const taps = new Taps({ nowUs, onActive: (active) => engine.setFastPath?.(!active) });
  const desk = new Desk(engine, io, mailbox, taps, shard);
  const wakeFd = (io as Partial<Wakeable>).wakeFd ?? null;
  const parts: TurnParts = { engine, io, batch: io.createBatch(BATCH_FRAMES), taps };
  mailbox.post({ type: 'ready', wakeFd });
  try {
    if (mailbox.kind === 'thread') runBlocking(parts, desk, mailbox, wakeFd !== null);
    else await runOnEvents(parts, desk, mailbox);
  } catch (error) {
    mailbox.post({ type: 'fatal', message: describe(error) });
    // The host may be about to write to `wakeFd`. Its number must not mean another file before the host has heard.
    if (mailbox.kind === 'thread') sleep(FAREWELL_MS);
    throw error;
  } finally {
    io.close();
  }
}

async function openOrSayWhy(start: WorkerStart, mailbox: Mailbox, makers: WorkerMakers): Promise<PacketIo> {
  try {
    return await makers.openIo(start);
  } catch (error) {
    mailbox.post({ type: 'fatal', message: describe(error) });
    throw error;
  }
}

const FAREWELL_MS = 500;

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** A refusal speaks for itself; of our own mistakes the place matters. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error instanceof IpvsError || error instanceof PacketIoError ? error.message : (error.stack ?? error.message);
}

/** Whole monotonic milliseconds: the engine's clock. */
function nowMs(): number {
  return Math.floor(performance.now());
}

/** Microseconds since 1970, by a clock that does not jump: for captures. */
function nowUs(): number {
  return (performance.timeOrigin + performance.now()) * 1000;
}

function runBlocking(parts: TurnParts, desk: Desk, mailbox: Mailbox, wakeable: boolean): void {
  const { engine, io } = parts;
  const scoreboard = mailbox.scoreboard === null ? null : new ScoreboardWriter(mailbox.scoreboard);
  let lastCommandMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    const now = nowMs();
    for (let message = mailbox.take(); message !== null; message = mailbox.take()) {
      if (message.type === 'stop') return;
      desk.handle(message, now);
      lastCommandMs = now;
    }
    const frames = turn(parts, now);
    scoreboard?.turned(performance.timeOrigin + performance.now(), io.counters, desk.linkCount);
    if (frames > 0) continue;
    io.wait(idleWaitMs({ nowMs: now, deadlineMs: engine.nextDeadlineMs(), wakeable, lastCommandMs }));
  }
}

function runOnEvents(parts: TurnParts, desk: Desk, mailbox: Mailbox): Promise<void> {
  const { engine, io } = parts;
  return new Promise((resolve, reject) => {
    let stopped = false;
    let scheduled = false;
    let timer: NodeJS.Timeout | undefined;

    const stop = (error?: unknown) => {
      stopped = true;
      clearTimeout(timer);
      if (error === undefined) resolve();
      else reject(error);
    };
    const schedule = () => {
      if (scheduled || stopped) return;
      scheduled = true;
      setImmediate(run);
    };
    const run = () => {
      scheduled = false;
      if (stopped) return;
      clearTimeout(timer);
      try {
        // A full batch may have left frames behind, for which no event comes: look again at once.
        if (turn(parts, nowMs()) > 0) return schedule();
      } catch (error) {
        return stop(error);
      }
      // The timer also finds frames a back end failed to announce; `wakeable`, since commands come as events.
      const circumstances = { nowMs: nowMs(), deadlineMs: engine.nextDeadlineMs(), wakeable: true, lastCommandMs: 0 };
      timer = setTimeout(schedule, Math.max(1, idleWaitMs(circumstances)));
    };

    mailbox.listen((message) => {
      if (stopped) return;
      if (message === null || message.type === 'stop') return stop();
      try {
        desk.handle(message, nowMs());
      } catch (error) {
        return stop(error);
      }
      schedule();
    });
    io.listen?.(schedule);
    schedule();
  });
}

/** Carries out what the host asks and keeps the links that are served in step with the network. */
class Desk {
  readonly #engine: PacketEngine;
  readonly #io: PacketIo;
  readonly #mailbox: Mailbox;
  readonly #taps: Taps;
  /** For back ends that take frames away from the host's stack. */
  readonly #claimer: Claimer | null;
  readonly #attached = new Map<number, NetworkLink>();

  readonly #shard: Shard | null;

  constructor(engine: PacketEngine, io: PacketIo, mailbox: Mailbox, taps: Taps, shard: Shard | null) {
    this.#shard = shard;
    this.#engine = engine;
    this.#io = io;
    this.#mailbox = mailbox;
    this.#taps = taps;
    this.#claimer = io.claims === undefined ? null : new Claimer(io.claims);
  }

  get linkCount(): number {
    return this.#attached.size;
  }

  handle(message: ToWorker, now: number): void {
    if (message.type === 'network') {
      this.#mailbox.post({ type: 'answer', id: message.id, answer: this.#setNetwork(message.snapshot) });
    } else if (message.type === 'command') {
      this.#engine.advance(now);
      try {
        this.#mailbox.post({ type: 'answer', id: message.id, answer: this.#execute(message.command, now) });
      } catch (error) {
        // A refused wish is an answer. Anything else is our own mistake, and ends the worker.
        if (!(error instanceof IpvsError)) throw error;
        const code: ErrorCode = error.code;
        this.#mailbox.post({ type: 'error', id: message.id, code, message: error.message });
      }
      sendOutbox(this.#engine, this.#io, this.#taps);
    }
  }

  /** The engine knows nothing of the back end and of taps; all else is the engine's. */
  #execute(command: Command, now: number): unknown {
    if (command.name === 'readCapture') {
      const links = [...this.#attached.values()].map(({ index, name }) => ({ index, name }));
      return { ...this.#taps.read(command, now), links };
    }
    if (command.name !== 'getLinkCounters') {
      const answer = this.#engine.execute(command);
      this.#claimer?.note(command);
      if (this.#shard === null) return answer;
      this.#shard.note(command);
      // The shard that would have got the packet knows what would become of it.
      if (command.name === 'rehearse' && !this.#shard.ownsFrame(frameOf(command))) return null;
      return command.name === 'getCounters' ? this.#withShard(answer as EngineCounters, this.#shard) : answer;
    }
    const links = this.#io.linkCounters?.();
    if (links === undefined) throw new IpvsError('EOPNOTSUPP', 'this I/O back end does not count link by link');
    return { links };
  }

  #withShard(counters: EngineCounters, { index, foreign, shared, kernelSteers }: Shard): EngineCounters {
    const { connections } = counters;
    const own = this.#io.counters.received - foreign - shared;
    const steering = kernelSteers ? 'kernel' : 'worker';
    return { ...counters, shards: [{ shard: index, connections, own, shared, foreign, steering, replaced: 0 }] };
  }

  #setNetwork(snapshot: NetworkSnapshot): NetworkAnswer {
    this.#shard?.noteNetwork(snapshot);
    const wanted = new Map(snapshot.links.map((link) => [link.index, link]));
    for (const [index, link] of this.#attached) {
      const now = wanted.get(index);
      if (now !== undefined && isSameCable(now, link)) continue;
      this.#io.detach(index);
      this.#attached.delete(index);
    }
    this.#engine.setNetwork(snapshot);
    this.#claimer?.setNetwork(snapshot);
    const failed: { name: string; reason: string }[] = [];
    for (const link of snapshot.links) {
      if (this.#attached.has(link.index)) continue;
      try {
        this.#io.attach(toIoLink(link, link.index === snapshot.hostLink?.linkIndex));
        this.#attached.set(link.index, link);
      } catch (error) {
        failed.push({ name: link.name, reason: error instanceof Error ? error.message : String(error) });
      }
    }
    return { attached: [...this.#attached.values()].map((link) => link.name), failed };
  }
}

/** A link that changed in any of these is opened anew: back ends may have built on them. */
function isSameCable(a: NetworkLink, b: NetworkLink): boolean {
  return a.name === b.name && a.mac === b.mac && a.mtu === b.mtu && a.loopback === b.loopback;
}

function toIoLink({ index, name, mac, mtu, loopback }: NetworkLink, toHost: boolean): Link {
  const bytes = Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));
  return { index, name, mac: bytes, mtu, loopback, ...(toHost ? { toHost } : {}) };
}

/** A packet without its link is put behind a header that says nothing but its family. */
function frameOf({ frame, packet = '' }: RehearsedPacket): Uint8Array {
  if (frame !== undefined) return Buffer.from(frame, 'hex');
  return Buffer.from(`${'02'.padEnd(24, '0')}${packet.startsWith('6') ? '86dd' : '0800'}${packet}`, 'hex');
}
