/**
 * Timing wheel for connection timers, with the kernel's rule of when a timer really fires: a timer set for
 * `d` ticks sits on level n, the smallest with d < 63 * 8^n, and fires at the next multiple of 8^n ticks after
 * its due tick. So long timers are a little late and restarting one costs nothing while its bucket stays the same.
 */
import { EXPIRES_TICK, NO_ROW, ROW_SHIFT, TIMER_BUCKET, TIMER_NEXT, TIMER_PREVIOUS } from './connection.ts';

const LEVELS = 9;
const LEVEL_BUCKETS = 64;
const LEVEL_SHIFT = 3;

export class TimingWheel {
  readonly #rows: Int32Array;
  readonly #heads = new Int32Array(LEVELS * LEVEL_BUCKETS).fill(NO_ROW);
  /** The newest tick that was begun, and the level of it that is in work: below 0 it is done. */
  #tick: number;
  #level = -1;
  /** Timers that run. */
  count = 0;

  constructor(rows: Int32Array, tick: number) {
    this.#rows = rows;
    this.#tick = tick;
  }

  /** (Re)starts the timer of `row` so that it is due at `dueTick`. */
  set(row: number, dueTick: number): void {
    const rows = this.#rows;
    const base = row << ROW_SHIFT;
    const current = rows[base + TIMER_BUCKET] as number;
    // Most packets come within one tick of the one before.
    if (rows[base + EXPIRES_TICK] === dueTick && current >= 0) return;
    rows[base + EXPIRES_TICK] = dueTick;
    this.#moveTo(row, this.#bucketFor(dueTick));
  }

  /**
   * As `set` at `sinceTick`, not long ago, would have left it, unless it is due later already: to fire at the tick it
   * would have fired at. When that one is over, it is not started.
   */
  setSince(row: number, dueTick: number, sinceTick: number): void {
    const rows = this.#rows;
    const base = row << ROW_SHIFT;
    if ((rows[base + TIMER_BUCKET] as number) >= 0 && ((dueTick - (rows[base + EXPIRES_TICK] as number)) | 0) <= 0)
      return;
    rows[base + EXPIRES_TICK] = dueTick;
    const level = levelFor(Math.max((dueTick - sinceTick) | 0, (dueTick - this.#tick) | 0));
    const fireTick = ((dueTick >> (level * LEVEL_SHIFT)) + 1) << (level * LEVEL_SHIFT);
    if (((fireTick - this.#tick) | 0) > 0) this.#moveTo(row, bucketOn(level, dueTick));
  }

  isRunning(row: number): boolean {
    return (this.#rows[(row << ROW_SHIFT) + TIMER_BUCKET] as number) >= 0;
  }

  cancel(row: number): void {
    const base = row << ROW_SHIFT;
    const bucket = this.#rows[base + TIMER_BUCKET] as number;
    if (bucket < 0) return;
    this.#unlink(base, bucket);
    this.#rows[base + TIMER_BUCKET] = -1;
    this.count--;
  }

  /**
   * Fires the timers up to and including `tick`, but no more than `most`: what is left over is fired first the next
   * time. `fire` may set, cancel and free any row. Returns whether all were fired.
   */
  advance(tick: number, fire: (row: number) => void, most: number = Number.POSITIVE_INFINITY): boolean {
    let left = most;
    for (;;) {
      // The kernel runs the highest level first.
      for (; this.#level >= 0; this.#level--) {
        const index = (this.#tick >>> (this.#level * LEVEL_SHIFT)) & (LEVEL_BUCKETS - 1);
        left = this.#fireBucket(this.#level * LEVEL_BUCKETS + index, fire, left);
        if (left < 0) return false;
      }
      if (((tick - this.#tick) | 0) <= 0) return true;
      if (this.count === 0) {
        this.#tick = tick;
        return true;
      }
      const now = (this.#tick + 1) | 0;
      this.#tick = now;
      let top = 0;
      while (top + 1 < LEVELS && (now & ((1 << ((top + 1) * LEVEL_SHIFT)) - 1)) === 0) top++;
      this.#level = top;
    }
  }

  /** Returns how many more may be fired, -1 when this bucket would have needed more. */
  #fireBucket(bucket: number, fire: (row: number) => void, left: number): number {
    const rows = this.#rows;
    // A fired row may free others of this bucket, so the head is read anew each time.
    for (let row = this.#heads[bucket] as number; row !== NO_ROW; row = this.#heads[bucket] as number) {
      if (left <= 0) return -1;
      left--;
      this.#unlink(row << ROW_SHIFT, bucket);
      rows[(row << ROW_SHIFT) + TIMER_BUCKET] = -1;
      this.count--;
      fire(row);
    }
    return left;
  }

  #bucketFor(dueTick: number): number {
    const delta = (dueTick - this.#tick) | 0;
    // Overdue: the next tick. The bucket of the running tick may just be in work.
    if (delta < 0) return (this.#tick + 1) & (LEVEL_BUCKETS - 1);
    return bucketOn(levelFor(delta), dueTick);
  }

  #moveTo(row: number, bucket: number): void {
    const rows = this.#rows;
    const base = row << ROW_SHIFT;
    const current = rows[base + TIMER_BUCKET] as number;
    if (current === bucket) return;
    if (current >= 0) this.#unlink(base, current);
    else this.count++;
    const head = this.#heads[bucket] as number;
    rows[base + TIMER_BUCKET] = bucket;
    rows[base + TIMER_NEXT] = head;
    rows[base + TIMER_PREVIOUS] = NO_ROW;
    if (head !== NO_ROW) rows[(head << ROW_SHIFT) + TIMER_PREVIOUS] = row;
    this.#heads[bucket] = row;
  }

  #unlink(base: number, bucket: number): void {
    const rows = this.#rows;
    const next = rows[base + TIMER_NEXT] as number;
    const previous = rows[base + TIMER_PREVIOUS] as number;
    if (next !== NO_ROW) rows[(next << ROW_SHIFT) + TIMER_PREVIOUS] = previous;
    if (previous !== NO_ROW) rows[(previous << ROW_SHIFT) + TIMER_NEXT] = next;
    else this.#heads[bucket] = next;
  }
}

function levelFor(delta: number): number {
  let level = 0;
  for (let limit = LEVEL_BUCKETS - 1; delta >= limit && level < LEVELS - 1; limit <<= LEVEL_SHIFT) level++;
  return level;
}

function bucketOn(level: number, dueTick: number): number {
  return level * LEVEL_BUCKETS + (((dueTick >>> (level * LEVEL_SHIFT)) + 1) & (LEVEL_BUCKETS - 1));
}
