/** Facts as a healthy director would have them, to be broken by tests: NAT, one service, three servers, one far client. */

import type { DaemonFacts } from '../../src/doctor/facts/daemon.ts';
import type { HostFacts } from '../../src/doctor/facts/host.ts';
import type { ClientFlow, TrafficFacts } from '../../src/doctor/facts/traffic.ts';
import { type Facts, type FactValues, known, unknown } from '../../src/doctor/facts.ts';
import type { Examination, Finding } from '../../src/doctor/finding.ts';
import type { Rule } from '../../src/doctor/rule.ts';
import type { DestinationSpec, DestinationStatus } from '../../src/model/destination.ts';
import { PLAIN_TUNNEL } from '../../src/model/forwarding.ts';
import type { ServiceSpec, ServiceStatus } from '../../src/model/service.ts';
import type { Statistics } from '../../src/model/statistics.ts';
import { connectionsOf, type FabricatedConnection } from './fabricated-connections.ts';

export const VIP = '192.168.1.120';
export const DIRECTOR = '192.168.1.10';
export const SERVERS = ['192.168.1.11', '192.168.1.12', '192.168.1.13'] as const;
export const [RS1, RS2, RS3] = SERVERS;
export const CLIENT = '10.0.0.100';
export const NEAR_CLIENT = '192.168.1.100';
export const DIRECTOR_MAC = '02:00:00:00:00:10';
export const SERVER_MACS = ['02:00:00:00:00:11', '02:00:00:00:00:12', '02:00:00:00:00:13'] as const;
export const STRANGER_MAC = '02:00:00:00:00:99';

const NO_RATES = {
  connectionsPerSecond: 0,
  inPacketsPerSecond: 0,
  outPacketsPerSecond: 0,
  inBytesPerSecond: 0,
  outBytesPerSecond: 0,
};

export function statistics(connections = 0, inPackets = 0, outPackets = 0): Statistics {
  return { connections, inPackets, outPackets, inBytes: inPackets * 60, outBytes: outPackets * 60 };
}

export function destination(
  spec: Partial<DestinationSpec> = {},
  counted: Statistics = statistics(),
): DestinationStatus {
  return {
    spec: {
      address: RS1,
      port: 80,
      method: 'masquerade',
      weight: 1,
      upperThreshold: 0,
      lowerThreshold: 0,
      tunnel: PLAIN_TUNNEL,
      ...spec,
    },
    activeConnections: 0,
    inactiveConnections: 0,
    persistentConnections: 0,
    statistics: counted,
    rates: NO_RATES,
  };
}

/** The newest server first, as the table has it. */
export function service(
  spec: Partial<ServiceSpec> = {},
  destinations = SERVERS.map((address) => destination({ address })),
): ServiceStatus {
  return {
    spec: {
      key: { protocol: 'tcp', address: VIP, port: 80 },
      scheduler: 'rr',
      schedulerFlags: [],
      persistenceTimeoutSeconds: null,
      netmask: '255.255.255.255',
      persistenceEngine: null,
      onePacket: false,
      ...spec,
    },
    statistics: statistics(),
    rates: NO_RATES,
    destinations: [...destinations].reverse(),
  };
}

export interface DaemonChanges extends Omit<Partial<DaemonFacts>, 'connections' | 'status'> {
  readonly plane?: string;
  readonly uptimeSeconds?: number;
  readonly io?: string;
  readonly connections?: readonly FabricatedConnection[];
  readonly drops?: Readonly<Record<string, number>>;
}

export function daemonFacts(changes: DaemonChanges = {}): DaemonFacts {
  const {
    plane = 'packet',
    uptimeSeconds = 3600,
    io = 'packet-ring',
    connections = [],
    drops = {},
    ...others
  } = changes;
  return {
    atMs: 0,
    services: [service()],
    connectionsLeftOut: false,
    timeouts: { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 },
    settings: { conntrack: '0' },
    sourceNat: { inForce: false, rules: [] },
    health: [],
    syncDaemons: [],
    links: [{ link: 'eth0', received: 0, transmitted: 0, receiveDrops: 0, transmitErrors: {}, ring: null }],
    ...others,
    connections: connectionsOf(connections),
    status: {
      daemon: {
        version: '0.1.0',
        node: 'v20',
        pid: 77,
        startedAt: '2026-01-01T00:00:00.000Z',
        uptimeSeconds,
        namespace: 1,
        socket: '/run/uipvs/1.sock',
        settings: plane === 'packet' ? { io } : {},
      },
      capabilities: {
        name: plane,
        families: ['ipv4', 'ipv6'],
        protocols: ['tcp', 'udp', 'sctp'],
        methods: ['masquerade', 'direct', 'tunnel', 'local'],
        schedulers: ['rr', 'mh', 'sh'],
        fullNat: true,
        persistence: true,
        persistenceEngines: true,
        wildcards: true,
        marks: true,
        sync: true,
      },
      table: { version: '1.2.1', connectionTableSize: 4096 },
      counters: { verdicts: {}, drops, passes: {}, connections: connections.length, connectionsMax: 1000 },
    },
  };
}

