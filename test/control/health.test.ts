import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectDataPlane } from '../../src/control/client.ts';
import { HealthBoard } from '../../src/control/health-board.ts';
import type { DataPlaneEvent } from '../../src/model/events.ts';
import type { HealthEvent, HealthOfServer, HealthReport } from '../../src/model/health.ts';
import { HEALTH_SOURCES_MAX } from '../../src/model/limits.ts';
import { call, type Served, serve } from '../support/served.ts';

const AT = '2026-11-23T05:00:00.000Z';
const KEY = { protocol: 'tcp', address: '192.0.2.1', port: 80 } as const;

function server(changes: Partial<HealthOfServer> = {}): HealthOfServer {
  return {
    address: '10.0.0.1',
    port: 8080,
    state: 'up',
    since: AT,
    result: { at: AT, healthy: true, reason: 'answered', latencyMs: 0.8 },
    failures: 0,
    failuresMax: 1,
    nextCheckAt: AT,
    changes: [],
    ...changes,
  };
}

function report(servers: readonly HealthOfServer[] = [server()], changes: Partial<HealthReport> = {}): HealthReport {
  return {
    program: 'uldirectord',
    pid: 77,
    configuration: '/etc/ha.d/ldirectord.cf',
    startedAt: AT,
    renewSeconds: 5,
    services: [{ key: KEY, check: 'ping every 2 s, timeout 10 s', fallback: null, fallbackInUse: false, servers }],
    ...changes,
  };
}

const change = (number: number, state: 'up' | 'down', at: string) => ({ number, at, state, reason: 'no echo reply' });

describe('the board', () => {
  let nowMs = Date.parse(AT);
  let told: HealthEvent[] = [];
  let board: HealthBoard;
  beforeEach(() => {
    nowMs = Date.parse(AT);
    told = [];
    board = new HealthBoard({ epochMs: () => nowMs, tell: (event) => told.push(event) });
  });
  const later = (seconds: number) => new Date(Date.parse(AT) + seconds * 1_000).toISOString();

  test('calls a report stale that is not renewed, and drops it in the end', () => {
    board.put('a', report());
    expect(board.list()).toEqual([{ source: 'a', receivedAt: AT, stale: false, report: report() }]);
    nowMs += 15_000;
    expect(board.list()[0].stale).toBe(false);
    nowMs += 1;
    expect(board.list()[0].stale).toBe(true);
    board.put('a', report());
    expect(board.list()[0].stale).toBe(false);
    nowMs += 10 * 60_000 + 1;
    expect(board.list()).toEqual([]);
  });

  test('tells every change once and in order, also those that came and went between two reports', () => {
    board.put('a', report([server({ changes: [change(1, 'up', later(1))] })]));
    const other = server({ address: '10.0.0.2', changes: [change(3, 'down', later(2))] });
    const flapping = server({
      changes: [change(1, 'up', later(1)), change(2, 'down', later(2)), change(4, 'up', later(3))],
    });
    board.put('a', report([other, flapping]));
    board.put('a', report([other, flapping]));
    expect(told.map(({ address, change: { number, state } }) => [address, number, state])).toEqual([
      ['10.0.0.1', 1, 'up'],
      ['10.0.0.1', 2, 'down'],
      ['10.0.0.2', 3, 'down'],
      ['10.0.0.1', 4, 'up'],
    ]);
  });

  test('does not tell again what was before the daemon started, but all that a restarted program finds', () => {
    board.put('a', report([server({ changes: [change(8, 'down', later(-60)), change(9, 'up', later(1))] })]));
    expect(told.map((event) => event.change.number)).toEqual([9]);
    board.put('a', report([server({ changes: [change(1, 'down', later(5))] })], { startedAt: later(4) }));
    expect(told.map((event) => event.change.number)).toEqual([9, 1]);
  });

  test('holds no more than so many programs', () => {
    for (let count = 0; count < HEALTH_SOURCES_MAX; count++) board.put(`s${count}`, report());
    expect(() => board.put('more', report())).toThrow('programs tell of health already');
    board.put('s0', report());
    board.remove('s0');
    board.put('more', report());
  });
});

