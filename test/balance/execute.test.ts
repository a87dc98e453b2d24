import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { executeTableCommand } from '../../src/balance/execute.ts';
import type { ServiceTable } from '../../src/balance/service-table.ts';
import { COMMANDS, type Command, type Page } from '../../src/model/commands.ts';
import { IpvsError } from '../../src/model/errors.ts';
import type { ServiceKey, ServiceStatus } from '../../src/model/service.ts';
import { createTable, destinationSpec, expectRefusal, serviceSpec, WEB } from './support.ts';

const run = (table: ServiceTable, command: unknown) => executeTableCommand(table, command as Command, 0);
const keyOf = (port: number): ServiceKey => ({ ...WEB, port });

test('a service lives through its commands', () => {
  const table = createTable();
  const key = WEB;
  expect(run(table, { name: 'addService', service: serviceSpec() })).toBeNull();
  expect(run(table, { name: 'addDestination', service: key, destination: destinationSpec() })).toBeNull();
  expect(run(table, { name: 'editService', service: serviceSpec({ scheduler: 'rr' }) })).toBeNull();
  expect(run(table, { name: 'editDestination', service: key, destination: destinationSpec({ weight: 3 }) })).toBeNull();
  const none = { connections: 0, inPackets: 0, outPackets: 0, inBytes: 0, outBytes: 0 };
  const idle = {
    connectionsPerSecond: 0,
    inPacketsPerSecond: 0,
    outPacketsPerSecond: 0,
    inBytesPerSecond: 0,
    outBytesPerSecond: 0,
  };
  expect(run(table, { name: 'getService', key })).toEqual({
    spec: serviceSpec({ scheduler: 'rr', sourceNat: 'none' }),
    statistics: none,
    rates: idle,
    destinations: [
      {
        spec: destinationSpec({ weight: 3 }),
        activeConnections: 0,
        inactiveConnections: 0,
        persistentConnections: 0,
        statistics: none,
        rates: idle,
      },
    ],
  });
  expect(run(table, { name: 'getTotals' })).toEqual({ statistics: none, rates: idle });
  expect(run(table, { name: 'zero' })).toBeNull();
  expect(run(table, { name: 'zero', key })).toBeNull();
  expect(
    run(table, { name: 'deleteDestination', service: key, destination: { address: '10.0.0.1', port: 80 } }),
  ).toBeNull();
  expect(run(table, { name: 'deleteService', key })).toBeNull();
  expectRefusal('ESRCH', () => run(table, { name: 'getService', key }));
  expect(run(table, { name: 'flush' })).toBeNull();
});

test('what is not about the table is left to others', () => {
  const others = Object.keys(COMMANDS).filter((name) => !/PerCpu|Service|Destination|flush|zero|getTotals/.test(name));
  expect(others).toContain('info');
  for (const name of [...others, 'nothing']) expect(run(createTable(), { name })).toBeUndefined();
});

describe('a listing', () => {
  const page = (table: ServiceTable, input: object) =>
    run(table, { name: 'listServices', ...input }) as Page<ServiceStatus>;
  const portOf = (status: ServiceStatus) => ('port' in status.spec.key ? status.spec.key.port : 0);

  function walk(table: ServiceTable, limit: number, between: (page: number) => void = () => {}): number[] {
    const ports: number[] = [];
    let cursor: string | null = null;
    for (let pages = 0; ; pages++) {
      const { items, next }: Page<ServiceStatus> = page(table, cursor === null ? { limit } : { limit, cursor });
      expect(items.length).toBeLessThanOrEqual(limit);
      ports.push(...items.map(portOf));
      if (next === null) return ports;
      cursor = next;
      between(pages);
    }
  }

  function tableOf(count: number): ServiceTable {
    const table = createTable();
    for (let port = 1; port <= count; port++) table.addService(serviceSpec({ key: keyOf(port) }), 0);
    return table;
  }

  test('comes in pages that make up the table', () => {
    const table = tableOf(600);
    const inOrder = table.services().map((service) => service.port);
    for (const limit of [1, 7, 256]) expect(walk(table, limit)).toEqual(inOrder);
    expect(page(table, {}).items).toHaveLength(256);
    expect(page(table, { limit: 10_000 }).items).toHaveLength(256);
    expect(page(createTable(), {})).toEqual({ items: [], next: null });
    expect(page(tableOf(7), { limit: 7 }).next).toBeNull();
  });

  test('neither skips nor repeats a service that stays, whatever changes between its pages', () => {
    const table = tableOf(300);
    const seen = walk(table, 10, (pages) => {
      // Even ports go, services on other ports come.
      for (const port of [2, 4, 6, 8, 10]) {
        if (pages * 10 + port <= 300) table.deleteService(keyOf(pages * 10 + port));
      }
      table.addService(serviceSpec({ key: keyOf(1000 + pages) }), 0);
    });
    const staying = seen.filter((port) => port % 2 === 1 && port < 1000);
    expect(staying.sort((a, b) => a - b)).toEqual(Array.from({ length: 150 }, (_, i) => 2 * i + 1));
    expect(new Set(seen).size).toBe(seen.length);
  });

  test.each([{ limit: 0 }, { limit: 1.5 }, { limit: '5' }, { cursor: '' }, { cursor: 7 }, { cursor: '1-x' }])(
    'is refused for %j',
    (input) => {
      expectRefusal('EINVAL', () => page(createTable(), input));
    },
  );
});

