/**
 * Real servers for tests: a program of the system with a configuration of its own, in the foreground, on a free port
 * of the loopback, as a child process that does not outlive the test.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, chmodSync, constants, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { describe } from 'vitest';

/** Services live where the search path of people does not always lead. */
const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin'];
const START_TRIES = 3;
const LISTEN_MS = 20_000;
const TERMINATE_MS = 5_000;
const POLL_MS = 50;
const OUTPUT_LENGTH_MAX = 20_000;

/** Where one attempt to start lives. */
export interface Place {
  /** Temporary, readable by every user; removed at the stop. */
  readonly folder: string;
  readonly port: number;
}

export interface ServerPlan {
  /** Name or path. */
  readonly program: string;
  readonly arguments: (place: Place) => readonly string[];
  /** Text of each file, by its path below the folder. */
  readonly files?: (place: Place) => Readonly<Record<string, string>>;
  /** What else must be done before the start. */
  readonly prepare?: (place: Place) => void | Promise<void>;
  /** When it can be asked. Default: its port accepts TCP connections. */
  readonly isReady?: (place: Place) => Promise<boolean>;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface RunningServer extends Place {
  /** The end of what it has printed, for messages when something goes wrong. */
  output(): string;
  /** Ends it and whatever it has started, and removes its folder. May be called twice. */
  stop(): Promise<void>;
}

export interface Needs {
  /** Names or paths of programs. */
  readonly programs: readonly string[];
  readonly root?: boolean;
  /** Asked when the programs are there: why they will not do, or `null`. */
  readonly problem?: () => string | null;
}

/** `describe` where everything needed is there; elsewhere skipped, with the reason in its name. */
export function describeWith(name: string, needs: Needs, tests: () => void): void {
  const missing = missingFor(needs);
  describe.skipIf(missing !== null)(missing === null ? name : `${name} (skipped: ${missing})`, tests);
}

/** Why these tests cannot run here, or `null`. */
export function missingFor({ programs, root = false, problem }: Needs): string | null {
  const absent = programs.filter((program) => findProgram(program) === null);
  if (absent.length > 0) return `not installed: ${absent.join(', ')}`;
  if (root && process.getuid?.() !== 0) return 'needs root';
  return problem?.() ?? null;
}

/** Path of a program of the system, or `null`. */
export function findProgram(name: string): string | null {
  const paths = name.includes('/') ? [name] : FOLDERS.map((folder) => join(folder, name));
  return paths.find(isExecutable) ?? null;
}

/** Rejects with what the server printed when it ends or does not listen in time. */
export async function startServer(plan: ServerPlan): Promise<RunningServer> {
  let problem = '';
  // Somebody else may take the port between our looking and its listening.
  for (let attempt = 0; attempt < START_TRIES; attempt++) {
    const started = await tryStart(plan);
    if (typeof started !== 'string') return started;
    problem = started;
  }
  throw new Error(`${plan.program} did not start: ${problem}`);
}

/** A port of the loopback on which nobody listens, TCP or UDP. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Whether somebody accepts connections there. */
export function accepts(port: number, address = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function tryStart(plan: ServerPlan): Promise<RunningServer | string> {
  const folder = mkdtempSync(join(tmpdir(), 'uipvs-real-'));
  chmodSync(folder, 0o755);
  const place: Place = { folder, port: await freePort() };
  try {
    for (const [path, text] of Object.entries(plan.files?.(place) ?? {})) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    await plan.prepare?.(place);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  // A process group of its own, so that everything it starts ends with it.
  const child = spawn(findProgram(plan.program) ?? plan.program, [...plan.arguments(place)], {
    cwd: folder,
    detached: true,
    env: { ...process.env, ...plan.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  const hear = (text: Buffer): void => {
    printed = (printed + text.toString('utf8')).slice(-OUTPUT_LENGTH_MAX);
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  child.once('error', (error) => hear(Buffer.from(error.message)));
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const killAtExit = (): void => killGroup(child, 'SIGKILL');
  process.once('exit', killAtExit);
  let stopped: Promise<void> | null = null;
  const running: RunningServer = {
    ...place,
    output: () => printed,
    stop: () => {
      stopped ??= stop(child, ended).then(() => {
        process.removeListener('exit', killAtExit);
        rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
      });
      return stopped;
    },
  };
  const problem = await waitUntilReady(plan, place, ended);
  if (problem === null) return running;
  await running.stop();
  return `${problem}\n${printed}`;
}

async function waitUntilReady(plan: ServerPlan, place: Place, ended: Promise<void>): Promise<string | null> {
  let hasEnded = false;
  void ended.then(() => {
    hasEnded = true;
  });
  const isReady = plan.isReady ?? (() => accepts(place.port));
  const untilMs = performance.now() + LISTEN_MS;
  while (performance.now() < untilMs) {
    if (hasEnded) return 'it ended';
    if (await isReady(place)) return null;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return `it was not ready after ${LISTEN_MS} ms`;
}

async function stop(child: ChildProcess, ended: Promise<void>): Promise<void> {
  killGroup(child, 'SIGTERM');
  const killer = setTimeout(() => killGroup(child, 'SIGKILL'), TERMINATE_MS);
  await ended;
  clearTimeout(killer);
  // What it started may be slower than itself.
  killGroup(child, 'SIGKILL');
}

function killGroup({ pid }: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Nobody is left.
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
