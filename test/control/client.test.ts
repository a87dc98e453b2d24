import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createNetServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectDataPlane, connectionError, type RemoteDataPlane } from '../../src/control/client.ts';
import { EventParser } from '../../src/control/event-stream.ts';
import { allServices } from '../../src/control/pages.ts';
import type { Command } from '../../src/model/commands.ts';
import type { DataPlaneEvent } from '../../src/model/events.ts';
import { API_COMMANDS_MAX } from '../../src/model/limits.ts';
import { server, tcpService } from '../support/fake-data-plane.ts';
import { type Served, serve, temporaryDirectory, until } from '../support/served.ts';

const web = tcpService('192.0.2.1', 80);

describe('a remote data plane', () => {
  let served: Served;
  let remote: RemoteDataPlane;
  beforeEach(async () => {
    served = await serve();
    remote = await connectDataPlane(served.socket);
  });
  afterEach(async () => {
    await remote.close();
    await served.stop();
  });

  test('has the capabilities of the one behind the socket', () => {
    expect(remote.capabilities).toEqual(served.dataPlane.capabilities);
  });

  test('answers like the one behind the socket', async () => {
    expect(await remote.execute({ name: 'addService', service: web })).toBeNull();
    expect(
      await remote.execute({ name: 'addDestination', service: web.key, destination: server('10.0.0.1', 80) }),
    ).toBe(null);
    const direct = await served.dataPlane.execute<'getService'>({ name: 'getService', key: web.key });
    expect(await remote.execute({ name: 'getService', key: web.key })).toEqual(direct);
  });

  test('refuses like the one behind the socket', async () => {
    await expect(remote.execute({ name: 'getService', key: web.key })).rejects.toMatchObject({
      name: 'IpvsError',
      code: 'ESRCH',
      message: 'there is no service tcp 192.0.2.1:80',
    });
  });

  test('carries out commands that were not waited for in their order', async () => {
    const ports = Array.from({ length: 50 }, (_, index) => 100 + index);
    await Promise.all(
      ports.map((port) => remote.execute({ name: 'addService', service: tcpService('192.0.2.1', port) })),
    );
    const sent = served.dataPlane.commands.map((command) => command.name === 'addService' && command.service.key);
    expect(sent).toEqual(ports.map((port) => ({ protocol: 'tcp', address: '192.0.2.1', port })));
  });

  test('sends a long list in requests that the API takes', async () => {
    const commands: Command[] = Array.from({ length: API_COMMANDS_MAX + 10 }, () => ({ name: 'getTimeouts' }));
    commands[API_COMMANDS_MAX] = { name: 'getService', key: web.key };
    const results = await remote.executeAll(commands);
    expect(results).toHaveLength(commands.length);
    expect(results[0].answer).toEqual({ tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 });
    expect(results[API_COMMANDS_MAX].error).toMatchObject({ name: 'IpvsError', code: 'ESRCH' });
    expect(results[API_COMMANDS_MAX + 1].answer).toBeDefined();
  });

  test('walks through all pages', async () => {
    for (const port of [1, 2, 3, 4, 5])
      await remote.execute({ name: 'addService', service: tcpService('192.0.2.1', port) });
    expect((await allServices(remote)).map(({ spec }) => spec.key)).toEqual(
      [1, 2, 3, 4, 5].map((port) => ({ protocol: 'tcp', address: '192.0.2.1', port })),
    );
  });

  test('tells events until it is told to stop', async () => {
    const events: DataPlaneEvent[] = [];
    const stop = remote.watch((event) => events.push(event));
    await until(() => {
      served.dataPlane.tell({ type: 'flushed' });
      return events.length > 0;
    }, 'the first event');
    expect(events[0]).toEqual({ type: 'flushed' });
    stop();
    await until(() => {
      const before = events.length;
      served.dataPlane.tell({ type: 'flushed' });
      return events.length === before;
    }, 'silence');
  });

  test('says that the daemon went away, and reaches the next one on the same socket', async () => {
    const events: DataPlaneEvent[] = [];
    remote.watch((event) => events.push(event));
    await until(() => {
      served.dataPlane.tell({ type: 'flushed' });
      return events.length > 0;
    }, 'the first event');
    await served.daemon.close();
    await until(() => events.some((event) => event.type === 'notice' && event.level === 'warning'), 'the notice');
    await expect(remote.execute({ name: 'info' })).rejects.toMatchObject({ code: 'ENOPROTOOPT' });

    const next = await serve({ socket: served.socket });
    expect(await remote.execute({ name: 'info' })).toMatchObject({ version: '1.2.1' });
    await until(() => events.some((event) => event.type === 'notice' && event.level === 'info'), 'the second notice');
    next.dataPlane.tell({ type: 'links-changed', links: ['lo'] });
    await until(() => events.at(-1)?.type === 'links-changed', 'an event of the next daemon');
    await remote.close();
    await next.stop();
  });

  test('refuses to work once it is closed', async () => {
    await remote.close();
    await expect(remote.execute({ name: 'info' })).rejects.toMatchObject({ code: 'ENOPROTOOPT' });
  });

  test('reports the status of the daemon', async () => {
    expect((await remote.status()).daemon.pid).toBe(process.pid);
  });
});

describe('when no daemon answers', () => {
  const directory = temporaryDirectory();

  test('a socket that is not there is ENOPROTOOPT', async () => {
    await expect(connectDataPlane(join(directory, 'none.sock'))).rejects.toMatchObject({
      code: 'ENOPROTOOPT',
      message: `no uipvsd answers on ${join(directory, 'none.sock')}; start one with \`uipvsd\``,
    });
  });

  test('a plain file is ENOPROTOOPT', async () => {
    writeFileSync(join(directory, 'file'), '');
    await expect(connectDataPlane(join(directory, 'file'))).rejects.toMatchObject({ code: 'ENOPROTOOPT' });
  });

  test('a socket of somebody else is EPERM', () => {
    // Root may open every socket, so the kernel's answer is put in by hand here.
    const error = connectionError(Object.assign(new Error('connect EACCES'), { code: 'EACCES' }), '/run/uipvs/1.sock');
    expect(error.code).toBe('EPERM');
    expect(error.message).toContain('/run/uipvs/1.sock');
  });

  test('a server that is no uipvsd is EIO', async () => {
    const path = join(directory, 'other.sock');
    const other = createServer((_, response) => response.end('<html>hello</html>')).listen(path);
    await expect(connectDataPlane(path)).rejects.toMatchObject({
      code: 'EIO',
      message: `what answers on ${path} is no uipvsd (HTTP status 200, no JSON)`,
    });
    other.close();
  });

  test('a server that hangs up in the middle of its answer is EIO', async () => {
    const path = join(directory, 'hangs-up.sock');
    const other = createNetServer((client) => {
      client.once('data', () => {
        client.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"name":');
        client.destroySoon();
      });
      client.on('error', () => {});
    }).listen(path);
    await expect(connectDataPlane(path)).rejects.toMatchObject({ code: 'EIO' });
    other.close();
  });
});

test('events are read whole however their text was cut', () => {
  const text =
    'event: flushed\ndata: {"type":"flushed"}\n\n: alive\n\nevent: links-changed\ndata: {"type":"links-changed","links":["ü"]}\n\n';
  for (let size = 1; size < text.length; size++) {
    const events: DataPlaneEvent[] = [];
    const parser = new EventParser((event) => events.push(event));
    for (let at = 0; at < text.length; at += size) parser.push(text.slice(at, at + size));
    expect(events).toEqual([{ type: 'flushed' }, { type: 'links-changed', links: ['ü'] }]);
  }
});
