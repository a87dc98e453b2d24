import { describe, expect, test } from 'vitest';
import type { Destination } from '../../src/balance/destination.ts';
import { ServiceTable } from '../../src/balance/service-table.ts';
import type { ServiceKey } from '../../src/model/service.ts';
import {
  createTable,
  destinationSpec,
  expectRefusal,
  seededRandom,
  serviceSpec,
  TCP,
  UDP,
  WEB,
  wordsOf,
} from './support.ts';

const SECOND = 250;
const WEB6: ServiceKey = { protocol: 'tcp', address: '2001:db8::1', port: 80 };
const MARK: ServiceKey = { mark: 7, family: 'ipv4' };
const find = (table: ServiceTable, protocol: number, address: string, port: number, mark = 0) =>
  table.findService(mark, address.includes(':'), protocol, ...wordsOf(address), port);

function tableWith(...keys: ServiceKey[]): ServiceTable {
  const table = createTable();
  for (const key of keys) table.addService(serviceSpec({ key }), 0);
  return table;
}

describe('a packet finds its service', () => {
  test('by protocol, address and port, exactly', () => {
    const table = tableWith(WEB, WEB6, { protocol: 'udp', address: '192.0.2.1', port: 80 });
    expect(find(table, TCP, '192.0.2.1', 80)?.key).toEqual(WEB);
    expect(find(table, TCP, '2001:db8::1', 80)?.key).toEqual(WEB6);
    expect(find(table, UDP, '192.0.2.1', 80)?.protocol).toBe(UDP);
    expect(find(table, TCP, '192.0.2.1', 81)).toBeNull();
    expect(find(table, TCP, '192.0.2.2', 80)).toBeNull();
    expect(find(table, UDP, '2001:db8::1', 80)).toBeNull();
    // The same words, the other family.
    expect(table.findService(0, true, TCP, ...wordsOf('192.0.2.1'), 80)).toBeNull();
  });

  test('by its firewall mark first, whatever its protocol, and never by the mark of the other family', () => {
    const table = tableWith(WEB, MARK, { mark: 4294967295, family: 'ipv6' });
    expect(find(table, TCP, '192.0.2.1', 80, 7)?.key).toEqual(MARK);
    expect(find(table, UDP, '198.51.100.1', 9, 7)?.key).toEqual(MARK);
    expect(find(table, TCP, '192.0.2.1', 80, 8)?.key).toEqual(WEB);
    expect(find(table, UDP, '::1', 9, 7)).toBeNull();
    expect(find(table, UDP, '::1', 9, 4294967295)?.mark).toBe(4294967295);
    expect(find(table, UDP, '::1', 9, -1)?.mark).toBe(4294967295);
    expect(find(table, UDP, '192.0.2.1', 9)).toBeNull();
  });

  test('as data of an FTP service on port 20 and on unprivileged ports, TCP only', () => {
    const table = tableWith({ protocol: 'tcp', address: '192.0.2.1', port: 21 });
    for (const port of [20, 21, 1024, 65535]) expect(find(table, TCP, '192.0.2.1', port)?.port).toBe(21);
    for (const port of [19, 22, 1023]) expect(find(table, TCP, '192.0.2.1', port)).toBeNull();
    expect(find(table, UDP, '192.0.2.1', 20)).toBeNull();
    table.environment.unprivilegedPortStart = 80;
    expect(find(table, TCP, '192.0.2.1', 80)?.port).toBe(21);
    table.deleteService({ protocol: 'tcp', address: '192.0.2.1', port: 21 });
    expect(find(table, TCP, '192.0.2.1', 2000)).toBeNull();
  });

  test('as a service for any port, after all others', () => {
    const any: ServiceKey = { protocol: 'tcp', address: '192.0.2.1', port: 0 };
    const table = tableWith(any, WEB, { protocol: 'tcp', address: '192.0.2.1', port: 21 });
    expect(find(table, TCP, '192.0.2.1', 443)?.port).toBe(0);
    expect(find(table, TCP, '192.0.2.1', 80)?.port).toBe(80);
    expect(find(table, TCP, '192.0.2.1', 2000)?.port).toBe(21);
    expect(find(table, UDP, '192.0.2.1', 443)).toBeNull();
    table.deleteService(any);
    expect(find(table, TCP, '192.0.2.1', 443)).toBeNull();
  });
});

