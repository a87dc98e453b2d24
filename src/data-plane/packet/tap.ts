/**
 * The tap of `uipvs capture`: what came and what left, side by side, for whoever reads it (`readCapture`). Without a
 * reader it costs one comparison a turn. With one, frames are copied into memory of a fixed size; what there is no room
 * for is counted and not kept, so a slow reader never slows the traffic. A reader that was killed is forgotten.
 */
import { CONSUME, PASS, REASON } from '../../engine/verdict.ts';
import type { CapturePage, Commands } from '../../model/commands.ts';
import { IpvsError } from '../../model/errors.ts';
import { CAPTURE_BUFFER_BYTES, CAPTURE_PAGE_BYTES, CAPTURES_MAX, FRAME_BYTES_MAX } from '../../model/limits.ts';
import { type FilteredEnd, type PacketFilter, parsePacketFilter } from '../../model/packet-filter.ts';
import { readInt32 } from '../../wire/bytes.ts';
import { FrameFlag, type PacketBatch } from '../../wire/packet-batch.ts';
import { PacketFacts } from '../../wire/packet-facts.ts';
import {
  NO_SLICE,
  type TapDecision,
  TapFlag,
  type TapSlice,
  tapRecordBytes,
  writeTapRecord,
} from '../../wire/tap-record.ts';
import { waitingKey } from '../../wire/waiting-key.ts';

/** Nobody has read it for so long: it ends. */
const LEASE_MS = 10_000;

/** Links are the worker's own knowledge. */
export type TapPage = Omit<CapturePage, 'links'>;

export interface TapOptions {
  /** Microseconds since 1970, by a clock that does not jump. */
  readonly nowUs: () => number;
  /** Called when the first capture begins, and when the last ends. */
  readonly onActive?: (active: boolean) => void;
}

/** All captures of one worker. */
export class Taps {
  readonly #nowUs: () => number;
  readonly #onActive: (active: boolean) => void;
  readonly #taps = new Map<string, Tap>();
  /** Frames as they came, in slots of the same size: the engine rewrites them where they lie. */
  #copies = new Uint8Array(0);
  #copyBytes = 0;
  readonly #cameBytes: number[] = [];
  readonly #cameFlags: number[] = [];

  constructor({ nowUs, onActive = () => {} }: TapOptions) {
    this.#nowUs = nowUs;
    this.#onActive = onActive;
  }

  get active(): boolean {
    return this.#taps.size > 0;
  }

  /** EINVAL: the filter is not understood; ENOMEM: too many captures at once. */
  read(wish: Commands['readCapture']['input'], nowMs: number): TapPage {
    let tap = this.#taps.get(wish.id);
    const begun = tap === undefined;
    if (tap === undefined) {
      if (wish.stop === true) return { records: '', more: false, lost: 0, begun: false };
      tap = this.#begin(wish);
    }
    tap.readAtMs = nowMs;
    if (wish.stop === true) tap.frozen = true;
    const page = tap.take();
    if (tap.frozen && !page.more) this.#end(wish.id);
    return { ...page, begun };
  }

