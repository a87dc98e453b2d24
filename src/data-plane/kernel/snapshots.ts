/**
 * Long listings in pages: what was read for the first page is kept for the next ones, so that pages neither skip nor
 * repeat an entry whatever happens to the table between them. Few are kept, and not for long.
 */

import type { Page } from '../../model/commands.ts';
import { IpvsError } from '../../model/errors.ts';

const KEPT_MAX = 8;
const KEPT_MS = 60_000;

interface Kept<T> {
  readonly rows: readonly T[];
  usedMs: number;
}

export class Snapshots<T> {
  readonly #kept = new Map<number, Kept<T>>();
  readonly #nowMs: () => number;
  readonly #pageMax: number;
  #number = 0;

  constructor(pageMax: number, nowMs: () => number) {
    this.#pageMax = pageMax;
    this.#nowMs = nowMs;
  }

  /** EINVAL: the cursor is none, or its listing is no longer kept; begin again. */
  page(take: () => readonly T[], cursor: unknown, limit: unknown): Page<T> {
    const count = Math.min(readLimit(limit, this.#pageMax), this.#pageMax);
    this.#forgetOld();
    const place = cursor === undefined ? { number: 0, rows: take(), at: 0 } : this.#find(cursor);
    const items = place.rows.slice(place.at, place.at + count);
    const next = place.at + count;
    if (next >= place.rows.length) {
      this.#kept.delete(place.number);
      return { items, next: null };
    }
    const number = place.number === 0 ? this.#keep(place.rows) : place.number;
    return { items, next: `${number}-${next}` };
  }

  #find(cursor: unknown): { number: number; rows: readonly T[]; at: number } {
    const match = typeof cursor === 'string' ? /^(\d{1,15})-(\d{1,15})$/.exec(cursor) : null;
    if (match === null) throw new IpvsError('EINVAL', 'cursor must be what the page before gave as next');
    const number = Number(match[1]);
    const kept = this.#kept.get(number);
    if (kept === undefined) throw new IpvsError('EINVAL', 'the listing of this cursor is too old; begin again');
    kept.usedMs = this.#nowMs();
    return { number, rows: kept.rows, at: Number(match[2]) };
  }

  #keep(rows: readonly T[]): number {
    this.#number++;
    this.#kept.set(this.#number, { rows, usedMs: this.#nowMs() });
    const oldest = this.#kept.keys().next();
    if (this.#kept.size > KEPT_MAX && oldest.value !== undefined) this.#kept.delete(oldest.value);
    return this.#number;
  }

  #forgetOld(): void {
    const nowMs = this.#nowMs();
    for (const [number, { usedMs }] of this.#kept) if (nowMs - usedMs > KEPT_MS) this.#kept.delete(number);
  }
}

function readLimit(limit: unknown, preset: number): number {
  if (limit === undefined) return preset;
  if (typeof limit === 'number' && Number.isInteger(limit) && limit >= 1) return limit;
  throw new IpvsError('EINVAL', 'limit must be a whole number above 0');
}