describe('what anybody may send is refused with EINVAL', () => {
  const service = (changes: object) => ({ name: 'addService', service: { ...serviceSpec(), ...changes } });
  const destination = (changes: object) => ({
    name: 'addDestination',
    service: WEB,
    destination: { ...destinationSpec(), ...changes },
  });
  const key = (changes: object) => ({ name: 'getService', key: { ...WEB, ...changes } });

  test.each([
    null,
    'addService',
    [],
    { name: 'addService' },
    { name: 'addService', service: 5 },
    { name: 'deleteService', key: [] },
    { name: 'addDestination', service: WEB },
    key({ protocol: 'icmp' }),
    key({ protocol: 6 }),
    key({ address: 'www.example.com' }),
    key({ address: 5 }),
    key({ address: 'fe80::1%eth0' }),
    key({ port: -1 }),
    key({ port: 65536 }),
    key({ port: '80' }),
    key({ port: null }),
    { name: 'getService', key: { mark: 0, family: 'ipv4' } },
    { name: 'getService', key: { mark: 4294967296, family: 'ipv4' } },
    { name: 'getService', key: { mark: 1 } },
    service({ scheduler: undefined }),
    service({ scheduler: 5 }),
    service({ schedulerFlags: [4] }),
    service({ schedulerFlags: 1 }),
    service({ persistenceTimeoutSeconds: undefined }),
    service({ persistenceTimeoutSeconds: -1 }),
    service({ persistenceTimeoutSeconds: 1.5 }),
    service({ netmask: '24' }),
    service({ netmask: 24 }),
    service({ persistenceEngine: 5 }),
    service({ onePacket: 'yes' }),
    service({ sourceNat: 'all' }),
    service({ sourceNat: '2001:db8::1' }),
    service({ sourceNat: null }),
    destination({ address: '10.0.0' }),
    destination({ port: undefined }),
    destination({ method: 'nat' }),
    destination({ weight: '1' }),
    destination({ weight: Number.NaN }),
    destination({ weight: 0.5 }),
    destination({ upperThreshold: -1 }),
    destination({ upperThreshold: 4294967296 }),
    destination({ tunnel: undefined }),
    destination({ tunnel: { type: 'l2tp', port: 0, checksum: 'none' } }),
    destination({ tunnel: { type: 'gue', port: 70000, checksum: 'none' } }),
    destination({ tunnel: { type: 'gue', port: 1, checksum: 'some' } }),
  ])('%j', (command) => {
    const table = createTable();
    table.addService(serviceSpec({ key: WEB }), 0);
    const version = table.version;
    if (JSON.stringify(command)?.includes('addService')) table.flush();
    expectRefusal('EINVAL', () => run(table, command));
    expect(table.version - version).toBeLessThanOrEqual(1);
  });

  test('and nothing is thrown but IpvsErrors', () => {
    const table = createTable();
    table.addService(serviceSpec(), 0);
    const anything = fc.oneof(fc.jsonValue(), fc.constantFrom(WEB, serviceSpec(), destinationSpec(), WEB.address));
    const spoilt = (good: object) =>
      fc
        .tuple(fc.constantFrom(...Object.keys(good)), anything)
        .map(([field, value]) => ({ ...good, [field]: value }) as unknown);
    const part = fc.oneof(anything, spoilt(serviceSpec()), spoilt(destinationSpec()), spoilt(WEB));
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(COMMANDS)), part, part, part, (name, service, destination, key) => {
        try {
          run(table, { name, service, destination, key, cursor: key, limit: service });
        } catch (error) {
          expect(error).toBeInstanceOf(IpvsError);
        }
        // Whatever was accepted can be listed, and sent as JSON.
        JSON.stringify(run(table, { name: 'listServices' }));
      }),
      { numRuns: 2000 },
    );
  });
});
