/** A daemon over a fake data plane on a temporary socket, and raw ways to speak to it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingHttpHeaders, request } from 'node:http';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { type Daemon, type DaemonOptions, startDaemon } from '../../src/control/daemon.ts';
import type { Logger } from '../../src/control/logger.ts';
import { FakeDataPlane } from './fake-data-plane.ts';

export interface LogEntry {
  readonly level: string;
  readonly message: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

export function memoryLogger(): Logger & { readonly entries: LogEntry[] } {
  const entries: LogEntry[] = [];
  const line =
    (level: string) =>
    (message: string, facts: Readonly<Record<string, unknown>> = {}): void => {
      entries.push({ level, message, facts });
    };
  return { entries, debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
}

export interface Served {
  readonly directory: string;
  readonly socket: string;
  readonly dataPlane: FakeDataPlane;
  readonly daemon: Daemon;
  readonly logger: ReturnType<typeof memoryLogger>;
  stop(): Promise<void>;
}

let count = 0;
/** No two daemons of the tests share a lock, unless they want to. */
export function uniqueLockName(): string {
  return `uipvs-test-${process.pid}-${++count}`;
}

const directories: string[] = [];
// Registered first, so it runs after the clean-up of the tests themselves.
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

/** Gone when the tests of this file are through. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'uipvs-test-'));
  directories.push(directory);
  return directory;
}

export async function serve(options: Partial<DaemonOptions> = {}): Promise<Served> {
  const directory = temporaryDirectory();
  const socket = options.socket ?? join(directory, 'api.sock');
  const dataPlane = new FakeDataPlane();
  const logger = memoryLogger();
  const daemon = await startDaemon(dataPlane, {
    logger,
    socket,
    signals: false,
    lockName: uniqueLockName(),
    ...options,
  });
  const stop = async (): Promise<void> => {
    await daemon.close();
    rmSync(directory, { recursive: true, force: true });
  };
  return { directory, socket, dataPlane, daemon, logger, stop };
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: each test says what it expects of it.
  json(): any;
}

/** One HTTP request on a connection of its own. */
export function call(socket: string, method: string, path: string, body?: string | Buffer): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: socket, method, path, agent: false }, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8');
      incoming.on('data', (chunk: string) => {
        text += chunk;
      });
      incoming.on('error', reject);
      incoming.on('end', () => {
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          text,
          json: () => JSON.parse(text),
        });
      });
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

export function post(socket: string, body: unknown): Promise<RawAnswer> {
  return call(socket, 'POST', '/v1/commands', JSON.stringify(body));
}

/** Bytes as they are; resolves with all that came back when the other end closes. */
export function sendBytes(socket: string, bytes: string | Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const client: Socket = createConnection(socket, () => client.write(bytes));
    client.setEncoding('utf8');
    client.on('data', (chunk: string) => {
      text += chunk;
    });
    client.on('error', reject);
    client.on('close', () => resolve(text));
  });
}

/** Waits for something that happens in another task, by turns of the event loop. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
