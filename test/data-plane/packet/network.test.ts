import { describe, expect, test } from 'vitest';
import {
  type IpLink,
  isServed,
  localPrefixesOf,
  type NetworkFacts,
  snapshotOf,
} from '../../../src/data-plane/packet/network.ts';

/** As `ip -details -json address` of iproute2 6.1 prints them, shortened. */
const LO: IpLink = {
  ifindex: 1,
  ifname: 'lo',
  flags: ['LOOPBACK', 'UP', 'LOWER_UP'],
  mtu: 65_536,
  link_type: 'loopback',
  address: '00:00:00:00:00:00',
  addr_info: [
    { local: '127.0.0.1', prefixlen: 8 },
    { local: '::1', prefixlen: 128 },
  ],
};
const E0: IpLink = {
  ifindex: 2,
  ifname: 'e0',
  flags: ['BROADCAST', 'MULTICAST', 'UP', 'LOWER_UP'],
  mtu: 1_500,
  link_type: 'ether',
  address: '02:00:00:00:00:01',
  linkinfo: { info_kind: 'veth' },
  addr_info: [{ local: '10.0.0.254', prefixlen: 24 }],
};
const HOST_END: IpLink = { ...E0, ifindex: 8, ifname: 'uipvs-host', address: '02:75:69:70:76:01', addr_info: [] };
const ENGINE_END: IpLink = { ...E0, ifindex: 7, ifname: 'uipvs-io', address: '02:75:69:70:76:02', addr_info: [] };

function facts(change: Partial<NetworkFacts>): NetworkFacts {
  return {
    links: [LO, E0],
    routes: { ipv4: [], ipv6: [] },
    neighbors: [],
    localPortRange: '32768\t60999\n',
    ...change,
  };
}

function routesOf(ipv4: NetworkFacts['routes']['ipv4'], links = [LO, E0]) {
  return snapshotOf(facts({ links, routes: { ipv4, ipv6: [] } }), null).routes;
}

describe('which links are served', () => {
  test('Ethernet links and loopback that are up', () => {
    expect(isServed(E0, null)).toBe(true);
    expect(isServed(LO, null)).toBe(true);
    expect(isServed({ ...E0, flags: ['BROADCAST'] }, null)).toBe(false);
    expect(isServed({ ...E0, link_type: 'none' }, null)).toBe(false);
  });

  test('not members of a bridge, not VRFs, not the stack’s end of the host link', () => {
    expect(isServed({ ...E0, master: 'br0' }, null)).toBe(false);
    expect(isServed({ ...E0, linkinfo: { info_kind: 'vrf' } }, null)).toBe(false);
    expect(isServed(HOST_END, null)).toBe(false);
  });

  test('of a list only those in it, and always the engine’s end of the host link', () => {
    expect(isServed(E0, ['e1'])).toBe(false);
    expect(isServed(LO, ['e1'])).toBe(false);
    expect(isServed(E0, ['e0'])).toBe(true);
    expect(isServed(ENGINE_END, ['e0'])).toBe(true);
  });
});