  /** Ends captures that nobody reads. */
  advance(nowMs: number): void {
    for (const [id, { readAtMs }] of this.#taps) if (nowMs - readAtMs > LEASE_MS) this.#end(id);
  }

  /** Before the engine decides. */
  came(batch: PacketBatch): void {
    const stride = this.#copyBytes;
    if (this.#copies.length < stride * batch.capacity) this.#copies = new Uint8Array(stride * batch.capacity);
    for (let slot = 0; slot < batch.count; slot++) {
      const start = batch.start[slot] as number;
      const end = batch.end[slot] as number;
      this.#cameBytes[slot] = end - start;
      this.#cameFlags[slot] = frameFlags(batch, slot, TapFlag.CAME_PARTIAL, TapFlag.CAME_SUPER);
      this.#copies.set(batch.bytes.subarray(start, Math.min(end, start + stride)), slot * stride);
    }
  }

  /** After it has decided, before anything is sent. */
  decided(batch: PacketBatch): void {
    const timeUs = this.#nowUs();
    for (let slot = 0; slot < batch.count; slot++) {
      // Another shard hands it on.
      if (((batch.flags[slot] as number) & (FrameFlag.SHARED | FrameFlag.OTHER_SHARD)) !== 0) continue;
      const verdict = batch.verdict[slot] as number;
      const egress = batch.egress[slot] as number;
      const cameBytes = this.#cameBytes[slot] as number;
      const came: TapSlice = {
        bytes: this.#copies,
        at: slot * this.#copyBytes,
        originalBytes: cameBytes,
        keptBytes: Math.min(cameBytes, this.#copyBytes),
      };
      const left = egress === NO_LINK ? NO_SLICE : this.#sliceOf(batch, slot);
      const flags =
        (this.#cameFlags[slot] as number) | frameFlags(batch, slot, TapFlag.LEFT_PARTIAL, TapFlag.LEFT_SUPER);
      const reason = batch.reason[slot] as number;
      const decision = { timeUs, verdict, reason, flags, ingress: batch.ingress[slot] as number, egress };
      for (const tap of this.#taps.values()) tap.offer(decision, came, left);
    }
  }

  /** What the engine itself says. */
  said(outbox: PacketBatch): void {
    const timeUs = this.#nowUs();
    for (let slot = 0; slot < outbox.count; slot++) {
      const egress = outbox.egress[slot] as number;
      if (egress === NO_LINK) continue;
      const flags = frameFlags(outbox, slot, TapFlag.LEFT_PARTIAL, TapFlag.LEFT_SUPER);
      const decision = { timeUs, verdict: 0, reason: 0, flags, ingress: -1, egress };
      for (const tap of this.#taps.values()) tap.offer(decision, NO_SLICE, this.#sliceOf(outbox, slot));
    }
  }

  #sliceOf(batch: PacketBatch, slot: number): TapSlice {
    const at = batch.start[slot] as number;
    const originalBytes = (batch.end[slot] as number) - at;
    return { bytes: batch.bytes, at, originalBytes, keptBytes: Math.min(originalBytes, this.#copyBytes) };
  }

  #begin(wish: Commands['readCapture']['input']): Tap {
    const filter = wish.filter === undefined || wish.filter.trim() === '' ? null : parsePacketFilter(wish.filter);
    if (this.#taps.size >= CAPTURES_MAX) {
      throw new IpvsError('ENOMEM', `${CAPTURES_MAX} captures are running already; each ends when its reader ends`);
    }
    const tap = new Tap(filter, wish.snapBytes ?? FRAME_BYTES_MAX, wish.all === true);
    this.#taps.set(wish.id, tap);
    if (this.#taps.size === 1) this.#onActive(true);
    this.#measure();
    return tap;
  }

  #end(id: string): void {
    this.#taps.delete(id);
    if (this.#taps.size === 0) this.#onActive(false);
    this.#measure();
  }

  /** As much of each frame is copied as one of the captures wants. */
  #measure(): void {
    this.#copyBytes = Math.max(0, ...[...this.#taps.values()].map(({ snapBytes }) => snapBytes));
    this.#copies = new Uint8Array(0);
  }
}

const NO_LINK = -1;
/** Packets that wait are few: those of the first moment after a next hop was used. */
const WAITING_MAX = 256;

class Tap {
  readonly snapBytes: number;
  readAtMs = 0;
  /** Nothing is added any more; what is here can still be read. */
  frozen = false;
  readonly #filter: PacketFilter | null;
  readonly #all: boolean;
  readonly #buffer = new Uint8Array(CAPTURE_BUFFER_BYTES);
  readonly #view = new DataView(this.#buffer.buffer);
  /** Packets that wait for their next hop; `came`: that one did not match the filter. */
  readonly #waiting: { readonly key: string; readonly decision: TapDecision; readonly came: TapSlice | null }[] = [];
  #start = 0;
  #end = 0;
  #lost = 0;

  constructor(filter: PacketFilter | null, snapBytes: number, all: boolean) {
    this.#filter = filter;
    this.snapBytes = snapBytes;
    this.#all = all;
  }

  offer(decision: TapDecision, came: TapSlice, left: TapSlice): void {
    if (this.frozen) return;
    const isWanted = this.#isWanted(decision, came, left);
    if (this.#filter === null) {
      if (isWanted) this.#add(decision, came, left);
    } else if (came.originalBytes >= 0 && decision.verdict === CONSUME) this.#await(isWanted, decision, came, left);
    else if (came.originalBytes < 0) this.#offerLate(isWanted, decision, left);
    else if (isWanted) this.#add(decision, came, left);
  }

  /** It may leave later, with other ends: then both sides are wanted, or none. */
  #await(isWanted: boolean, decision: TapDecision, came: TapSlice, left: TapSlice): void {
    if (isWanted) this.#add(decision, came, left);
    const key = waitingKey(came.bytes, came.at, came.at + came.keptBytes);
    if (key === null) return;
    if (this.#waiting.length >= WAITING_MAX) this.#waiting.shift();
    const copy = isWanted ? null : { ...came, bytes: came.bytes.slice(came.at, came.at + came.keptBytes), at: 0 };
    this.#waiting.push({ key, decision, came: copy });
  }

  #offerLate(isWanted: boolean, decision: TapDecision, left: TapSlice): void {
    const key = this.#waiting.length === 0 ? null : waitingKey(left.bytes, left.at, left.at + left.keptBytes);
    const at = key === null ? -1 : this.#waiting.findIndex((waiting) => waiting.key === key);
    const [before] = at < 0 ? [] : this.#waiting.splice(at, 1);
    if (before === undefined) {
      if (isWanted) this.#add(decision, NO_SLICE, left);
    } else if (before.came === null) this.#add(decision, NO_SLICE, left);
    else if (isWanted) {
      this.#add(before.decision, before.came, NO_SLICE);
      this.#add(decision, NO_SLICE, left);
    }
  }

  #add(decision: TapDecision, came: TapSlice, left: TapSlice): void {
    const kept = this.#cut(came);
    const sent = this.#cut(left);
    const recordBytes = tapRecordBytes(kept, sent);
    // Moved to the front when that gains room for many.
    if (this.#end + recordBytes > this.#buffer.length && this.#start >= CAPTURE_PAGE_BYTES / 2) this.#moveToFront();
    if (this.#end + recordBytes > this.#buffer.length) {
      this.#lost++;
      return;
    }
    this.#end = writeTapRecord(this.#buffer, this.#view, this.#end, decision, kept, sent);
  }

  take(): Omit<TapPage, 'begun'> {
    let end = this.#start;
    while (end < this.#end) {
      const next = end + this.#view.getUint32(end, true);
      if (next - this.#start > CAPTURE_PAGE_BYTES && end > this.#start) break;
      end = next;
    }
    const records = Buffer.from(this.#buffer.buffer, this.#start, end - this.#start).toString('base64');
    const lost = this.#lost;
    this.#lost = 0;
    this.#start = end;
    if (this.#start === this.#end) this.#start = this.#end = 0;
    return { records, more: this.#end > this.#start, lost };
  }

  #moveToFront(): void {
    this.#buffer.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
  }

  #cut(slice: TapSlice): TapSlice {
    return slice.keptBytes <= this.snapBytes ? slice : { ...slice, keptBytes: this.snapBytes };
  }

  #isWanted({ verdict, reason }: TapDecision, came: TapSlice, left: TapSlice): boolean {
    // Most of what passes a host has nothing to do with a balancer.
    const isForeign = came.originalBytes >= 0 && verdict === PASS && !PASSES_OF_OURS.has(reason);
    if (isForeign && !this.#all) return false;
    if (this.#filter === null && (this.#all || verdict !== PASS)) return true;
    const cameIp = came.originalBytes >= 0 && cameFacts.read(came.bytes, came.at, came.at + came.keptBytes);
    const leftIp = left.originalBytes >= 0 && leftFacts.read(left.bytes, left.at, left.at + left.keptBytes);
    // ARP of others.
    if (!this.#all && verdict === PASS && !cameIp && !leftIp) return came.originalBytes < 0 && this.#filter === null;
    if (this.#filter === null) return true;
    const ends: FilteredEnd[] = [];
    if (cameIp) addEnds(ends, cameFacts, came.bytes);
    if (leftIp) addEnds(ends, leftFacts, left.bytes);
    const { ipv6, protocol } = cameIp ? cameFacts : leftFacts;
    return this.#filter({ isIp: cameIp || leftIp, ipv6, protocol, ends });
  }
}

/** Answers that are not rewritten (direct routing), and segments to a VIP that belong to no connection. */
const PASSES_OF_OURS: ReadonlySet<number> = new Set([REASON.none, REASON['no-connection']]);

const cameFacts = new PacketFacts();
const leftFacts = new PacketFacts();

function addEnds(ends: FilteredEnd[], facts: PacketFacts, bytes: Uint8Array): void {
  ends.push(endOf(facts, bytes, facts.sourceAt, facts.sourcePort, 'source'));
  ends.push(endOf(facts, bytes, facts.destinationAt, facts.destinationPort, 'destination'));
}

function endOf(
  { ipv6 }: PacketFacts,
  bytes: Uint8Array,
  at: number,
  port: number,
  side: FilteredEnd['side'],
): FilteredEnd {
  const word = (index: number): number => (ipv6 ? readInt32(bytes, at + 4 * index) : 0);
  const address3 = readInt32(bytes, ipv6 ? at + 12 : at);
  return { ipv6, address0: word(0), address1: word(1), address2: word(2), address3, port: Math.max(0, port), side };
}

function frameFlags(batch: PacketBatch, slot: number, partial: number, large: number): number {
  const isPartial = ((batch.flags[slot] as number) & FrameFlag.PARTIAL_CHECKSUM) !== 0;
  return (isPartial ? partial : 0) | ((batch.segmentBytes[slot] as number) !== 0 ? large : 0);
}