test('the addresses of services are known while a service has them', () => {
  const udp: ServiceKey = { protocol: 'udp', address: '192.0.2.1', port: 53 };
  const table = tableWith(WEB, udp, WEB6, MARK);
  const has = (address: string) => table.isServiceAddress(address.includes(':'), ...wordsOf(address));
  expect([has('192.0.2.1'), has('2001:db8::1'), has('192.0.2.2'), has('0.0.0.0')]).toEqual([true, true, false, false]);
  table.deleteService(WEB);
  expect(has('192.0.2.1')).toBe(true);
  table.deleteService(udp);
  expect(has('192.0.2.1')).toBe(false);
  table.flush();
  expect(has('2001:db8::1')).toBe(false);
});

test('services are counted by family', () => {
  const table = tableWith(WEB, WEB6, MARK, { mark: 7, family: 'ipv6' });
  expect([table.serviceCount, table.serviceCountOf(false), table.serviceCountOf(true)]).toEqual([4, 2, 2]);
  table.deleteService(WEB6);
  expect([table.serviceCount, table.serviceCountOf(false), table.serviceCountOf(true)]).toEqual([3, 2, 1]);
});

describe('a spec is given back as it was', () => {
  test.each([
    serviceSpec({ sourceNat: 'none' }),
    serviceSpec({
      key: WEB6,
      scheduler: 'mh',
      schedulerFlags: [1, 3],
      persistenceTimeoutSeconds: 360,
      netmask: '64',
      persistenceEngine: 'sip',
      onePacket: true,
      sourceNat: '2001:db8::2',
    }),
    serviceSpec({ key: MARK, persistenceTimeoutSeconds: 0, netmask: '255.0.255.0', sourceNat: 'masquerade' }),
  ])('%#', (spec) => {
    const table = createTable();
    expect(table.addService(spec, 0).spec()).toEqual(spec);
    table.editService(serviceSpec({ key: spec.key, scheduler: 'none' }), 0);
    expect(table.getService(spec.key).spec()).toEqual(
      // Source NAT is not part of IPVS: an edit that does not say leaves it alone.
      serviceSpec({ key: spec.key, scheduler: 'none', sourceNat: spec.sourceNat! }),
    );
    expect(table.editService(spec, 0).spec()).toEqual(spec);
  });

  test('in canonical form', () => {
    const table = createTable();
    const key: ServiceKey = { protocol: 'tcp', address: '2001:DB8:0::1', port: 80 };
    expect(table.addService(serviceSpec({ key }), 0).key).toEqual(WEB6);
    expect(table.getService(WEB6).address0).toBe(0x20010db8);
  });

  test('with the mask as words for the packet path', () => {
    const table = createTable();
    const four = table.addService(serviceSpec({ netmask: '255.255.255.0' }), 0);
    expect([four.netmask0, four.netmask1, four.netmask2, four.netmask3]).toEqual([0, 0, 0, 0xffffff00 | 0]);
    const six = table.addService(serviceSpec({ key: WEB6, netmask: '48' }), 0);
    expect([six.netmask0, six.netmask1, six.netmask2, six.netmask3]).toEqual([-1, 0xffff0000 | 0, 0, 0]);
  });

  test('with timeouts that wrap in ticks, as in the kernel', () => {
    const service = createTable().addService(serviceSpec({ persistenceTimeoutSeconds: 17179870 }), 0);
    expect(service.persistenceTimeoutTicks).toBe(17179870 * 250 - 2 ** 32);
    expect(service.spec().persistenceTimeoutSeconds).toBe(0);
  });
});

