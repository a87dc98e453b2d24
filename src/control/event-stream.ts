/** The receiving end of `GET /v1/events`. */
import { type ClientRequest, request } from 'node:http';
import type { DataPlaneEvent } from '../model/events.ts';
import { EVENTS_PATH } from './api.ts';

const RETRY_MS = 1_000;

/** Calls `listener` with every event until the returned function is called; connects again after a break. */
export function watchEvents(path: string, listener: (event: DataPlaneEvent) => void): () => void {
  let stopped = false;
  let lost = false;
  let current: ClientRequest | null = null;
  let timer: NodeJS.Timeout | undefined;

  const notice = (level: 'info' | 'warning', message: string): void => listener({ type: 'notice', level, message });
  const connect = (): void => {
    const parser = new EventParser(listener);
    const outgoing = request({ socketPath: path, host: 'uipvs', path: EVENTS_PATH, agent: false }, (incoming) => {
      if (incoming.statusCode !== 200) {
        incoming.resume();
        return;
      }
      if (lost) notice('info', 'watching the daemon again; what happened in between was not seen');
      lost = false;
      incoming.setEncoding('utf8');
      incoming.on('data', (text: string) => parser.push(text));
      incoming.on('error', () => {}); // `close` follows.
    });
    current = outgoing;
    outgoing.on('error', () => {}); // `close` follows.
    outgoing.on('close', again);
    outgoing.end();
  };
  const again = (): void => {
    if (stopped) return;
    if (!lost) notice('warning', `the daemon at ${path} tells no events; trying again`);
    lost = true;
    timer = setTimeout(connect, RETRY_MS);
  };

  connect();
  return () => {
    stopped = true;
    clearTimeout(timer);
    current?.destroy();
  };
}

/** Server-sent events from text that comes in pieces (HTML Living Standard, section 9.2.6), as far as our server uses them. */
export class EventParser {
  readonly #listener: (event: DataPlaneEvent) => void;
  #rest = '';

  constructor(listener: (event: DataPlaneEvent) => void) {
    this.#listener = listener;
  }

  push(text: string): void {
    const blocks = (this.#rest + text).split('\n\n');
    this.#rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const data = block.split('\n').find((line) => line.startsWith('data: '));
      if (data !== undefined) this.#listener(JSON.parse(data.slice('data: '.length)) as DataPlaneEvent);
    }
  }
}
