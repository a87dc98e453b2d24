/** One turn of the loop: the frames that wait are read, decided and sent, and time passes for the engine. */
import type { PacketIo } from '../../packet-io/packet-io.ts';
import type { PacketBatch } from '../../wire/packet-batch.ts';
import type { PacketEngine } from '../packet-engine.ts';
import type { Taps } from './tap.ts';

/**
 * How long a worker without frames sleeps at most when something can wake it, and when nothing can. The keeper takes
 * one that makes no turn for several times as long for stuck.
 */
const IDLE_WAIT_MS = 250;
const IDLE_WAIT_UNWAKEABLE_MS = 50;
/** Commands come in rows: for a moment after one, a worker that cannot be woken looks for the next more often. */
const ATTENTIVE_WAIT_MS = 1;
const ATTENTIVE_MS = 250;

export interface TurnParts {
  readonly engine: PacketEngine;
  readonly io: PacketIo;
  /** Made by `io`. */
  readonly batch: PacketBatch;
  /** Absent: nobody can look. */
  readonly taps?: Taps;
}

/** Returns the number of frames that were read. Commands are the caller's business, between two turns. */
export function turn({ engine, io, batch, taps }: TurnParts, nowMs: number): number {
  const frames = io.receive(batch);
  const tapped = taps?.active === true ? taps : null;
  if (frames > 0) {
    tapped?.came(batch);
    engine.process(batch, nowMs);
    tapped?.decided(batch);
    io.transmit(batch);
  }
  engine.advance(nowMs);
  tapped?.advance(nowMs);
  sendOutbox(engine, io, tapped);
  return frames;
}

/** Sends what the engine itself says. Also needed after a command, which may make it speak. */
export function sendOutbox(engine: PacketEngine, io: PacketIo, taps: Taps | null = null): void {
  if (engine.outbox.count === 0) return;
  if (taps?.active === true) taps.said(engine.outbox);
  io.transmit(engine.outbox);
  engine.outbox.clear();
}

export interface WaitCircumstances {
  readonly nowMs: number;
  readonly deadlineMs: number;
  readonly wakeable: boolean;
  /** When the last command came, -Infinity when none did. */
  readonly lastCommandMs: number;
}

/** How long a worker whose turn brought no frames may sleep, in whole milliseconds. */
export function idleWaitMs({ nowMs, deadlineMs, wakeable, lastCommandMs }: WaitCircumstances): number {
  const untilDeadline = Math.max(0, Math.ceil(deadlineMs - nowMs));
  if (wakeable) return Math.min(untilDeadline, IDLE_WAIT_MS);
  const attentive = nowMs - lastCommandMs < ATTENTIVE_MS;
  return Math.min(untilDeadline, attentive ? ATTENTIVE_WAIT_MS : IDLE_WAIT_UNWAKEABLE_MS);
}
