/**
 * A data plane kept alive and reachable: takes the lock of the network namespace, serves the API, writes the pid
 * file, and takes everything down again on SIGTERM, SIGINT or SIGHUP. A second signal ends the process at once.
 */
import { rmSync } from 'node:fs';
import type { EngineCounters } from '../model/commands.ts';
import type { DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import type { DataPlaneEvent } from '../model/events.ts';
import type { HealthEvent } from '../model/health.ts';
import { formatEndpoint, formatServiceKey } from '../model/service.ts';
import type { DaemonStatus } from './api.ts';
import { type Lock, takeLock } from './lock.ts';
import type { Logger } from './logger.ts';
import { ApiServer } from './server.ts';
import { SignalWatch } from './signal-watch.ts';
import { pidFilePath, prepareSocketPlace, writePidFile } from './socket-file.ts';
import { checkSocketPath, listenPath, networkNamespace } from './socket-path.ts';
import { uipvsVersion } from './version.ts';

/** The data plane has this long to take down what it set up. */
const CLOSE_TIMEOUT_MS = 15_000;

export interface DaemonOptions {
  readonly logger: Logger;
  /** Absent: `listenPath()`. */
  readonly socket?: string;
  /** Shown by `GET /v1/status`. Asked once the data plane is open; `links` follows its events from there on. */
  readonly settings?: () => Readonly<Record<string, unknown>>;
  /** Called once, when clients are served. Not called when a signal came first. */
  readonly onReady?: (daemon: Daemon) => void;
  /** Called once, when it begins to take everything down. */
  readonly onClosing?: () => void;
  /** false: signals are the caller's business. */
  readonly signals?: boolean;
  /** Abstract name of the lock; several daemons in one namespace are for tests only. */
  readonly lockName?: string;
}

export interface DaemonEnd {
  /** `SIGTERM`, or what `close` was called with. */
  readonly reason: string;
  /** Something could not be taken down; the log says what. */
  readonly failed: boolean;
}

export interface Daemon {
  readonly socket: string;
  readonly namespace: number;
  readonly dataPlane: DataPlane;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Resolves when everything is taken down. */
  readonly ended: Promise<DaemonEnd>;
  /** Takes everything down; the same end for every caller. */
  close(reason?: string): Promise<DaemonEnd>;
}

/**
 * Starts to serve. A function as `source` is called once the lock is ours, so that a second daemon never touches
 * links, addresses or filters of the first. The data plane belongs to the daemon from here on, also when this
 * throws IpvsError: EBUSY with the pid of the daemon that serves this
 * namespace already, EEXIST, EPERM or ENOENT for the socket's place; and whatever `source` throws.
 */
export async function startDaemon(
  source: DataPlane | (() => Promise<DataPlane>),
  options: DaemonOptions,
): Promise<Daemon> {
  const socket = checkSocketPath(options.socket ?? listenPath());
  const lock = await takeLock({ pid: process.pid, socket }, options.lockName);
  const signals = new SignalWatch(options.signals !== false, (signal) => {
    rmSync(socket, { force: true });
    rmSync(pidFilePath(socket), { force: true });
    options.logger.warn('ended at once; what was set up in the host may still be there', { signal });
  });
  let dataPlane: DataPlane | null = null;
  try {
    if (await prepareSocketPlace(socket)) options.logger.info('took over the socket of a dead daemon', { socket });
    dataPlane = typeof source === 'function' ? await source() : source;
    const daemon = new RunningDaemon(dataPlane, socket, lock, signals, options);
    if (signals.first === null) await daemon.serve();
    if (signals.first === null) options.onReady?.(daemon);
    signals.onFirst((signal) => void daemon.close(signal));
    return daemon;
  } catch (error) {
    await dataPlane
      ?.close()
      .catch((cause: unknown) => options.logger.error('the data plane did not close', { err: cause }));
    signals.stop();
    await lock.release();
    throw error;
  }
}

class RunningDaemon implements Daemon {
  readonly socket: string;
  readonly namespace = networkNamespace();
  readonly dataPlane: DataPlane;
  readonly ended: Promise<DaemonEnd>;
  settings: Readonly<Record<string, unknown>>;
  readonly #startedAt = new Date();
  readonly #lock: Lock;
  readonly #signals: SignalWatch;
  readonly #logger: Logger;
  readonly #onClosing: (() => void) | undefined;
  readonly #server: ApiServer;
  readonly #stopWatching: () => void;
  #end: (end: DaemonEnd) => void = () => {};
  #closing = false;

  constructor(dataPlane: DataPlane, socket: string, lock: Lock, signals: SignalWatch, options: DaemonOptions) {
    this.dataPlane = dataPlane;
    this.socket = socket;
    this.settings = options.settings?.() ?? {};
    this.#lock = lock;
    this.#signals = signals;
    this.#logger = options.logger;
    this.#onClosing = options.onClosing;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#stopWatching = dataPlane.watch((event) => this.#note(event));
    this.#server = new ApiServer(dataPlane, {
      status: () => this.#status(),
      onHealth: (event) => this.#noteHealth(event),
      onFailure: (error) => this.#logger.error('a request failed', { err: error }),
    });
  }

  /** Throws EBUSY or EPERM when the socket cannot be had; then nothing of it is left. */
  async serve(): Promise<void> {
    try {
      await this.#server.listen(this.socket);
      writePidFile(pidFilePath(this.socket));
    } catch (cause) {
      this.#stopWatching();
      await this.#server.close(0);
      const { code, message } = cause as NodeJS.ErrnoException;
      throw new IpvsError(
        code === 'EADDRINUSE' ? 'EBUSY' : 'EPERM',
        `the API socket ${this.socket} cannot be served: ${code ?? message}`,
        { cause },
      );
    }
  }

  close(reason = 'closed'): Promise<DaemonEnd> {
    if (!this.#closing) {
      this.#closing = true;
      this.#onClosing?.();
      this.#takeDown(reason);
    }
    return this.ended;
  }

  async #takeDown(reason: string): Promise<void> {
    this.#logger.info('ending', { reason });
    let failed = false;
    const attempt = async (what: string, work: () => Promise<void> | void): Promise<void> => {
      try {
        await work();
      } catch (error) {
        failed = true;
        this.#logger.error(`${what} failed`, { err: error });
      }
    };
    await attempt('closing the API', () => this.#server.close());
    this.#stopWatching();
    await attempt('closing the data plane', () => within(this.dataPlane.close(), CLOSE_TIMEOUT_MS));
    await attempt('removing the pid file', () => rmSync(pidFilePath(this.socket), { force: true }));
    await attempt('giving back the lock', () => this.#lock.release());
    this.#signals.stop();
    this.#logger.info('ended', { reason });
    this.#end({ reason, failed });
  }

  async #status(): Promise<DaemonStatus> {
    const [table, counters] = await Promise.all([this.dataPlane.execute<'info'>({ name: 'info' }), this.#counters()]);
    return {
      daemon: {
        version: uipvsVersion(),
        node: process.version,
        pid: process.pid,
        startedAt: this.#startedAt.toISOString(),
        uptimeSeconds: Math.floor((Date.now() - this.#startedAt.getTime()) / 1000),
        namespace: this.namespace,
        socket: this.socket,
        settings: this.settings,
      },
      capabilities: this.dataPlane.capabilities,
      table,
      counters,
    };
  }

  async #counters(): Promise<EngineCounters | null> {
    try {
      return await this.dataPlane.execute<'getCounters'>({ name: 'getCounters' });
    } catch (error) {
      if (error instanceof IpvsError && error.code === 'EOPNOTSUPP') return null;
      throw error;
    }
  }

  #note(event: DataPlaneEvent): void {
    if (event.type === 'notice') {
      this.#logger[event.level === 'warning' ? 'warn' : event.level](event.message);
    } else if (event.type === 'links-changed') {
      this.settings = { ...this.settings, links: event.links };
      this.#logger.info('links changed', { links: event.links });
    } else this.#logger.debug(event.type, { event });
  }

  /** One line for each server that went up or down. */
  #noteHealth({ source, service, address, port, change }: HealthEvent): void {
    const server = formatEndpoint(address, port);
    const facts = { source, service: formatServiceKey(service), server, state: change.state, at: change.at };
    const line = `real server ${server} of ${facts.service} is ${change.state}: ${change.reason}`;
    this.#logger[change.state === 'down' ? 'warn' : 'info'](line, facts);
  }
}

function within(work: Promise<void>, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not done after ${timeoutMs} ms`)), timeoutMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