export const HOST: HostFacts = {
  links: [
    link(1, 'lo', '00:00:00:00:00:00', [['127.0.0.1', 8]], true),
    link(2, 'eth0', DIRECTOR_MAC, [
      [DIRECTOR, 24],
      [VIP, 24],
      ['fd00:1::10', 64],
    ]),
    link(3, 'eth1', '02:00:00:00:01:10', [['10.0.0.1', 24]]),
  ],
  routes: [
    { destination: 'default', gateway: '10.0.0.254', link: 'eth1' },
    { destination: '192.168.1.0/24', gateway: null, link: 'eth0' },
  ],
  neighbors: SERVERS.map((address, index) => ({ address, link: 'eth0', mac: SERVER_MACS[index] as string })),
};

function link(index: number, name: string, mac: string, addresses: [string, number][], loopback = false) {
  return {
    index,
    name,
    mac,
    mtu: 1500,
    up: true,
    loopback,
    addresses: addresses.map(([address, prefixLength]) => ({ address, prefixLength })),
  };
}

/** Without an address on its link. */
export function hostWithout(address: string): HostFacts {
  return {
    ...HOST,
    links: HOST.links.map((each) => ({ ...each, addresses: each.addresses.filter((own) => own.address !== address) })),
  };
}

export function flow(changes: Partial<ClientFlow> = {}): ClientFlow {
  return {
    client: CLIENT,
    clientPort: 40_000,
    virtual: VIP,
    virtualPort: 80,
    syns: 1,
    openings: 1,
    acknowledgments: 3,
    dataSegments: 1,
    fins: 1,
    resets: 0,
    mostRepeated: { times: 1, packetBytes: 120, seconds: 3 },
    silenceSeconds: 0,
    firstFlags: 0x02,
    link: 3,
    ...changes,
  };
}

export function traffic(...clients: ClientFlow[]): TrafficFacts {
  return { seconds: 5, clients, servers: [], strays: [], leftOut: 0 };
}

/** `null` makes a fact unknown, because "it was not asked". */
export type FactChanges = { readonly [K in keyof FactValues]?: FactValues[K] | null };

const PROBED = { link: 'eth0', asked: 3, answers: [] };

/** Everything healthy, but for `changes`. `before` is like `daemon` unless it is given. */
export function facts(changes: FactChanges = {}): Facts {
  const daemon = changes.daemon === undefined ? daemonFacts() : changes.daemon;
  const values: { [K in keyof FactValues]: FactValues[K] | null } = {
    before: daemon,
    daemon,
    host: HOST,
    sysctl: { 'net.ipv4.ip_forward': '1', 'net.ipv6.conf.all.forwarding': '1' },
    listeners: [{ protocol: 'tcp', address: '127.0.0.1', port: 80, programs: [{ name: 'nginx', pid: 5 }] }],
    firewall: { drops: [] },
    offloads: { eth0: { 'large-receive-offload': false }, eth1: { 'large-receive-offload': false } },
    clock: { daemonByClockSeconds: 3600, daemonByKernelSeconds: 3602, watchByClockSeconds: 5, watchByKernelSeconds: 5 },
    connects: SERVERS.map((address) => ({ address, port: 80, outcome: 'connected' as const, error: null, tookMs: 1 })),
    arp: { probes: [{ address: VIP, ...PROBED }], elsewhere: [] },
    hosts: { probes: [], elsewhere: [] },
    returns: SERVERS.map((address) => ({
      address,
      port: 80,
      tried: [{ source: '198.51.100.77', answered: true }],
      link: 'eth0',
    })),
    direct: [],
    paths: [],
    traffic: traffic(),
    ...changes,
  };
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      value === null ? unknown(`${name} was not asked`) : known(value),
    ]),
  ) as unknown as Facts;
}

/** The findings of a rule; an Error with what it said instead when there are none. */
export function found(rule: Rule, changes: FactChanges): readonly Finding[] {
  const said = rule.examine(facts(changes));
  if (!('found' in said)) throw new Error(`${rule.name} found nothing: ${JSON.stringify(said)}`);
  for (const { evidence, what, why } of said.found) {
    if (evidence.length === 0 || what === '' || why === '') throw new Error(`${rule.name} gives no evidence`);
  }
  return said.found;
}

/** What a rule says: the key of its answer alone. */
export function outcome(rule: Rule, changes: FactChanges = {}): 'found' | 'fine' | 'notApplicable' | 'cannotTell' {
  return Object.keys(rule.examine(facts(changes)) satisfies Examination)[0] as ReturnType<typeof outcome>;
}