test('the default source NAT is for services that do not say, if it is of their family', () => {
  const table = new ServiceTable({ random: seededRandom(1), defaultSourceNat: '192.0.2.9', nowTicks: 0 });
  expect(table.addService(serviceSpec(), 0).sourceNat).toBe('192.0.2.9');
  expect(table.getService(WEB).sourceNatAddress?.words[3]).toBe(0xc0000209 | 0);
  expect(table.addService(serviceSpec({ key: WEB6 }), 0).sourceNat).toBe('masquerade');
  expect(table.addService(serviceSpec({ key: MARK, sourceNat: 'none' }), 0).sourceNat).toBe('none');
});

describe('a service is refused', () => {
  test('in the order of the kernel', () => {
    const table = tableWith(WEB, WEB6);
    // Shape before existence, existence before scheduler, scheduler before engine, engine before prefix length.
    expectRefusal('EINVAL', () => table.addService(serviceSpec({ netmask: 'x' }), 0));
    expectRefusal('EINVAL', () => table.addService(serviceSpec({ scheduler: 'a-name-that-is-too-long' }), 0));
    expectRefusal('EEXIST', () => table.addService(serviceSpec({ scheduler: 'nothing' }), 0));
    const other: ServiceKey = { protocol: 'tcp', address: '2001:db8::2', port: 80 };
    const bad = { key: other, persistenceEngine: 'nothing', netmask: '129' };
    expectRefusal('ENOENT', () => table.addService(serviceSpec({ ...bad, scheduler: 'nothing' }), 0));
    expectRefusal('ENOENT', () => table.addService(serviceSpec(bad), 0));
    expectRefusal('EINVAL', () => table.addService(serviceSpec({ ...bad, persistenceEngine: null }), 0));
    expectRefusal('EINVAL', () => table.addService(serviceSpec({ key: other, netmask: '0' }), 0));
    expectRefusal('ESRCH', () => table.editService(serviceSpec({ key: other, scheduler: 'nothing' }), 0));
    expectRefusal('ENOENT', () => table.editService(serviceSpec({ scheduler: 'nothing' }), 0));
    expectRefusal('ESRCH', () => table.deleteService(other));
    expectRefusal('ESRCH', () => table.getService(other));
    expectRefusal('ESRCH', () => table.zero(other));
    expectRefusal('EAFNOSUPPORT', () => table.getService({ mark: 1, family: 'ipx' as 'ipv4' }));
    expect(table.serviceCount).toBe(2);
  });

  test('and an edit that is refused changes nothing', () => {
    const table = tableWith(WEB6);
    const before = { spec: table.getService(WEB6).spec(), version: table.version };
    const edit = serviceSpec({ key: WEB6, scheduler: 'rr', netmask: '129', onePacket: true });
    expectRefusal('EINVAL', () => table.editService(edit, 0));
    expect({ spec: table.getService(WEB6).spec(), version: table.version }).toEqual(before);
  });
});

