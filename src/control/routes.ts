/** The routes of the API. The server, its refusals and its OpenAPI description all read this one table. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Command } from '../model/commands.ts';
import type { DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import { API_COMMANDS_MAX } from '../model/limits.ts';
import {
  CAPABILITIES_PATH,
  COMMANDS_PATH,
  type DaemonStatus,
  EVENTS_PATH,
  errorBody,
  HEALTH_PATH,
  type ResultBody,
  STATUS_PATH,
} from './api.ts';
import { parseCommand } from './command-shapes.ts';
import type { EventHub } from './event-hub.ts';
import type { HealthBoard } from './health-board.ts';
import { checkHealthSource, HEALTH_REPORT_SHAPE, parseHealthReport } from './health-shape.ts';
import { queryNumber, readJson, sendJson, writeSome } from './http.ts';
import { describeApi, type RouteDescription } from './openapi.ts';
import { walkConnections } from './pages.ts';

/** What a handler works with. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  /** What stands for each `{name}` of the route's path. */
  readonly places: Readonly<Record<string, string>>;
  readonly dataPlane: DataPlane;
  readonly events: EventHub;
  readonly health: HealthBoard;
  status(): Promise<DaemonStatus>;
  /** Called with failures that are no refusal of a wish. */
  onFailure(error: unknown): void;
}

export interface Route extends RouteDescription {
  readonly handle: (exchange: Exchange) => Promise<void> | void;
}

const JSON_TYPE = 'application/json';
/** Commands of one list handed over before the first of them is answered: a data plane can share work among them. */
const UNDER_WAY_MAX = 256;
/** Rows are gathered until there is this much to send. */
const CHUNK_CHARACTERS = 32_768;

const HEALTH_PLACES = { source: 'What the program calls itself, such as uldirectord-ldirectord' };

export const ROUTES: readonly Route[] = [
  {
    method: 'POST',
    path: COMMANDS_PATH,
    summary: 'Carry out one command, or a list of commands in order',
    answer: {
      type: JSON_TYPE,
      description:
        'For one command { answer }. For a list a list of { answer } or { error }, in order: a refused command does not ' +
        'stop those behind it. Requests of other clients may be carried out in between.',
    },
    takesCommands: true,
    handle: carryOut,
  },
  {
    method: 'GET',
    path: CAPABILITIES_PATH,
    summary: 'What the data plane will not refuse',
    answer: { type: JSON_TYPE, description: 'Name, families, protocols, methods, schedulers' },
    handle: ({ response, dataPlane }) => sendJson(response, 200, dataPlane.capabilities),
  },
  {
    method: 'GET',
    path: STATUS_PATH,
    summary: 'The daemon, its data plane and its counters',
    answer: { type: JSON_TYPE, description: 'daemon, capabilities, table, counters' },
    handle: async ({ response, status }) => sendJson(response, 200, await status()),
  },
  {
    method: 'GET',
    path: '/v1/services',
    summary: 'Services with their destinations, in pages',
    query: {
      cursor: { type: 'string', description: 'The `next` of the page before' },
      limit: { type: 'integer', description: 'Services in this page' },
    },
    answer: { type: JSON_TYPE, description: '{ items, next }; `next` is null on the last page' },
    handle: listServices,
  },
  {
    method: 'GET',
    path: '/v1/connections',
    summary: 'Connections, one JSON object a line',
    query: { limit: { type: 'integer', description: 'Lines at most; absent: all of them' } },
    answer: {
      type: 'application/x-ndjson',
      description: 'One connection a line. A line { error } at the end: the list is not complete.',
    },
    handle: streamConnections,
  },
  {
    method: 'GET',
    path: EVENTS_PATH,
    summary: 'What happens from now on, as server-sent events',
    answer: { type: 'text/event-stream', description: '`event:` is the type, `data:` the event as JSON' },
    handle: ({ response, events }) => events.add(response),
  },
  {
    method: 'GET',
    path: HEALTH_PATH,
    summary: 'What the programs that check real servers know about them',
    answer: { type: JSON_TYPE, description: 'The latest report of each: source, receivedAt, stale, report' },
    handle: ({ response, health }) => sendJson(response, 200, health.list()),
  },
  {
    method: 'PUT',
    path: `${HEALTH_PATH}/{source}`,
    summary: 'Report what is known about real servers; takes the place of the report before',
    places: HEALTH_PLACES,
    takes: HEALTH_REPORT_SHAPE,
    answer: { type: JSON_TYPE, description: '{}; every change in it that is news becomes an event `health`' },
    handle: async ({ request, response, places, health }) => {
      health.put(checkHealthSource(places['source']), parseHealthReport(await readJson(request, 'a health report')));
      sendJson(response, 200, {});
    },
  },
  {
    method: 'DELETE',
    path: `${HEALTH_PATH}/{source}`,
    summary: 'Take a report back, when the program ends',
    places: HEALTH_PLACES,
    answer: { type: JSON_TYPE, description: '{}' },
    handle: ({ response, places, health }) => {
      health.remove(checkHealthSource(places['source']));
      sendJson(response, 200, {});
    },
  },
  {
    method: 'GET',
    path: '/v1/openapi.json',
    summary: 'This description',
    answer: { type: JSON_TYPE, description: 'OpenAPI 3.1' },
    handle: ({ response }) => sendJson(response, 200, describeApi(ROUTES)),
  },
];

