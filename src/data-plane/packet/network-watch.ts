/**
 * Tells when the host's network may have changed. Children `ip monitor` and `nft monitor` say so at once; a slow clock
 * besides covers what they do not report (permanent neighbours, the port range) and what was lost. Where a monitor
 * does not run, and for what nobody reports (rules of the older iptables), the clock goes faster.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { TOOL_ENVIRONMENT } from './run-tool.ts';

const POLL_MS = 30_000;
const POLL_FAST_MS = 3_000;
/** Changes come in swarms: wait until one is over, but not longer than it takes to read a few times. */
const SETTLE_MS = 50;
/** Reading takes at most a quarter of the time, however large the tables and however often they change. */
const REST_FACTOR = 3;
/** A monitor that lived shorter could not run at all. */
const HEALTHY_MS = 2_000;
const FAILURES_MAX = 3;

/** What runs as a child and prints a line whenever something changed. */
const MONITORS: readonly (readonly string[])[] = [
  ['ip', 'monitor', 'link', 'address', 'route'],
  ['nft', 'monitor', 'rules'],
];
/** Lines about the guard, which we change ourselves. */
const OWN_LINE = /^\w+ rule netdev uipvs /;
/**
 * Lets the kernel end a monitor with us even when we are killed, and starts none when that has happened already: it would
 * have missed the end that it waits for. Without `setpriv` the monitor's next word ends it.
 */
const END_WITH_US = ['setpriv', '--pdeathsig', 'KILL', 'sh', '-c', '[ "$PPID" = "$0" ] && exec "$@"', `${process.pid}`];

export interface NetworkWatchOptions {
  /** Never runs twice at once. */
  readonly refresh: () => Promise<void>;
  /** This tool does not run: only the clock is left for what it would report. */
  readonly onUnmonitored: (tool: string) => void;
  /** Whether something that nobody reports is there, so that the clock has to go faster. */
  readonly needsClock: () => Promise<boolean>;
}

export class NetworkWatch {
  readonly #options: NetworkWatchOptions;
  readonly #monitors: readonly Monitor[];
  #pollTimer: NodeJS.Timeout | undefined;
  #settleTimer: NodeJS.Timeout | undefined;
  #refreshing = false;
  #again = false;
  #closed = false;
  #polledMs = performance.now();

  constructor(options: NetworkWatchOptions) {
    this.#options = options;
    this.#monitors = MONITORS.map(
      (words) =>
        new Monitor(
          words,
          () => this.poke(),
          () => options.onUnmonitored(words.slice(0, 2).join(' ')),
        ),
    );
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
    for (const monitor of this.#monitors) monitor.close();
  }

  async #run(): Promise<void> {
    this.#refreshing = true;
    this.#again = false;
    const beginMs = performance.now();
    await this.#options.refresh();
    const restMs = Math.max(SETTLE_MS, (performance.now() - beginMs) * REST_FACTOR);
    if (this.#closed) return;
    this.#settleTimer = setTimeout(() => {
      this.#settleTimer = undefined;
      this.#refreshing = false;
      if (this.#again) this.poke();
    }, restMs);
  }

  #poll(): void {
    this.#pollTimer = setTimeout(async () => {
      const late = performance.now() - this.#polledMs >= POLL_MS;
      const blind = this.#monitors.some((monitor) => !monitor.suffices);
      if (late || blind || (await this.#options.needsClock())) {
        this.#polledMs = performance.now();
        this.poke();
      }
      if (!this.#closed) this.#poll();
    }, POLL_FAST_MS);
  }
}

/** One child. It is started again when it ends, without `setpriv` if it cannot run with it. */
class Monitor {
  readonly #tool: string;
  readonly #candidates: readonly (readonly string[])[];
  readonly #onChange: () => void;
  readonly #onUnable: () => void;
  #child: ChildProcess | null = null;
  #isInstalled = true;
  /** Young deaths in a row: one may have other causes than that it cannot run. */
  #failures = 0;
  #closed = false;

  constructor(words: readonly string[], onChange: () => void, onUnable: () => void) {
    this.#tool = words[0] ?? '';
    this.#candidates = [[...END_WITH_US, ...words], words];
    this.#onChange = onChange;
    this.#onUnable = onUnable;
    this.#start(0);
  }

  /** Nothing is missed: it runs, or there is no such tool, and so nothing that it would report. */
  get suffices(): boolean {
    return this.#child !== null || !this.#isInstalled;
  }

  close(): void {
    this.#closed = true;
    this.#child?.kill('SIGKILL');
  }

  #start(candidate: number): void {
    const [tool, ...args] = this.#candidates[candidate] ?? [];
    if (tool === undefined) {
      this.#onUnable();
      return;
    }
    const beginMs = performance.now();
    // In a session of its own: Ctrl-C must not end it before us.
    const child = spawn(tool, args, { stdio: ['ignore', 'pipe', 'ignore'], detached: true, env: TOOL_ENVIRONMENT });
    this.#child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (text.split('\n').some((line) => line !== '' && !OWN_LINE.test(line))) this.#onChange();
    });
    let ended = false;
    const end = (problem: unknown) => {
      if (ended || this.#closed) return;
      ended = true;
      this.#child = null;
      if (tool === this.#tool && (problem as NodeJS.ErrnoException | null)?.code === 'ENOENT') {
        this.#isInstalled = false;
        return;
      }
      const worked = performance.now() - beginMs > HEALTHY_MS;
      this.#failures = worked ? 0 : this.#failures + 1;
      const isMissing = (problem as NodeJS.ErrnoException | null)?.code === 'ENOENT';
      const giveUp = isMissing || this.#failures >= FAILURES_MAX;
      if (giveUp) this.#failures = 0;
      this.#start(giveUp ? candidate + 1 : candidate);
      // What happened meanwhile nobody told.
      this.#onChange();
    };
    child.on('error', end);
    child.on('close', end);
  }
}
