/**
 * What the locality-based schedulers remember: for each address that clients asked for, a value of their own and
 * when it was used last. Entries age; a sweep runs every minute.
 */

import { TICKS_PER_SECOND } from '../../model/settings.ts';
import type { Destination } from '../destination.ts';
import type { Flow } from '../scheduler.ts';
import { foldAddress, hash32 } from './hashing.ts';

const TABLE_BITS = 10;
const TABLE_SIZE = 1 << TABLE_BITS;
/** Entries above which a sweep looks for idle ones early. */
const CROWDED = 16 * TABLE_SIZE;
/** Entries that are remembered at most: beyond that, choices are made but not remembered. */
const ENTRIES_MAX = 1 << 20;
const SWEEP_TICKS = 60 * TICKS_PER_SECOND;
/** How long an entry has to be idle to make room when it is crowded. */
const IDLE_TICKS = 6 * 60 * TICKS_PER_SECOND;
/** Every so many sweeps, entries older than the expiration go, crowded or not. */
const SWEEPS_PER_FULL_ONE = 30;

export class LocalityEntry<T> {
  readonly address0: number;
  readonly address1: number;
  readonly address2: number;
  readonly address3: number;
  value: T;
  lastUseTicks: number;

  constructor(flow: Flow, value: T, nowTicks: number) {
    this.address0 = flow.virtual0;
    this.address1 = flow.virtual1;
    this.address2 = flow.virtual2;
    this.address3 = flow.virtual3;
    this.value = value;
    this.lastUseTicks = nowTicks;
  }
}

export class LocalityCache<T> {
  readonly #buckets: LocalityEntry<T>[][] = Array.from({ length: TABLE_SIZE }, () => []);
  readonly #expirationSeconds: () => number;
  #size = 0;
  #sweepAtTicks: number;
  #sweeps = 1;
  /** The bucket that the last sweep ended with. */
  #rover = 0;

  /** `expirationSeconds` is asked at every full sweep, since the setting may change. */
  constructor(nowTicks: number, expirationSeconds: () => number) {
    this.#sweepAtTicks = nowTicks + SWEEP_TICKS;
    this.#expirationSeconds = expirationSeconds;
  }

  get size(): number {
    return this.#size;
  }

  /** The entry for the flow's virtual address, not touched, or `null`. */
  find(flow: Flow): LocalityEntry<T> | null {
    const bucket = this.#bucketOf(flow);
    for (let i = 0; i < bucket.length; i++) {
      const entry = bucket[i] as LocalityEntry<T>;
      if (
        entry.address3 === flow.virtual3 &&
        entry.address2 === flow.virtual2 &&
        entry.address1 === flow.virtual1 &&
        entry.address0 === flow.virtual0
      ) {
        return entry;
      }
    }
    return null;
  }

  /** Remembers a value for an address that has none. */
  add(flow: Flow, value: T, nowTicks: number): void {
    if (this.#size >= ENTRIES_MAX) return;
    this.#bucketOf(flow).push(new LocalityEntry(flow, value, nowTicks));
    this.#size++;
  }

  advance(nowTicks: number): void {
    while (nowTicks >= this.#sweepAtTicks) {
      this.#sweep(this.#sweepAtTicks);
      this.#sweepAtTicks += SWEEP_TICKS;
    }
  }

  #sweep(nowTicks: number): void {
    if (this.#sweeps % SWEEPS_PER_FULL_ONE === 0) {
      this.#deleteIdle(nowTicks - this.#expirationSeconds() * TICKS_PER_SECOND, this.#size);
      this.#sweeps = 1;
    } else if (this.#size <= CROWDED) {
      this.#sweeps++;
    } else {
      const goal = Math.min(Math.floor(((this.#size - CROWDED) * 4) / 3), CROWDED / 2);
      this.#deleteIdle(nowTicks - IDLE_TICKS, goal);
    }
  }

  /** Deletes what was not used after `sinceTicks`, bucket by bucket from the rover on, until `goal` are gone. */
  #deleteIdle(sinceTicks: number, goal: number): void {
    for (let i = 0; i < TABLE_SIZE && goal > 0; i++) {
      this.#rover = (this.#rover + 1) % TABLE_SIZE;
      const bucket = this.#buckets[this.#rover] as LocalityEntry<T>[];
      const kept = bucket.filter((entry) => entry.lastUseTicks > sinceTicks);
      goal -= bucket.length - kept.length;
      this.#size -= bucket.length - kept.length;
      this.#buckets[this.#rover] = kept;
    }
  }

  #bucketOf(flow: Flow): LocalityEntry<T>[] {
    const fold = foldAddress(flow.virtual0, flow.virtual1, flow.virtual2, flow.virtual3);
    return this.#buckets[hash32(fold, TABLE_BITS)] as LocalityEntry<T>[];
  }
}

/** Busier than its weight allows, while some destination is less than half as busy as its own weight allows. */
export function isOutweighed(destination: Destination, destinations: readonly Destination[]): boolean {
  if (destination.activeConnections <= destination.weight) return false;
  for (let i = 0; i < destinations.length; i++) {
    const other = destinations[i] as Destination;
    if (other.activeConnections * 2 < other.weight) return true;
  }
  return false;
}

/** Why a remembered destination does not keep its address, `null`: it does. */
export function whyLeftBy(known: Destination, destinations: readonly Destination[]): string | null {
  if (!known.available) return 'it was deleted';
  if (known.weight === 0) return 'its weight is 0';
  if (!isOutweighed(known, destinations)) return null;
  return `${known.activeConnections} active are more than its weight ${known.weight}, and another is less than half as busy as its own`;
}