describe('a destination is refused', () => {
  const six = { address: '2001:db8:2::1' };

  test('in the order of the kernel', () => {
    const table = tableWith(WEB);
    const nowhere: ServiceKey = { ...WEB, port: 81 };
    const add = (changes: object, key: ServiceKey = WEB) => table.addDestination(key, destinationSpec(changes), 0);
    const edit = (changes: object) => table.editDestination(WEB, destinationSpec(changes), 0);
    const gue = { type: 'gue', port: 0, checksum: 'none' } as const;
    add({});
    // ESRCH, shape, family, weight, thresholds, tunnel, existence, address.
    expectRefusal('ESRCH', () => add({ method: 'nothing' }, nowhere));
    expectRefusal('EINVAL', () => add({ method: 'nothing', weight: -1 }));
    expectRefusal('EINVAL', () => add({ ...six, weight: -1 }));
    expectRefusal('ERANGE', () => add({ weight: -1, lowerThreshold: 1, tunnel: gue }));
    expectRefusal('ERANGE', () => add({ weight: 2147483648 }));
    expectRefusal('ERANGE', () => add({ lowerThreshold: 1, tunnel: gue }));
    expectRefusal('EINVAL', () => add({ tunnel: gue }));
    expectRefusal('EEXIST', () => add({}));
    for (const address of ['0.0.0.0', '255.255.255.255', '224.0.0.1']) expectRefusal('EINVAL', () => add({ address }));
    expectRefusal('ERANGE', () => edit({ address: '10.0.0.9', weight: -1 }));
    expectRefusal('ENOENT', () => edit({ address: '10.0.0.9' }));
    expectRefusal('ENOENT', () => edit({ port: 81 }));
    expectRefusal('ENOENT', () => table.deleteDestination(WEB, { address: '10.0.0.9', port: 80 }));
    expectRefusal('ESRCH', () => table.deleteDestination(nowhere, { address: '10.0.0.1', port: 80 }));
    expect(table.getService(WEB).destinations).toHaveLength(1);
    add({ address: '127.0.0.1', weight: 2147483647 });
  });

  test('when it is of another family than its service, except by tunnel and without a synchronisation daemon', () => {
    const table = tableWith(WEB);
    expectRefusal('EINVAL', () => table.addDestination(WEB, destinationSpec(six), 0));
    const tunnel = destinationSpec({ ...six, method: 'tunnel' });
    expect(table.hasMixedFamilies).toBe(false);
    table.environment.syncDaemonRunning = true;
    expectRefusal('EINVAL', () => table.addDestination(WEB, tunnel, 0));
    table.environment.syncDaemonRunning = false;
    expect(table.addDestination(WEB, tunnel, 0).ipv6).toBe(true);
    expect(table.hasMixedFamilies).toBe(true);
  });

  test('when its IPv6 address is link-local or no unicast address', () => {
    const table = tableWith(WEB6);
    for (const address of ['::', 'ff02::1', 'fe80::1', 'febf::1']) {
      expectRefusal('EINVAL', () => table.addDestination(WEB6, destinationSpec({ address }), 0));
    }
    for (const address of ['::1', 'fec0::1', 'fd00::1']) table.addDestination(WEB6, destinationSpec({ address }), 0);
  });

  test('when the routes of the host say so', () => {
    const table = new ServiceTable({
      random: seededRandom(1),
      defaultSourceNat: 'none',
      nowTicks: 0,
      addressKindOf: (_ipv6, _w0, _w1, _w2, w3) => ((w3 & 255) === 255 ? 'other' : 'unicast'),
    });
    table.addService(serviceSpec(), 0);
    expectRefusal('EINVAL', () => table.addDestination(WEB, destinationSpec({ address: '10.0.0.255' }), 0));
    table.addDestination(WEB, destinationSpec({ address: '10.0.0.254' }), 0);
  });
});

describe('the list of destinations', () => {
  const order = (table: ServiceTable) => table.getService(WEB).destinations.map((it) => it.address.slice(-1));
  const add = (table: ServiceTable, last: number) =>
    table.addDestination(WEB, destinationSpec({ address: `10.0.0.${last}` }), 0);

  test('begins with the newest; an edit keeps the place, adding again does not', () => {
    const table = tableWith(WEB);
    for (const last of [1, 2, 3]) add(table, last);
    expect(order(table)).toEqual(['3', '2', '1']);
    table.editDestination(WEB, destinationSpec({ address: '10.0.0.1', weight: 9 }), 0);
    expect(order(table)).toEqual(['3', '2', '1']);
    table.deleteDestination(WEB, { address: '10.0.0.1', port: 80 });
    expect(order(table)).toEqual(['3', '2']);
    add(table, 1);
    expect(order(table)).toEqual(['1', '3', '2']);
  });
});

