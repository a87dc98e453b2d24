import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Command } from '../../src/model/commands.ts';
import { destinationSpec, freePort, HOST, ProxyWorld, serviceSpec } from './support.ts';

let world: ProxyWorld;
beforeEach(() => {
  world = new ProxyWorld();
});
afterEach(() => world.close());

const TCP = { protocol: 'tcp' as const, address: HOST, port: 1 };

describe('the proxy refuses by name', () => {
  const service = (key: object, changes = {}): Command =>
    ({ name: 'addService', service: { ...serviceSpec(TCP, changes), key } }) as Command;
  const destination = (method: string): Command =>
    ({ name: 'addDestination', service: TCP, destination: { ...destinationSpec(80), method } }) as Command;
  const daemon = { role: 'master', interface: 'lo', syncId: 0, maxLength: 0, group: '224.0.0.81', port: 8848, ttl: 1 };

  test.each([
    ['firewall marks', service({ mark: 5, family: 'ipv4' }), 'serve firewall marks'],
    ['SCTP', service({ ...TCP, protocol: 'sctp' }), 'carry SCTP'],
    ['all ports of an address', service({ ...TCP, port: 0 }), 'serve every port of an address'],
    ['persistence engines', service(TCP, { persistenceEngine: 'sip' }), 'use the persistence engine sip'],
    ['direct routing', destination('direct'), 'do direct routing'],
    ['tunnels', destination('tunnel'), 'send through tunnels'],
    ['synchronisation', { name: 'startSyncDaemon', daemon } as Command, 'synchronise connections'],
    ['marking', { name: 'addMarkRule', rule: {} } as Command, 'mark packets'],
  ])('%s', async (_, command, words) => {
    await expect(world.plane.execute(command)).rejects.toMatchObject({
      code: 'EOPNOTSUPP',
      message: expect.stringMatching(
        `^the proxy cannot ${words}: .*; the packet engine can: uipvsd --data-plane packet$`,
      ),
    });
    expect((await world.plane.execute<'listServices'>({ name: 'listServices' })).items).toEqual([]);
  });
});

describe('a port that cannot be had', () => {
  test('because another program has it leaves no service behind, and is had once it is free', async () => {
    const other = createServer().listen(0, HOST);
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const add = () => world.plane.execute({ name: 'addService', service: serviceSpec({ ...TCP, port }) });
    await expect(add()).rejects.toMatchObject({ code: 'EBUSY', message: expect.stringContaining('ss -lntup') });
    expect((await world.plane.execute<'listServices'>({ name: 'listServices' })).items).toEqual([]);
    await new Promise((done) => other.close(done));
    await add();
    await world.plane.execute({ name: 'deleteService', key: { ...TCP, port } });
    await add();
  });

  test.each(['tcp', 'udp'] as const)(
    'because the address is not of this host names the way out (%s)',
    async (protocol) => {
      const key = { protocol, address: '192.0.2.1', port: await freePort() };
      await expect(world.plane.execute({ name: 'addService', service: serviceSpec(key) })).rejects.toMatchObject({
        code: 'ENODEV',
        message: expect.stringContaining('ip addr add 192.0.2.1/32 dev lo'),
      });
    },
  );
});

describe('commands of the proxy', () => {
  test('are carried out in the order of the calls', async () => {
    const port = await freePort();
    const key = { ...TCP, port };
    const results = await Promise.allSettled([
      world.plane.execute({ name: 'addService', service: serviceSpec(key) }),
      world.plane.execute({ name: 'addDestination', service: key, destination: destinationSpec(80) }),
      world.plane.execute({ name: 'addService', service: serviceSpec(key) }),
      world.plane.execute({ name: 'deleteService', key }),
      world.plane.execute({ name: 'addService', service: serviceSpec(key) }),
    ]);
    expect(results.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
    ]);
  });

  test('tell watchers what changed', async () => {
    const seen: string[] = [];
    world.plane.watch(({ type }) => seen.push(type));
    const key = await world.service([await freePort()]);
    await world.plane.execute({ name: 'deleteService', key });
    expect(seen).toEqual(['service-added', 'destination-added', 'service-deleted']);
  });

  test('keep settings and timeouts as everywhere', async () => {
    await world.plane.execute({ name: 'setTimeouts', timeouts: { tcpSeconds: 10, tcpFinSeconds: 0, udpSeconds: 7 } });
    expect(await world.plane.execute({ name: 'getTimeouts' })).toEqual({
      tcpSeconds: 10,
      tcpFinSeconds: 120,
      udpSeconds: 7,
    });
    await world.plane.execute({ name: 'setSetting', setting: 'expire_nodest_conn', value: '1' });
    expect(await world.plane.execute({ name: 'getSetting', setting: 'expire_nodest_conn' })).toEqual({ value: '1' });
  });
});
