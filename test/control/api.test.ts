import { statSync } from 'node:fs';
import { request } from 'node:http';
import { createConnection } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ROUTES } from '../../src/control/routes.ts';
import { COMMANDS } from '../../src/model/commands.ts';
import type { DestinationStatus } from '../../src/model/destination.ts';
import { IpvsError } from '../../src/model/errors.ts';
import { API_BODY_BYTES_MAX, API_COMMANDS_MAX, API_WATCHERS_MAX } from '../../src/model/limits.ts';
import type { AddressServiceKey, ServiceStatus } from '../../src/model/service.ts';
import { server, tcpService } from '../support/fake-data-plane.ts';
import { call, post, type Served, sendBytes, serve, until } from '../support/served.ts';

const web = tcpService('192.0.2.1', 80);
const connection = (port: number) => ({
  protocol: 'TCP',
  client: { address: '198.51.100.7', port },
  virtual: { address: '192.0.2.1', port: 80 },
  destination: { address: '10.0.0.1', port: 80 },
  state: 'ESTABLISHED',
  expiresSeconds: 899,
  template: false,
  origin: 'LOCAL' as const,
});

let served: Served;
beforeEach(async () => {
  served = await serve({ settings: () => ({ io: 'memory' }) });
});
afterEach(async () => {
  await served.stop();
});

describe('commands', () => {
  test('one command gets one answer', async () => {
    const added = await post(served.socket, { name: 'addService', service: web });
    expect(added.status).toBe(200);
    expect(added.json()).toEqual({ answer: null });
    const found = await post(served.socket, { name: 'getService', key: web.key });
    expect(found.json().answer.spec).toEqual(web);
  });

  test('a refusal keeps the code and the sentence of the data plane', async () => {
    await post(served.socket, { name: 'addService', service: web });
    const again = await post(served.socket, { name: 'addService', service: web });
    expect(again.status).toBe(409);
    expect(again.json()).toEqual({
      error: { code: 'EEXIST', message: 'service tcp 192.0.2.1:80 is already defined' },
    });
  });

  test('a list is carried out in order and stops at nothing', async () => {
    const answer = await post(served.socket, [
      { name: 'addService', service: web },
      { name: 'addService', service: web },
      { name: 'adService', service: web },
      { name: 'addDestination', service: web.key, destination: server('10.0.0.1', 80) },
      { name: 'getService', key: web.key },
    ]);
    expect(answer.status).toBe(200);
    const results = answer.json();
    expect(results).toHaveLength(5);
    expect(results[0]).toEqual({ answer: null });
    expect(results[1].error.code).toBe('EEXIST');
    expect(results[2].error).toEqual({
      code: 'EINVAL',
      message: 'there is no command "adService", did you mean "addService"?',
    });
    expect(results[4].answer.destinations.map((each: DestinationStatus) => each.spec.address)).toEqual(['10.0.0.1']);
  });

  test('a list longer than what is under way at once is answered in its order', async () => {
    const ports = Array.from({ length: 1_000 }, (_, index) => index);
    const answer = await post(
      served.socket,
      ports.flatMap((port) => [
        { name: 'addService', service: tcpService('192.0.2.1', port) },
        { name: 'getService', key: { protocol: 'tcp', address: '192.0.2.1', port } },
      ]),
    );
    const results: { answer: ServiceStatus | null }[] = answer.json();
    const found = results.filter((_, index) => index % 2 === 1).map((each) => each.answer?.spec.key);
    expect(found).toEqual(ports.map((port) => ({ protocol: 'tcp', address: '192.0.2.1', port })));
  });

  test('an empty list has an empty answer', async () => {
    expect((await post(served.socket, [])).json()).toEqual([]);
  });

  test('an unknown command is refused with the nearest name', async () => {
    const answer = await post(served.socket, { name: 'listService' });
    expect(answer.status).toBe(400);
    expect(answer.json().error.message).toBe('there is no command "listService", did you mean "listServices"?');
  });

  test.each(['constructor', '__proto__', 'toString'])('%s is no command', async (name) => {
    expect((await post(served.socket, { name })).status).toBe(400);
  });

  test('a failure of the data plane is told as EIO and logged', async () => {
    served.dataPlane.before = () => {
      throw new TypeError('the worker fell over');
    };
    const answer = await post(served.socket, { name: 'info' });
    expect(answer.status).toBe(500);
    expect(answer.json().error).toEqual({ code: 'EIO', message: 'the worker fell over' });
    expect(served.logger.entries.some((entry) => entry.level === 'error')).toBe(true);
  });

  test('JSON that breaks off is refused with the place', async () => {
    const answer = await call(served.socket, 'POST', '/v1/commands', '{\n  "name": "info",\n}');
    expect(answer.status).toBe(400);
    expect(answer.json().error.message).toBe('the body is not JSON at line 3, column 1');
  });

  test.each([
    ['', 'the body is empty; it must be a command as JSON'],
    ['{"name":', 'the body is not JSON at line 1, column 9 (it ends too early)'],
    ['17', 'a command must be an object, not 17'],
    ['{}', 'a command must have a "name", a text such as "listServices"'],
  ])('the body %j is refused with a sentence', async (body, message) => {
    const answer = await call(served.socket, 'POST', '/v1/commands', body);
    expect(answer.status).toBe(400);
    expect(answer.json().error).toEqual({ code: 'EINVAL', message });
  });

  test('a body that is not UTF-8 is refused', async () => {
    const answer = await call(served.socket, 'POST', '/v1/commands', Buffer.from([0x22, 0xff, 0x22]));
    expect(answer.status).toBe(400);
    expect(answer.json().error.message).toBe('the body is not UTF-8');
  });

  test('a body above the limit is refused with 413, announced or not', async () => {
    const body = Buffer.alloc(API_BODY_BYTES_MAX + 1, 0x20);
    const announced = await call(served.socket, 'POST', '/v1/commands', body);
    expect(announced.status).toBe(413);
    const chunked = await new Promise<number>((resolve, reject) => {
      const outgoing = request(
        { socketPath: served.socket, method: 'POST', path: '/v1/commands', agent: false },
        (incoming) => {
          incoming.resume();
          incoming.on('end', () => resolve(incoming.statusCode ?? 0));
        },
      );
      outgoing.on('error', reject);
      outgoing.write(body.subarray(0, API_BODY_BYTES_MAX));
      outgoing.end('    ');
    });
    expect(chunked).toBe(413);
    expect((await post(served.socket, { name: 'info' })).status).toBe(200);
  });

  test('a list above the limit is refused and nothing of it is carried out', async () => {
    const answer = await post(served.socket, Array(API_COMMANDS_MAX + 1).fill({ name: 'info' }));
    expect(answer.status).toBe(400);
    expect(served.dataPlane.commands).toHaveLength(0);
  });
});