describe('the snapshot', () => {
  test('has links with their addresses and the port range', () => {
    const snapshot = snapshotOf(facts({}), null);
    expect(snapshot.links[1]).toEqual({
      index: 2,
      name: 'e0',
      mac: '02:00:00:00:00:01',
      mtu: 1_500,
      loopback: false,
      up: true,
      addresses: [{ address: '10.0.0.254', prefixLength: 24 }],
    });
    expect(snapshot.links[0]?.loopback).toBe(true);
    expect(snapshot.localPortRange).toEqual([32_768, 60_999]);
    expect(snapshot.hostLink).toBeNull();
  });

  test('names the links that would be served if they were up', () => {
    const down = { ...E0, ifindex: 9, ifname: 'e9', flags: ['BROADCAST'] };
    const links = [LO, E0, down, { ...down, ifindex: 10, ifname: 'e10', master: 'br0' }];
    expect(snapshotOf(facts({ links }), null).downLinks).toEqual([{ index: 9, name: 'e9' }]);
    expect(snapshotOf(facts({ links }), ['e0']).downLinks).toEqual([]);
  });

  test('has the routes of the main and the local table, and no others', () => {
    const routes = routesOf([
      { dst: 'default', gateway: '10.0.0.1', dev: 'e0', metric: 100, flags: [] },
      { dst: '10.0.0.0/24', dev: 'e0', prefsrc: '10.0.0.254', flags: [] },
      { dst: '10.0.0.254', dev: 'e0', type: 'local', table: 'local', flags: [] },
      { dst: '10.9.0.0/16', dev: 'e0', table: '100', flags: [] },
      { dst: '192.0.2.0/24', type: 'blackhole', flags: [] },
      { dst: '224.0.0.0/4', dev: 'e0', type: 'multicast', flags: [] },
    ]);
    expect(routes).toEqual([
      {
        family: 'ipv4',
        destination: '0.0.0.0/0',
        gateway: '10.0.0.1',
        linkIndex: 2,
        preferredSource: null,
        metric: 100,
        type: 'unicast',
      },
      {
        family: 'ipv4',
        destination: '10.0.0.0/24',
        gateway: null,
        linkIndex: 2,
        preferredSource: '10.0.0.254',
        metric: 0,
        type: 'unicast',
      },
      expect.objectContaining({ destination: '10.0.0.254/32', type: 'local' }),
      expect.objectContaining({ destination: '192.0.2.0/24', type: 'blackhole', linkIndex: 0 }),
    ]);
  });

  test('takes the first living one of several next hops, and no dead route', () => {
    const dead = { gateway: '10.0.0.1', dev: 'e0', flags: ['dead', 'linkdown'] };
    const living = { gateway: '10.0.0.2', dev: 'e0', flags: [] };
    expect(routesOf([{ dst: 'default', nexthops: [dead, living] }])[0]?.gateway).toBe('10.0.0.2');
    expect(routesOf([{ dst: 'default', nexthops: [dead] }])).toEqual([]);
    expect(routesOf([{ dst: 'default', ...dead }])).toEqual([]);
  });

  test('knows the host link and hides the stack’s routes to it', () => {
    const links = [LO, E0, ENGINE_END, HOST_END];
    const ipv4 = [{ dst: '169.254.117.0/30', dev: 'uipvs-host', flags: [] }];
    const neighbors = [{ dst: '169.254.117.2', dev: 'uipvs-host', lladdr: '02:75:69:70:76:02' }];
    const snapshot = snapshotOf(facts({ links, routes: { ipv4, ipv6: [] }, neighbors }), null);
    expect(snapshot.hostLink).toEqual({
      linkIndex: 7,
      hostMac: '02:75:69:70:76:01',
      engineMac: '02:75:69:70:76:02',
      engineAddress: '169.254.117.2',
    });
    expect(snapshot.links.map((link) => link.name)).toEqual(['lo', 'e0', 'uipvs-io']);
    expect(snapshot.routes).toEqual([]);
    expect(snapshot.neighbors).toEqual([]);
  });

  test('has permanent neighbours, and tells the guard what is the host’s own', () => {
    const neighbors = [
      { dst: '10.0.0.7', dev: 'e0', lladdr: '02:00:00:00:00:07' },
      { dst: '10.0.0.8', dev: 'gone', lladdr: '02:00:00:00:00:08' },
      { dst: '10.0.0.9', dev: 'e0' },
    ];
    const ipv4 = [
      { dst: '127.0.0.0/8', dev: 'lo', type: 'local', table: 'local' },
      { dst: '10.0.0.254', dev: 'e0', type: 'local', table: 'local' },
      { dst: '10.0.0.255', dev: 'e0', type: 'broadcast', table: 'local' },
    ];
    const snapshot = snapshotOf(facts({ neighbors, routes: { ipv4, ipv6: [] } }), null);
    expect(snapshot.neighbors).toEqual([{ address: '10.0.0.7', linkIndex: 2, mac: '02:00:00:00:00:07' }]);
    expect(localPrefixesOf(snapshot)).toEqual(['127.0.0.0/8', '10.0.0.254/32']);
  });
});
