/** The host's side of one worker: a thread of this process, or a process of its own. */
import { type ChildProcess, fork } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { wakeEventFd } from '../../native/wake.ts';
import type { FromWorker, ToWorker, WorkerStart } from './messages.ts';
import { createScoreboard, type Gauges, readScoreboard } from './scoreboard.ts';

export interface WorkerListeners {
  onMessage(message: FromWorker): void;
  /** Once, whatever ended it. `reason` is part of a sentence: `exit code 1`, an error's message. */
  onExit(reason: string): void;
}

export interface WorkerHandle {
  post(message: ToWorker): void;
  /** Ends the worker from outside; `onExit` follows. */
  kill(): void;
  /** The gauges, or `null` when they are in another process. */
  gauges(): Gauges | null;
}

export type SpawnWorker = (start: WorkerStart, listeners: WorkerListeners) => WorkerHandle;

/** `entry`: the module the worker runs. */
export function spawnThread(entry: URL, start: WorkerStart, listeners: WorkerListeners): WorkerHandle {
  const scoreboard = createScoreboard();
  const worker = new Worker(entry, { workerData: { start, scoreboard }, name: 'uipvs-worker' });
  let wakeFd: number | null = null;
  let reason = '';
  worker.on('message', (message: FromWorker) => {
    if (message.type === 'ready') wakeFd = message.wakeFd;
    if (message.type === 'fatal') wakeFd = null;
    listeners.onMessage(message);
  });
  worker.on('error', (error) => {
    reason = error.message;
  });
  worker.on('exit', (code) => {
    wakeFd = null;
    listeners.onExit(reason === '' ? `exit code ${code}` : reason);
  });
  return {
    post(message) {
      worker.postMessage(message);
      if (wakeFd !== null) wake(wakeFd);
      // It closes the eventfd on its way out.
      if (message.type === 'stop') wakeFd = null;
    },
    kill() {
      wakeFd = null;
      void worker.terminate();
    },
    gauges: () => readScoreboard(scoreboard),
  };
}

/** A closed descriptor means that the worker is ending, and its end is reported apart. */
function wake(fd: number): void {
  try {
    wakeEventFd(fd);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBADF') throw error;
  }
}

export function spawnProcess(entry: URL, start: WorkerStart, listeners: WorkerListeners): WorkerHandle {
  // In a session of its own, so that Ctrl-C reaches the host alone and the host decides what happens when.
  const child: ChildProcess = fork(entry, [], { detached: true, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  child.on('message', (message) => listeners.onMessage(message as FromWorker));
  let ended = false;
  const end = (reason: string) => {
    if (ended) return;
    ended = true;
    listeners.onExit(reason);
  };
  child.on('error', (error) => end(error.message));
  child.on('exit', (code, signal) => end(signal === null ? `exit code ${code}` : `signal ${signal}`));
  const post = (message: ToWorker) => {
    if (child.connected) child.send(message, () => {});
  };
  post({ type: 'start', start });
  return { post, kill: () => void child.kill('SIGKILL'), gauges: () => null };
}