describe('routes', () => {
  test('the socket can be opened by its owner only', () => {
    expect(statSync(served.socket).mode & 0o777).toBe(0o600);
  });

  test('status tells about the daemon, the data plane and its counters', async () => {
    const { daemon, capabilities, table, counters } = (await call(served.socket, 'GET', '/v1/status')).json();
    expect(daemon).toMatchObject({ pid: process.pid, socket: served.socket, settings: { io: 'memory' } });
    expect(capabilities.name).toBe('fake');
    expect(table).toEqual({ version: '1.2.1', connectionTableSize: 4096 });
    expect(counters.verdicts).toEqual({ TRANSMIT: 7 });
  });

  test('status follows the links', async () => {
    served.dataPlane.tell({ type: 'links-changed', links: ['eth0', 'lo'] });
    const { daemon } = (await call(served.socket, 'GET', '/v1/status')).json();
    expect(daemon.settings).toEqual({ io: 'memory', links: ['eth0', 'lo'] });
  });

  test('services come in pages', async () => {
    for (const port of [80, 81, 82]) {
      await post(served.socket, { name: 'addService', service: tcpService('192.0.2.1', port) });
    }
    const first = (await call(served.socket, 'GET', '/v1/services')).json();
    expect(first.items).toHaveLength(2);
    const second = (await call(served.socket, 'GET', `/v1/services?cursor=${first.next}`)).json();
    expect(second.items.map((each: ServiceStatus) => (each.spec.key as AddressServiceKey).port)).toEqual([82]);
    expect(second.next).toBeNull();
    expect((await call(served.socket, 'GET', '/v1/services?limit=1')).json().items).toHaveLength(1);
  });

  test.each(['0', '-1', 'ten', '1e3', ''])('limit=%s is refused', async (limit) => {
    const answer = await call(served.socket, 'GET', `/v1/services?limit=${limit}`);
    expect(answer.status).toBe(400);
    expect(answer.json().error.message).toContain('limit must be a whole number');
  });

  test('connections come one a line, over all pages', async () => {
    served.dataPlane.connections = Array.from({ length: 5 }, (_, index) => connection(40_000 + index));
    const lines = (await call(served.socket, 'GET', '/v1/connections')).text.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line).client.port)).toEqual([40_000, 40_001, 40_002, 40_003, 40_004]);
    const three = await call(served.socket, 'GET', '/v1/connections?limit=3');
    expect(three.text.trimEnd().split('\n')).toHaveLength(3);
    expect(three.headers['content-type']).toContain('application/x-ndjson');
  });

  test('a connection list that breaks says so in its last line', async () => {
    served.dataPlane.connections = Array.from({ length: 5 }, (_, index) => connection(40_000 + index));
    served.dataPlane.before = (command) => {
      if ('cursor' in command) throw new IpvsError('EIO', 'the worker was replaced');
    };
    const lines = (await call(served.socket, 'GET', '/v1/connections')).text.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    expect(JSON.parse(lines[2])).toEqual({ error: { code: 'EIO', message: 'the worker was replaced' } });
  });

  test('a connection list that cannot begin has its own status', async () => {
    served.dataPlane.before = () => {
      throw new IpvsError('EOPNOTSUPP', 'no connections here');
    };
    expect((await call(served.socket, 'GET', '/v1/connections')).status).toBe(501);
  });

  test('the description names every route and every command', async () => {
    const document = (await call(served.socket, 'GET', '/v1/openapi.json')).json();
    expect(Object.keys(document.paths)).toEqual([...new Set(ROUTES.map((route) => route.path))]);
    for (const { path, method } of ROUTES) expect(document.paths[path]).toHaveProperty(method.toLowerCase());
    for (const name of Object.keys(COMMANDS)) {
      expect(document.components.schemas[name].properties.name).toEqual({ const: name });
      expect(document.components.schemas[name].required).toContain('name');
    }
    expect(document.components.schemas.addService.required).toEqual(['name', 'service']);
  });

  test('an unknown path is 404 with the nearest one', async () => {
    const answer = await call(served.socket, 'GET', '/v1/service');
    expect(answer.status).toBe(404);
    expect(answer.json().error).toEqual({
      code: 'ENOENT',
      message: 'there is nothing at "/v1/service", did you mean "/v1/services"?',
    });
  });

  test('a wrong method is 405 with the right one', async () => {
    const answer = await call(served.socket, 'DELETE', '/v1/commands');
    expect(answer.status).toBe(405);
    expect(answer.headers.allow).toBe('POST');
    expect(answer.json().error.message).toBe('/v1/commands takes POST, not DELETE');
  });
});

