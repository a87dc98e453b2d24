/**
 * The events of a data plane and of the health of real servers, told to every watching client as server-sent events (HTML Living Standard,
 * section 9.2): `event:` is the type, `data:` the event as JSON. A comment every few seconds shows that the
 * line is alive. A client that does not read is dropped rather than remembered without end.
 */
import type { ServerResponse } from 'node:http';
import type { DataPlane } from '../model/data-plane.ts';
import type { DataPlaneEvent } from '../model/events.ts';
import { API_WATCHER_BACKLOG_BYTES_MAX, API_WATCHERS_MAX } from '../model/limits.ts';
import { HttpError } from './http.ts';

const HEARTBEAT_MS = 15_000;

export class EventHub {
  readonly #watchers = new Set<ServerResponse>();
  readonly #stopWatching: () => void;
  readonly #heartbeat: NodeJS.Timeout;

  constructor(dataPlane: DataPlane) {
    this.#stopWatching = dataPlane.watch((event) => this.tell(event));
    this.#heartbeat = setInterval(() => this.#send(': alive\n\n'), HEARTBEAT_MS);
    this.#heartbeat.unref();
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  /** Answers this request with the events from now on. Throws HttpError 503 when too many watch already. */
  add(response: ServerResponse): void {
    if (this.#watchers.size >= API_WATCHERS_MAX) {
      throw new HttpError(503, 'EBUSY', `${API_WATCHERS_MAX} clients watch already`);
    }
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' });
    response.write(': watching\n\n');
    this.#watchers.add(response);
    response.once('close', () => this.#watchers.delete(response));
  }

  close(): void {
    this.#stopWatching();
    clearInterval(this.#heartbeat);
    for (const response of this.#watchers) response.end();
    this.#watchers.clear();
  }

  tell(event: DataPlaneEvent): void {
    if (this.#watchers.size > 0) this.#send(formatEvent(event));
  }

  #send(text: string): void {
    for (const response of this.#watchers) {
      if (response.writableLength > API_WATCHER_BACKLOG_BYTES_MAX) {
        this.#watchers.delete(response);
        response.destroy();
      } else response.write(text);
    }
  }
}

export function formatEvent(event: DataPlaneEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}
