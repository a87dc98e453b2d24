/**
 * Starts the daemon of this network namespace for a client that found none. Several clients may do so at the same
 * moment: the lock of the namespace lets one daemon live, and all of them wait for that one.
 */
import { spawn } from 'node:child_process';
import { closeSync, constants, fstatSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { IpvsError } from '../model/errors.ts';
import { connectDataPlane, type RemoteDataPlane } from './client.ts';
import { askHolder, LOCK_NAME } from './lock.ts';
import { listenPath, socketPath } from './socket-path.ts';

/** Opening links and filters takes a moment, on a busy machine a long one. */
const READY_TIMEOUT_MS = 20_000;
const FIRST_POLL_MS = 20;
const POLL_MS_MAX = 200;
const SILENT = 'it said nothing';

export interface AutostartOptions {
  /** The daemon's program and its words; it must go on in the foreground. */
  readonly command: string;
  readonly words: readonly string[];
  /** Who does it, for its messages: `UIPVS_AUTOSTART` unless said. */
  readonly startedBy?: string;
  /** For tests only: another lock than that of the namespace. */
  readonly lockName?: string;
  readonly readyTimeoutMs?: number;
}

/**
 * Starts the daemon, detached, and connects when it answers. What it writes to standard error goes to a file beside its
 * socket (`/run/uipvs/4026531840.log`). Rejects with ENOPROTOOPT when it ends or does not get ready, in its own words.
 */
export async function startAndConnect(options: AutostartOptions): Promise<RemoteDataPlane> {
  const logPath = listenPath().replace(/(?:\.sock)?$/, '.log');
  const daemon = startDetached(options, logPath);
  const deadline = performance.now() + (options.readyTimeoutMs ?? READY_TIMEOUT_MS);
  for (let pauseMs = FIRST_POLL_MS; ; pauseMs = Math.min(pauseMs * 1.5, POLL_MS_MAX)) {
    await sleep(pauseMs);
    // Asked before the connection is tried: a daemon that gets ready in between is not overlooked.
    const ended = daemon.ended();
    const dataPlane = await connectIfThere();
    if (dataPlane !== null) return dataPlane;
    if (ended !== null && !(await anotherIsStarting(options.lockName ?? LOCK_NAME))) {
      throw failed(options, `ended (${ended}): ${daemon.said()}`);
    }
    if (performance.now() > deadline) throw failed(options, `is not ready yet; its messages are in ${logPath}`);
  }
}

function failed({ startedBy = 'UIPVS_AUTOSTART' }: AutostartOptions, what: string): IpvsError {
  return new IpvsError('ENOPROTOOPT', `${startedBy} started uipvsd, which ${what}`);
}

interface StartedDaemon {
  /** `null` while it runs, then how it ended. */
  ended(): string | null;
  /** Its last words, in one line. */
  said(): string;
}

function startDetached({ command, words }: AutostartOptions, logPath: string): StartedDaemon {
  let ended: string | null = null;
  const log = openLog(logPath);
  try {
    const child = spawn(command, words, { cwd: '/', detached: true, stdio: ['ignore', 'ignore', log.descriptor] });
    child.once('error', (error) => {
      ended = error.message;
    });
    child.once('exit', (code, signal) => {
      ended = signal === null ? `exit code ${code}` : signal;
    });
    child.unref();
  } finally {
    closeSync(log.descriptor);
  }
  return { ended: () => ended, said: log.lastLine };
}

/** Appended to: another may be starting at this moment. What is written there is warnings and failures alone. */
function openLog(path: string): { readonly descriptor: number; lastLine(): string } {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    // Never through a link that somebody put there.
    const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
    const descriptor = openSync(path, O_APPEND | O_CREAT | O_NOFOLLOW | O_WRONLY, 0o600);
    const before = fstatSync(descriptor).size;
    return {
      descriptor,
      lastLine: () => readFileSync(path).subarray(before).toString('utf8').trim().split('\n').at(-1) || SILENT,
    };
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const errorCode = code === 'EACCES' || code === 'EPERM' || code === 'EROFS' ? 'EPERM' : 'EIO';
    throw new IpvsError(errorCode, `the log of uipvsd cannot be opened: ${message}`, { cause });
  }
}

/** `null` while nobody answers. Other refusals, such as EPERM, are the caller's. */
async function connectIfThere(): Promise<RemoteDataPlane | null> {
  try {
    return await connectDataPlane(socketPath());
  } catch (error) {
    if (error instanceof IpvsError && error.code === 'ENOPROTOOPT') return null;
    throw error;
  }
}

/** The lock is taken, by one whose socket is the one we wait for. */
async function anotherIsStarting(lockName: string): Promise<boolean> {
  const holder = await askHolder(lockName);
  return holder !== null && holder !== 'gone' && holder.socket === socketPath();
}
