/**
 * The keeper of everything this data plane leaves on the host outside its own process: the guard's nftables
 * table, the host link and the tap. It is a shell in a session of its own that reads from a pipe. When the pipe closes,
 * be it by `close` or because this process was killed, the shell takes them down. While it lives it holds a
 * lock on the network namespace itself, so a successor waits until a predecessor's keeper has cleaned up, and
 * two data planes never guard one namespace.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { IpvsError } from '../../model/errors.ts';
import { runTool, TOOL_ENVIRONMENT } from './run-tool.ts';

export const GUARD_TABLE = 'uipvs';
export const HOST_LINK_NAME = 'uipvs-host';
/** The near end of the tap's cable. */
export const TAP_NEAR_NAME = 'uipvs-near';

/** How long a successor waits for the lock, in tenths of a second. */
const LOCK_TRIES = 50;
const CLOSE_TIMEOUT_MS = 5_000;
const READY = 'uipvs-watchdog-ready';
const BUSY = 'uipvs-watchdog-busy';

const CLEAN = `nft delete table netdev ${GUARD_TABLE}; ip link delete ${HOST_LINK_NAME}; ip link delete ${TAP_NEAR_NAME}`;

/**
 * `$1` reads the pipe. Both output streams are one, so that complaints and marks keep their order. The signals
 * are ignored because whoever stops the daemon's whole group must not stop the cleaning, too.
 */
const SCRIPT = `
trap '' HUP INT QUIT TERM PIPE
if command -v flock >/dev/null 2>&1; then
  exec 9</proc/self/ns/net
  tries=0
  until flock -n 9; do
    tries=$((tries + 1))
    if [ $tries -gt ${LOCK_TRIES} ]; then echo ${BUSY}; exit 75; fi
    sleep 0.1
  done
fi
{ ${CLEAN}; } >/dev/null 2>&1
echo ${READY}
$1 2>&1
{ ${CLEAN}; } >/dev/null 2>&1
`;

/** What the reader of the pipe answered between two marks: empty when it had nothing to complain about. */
export type Complaints = readonly string[];

export class Watchdog {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #exited: Promise<void>;
  #onLost: (() => void) | null = null;
  #closing = false;
  #gone = false;
  #text = '';
  #lines: string[] = [];
  #markNumber = 0;
  readonly #marks: { resolve(complaints: Complaints): void; reject(error: Error): void }[] = [];

  private constructor(reader: 'nft -i' | 'cat') {
    this.#child = spawn('sh', ['-c', SCRIPT, 'uipvs-watchdog', reader], {
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
      env: TOOL_ENVIRONMENT,
      cwd: '/',
    });
    this.#child.stdin.on('error', () => {}); // It ended; `exit` says so.
    this.#exited = new Promise((resolve) => {
      const end = () => {
        this.#end();
        resolve();
      };
      this.#child.on('close', end);
      this.#child.on('error', end);
    });
  }

  /**
   * Starts the keeper and waits until it holds the lock and what a predecessor left is gone. `reader`: who reads
   * the pipe; `cat` when there is no guard. Throws an IpvsError EBUSY when another data plane holds the lock.
   */
  static async start(reader: 'nft -i' | 'cat'): Promise<Watchdog> {
    const watchdog = new Watchdog(reader);
    await watchdog.#ready();
    return watchdog;
  }

  /** Called once when the keeper ends without having been closed. */
  onLost(listener: () => void): void {
    this.#onLost = listener;
  }

  /** Writes lines to the reader. Nothing is known about their fate before the next mark. */
  say(text: string): void {
    if (!this.#gone) this.#child.stdin.write(text);
  }

  /**
   * Resolves when everything said before has been carried out. The mark is a line the reader cannot understand:
   * it repeats it on its error stream, at once and in order, without asking the kernel anything.
   */
  mark(): Promise<Complaints> {
    if (this.#gone) return Promise.reject(lost());
    this.#markNumber += 1;
    this.say(`uipvs_mark_${this.#markNumber}\n`);
    return new Promise((resolve, reject) => this.#marks.push({ resolve, reject }));
  }

  /** Takes down table, host link and tap and waits until that is done. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), CLOSE_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  #ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#marks.push({
        resolve: () => resolve(),
        reject: () => {
          const busy = this.#lines.includes(BUSY);
          if (!busy) return reject(new IpvsError('EIO', 'the guard’s keeper (sh) did not start'));
          const message = 'another uipvs data plane serves this network namespace; stop it first';
          reject(new IpvsError('EBUSY', message));
        },
      });
      this.#child.stdout.setEncoding('utf8');
      this.#child.stdout.on('data', (text: string) => this.#read(text));
    });
  }

  #read(text: string): void {
    this.#text += text;
    const lines = this.#text.split('\n');
    this.#text = lines.pop() as string;
    for (const line of lines) {
      if (line === READY || MARK.test(line)) {
        // nft's complaint about the mark itself stands right before it.
        if (this.#lines.at(-1)?.includes('Error: ')) this.#lines.pop();
        const complaints = this.#lines.filter((said) => said.includes('Error: '));
        this.#lines = [];
        this.#marks.shift()?.resolve(complaints);
      } else this.#lines.push(line);
    }
  }

  #end(): void {
    if (this.#gone) return;
    this.#gone = true;
    for (const { reject } of this.#marks.splice(0)) reject(lost());
    if (!this.#closing) this.#onLost?.();
  }
}

/** Whether a keeper, of a running data plane or of one that just ended, is at work in this network namespace. */
export async function isNamespaceLocked(): Promise<boolean> {
  const script = 'command -v flock >/dev/null || exit 0; exec 9</proc/self/ns/net; flock -n 9';
  return (await runTool('sh', ['-c', script])).code === 1;
}

const MARK = /^uipvs_mark_\d+$/;

function lost(): IpvsError {
  return new IpvsError('EIO', 'the guard’s keeper ended; the guard is being set up anew');
}
