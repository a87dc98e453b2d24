/**
 * Gauges of a worker thread in shared memory: a stuck or busy worker can be looked at without being asked.
 * One writer, the worker; readers may see the figures of two neighbouring turns side by side.
 */
import type { PacketIoCounters } from '../../packet-io/packet-io.ts';

/** What each cell holds. The order is the layout. */
const GAUGES = ['turns', 'lastTurnMs', 'received', 'transmitted', 'receiveDrops', 'transmitErrors', 'links'] as const;

/** `lastTurnMs`: milliseconds since 1970 by a clock that does not jump. The others count since the worker began. */
export type Gauges = Readonly<Record<(typeof GAUGES)[number], number>>;

export function createScoreboard(): SharedArrayBuffer {
  return new SharedArrayBuffer(GAUGES.length * Float64Array.BYTES_PER_ELEMENT);
}

export function readScoreboard(memory: SharedArrayBuffer): Gauges {
  const cells = new Float64Array(memory);
  return Object.fromEntries(GAUGES.map((name, at) => [name, cells[at]])) as Gauges;
}

export class ScoreboardWriter {
  readonly #cells: Float64Array;

  constructor(memory: SharedArrayBuffer) {
    this.#cells = new Float64Array(memory);
  }

  /** After every turn, so kept to a few stores; `transmitErrors` has one key per kind of error. */
  turned(nowMs: number, counters: PacketIoCounters, links: number): void {
    const cells = this.#cells;
    cells[0] = (cells[0] as number) + 1;
    cells[1] = nowMs;
    cells[2] = counters.received;
    cells[3] = counters.transmitted;
    cells[4] = counters.receiveDrops;
    let errors = 0;
    for (const kind in counters.transmitErrors) errors += counters.transmitErrors[kind] as number;
    cells[5] = errors;
    cells[6] = links;
  }
}