describe('the API', () => {
  let served: Served;
  beforeEach(async () => {
    served = await serve();
  });
  afterEach(async () => {
    await served.stop();
  });

  test('holds what is told, and gives it back', async () => {
    const desk = await connectDataPlane(served.socket);
    expect(await desk.health()).toEqual([]);
    await desk.reportHealth('uldirectord-a.cf', report());
    const held = await desk.health();
    expect(held).toMatchObject([{ source: 'uldirectord-a.cf', stale: false, report: report() }]);
    await desk.withdrawHealth('uldirectord-a.cf');
    expect(await desk.health()).toEqual([]);
    await expect(desk.withdrawHealth('uldirectord-a.cf')).rejects.toMatchObject({ code: 'ENOENT' });
    await desk.close();
  });

  test('a change is an event, and one line of the log', async () => {
    const desk = await connectDataPlane(served.socket);
    const events: DataPlaneEvent[] = [];
    desk.watch((event) => events.push(event));
    const now = () => new Date(Date.now() + 1_000).toISOString();
    // The watch begins when it begins; what is told before is not seen.
    for (let number = 1; events.length === 0; number++) {
      await desk.reportHealth('a', report([server({ state: 'down', changes: [change(number, 'down', now())] })]));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(events[0]).toMatchObject({
      type: 'health',
      source: 'a',
      service: KEY,
      address: '10.0.0.1',
      port: 8080,
      change: { state: 'down', reason: 'no echo reply' },
    });
    const lines = served.logger.entries.filter(({ message }) => message.startsWith('real server'));
    expect(lines[0]).toMatchObject({
      level: 'warn',
      message: 'real server 10.0.0.1:8080 of tcp 192.0.2.1:80 is down: no echo reply',
      facts: { service: 'tcp 192.0.2.1:80', server: '10.0.0.1:8080', state: 'down' },
    });
    await desk.close();
  });

  test.each([
    ['{', 'the body is not JSON'],
    ['', 'the body is empty; it must be a health report as JSON'],
    ['{}', 'report.program is missing'],
    [JSON.stringify({ ...report(), pid: 'x' }), 'report.pid must be a whole number'],
    [JSON.stringify({ ...report(), colour: 1 }), 'report has no field "colour"'],
    [
      JSON.stringify(report([server({ state: 'dawn' as 'down' })])),
      'report.services[0].servers[0].state must be up, down, unknown or maintenance, not "dawn", did you mean "down"?',
    ],
    [
      JSON.stringify(report([server({ changes: Array(21).fill(change(1, 'up', AT)) })])),
      'may have 20 items and has 21',
    ],
  ])('refuses %.40s', async (body, sentence) => {
    const answer = await call(served.socket, 'PUT', '/v1/health/a', body);
    expect(answer.status).toBe(400);
    expect(answer.json().error.message).toContain(sentence);
  });

  test('refuses a name that is none, and a method that is none', async () => {
    const named = await call(served.socket, 'PUT', '/v1/health/a%2fb', JSON.stringify(report()));
    expect(named.status).toBe(400);
    expect(named.json().error.message).toContain('must be named with letters');
    const posted = await call(served.socket, 'POST', '/v1/health/a', JSON.stringify(report()));
    expect(posted.status).toBe(405);
    expect(posted.headers.allow).toBe('PUT, DELETE');
    expect((await call(served.socket, 'PUT', '/v1/health/a/b', '{}')).status).toBe(404);
  });

  test('is described like all the rest', async () => {
    const document = (await call(served.socket, 'GET', '/v1/openapi.json')).json();
    const { put } = document.paths['/v1/health/{source}'];
    expect(put.parameters).toMatchObject([{ name: 'source', in: 'path', required: true }]);
    const { schema } = put.requestBody.content['application/json'];
    expect(schema.required).toContain('services');
    expect(schema.properties.services.items.properties.servers.items.properties.state).toEqual({
      enum: ['up', 'down', 'unknown', 'maintenance'],
    });
    expect(document.paths['/v1/health'].get.parameters).toEqual([]);
  });
});
