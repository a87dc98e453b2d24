/** The master: tells the backup of connections, and of those that control them. Bytes only; the socket is elsewhere. */
import { SyncConnection } from '../wire/sync-message.ts';
import { SyncCandidate, type SyncSettings, syncNeeded } from './sync-needed.ts';
import { type SyncDatagram, SyncQueue, type SyncQueueOptions } from './sync-queue.ts';

/** Settings of the master, by the kernel's names. Read at every use: they may change. */
export interface SyncMasterSettings extends SyncSettings {
  /** 0 or 1. */
  readonly sync_version: number;
  /** Messages that may wait in each queue. */
  readonly sync_qlen_max: number;
}

/** What the master asks of the engine; connections by row. */
export interface SyncSource {
  /** Row of the controlling connection, -1: none. */
  controllerOf(row: number): number;
  isTemplate(row: number): boolean;
  isOnePacket(row: number): boolean;
  isIpv6(row: number): boolean;
  /** Adds one to the packets of a template and answers how many there are. */
  countPacket(row: number): number;
  /** Fills in everything but the memory from the row, and the memory too. */
  describeCandidate(row: number, into: SyncCandidate): void;
  /** Keeps `syncEnd` and `syncState` of a connection that was told of. */
  remember(row: number, candidate: SyncCandidate): void;
  /** Fills in everything that goes into a message. */
  describe(row: number, into: SyncConnection): void;
}

export class SyncMaster {
  readonly #source: SyncSource;
  readonly #settings: SyncMasterSettings;
  readonly #queue: SyncQueue;
  readonly #candidate = new SyncCandidate();
  readonly #connection = new SyncConnection();

  constructor(source: SyncSource, settings: SyncMasterSettings, options: SyncQueueOptions, nowMs: number) {
    this.#source = source;
    this.#settings = settings;
    this.#queue = new SyncQueue(options, nowMs);
  }

  /**
   * To be called after every packet from a client was sent on, with the packets of its connection so far (replies
   * never), and when the end of a connection was put off, with `sync_threshold`. For one-packet connections
   * `packets` is `sync_threshold` too.
   */
  consider(row: number, packets: number, nowTick: number, nowMs: number): void {
    const source = this.#source;
    const isOld = this.#settings.sync_version === 0;
    while (row >= 0) {
      const mayBeTold = !source.isOnePacket(row) && !(isOld && source.isIpv6(row));
      const told = mayBeTold && this.#tell(row, packets, nowTick, nowMs);
      // In version 0 whoever controls a connection is told of only together with it.
      if (isOld && !told) return;
      row = source.controllerOf(row);
      if (row < 0) return;
      packets = source.isTemplate(row) ? source.countPacket(row) : this.#settings.sync_threshold[0];
    }
  }

  /** The datagrams that are to be sent by now. */
  takeDue(nowMs: number): SyncDatagram[] {
    return this.#queue.takeDue(nowMs);
  }

  get nextDeadlineMs(): number {
    return this.#queue.nextDeadlineMs;
  }

  /** Messages lost because a queue was full. */
  get dropped(): number {
    return this.#queue.dropped;
  }

  #tell(row: number, packets: number, nowTick: number, nowMs: number): boolean {
    const candidate = this.#candidate;
    this.#source.describeCandidate(row, candidate);
    if (!syncNeeded(candidate, packets, nowTick, this.#settings)) return false;
    this.#source.remember(row, candidate);
    this.#source.describe(row, this.#connection);
    // All messages about one connection take the same way.
    const thread = row & (this.#queue.threads - 1);
    const version = this.#settings.sync_version === 0 ? 0 : 1;
    this.#queue.append(thread, version, this.#connection, nowMs, this.#settings.sync_qlen_max);
    return true;
  }
}