async function carryOut(exchange: Exchange): Promise<void> {
  const { request, response, dataPlane } = exchange;
  const body = await readJson(request, 'a command');
  if (!Array.isArray(body)) {
    sendJson(response, 200, { answer: await dataPlane.execute(parseCommand(body)) });
    return;
  }
  if (body.length > API_COMMANDS_MAX) {
    throw new IpvsError('EINVAL', `a list may have ${API_COMMANDS_MAX} commands and has ${body.length}`);
  }
  response.writeHead(200, { 'content-type': `${JSON_TYPE}; charset=utf-8`, 'cache-control': 'no-store' });
  let separator = '[';
  // Who sent the list and went away still gets all of it carried out, as if it had waited.
  const answer = async (pending: Promise<ResultBody>): Promise<void> => {
    await writeSome(response, `${separator}${JSON.stringify(await pending)}`);
    separator = ',\n';
  };
  const underWay: Promise<ResultBody>[] = [];
  for (const value of body) {
    underWay.push(result(exchange, value));
    if (underWay.length >= UNDER_WAY_MAX) await answer(underWay.shift()!);
  }
  for (const pending of underWay) await answer(pending);
  response.end(body.length === 0 ? '[]\n' : ']\n');
}

/** Never rejects: a refusal is a result. */
async function result(exchange: Exchange, value: unknown): Promise<ResultBody> {
  try {
    const command: Command = parseCommand(value);
    return { answer: await exchange.dataPlane.execute(command) };
  } catch (error) {
    if (!(error instanceof IpvsError)) exchange.onFailure(error);
    return { error: errorBody(error) };
  }
}

async function listServices({ response, query, dataPlane }: Exchange): Promise<void> {
  const cursor = query.get('cursor');
  const limit = queryNumber(query, 'limit');
  const page = await dataPlane.execute<'listServices'>({
    name: 'listServices',
    ...(cursor === null ? {} : { cursor }),
    ...(limit === null ? {} : { limit }),
  });
  sendJson(response, 200, page);
}

async function streamConnections({ response, query, dataPlane, onFailure }: Exchange): Promise<void> {
  let left = queryNumber(query, 'limit') ?? Number.POSITIVE_INFINITY;
  const rows = walkConnections(dataPlane);
  // The first page is fetched before the head is sent, so that a refusal still gets its own status.
  let row = await rows.next();
  let lines = '';
  response.writeHead(200, { 'content-type': 'application/x-ndjson; charset=utf-8', 'cache-control': 'no-store' });
  try {
    while (!row.done && left-- > 0) {
      lines += `${JSON.stringify(row.value)}\n`;
      if (lines.length > CHUNK_CHARACTERS) {
        if (!(await writeSome(response, lines))) return;
        lines = '';
      }
      row = await rows.next();
    }
  } catch (error) {
    if (!(error instanceof IpvsError)) onFailure(error);
    lines += `${JSON.stringify({ error: errorBody(error) })}\n`;
  }
  response.end(lines);
}
