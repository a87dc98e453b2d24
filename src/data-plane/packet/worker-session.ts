/** One worker from its first to its last breath, and the conversation with it. */
import type { Answer, Command, CommandName } from '../../model/commands.ts';
import { IpvsError } from '../../model/errors.ts';
import type { NetworkSnapshot } from '../../model/network.ts';
import type { FromWorker, NetworkAnswer, ToWorker, WorkerStart } from './messages.ts';
import type { Gauges } from './scoreboard.ts';
import type { SpawnWorker, WorkerHandle } from './worker-handle.ts';

const STOP_TIMEOUT_MS = 3_000;

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

export class WorkerSession {
  /** Resolves when the back end is open. Rejects with an IpvsError EIO when it never will be. */
  readonly ready: Promise<void>;
  /** Resolves with the reason, whatever it was. */
  readonly ended: Promise<string>;
  readonly #handle: WorkerHandle;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #lastWords = '';
  #over = false;

  constructor(spawn: SpawnWorker, start: WorkerStart) {
    const ready = promise<void>();
    const ended = promise<string>();
    this.ready = ready.promise;
    this.ended = ended.promise;
    this.ready.catch(() => {}); // Whoever only waits for the end need not care.
    this.#handle = spawn(start, {
      onMessage: (message) => {
        if (message.type === 'ready') ready.resolve();
        else this.#hear(message);
      },
      onExit: (exit) => {
        this.#over = true;
        const reason = this.#lastWords === '' ? exit : this.#lastWords;
        const error = new IpvsError('EIO', `the packet worker ended: ${reason}`);
        ready.reject(error);
        for (const { reject } of this.#waiting.values()) reject(error);
        this.#waiting.clear();
        ended.resolve(reason);
      },
    });
  }

  /** Rejects with an IpvsError: the engine's refusal, or EIO when the worker ended before it answered. */
  execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>> {
    return this.#ask((id) => ({ type: 'command', id, command: command as Command })) as Promise<Answer<N>>;
  }

  setNetwork(snapshot: NetworkSnapshot): Promise<NetworkAnswer> {
    return this.#ask((id) => ({ type: 'network', id, snapshot })) as Promise<NetworkAnswer>;
  }

  gauges(): Gauges | null {
    return this.#handle.gauges();
  }

  /** Asks it to end, insists after a while, and waits until it is gone. */
  async stop(): Promise<void> {
    if (!this.#over) this.#handle.post({ type: 'stop' });
    const timer = setTimeout(() => this.kill(), STOP_TIMEOUT_MS);
    await this.ended;
    clearTimeout(timer);
  }

  kill(): void {
    if (!this.#over) this.#handle.kill();
  }

  #ask(makeMessage: (id: number) => ToWorker): Promise<unknown> {
    if (this.#over) return Promise.reject(new IpvsError('EIO', 'the packet worker has ended'));
    const id = this.#nextId++;
    const asked = promise<unknown>();
    this.#waiting.set(id, asked);
    this.#handle.post(makeMessage(id));
    return asked.promise;
  }

  #hear(message: FromWorker): void {
    if (message.type === 'fatal') this.#lastWords = message.message;
    if (message.type !== 'answer' && message.type !== 'error') return;
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.type === 'answer') waiting?.resolve(message.answer);
    else waiting?.reject(new IpvsError(message.code, message.message));
  }
}

/** `Promise.withResolvers`, which Node 20 lacks. */
function promise<T>(): { promise: Promise<T>; resolve(value: T): void; reject(error: Error): void } {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const made = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise: made, resolve, reject };
}
