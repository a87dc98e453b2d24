/**
 * Tells when the host's network may have changed. A child `ip monitor` says so at once; a slow clock besides
 * covers what it does not report (permanent neighbours, the port range) and what was lost. Where the monitor
 * does not run the clock goes faster.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { TOOL_ENVIRONMENT } from './run-tool.ts';

const POLL_MS = 30_000;
const POLL_WITHOUT_MONITOR_MS = 3_000;
/** Changes come in swarms: wait until one is over, but not longer than it takes to read a few times. */
const SETTLE_MS = 50;
/** Reading takes at most a quarter of the time, however large the tables and however often they change. */
const REST_FACTOR = 3;
/** A monitor that lived shorter could not run at all. */
const HEALTHY_MS = 2_000;

/** `setpriv` lets the kernel end the monitor with us even when we are killed. Without it, its next word does. */
const MONITORS: readonly (readonly string[])[] = [
  ['setpriv', '--pdeathsig', 'KILL', 'ip', 'monitor', 'link', 'address', 'route'],
  ['ip', 'monitor', 'link', 'address', 'route'],
];

export class NetworkWatch {
  readonly #refresh: () => Promise<void>;
  readonly #onUnmonitored: () => void;
  #monitor: ChildProcess | null = null;
  #pollTimer: NodeJS.Timeout | undefined;
  #settleTimer: NodeJS.Timeout | undefined;
  #refreshing = false;
  #again = false;
  #closed = false;

  /** `refresh` never runs twice at once. `onUnmonitored`: only the clock is left. */
  constructor(refresh: () => Promise<void>, onUnmonitored: () => void) {
    this.#refresh = refresh;
    this.#onUnmonitored = onUnmonitored;
    this.#startMonitor(0);
    this.#poll();
  }

  /** As if something had changed. */
  poke(): void {
    if (this.#closed) return;
    if (this.#refreshing) this.#again = true;
    else this.#settleTimer ??= setTimeout(() => void this.#run(), SETTLE_MS);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#pollTimer);
    clearTimeout(this.#settleTimer);
    this.#monitor?.kill('SIGKILL');
  }

  async #run(): Promise<void> {
    this.#refreshing = true;
    this.#again = false;
    const beginMs = performance.now();
    await this.#refresh();
    const restMs = Math.max(SETTLE_MS, (performance.now() - beginMs) * REST_FACTOR);
    if (this.#closed) return;
    this.#settleTimer = setTimeout(() => {
      this.#settleTimer = undefined;
      this.#refreshing = false;
      if (this.#again) this.poke();
    }, restMs);
  }

  #poll(): void {
    const periodMs = this.#monitor === null ? POLL_WITHOUT_MONITOR_MS : POLL_MS;
    this.#pollTimer = setTimeout(() => {
      this.poke();
      this.#poll();
    }, periodMs);
  }

  #startMonitor(candidate: number): void {
    const [tool, ...args] = MONITORS[candidate] ?? [];
    if (tool === undefined) {
      this.#onUnmonitored();
      return;
    }
    const beginMs = performance.now();
    // In a session of its own: Ctrl-C must not end it before us.
    const child = spawn(tool, args, { stdio: ['ignore', 'pipe', 'ignore'], detached: true, env: TOOL_ENVIRONMENT });
    this.#monitor = child;
    child.stdout?.on('data', () => this.poke());
    let ended = false;
    const end = () => {
      if (ended || this.#closed) return;
      ended = true;
      this.#monitor = null;
      const worked = performance.now() - beginMs > HEALTHY_MS;
      this.#startMonitor(worked ? candidate : candidate + 1);
      // What happened meanwhile nobody told.
      this.poke();
    };
    child.on('error', end);
    child.on('close', end);
  }
}
