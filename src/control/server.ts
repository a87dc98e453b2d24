/**
 * The API server: node:http over a Unix socket that only its owner may open (mode 0600, in a directory of
 * mode 0755). It finds the route, and turns whatever goes wrong into a JSON answer.
 */
import { chmodSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import type { HealthEvent } from '../model/health.ts';
import { API_CLIENTS_MAX } from '../model/limits.ts';
import type { DaemonStatus } from './api.ts';
import { EventHub } from './event-hub.ts';
import { HealthBoard } from './health-board.ts';
import { HttpError, sendError } from './http.ts';
import { suggestion } from './nearest.ts';
import { type Exchange, ROUTES, type Route } from './routes.ts';

const SOCKET_MODE = 0o600;
/** A client has this long to send the head of a request, and all of it. */
const HEAD_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Requests under way have this long to end when the server closes. */
const CLOSE_GRACE_MS = 2_000;

export interface ApiServerOptions {
  status(): Promise<DaemonStatus>;
  /** Called when a real server has gone up or down. */
  onHealth?(event: HealthEvent): void;
  /** Called with failures of the data plane that are no refusal. */
  onFailure(error: unknown): void;
}

export class ApiServer {
  readonly #server: Server;
  readonly #events: EventHub;
  readonly #health: HealthBoard;
  readonly #dataPlane: DataPlane;
  readonly #options: ApiServerOptions;

  constructor(dataPlane: DataPlane, options: ApiServerOptions) {
    this.#dataPlane = dataPlane;
    this.#options = options;
    this.#events = new EventHub(dataPlane);
    this.#health = new HealthBoard({
      epochMs: Date.now,
      tell: (event) => {
        this.#events.tell(event);
        options.onHealth?.(event);
      },
    });
    this.#server = createServer(
      // Clients keep their connection: between two health checks of uldirectord minutes may pass.
      { keepAliveTimeout: 0, headersTimeout: HEAD_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS },
      (request, response) => void this.#answer(request, response),
    );
    this.#server.maxConnections = API_CLIENTS_MAX;
    this.#server.on('clientError', refuseGarbage);
  }

  /** Rejects with the error of listen(2) when the path cannot be used. */
  listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      // The socket is made inside `listen`, so with this mask nobody else can open it even for a moment.
      const mask = process.umask(0o777 & ~SOCKET_MODE);
      try {
        this.#server.listen(path, () => {
          this.#server.off('error', reject);
          this.#server.on('error', (error) => this.#options.onFailure(error));
          chmodSync(path, SOCKET_MODE);
          resolve();
        });
      } finally {
        process.umask(mask);
      }
    });
  }

  /** No new clients; requests under way may end; watchers are told good-bye. Removes the socket. */
  async close(graceMs: number = CLOSE_GRACE_MS): Promise<void> {
    this.#events.close();
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const timer = setTimeout(() => this.#server.closeAllConnections(), graceMs);
    await closed;
    clearTimeout(timer);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A client that goes away is no failure; without a listener it would be thrown.
    request.on('error', () => {});
    response.on('error', () => {});
    try {
      const url = parseUrl(request.url ?? '/');
      const { route, places } = findRoute(request.method ?? '', url.pathname);
      const exchange: Exchange = {
        request,
        response,
        query: url.searchParams,
        places,
        dataPlane: this.#dataPlane,
        events: this.#events,
        health: this.#health,
        status: this.#options.status,
        onFailure: this.#options.onFailure,
      };
      await route.handle(exchange);
    } catch (error) {
      if (!(error instanceof IpvsError) && !request.errored) this.#options.onFailure(error);
      if (response.headersSent) response.destroy();
      else sendError(response, error);
    }
  }
}

function parseUrl(target: string): URL {
  try {
    return new URL(target, 'http://uipvs');
  } catch (cause) {
    throw new IpvsError('EINVAL', 'the request target is no path', { cause });
  }
}

interface FoundRoute {
  readonly route: Route;
  readonly places: Readonly<Record<string, string>>;
}

/** Throws HttpError: 404 for an unknown path, 405 for a known one with another method. */
function findRoute(method: string, path: string): FoundRoute {
  const there = ROUTES.flatMap((route) => {
    const places = placesOf(route.path, path);
    return places === null ? [] : [{ route, places }];
  });
  const found = there.find(({ route }) => route.method === method);
  if (found !== undefined) return found;
  if (there.length > 0) {
    const allowed = there.map(({ route }) => route.method).join(', ');
    throw new HttpError(405, 'EOPNOTSUPP', `${path} takes ${allowed}, not ${method}`, { allow: allowed });
  }
  const known = ROUTES.map((candidate) => candidate.path);
  throw new HttpError(404, 'ENOENT', `there is nothing at "${path.slice(0, 100)}"${suggestion(path, known)}`);
}

/** `null` unless the path is one that the route means. */
function placesOf(routePath: string, path: string): Readonly<Record<string, string>> | null {
  if (!routePath.includes('{')) return routePath === path ? {} : null;
  const wanted = routePath.split('/');
  const given = path.split('/');
  if (given.length !== wanted.length) return null;
  const places: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    if (part.startsWith('{')) places[part.slice(1, -1)] = given[index];
    else if (part !== given[index]) return null;
  }
  return places;
}

/** What came in is not HTTP, or came too slowly. */
function refuseGarbage(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const [status, message] =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? ['408 Request Timeout', 'the request did not arrive in time']
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? ['431 Request Header Fields Too Large', 'the head of the request is too long']
        : ['400 Bad Request', 'this is not an HTTP request'];
  const body = `${JSON.stringify({ error: { code: 'EINVAL', message } })}\n`;
  socket.end(
    `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
}
