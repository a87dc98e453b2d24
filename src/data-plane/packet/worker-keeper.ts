/**
 * Keeps one worker alive: starts another when it died or got stuck, more slowly each time, and lets its owner
 * prepare it before anybody else may speak to it.
 */
import { IpvsError } from '../../model/errors.ts';
import type { Gauges } from './scoreboard.ts';
import type { WorkerSession } from './worker-session.ts';

/** The first restart comes at once; each further one waits twice as long, until the worker has lived a while. */
const RESTART_DELAY_MS = 100;
const RESTART_DELAY_MS_MAX = 30_000;
const HEALTHY_MS = 60_000;
/** How long a command waits for a worker that is being restarted. */
const PATIENCE_MS = 10_000;
/**
 * An idle worker makes a turn every quarter of a second. One that made none over so many looks is said to be stuck,
 * within a second; one that still made none much later is ended, for it takes its connections with it.
 */
const LOOK_MS = 200;
const LOOKS_TO_NOTICE = 4;
const LOOKS_TO_END = 60;

export interface KeeperOwner {
  /** What notices call the worker; `packet worker` unless given. */
  readonly name?: string;
  startWorker(): WorkerSession;
  /** Brings a fresh worker to the state of its predecessor. Rejecting means that this worker will not do. */
  prepare(session: WorkerSession): Promise<void>;
  notice(level: 'info' | 'warning' | 'error', message: string): void;
}

export class WorkerKeeper {
  readonly #owner: KeeperOwner;
  #session: WorkerSession | null = null;
  #current: Promise<WorkerSession>;
  #restarts = 0;
  #replaced = 0;
  #closed = false;
  #wakeUp: () => void = () => {};
  readonly #lookTimer: NodeJS.Timeout;

  private constructor(owner: KeeperOwner) {
    this.#owner = owner;
    this.#current = this.#begin();
    this.#lookTimer = this.#watchTurns();
  }

  /** Rejects when the first worker cannot be started. */
  static async open(owner: KeeperOwner): Promise<WorkerKeeper> {
    const keeper = new WorkerKeeper(owner);
    try {
      await keeper.#current;
    } catch (error) {
      await keeper.close();
      throw error;
    }
    return keeper;
  }

  /** The worker, once there is one. Rejects with an IpvsError EIO when that takes too long. */
  async session(): Promise<WorkerSession> {
    let timer: NodeJS.Timeout | undefined;
    const impatience = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new IpvsError('EIO', `the ${this.#name} is down`)), PATIENCE_MS);
    });
    try {
      return await Promise.race([this.#current, impatience]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** How often a worker died that had served. */
  get replaced(): number {
    return this.#replaced;
  }

  gauges(): Gauges | null {
    return this.#session?.gauges() ?? null;
  }

  /** Ends the worker; another one follows. */
  endWorker(): void {
    this.#session?.kill();
  }

  get #name(): string {
    return this.#owner.name ?? 'packet worker';
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#lookTimer);
    this.#wakeUp();
    await this.#session?.stop();
  }

  async #begin(): Promise<WorkerSession> {
    const session = this.#owner.startWorker();
    this.#session = session;
    const bornMs = performance.now();
    try {
      await session.ready;
      await this.#owner.prepare(session);
    } catch (error) {
      session.kill();
      await session.ended;
      throw error;
    }
    void session.ended.then((reason) => {
      if (this.#closed) return;
      if (performance.now() - bornMs > HEALTHY_MS) this.#restarts = 0;
      this.#replaced += 1;
      this.#owner.notice('error', `the ${this.#name} ended and is being replaced, its connections are lost: ${reason}`);
      this.#current = this.#replace();
      this.#current.catch(() => {}); // Only closing ends it, and then nobody asks any more.
    });
    return session;
  }

  async #replace(): Promise<WorkerSession> {
    while (!this.#closed) {
      await this.#pause();
      if (this.#closed) break;
      try {
        const session = await this.#begin();
        this.#owner.notice('info', `a new ${this.#name} serves`);
        return session;
      } catch (error) {
        this.#owner.notice('error', `the ${this.#name} could not be replaced: ${(error as Error).message}`);
      }
    }
    throw new IpvsError('ENOPROTOOPT', 'the data plane is closed');
  }

  #pause(): Promise<void> {
    const delayMs = this.#restarts === 0 ? 0 : Math.min(RESTART_DELAY_MS * 2 ** this.#restarts, RESTART_DELAY_MS_MAX);
    this.#restarts += 1;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      this.#wakeUp = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** A thread shows its turns without being asked. Looks are counted, not time: we may have been held up ourselves. */
  #watchTurns(): NodeJS.Timeout {
    let looks = 0;
    let before = -1;
    let watched: WorkerSession | null = null;
    return setInterval(() => {
      const turns = this.#session?.gauges()?.turns ?? 0;
      if (this.#session !== watched || turns !== before || turns === 0) {
        if (looks >= LOOKS_TO_NOTICE && this.#session === watched) {
          this.#owner.notice('warning', `the ${this.#name} goes on after ${(looks * LOOK_MS) / 1000} s`);
        }
        looks = 0;
      } else {
        looks += 1;
      }
      watched = this.#session;
      before = turns;
      if (looks === LOOKS_TO_NOTICE) {
        this.#owner.notice('error', `the ${this.#name} is stuck: it has made no turn for almost a second`);
      }
      if (looks < LOOKS_TO_END) return;
      looks = 0;
      this.#owner.notice('error', `the ${this.#name} is ended: no turn for ${(LOOKS_TO_END * LOOK_MS) / 1000} s`);
      this.#session?.kill();
    }, LOOK_MS).unref();
  }
}
