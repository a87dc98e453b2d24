/**
 * The worker's side of the conversation with its host: the same two functions whether it is a thread, which
 * never runs its event loop and looks into its port once a turn, or a process, which is told by events.
 */
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { FromWorker, ToWorker, WorkerStart } from './messages.ts';

export interface Mailbox {
  /** A thread polls with `take`; a process listens and is also told when its host is gone. */
  readonly kind: 'thread' | 'process';
  /** What to do; ask once, before anything else. */
  start(): Promise<WorkerStart>;
  post(message: FromWorker): void;
  /** The next message, or `null`. In a process always `null`. */
  take(): ToWorker | null;
  /** Calls back for each message and, when the host is gone, once with `null`. In a thread: never. */
  listen(onMessage: (message: ToWorker | null) => void): void;
  /** Shared memory for gauges, in threads only. */
  readonly scoreboard: SharedArrayBuffer | null;
  /** Ends the conversation; what was posted before still arrives. */
  close(): void;
}

/** What a thread is started with. */
export interface ThreadData {
  readonly start: WorkerStart;
  readonly scoreboard: SharedArrayBuffer;
}

export function openMailbox(): Mailbox {
  if (parentPort !== null) return new ThreadMailbox(parentPort, workerData as ThreadData);
  return new ProcessMailbox();
}

class ThreadMailbox implements Mailbox {
  readonly kind = 'thread';
  readonly scoreboard: SharedArrayBuffer;
  readonly #port: MessagePort;
  readonly #start: WorkerStart;

  constructor(port: MessagePort, { start, scoreboard }: ThreadData) {
    this.#port = port;
    this.#start = start;
    this.scoreboard = scoreboard;
  }

  async start(): Promise<WorkerStart> {
    return this.#start;
  }

  post(message: FromWorker): void {
    this.#port.postMessage(message);
  }

  take(): ToWorker | null {
    return (receiveMessageOnPort(this.#port)?.message as ToWorker | undefined) ?? null;
  }

  listen(): void {}

  close(): void {
    this.#port.close();
  }
}

class ProcessMailbox implements Mailbox {
  readonly kind = 'process';
  readonly scoreboard = null;

  start(): Promise<WorkerStart> {
    return new Promise((resolve) => {
      process.once('message', (message: ToWorker) => {
        if (message.type === 'start') resolve(message.start);
      });
    });
  }

  post(message: FromWorker): void {
    // The host may be gone already; then there is nobody to tell.
    if (process.connected) process.send?.(message, undefined, undefined, () => {});
  }

  take(): null {
    return null;
  }

  listen(onMessage: (message: ToWorker | null) => void): void {
    process.on('message', (message) => onMessage(message as ToWorker));
    process.on('disconnect', () => onMessage(null));
    if (!process.connected) onMessage(null);
  }

  close(): void {
    if (process.connected) process.disconnect();
    // A back end's handles must not keep a process without a host.
    setTimeout(() => process.exit(), 1_000).unref();
  }
}