describe('events', () => {
  function watch(): Promise<{ text: () => string; stop: () => void }> {
    return new Promise((resolve, reject) => {
      let text = '';
      const outgoing = request({ socketPath: served.socket, path: '/v1/events', agent: false }, (incoming) => {
        incoming.setEncoding('utf8');
        incoming.on('data', (chunk: string) => {
          text += chunk;
        });
        incoming.on('error', () => {});
        if (incoming.statusCode !== 200) reject(new Error(`status ${incoming.statusCode}`));
        else resolve({ text: () => text, stop: () => outgoing.destroy() });
      });
      outgoing.on('error', reject);
      outgoing.end();
    });
  }

  test('a watcher hears what other clients change', async () => {
    const watcher = await watch();
    await post(served.socket, { name: 'addService', service: web });
    await until(() => watcher.text().includes('service-added'), 'the event');
    const data = watcher.text().match(/event: service-added\ndata: (.*)\n\n/)?.[1];
    expect(JSON.parse(data ?? 'null')).toEqual({ type: 'service-added', service: web });
    watcher.stop();
  });

  test('a watcher that leaves is forgotten and makes room', async () => {
    const watchers = await Promise.all(Array.from({ length: API_WATCHERS_MAX }, watch));
    await expect(watch()).rejects.toThrow('503');
    watchers[0].stop();
    await new Promise((resolve) => setTimeout(resolve, 50));
    const late = await watch();
    for (const watcher of [...watchers, late]) watcher.stop();
  });

  test('a watcher that does not read is dropped, and the others hear on', async () => {
    const deaf = createConnection(served.socket);
    deaf.on('error', () => {});
    deaf.write('GET /v1/events HTTP/1.1\r\nhost: uipvs\r\n\r\n');
    const closed = new Promise<void>((resolve) => deaf.once('close', () => resolve()));
    await new Promise<void>((resolve) => deaf.once('data', () => resolve()));
    deaf.pause();
    const watcher = await watch();
    const message = 'x'.repeat(100_000);
    for (let i = 0; i < 40; i++) {
      served.dataPlane.tell({ type: 'notice', level: 'info', message });
      await new Promise((resolve) => setImmediate(resolve));
    }
    deaf.resume();
    await closed;
    await until(() => watcher.text().length > 40 * message.length, 'all events at the other watcher');
    watcher.stop();
  });
});