describe('a deleted destination', () => {
  const key = { address: '10.0.0.1', port: 80 };
  function deleted(references: number): { table: ServiceTable; destination: Destination } {
    const table = tableWith(WEB);
    const destination = table.addDestination(WEB, destinationSpec(), 0);
    for (let i = 0; i < references; i++) destination.bind(false, false);
    destination.counters.countConnection();
    table.estimate();
    table.deleteDestination(WEB, key, 0);
    return { table, destination };
  }

  test('is unavailable, and comes back with its connections and counters', () => {
    const { table, destination } = deleted(2);
    expect(destination.available).toBe(false);
    const again = table.addDestination(WEB, destinationSpec({ weight: 5 }), 100);
    expect(again).toBe(destination);
    expect(again).toMatchObject({ available: true, activeConnections: 2, weight: 5, lastWeight: 5 });
    expect(again.counters.statistics().connections).toBe(1);
  });

  test('comes back to a service that was deleted and made anew, with its connections and without its counters', () => {
    const { table, destination } = deleted(2);
    table.deleteService(WEB, 0);
    const service = table.addService(serviceSpec(), 0);
    const again = table.addDestination(WEB, destinationSpec(), 100);
    expect(again).toBe(destination);
    expect(again.service).toBe(service);
    expect(again.activeConnections).toBe(2);
    expect(again.counters.statistics().connections).toBe(0);
  });

  test('does not come back to another service, or with another port', () => {
    const { table, destination } = deleted(1);
    const other: ServiceKey = { ...WEB, port: 81 };
    table.addService(serviceSpec({ key: other }), 0);
    expect(table.addDestination(other, destinationSpec(), 0)).not.toBe(destination);
    expect(table.addDestination(WEB, destinationSpec({ port: 81 }), 0)).not.toBe(destination);
  });

  test('comes back to a service with the same firewall mark', () => {
    const table = tableWith(MARK);
    const destination = table.addDestination(MARK, destinationSpec(), 0);
    table.flush(0);
    table.addService(serviceSpec({ key: { mark: 8, family: 'ipv4' } }), 0);
    expect(table.addDestination({ mark: 8, family: 'ipv4' }, destinationSpec(), 0)).not.toBe(destination);
    table.addService(serviceSpec({ key: MARK }), 0);
    expect(table.addDestination(MARK, destinationSpec(), 0)).toBe(destination);
  });

  test('is freed at the second visit that finds it unused for 120 seconds, and its index used again', () => {
    const { table, destination } = deleted(0);
    const taken = () => table.addDestination(WEB, destinationSpec({ address: '10.0.0.2' }), 0).index;
    // Visits at 60 (noted), 120 and 180 seconds.
    table.advance(179 * SECOND);
    expect(table.destinationAt(destination.index)).toBe(destination);
    table.advance(180 * SECOND);
    expect(taken()).toBe(destination.index);
    expect(table.addDestination(WEB, destinationSpec(), 0)).not.toBe(destination);
  });

  test('is kept while a connection uses it', () => {
    const { table, destination } = deleted(1);
    table.advance(1000 * SECOND);
    expect(table.destinationAt(destination.index)).toBe(destination);
    destination.unbind(false, false);
    // Visits are at whole minutes: noted at 1020, freed at 1140.
    table.advance(1139 * SECOND);
    expect(table.destinationAt(destination.index)).toBe(destination);
    table.advance(1140 * SECOND);
    expect(table.destinationAt(destination.index)).toBeNull();
  });

  test('leaves its index alone until it is freed', () => {
    const { table, destination } = deleted(1);
    const other = table.addDestination(WEB, destinationSpec({ address: '10.0.0.2' }), 0);
    expect(other.index).not.toBe(destination.index);
    expect(table.destinationAt(other.index)).toBe(other);
  });
});

