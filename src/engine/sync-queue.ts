/**
 * Messages between being written and being sent. Each thread of the master has one message that is filled and a queue
 * of full ones. It looks at them when it wakes up: soon after a message was queued, at once at the eighth, and about
 * every second; a message that is not full leaves when it is two seconds old.
 */
import type { SyncConnection } from '../wire/sync-message.ts';
import { SyncMessageWriter } from '../wire/sync-message-writer.ts';

/** A full message waits this long for others. */
const SEND_DELAY_MS = 20;
const SEND_AT_ONCE = 8;
const MESSAGE_AGE_MS = 2_000;
/** One second, rounded up by the kernel's timer wheel. */
const LOOK_PERIOD_MS = 1_024;

/** A datagram for the group, from the socket of a thread: its UDP port is the first one plus `thread`. */
export interface SyncDatagram {
  readonly thread: number;
  readonly bytes: Uint8Array;
}

export interface SyncQueueOptions {
  /** 0..255. */
  readonly syncId: number;
  /** Payload bytes of a datagram at most. */
  readonly messageBytesMax: number;
  /** How many sockets, a power of two. */
  readonly threads: number;
}

export class SyncQueue {
  readonly threads: number;
  /** Messages thrown away because a queue was full. */
  dropped = 0;
  readonly #options: SyncQueueOptions;
  readonly #queues: ThreadQueue[];

  constructor(options: SyncQueueOptions, nowMs: number) {
    this.threads = options.threads;
    this.#options = options;
    this.#queues = Array.from({ length: options.threads }, () => new ThreadQueue(nowMs));
  }

  /** Copies `connection` into the message of `thread`. `queueMax`: messages that may wait, setting sync_qlen_max. */
  append(thread: number, version: 0 | 1, connection: SyncConnection, nowMs: number, queueMax: number): void {
    const queue = this.#queues[thread] as ThreadQueue;
    queue.catchUp(nowMs);
    const { filling } = queue;
    if (filling === null || filling.version !== version || !filling.append(connection)) {
      this.#close(queue, nowMs, queueMax);
      const { syncId, messageBytesMax } = this.#options;
      queue.filling = new SyncMessageWriter(version, syncId, messageBytesMax, connection);
      queue.filling.append(connection);
      queue.firstMs = nowMs;
    }
    if (queue.filling?.isFull) this.#close(queue, nowMs, queueMax);
  }

  /** The datagrams that are to be sent by now, thread by thread, each thread's in order. */
  takeDue(nowMs: number): SyncDatagram[] {
    const due: SyncDatagram[] = [];
    for (const [thread, queue] of this.#queues.entries()) {
      for (const bytes of queue.wakeUpTo(nowMs)) due.push({ thread, bytes });
    }
    return due;
  }

  /** When `takeDue` next has something to do; Infinity while nothing waits. */
  get nextDeadlineMs(): number {
    return Math.min(...this.#queues.map((queue) => queue.deadlineMs));
  }

  #close(queue: ThreadQueue, nowMs: number, queueMax: number): void {
    if (queue.filling === null) return;
    if (!queue.push(queue.filling.finish(), nowMs, queueMax)) this.dropped++;
    queue.filling = null;
  }
}

class ThreadQueue {
  filling: SyncMessageWriter | null = null;
  /** When the first connection went into `filling`. */
  firstMs = 0;
  readonly #full: Uint8Array[] = [];
  /** Messages queued since the queue was empty. */
  #queued = 0;
  #nextLookMs: number;
  #wakeMs = Number.POSITIVE_INFINITY;

  constructor(nowMs: number) {
    this.#nextLookMs = nowMs + LOOK_PERIOD_MS;
  }

  push(message: Uint8Array, nowMs: number, queueMax: number): boolean {
    if (this.#full.length >= queueMax) return false;
    if (this.#full.length === 0) this.#wakeMs = nowMs + SEND_DELAY_MS;
    this.#full.push(message);
    this.#queued++;
    if (this.#queued === SEND_AT_ONCE) this.#wakeMs = nowMs;
    return true;
  }

  /** Steps over looks that found nothing: nobody was asked to call for those. */
  catchUp(nowMs: number): void {
    // A look at which something is due is left for `wakeUpTo`.
    if (this.#full.length > 0 || this.#nextLookMs > nowMs || this.deadlineMs <= nowMs) return;
    const looks = Math.floor((nowMs - this.#nextLookMs) / LOOK_PERIOD_MS) + 1;
    this.#nextLookMs += looks * LOOK_PERIOD_MS;
  }

  get deadlineMs(): number {
    if (this.#full.length > 0) return Math.min(this.#wakeMs, this.#nextLookMs);
    if (this.filling === null) return Number.POSITIVE_INFINITY;
    const looks = Math.ceil((this.firstMs + MESSAGE_AGE_MS - this.#nextLookMs) / LOOK_PERIOD_MS);
    return this.#nextLookMs + Math.max(0, looks) * LOOK_PERIOD_MS;
  }

  /** All that the thread would have sent up to now. */
  wakeUpTo(nowMs: number): Uint8Array[] {
    const sent: Uint8Array[] = [];
    while (this.deadlineMs <= nowMs) {
      const awakeMs = this.deadlineMs;
      sent.push(...this.#full.splice(0));
      this.#queued = 0;
      if (this.filling !== null && awakeMs - this.firstMs >= MESSAGE_AGE_MS) {
        sent.push(this.filling.finish());
        this.filling = null;
      }
      this.#wakeMs = Number.POSITIVE_INFINITY;
      this.#nextLookMs = awakeMs + LOOK_PERIOD_MS;
    }
    return sent;
  }
}