describe('clients that misbehave', () => {
  test('garbage on the socket gets a 400 and disturbs nobody', async () => {
    expect(await sendBytes(served.socket, '\x16\x03\x01\x02\x00 not http\r\n\r\n')).toContain('400 Bad Request');
    expect(await sendBytes(served.socket, 'GET /v1/status HTTP/9.9\r\n\r\n')).toContain('400 Bad Request');
    expect((await post(served.socket, { name: 'info' })).status).toBe(200);
  });

  test('a head without end gets a 431', async () => {
    const head = `GET /v1/status HTTP/1.1\r\nx: ${'y'.repeat(100_000)}`;
    expect(await sendBytes(served.socket, head)).toContain('431 ');
  });

  test('a client that leaves in the middle of its body is no failure', async () => {
    const client = createConnection(served.socket);
    client.on('error', () => {});
    client.write('POST /v1/commands HTTP/1.1\r\nhost: uipvs\r\ncontent-length: 1000\r\n\r\n[{"name":');
    await new Promise((resolve) => setTimeout(resolve, 30));
    client.destroy();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(served.dataPlane.commands).toHaveLength(0);
    expect(served.logger.entries.filter((entry) => entry.level === 'error')).toEqual([]);
    expect((await post(served.socket, { name: 'info' })).status).toBe(200);
  });

  test('a list is carried out to its end although its sender left', async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    served.dataPlane.before = () => held;
    const body = JSON.stringify(
      [80, 81, 82].map((port) => ({ name: 'addService', service: tcpService('192.0.2.1', port) })),
    );
    const client = createConnection(served.socket);
    client.on('error', () => {});
    client.write(`POST /v1/commands HTTP/1.1\r\nhost: uipvs\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    await until(() => served.dataPlane.commands.length > 0, 'the first command');
    client.destroy();
    await new Promise((resolve) => setTimeout(resolve, 30));
    release();
    await until(() => served.dataPlane.services === 3, 'the last service');
    expect(served.logger.entries.filter((entry) => entry.level === 'error')).toEqual([]);
  });

  test('200 clients at once are all answered, each with its own', async () => {
    const ports = Array.from({ length: 200 }, (_, index) => 1_000 + index);
    const added = await Promise.all(
      ports.map((port) =>
        post(served.socket, [
          { name: 'addService', service: tcpService('192.0.2.9', port) },
          { name: 'getService', key: { protocol: 'tcp', address: '192.0.2.9', port } },
        ]),
      ),
    );
    expect(added.map((answer) => answer.json()[1].answer.spec.key.port)).toEqual(ports);
  });
});