describe('a real server', () => {
  const server = (table: ServiceTable, protocol: number, address: string, port: number) =>
    table.findRealServer(protocol, address.includes(':'), ...wordsOf(address), port);

  test('is found by its endpoint if it is masqueraded', () => {
    const table = tableWith(WEB, { protocol: 'udp', address: '192.0.2.1', port: 53 });
    const destination = table.addDestination(WEB, destinationSpec(), 0);
    table.addDestination(WEB, destinationSpec({ address: '10.0.0.2', method: 'direct' }), 0);
    expect(server(table, TCP, '10.0.0.1', 80)).toBe(destination);
    expect(server(table, UDP, '10.0.0.1', 80)).toBeNull();
    expect(server(table, TCP, '10.0.0.1', 81)).toBeNull();
    expect(server(table, TCP, '10.0.0.2', 80)).toBeNull();
    table.editDestination(WEB, destinationSpec({ method: 'direct' }), 0);
    expect(server(table, TCP, '10.0.0.1', 80)).toBeNull();
    table.editDestination(WEB, destinationSpec(), 0);
    expect(server(table, TCP, '10.0.0.1', 80)).toBe(destination);
    table.deleteDestination(WEB, { address: '10.0.0.1', port: 80 });
    expect(server(table, TCP, '10.0.0.1', 80)).toBeNull();
    table.addDestination(WEB, destinationSpec(), 0);
    expect(server(table, TCP, '10.0.0.1', 80)).toBe(destination);
    table.flush();
    expect(server(table, TCP, '10.0.0.1', 80)).toBeNull();
  });

  test('of several services is found for the newest, and for any protocol behind a firewall mark', () => {
    const table = tableWith(WEB, { ...WEB, port: 81 }, MARK);
    const first = table.addDestination(WEB, destinationSpec(), 0);
    const second = table.addDestination({ ...WEB, port: 81 }, destinationSpec(), 0);
    expect(server(table, TCP, '10.0.0.1', 80)).toBe(second);
    expect(server(table, UDP, '10.0.0.1', 80)).toBeNull();
    const marked = table.addDestination(MARK, destinationSpec(), 0);
    expect(server(table, UDP, '10.0.0.1', 80)).toBe(marked);
    table.deleteService(MARK);
    table.deleteService({ ...WEB, port: 81 });
    expect(server(table, TCP, '10.0.0.1', 80)).toBe(first);
  });

  test('at the end of a tunnel is found by the port of the tunnel', () => {
    const table = tableWith(WEB);
    const tunnel = { type: 'gue', port: 6080, checksum: 'none' } as const;
    const gue = table.addDestination(WEB, destinationSpec({ method: 'tunnel', tunnel }), 0);
    const ipip = table.addDestination(WEB, destinationSpec({ port: 81, method: 'tunnel' }), 0);
    const at = (port: number) => table.findTunnel(false, ...wordsOf('10.0.0.1'), port);
    expect([at(6080), at(0), at(80)]).toEqual([gue, ipip, null]);
    const plain = { ...tunnel, type: 'gre' } as const;
    table.editDestination(WEB, destinationSpec({ method: 'tunnel', tunnel: plain }), 0);
    expect([at(6080), at(0)]).toEqual([null, gue]);
  });
});

test('the version grows with every change, and with nothing else', () => {
  const table = createTable();
  let version = table.version;
  const grows = (act: () => unknown) => {
    act();
    expect(table.version).toBeGreaterThan(version);
    version = table.version;
  };
  grows(() => table.addService(serviceSpec(), 0));
  grows(() => table.editService(serviceSpec({ scheduler: 'rr' }), 0));
  grows(() => table.addDestination(WEB, destinationSpec(), 0));
  grows(() => table.editDestination(WEB, destinationSpec({ weight: 2 }), 0));
  grows(() => table.deleteDestination(WEB, { address: '10.0.0.1', port: 80 }, 0));
  grows(() => table.deleteService(WEB, 0));
  grows(() => table.flush(0));
  expectRefusal('ESRCH', () => table.deleteService(WEB, 0));
  table.zero();
  table.estimate();
  table.advance(1000 * SECOND);
  expect(table.version).toBe(version);
});

test('the estimator ticks for all that is configured, and zeroing spares what is not meant', () => {
  const table = tableWith(WEB, MARK);
  const destination = table.addDestination(WEB, destinationSpec(), 0);
  const [web, mark] = [table.getService(WEB), table.getService(MARK)];
  const all = [destination, web, mark, { counters: table.totals }];
  for (const { counters } of all) counters.countIn(100);
  table.estimate();
  const packets = () => all.map(({ counters }) => counters.statistics().inPackets);
  expect(packets()).toEqual([1, 1, 1, 1]);
  table.zero(WEB);
  expect(packets()).toEqual([0, 0, 1, 1]);
  table.zero();
  expect(packets()).toEqual([0, 0, 0, 0]);
});
