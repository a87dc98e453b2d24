/**
 * Where a peer is measured: client, director and server, each a network namespace of its own, with one cable between
 * client and director and one between director and server, and no bridge. As data, and as the commands that build it.
 */
import { type HostCommand, namespaceName } from '../../src/lab/plan.ts';
import type { LabHost, LabTopology } from '../../src/lab/topology.ts';

export const VIRTUAL = '10.80.0.100';
export const DIRECTOR_CLIENT_SIDE = '10.80.0.1';
export const DIRECTOR_SERVER_SIDE = '10.81.0.1';
/** All are addresses of the one server host. */
export const SERVERS = ['10.81.0.11', '10.81.0.12', '10.81.0.13', '10.81.0.14'] as const;
/** What the generator of small packets calls itself. */
export const CLIENT = '10.80.0.2';

export const PORTS = { http: 80, bulk: 5201, echo: 7, discard: 9 } as const;

export const MACS = {
  client: '02:80:00:00:00:02',
  directorClientSide: '02:80:00:00:00:01',
  directorServerSide: '02:81:00:00:00:01',
  server: '02:81:00:00:00:0b',
} as const;

/** `straight`: one cable from the client to the server and nobody between. */
export type Cabling = 'through-director' | 'straight';

const QUIET = { 'net.ipv6.conf.all.disable_ipv6': '1', 'net.ipv6.conf.default.disable_ipv6': '1' };
/** Many connections from one address, on whichever side opens them. */
const MANY_PORTS = { 'net.ipv4.ip_local_port_range': '1024 65535' };
const LONG_QUEUES = { 'net.core.somaxconn': '4096', 'net.ipv4.tcp_max_syn_backlog': '8192' };

/** The three hosts; the links are `planCables`' business. */
export function benchTopology(forwarding: boolean): LabTopology {
  const settings = { ...QUIET, ...MANY_PORTS, ...LONG_QUEUES };
  const forward: Readonly<Record<string, string>> = forwarding ? { 'net.ipv4.ip_forward': '1' } : {};
  return {
    mode: 'masq',
    family: 'ipv4',
    networks: {},
    hosts: [
      host('client', 'client', settings),
      host('director', 'director', { ...settings, ...forward }),
      host('rs1', 'server', settings),
    ],
    servers: [],
    virtualAddress: VIRTUAL,
    virtualPort: PORTS.http,
    isolated: true,
  };
}

function host(name: string, role: LabHost['role'], settings: Readonly<Record<string, string>>): LabHost {
  return { name, role, settings, links: [], loopbackAddresses: [], gateway: null };
}

/** Cables, addresses and routes. Every interface that leads to another host is `eth0`, the director's second `eth1`. */
export function planCables(labId: string, cabling: Cabling): HostCommand[] {
  const [client, director, server] = ['client', 'director', 'rs1'].map((name) => namespaceName(labId, name));
  const on = (space: string, ...words: string[]): HostCommand => ['ip', '-n', space, ...words];
  const address = (space: string, text: string, link: string) => on(space, 'address', 'add', text, 'dev', link);
  const up = (space: string, link: string) => on(space, 'link', 'set', link, 'up');
  const serverAddresses = SERVERS.map((each) => address(server, `${each}/24`, 'eth0'));
  const clientAddresses = [address(client, `${CLIENT}/16`, 'eth0')];
  const begin = [
    cable({ space: client, link: 'eth0', mac: MACS.client }, endTowardsClient(cabling, director, server)),
    ...clientAddresses,
    up(client, 'eth0'),
  ];
  const end = [
    on(client, 'route', 'add', 'default', 'via', DIRECTOR_CLIENT_SIDE),
    on(server, 'route', 'add', 'default', 'via', DIRECTOR_SERVER_SIDE),
  ];
  if (cabling === 'straight') {
    // The server holds the director's addresses, so that nobody else notices.
    const held = [
      address(server, `${DIRECTOR_CLIENT_SIDE}/16`, 'eth0'),
      address(server, `${DIRECTOR_SERVER_SIDE}/24`, 'eth0'),
    ];
    return [...begin, ...serverAddresses, ...held, up(server, 'eth0'), end[0]];
  }
  return [
    ...begin,
    address(director, `${DIRECTOR_CLIENT_SIDE}/16`, 'eth0'),
    address(director, `${VIRTUAL}/32`, 'eth0'),
    up(director, 'eth0'),
    cable(
      { space: director, link: 'eth1', mac: MACS.directorServerSide },
      { space: server, link: 'eth0', mac: MACS.server },
    ),
    address(director, `${DIRECTOR_SERVER_SIDE}/24`, 'eth1'),
    up(director, 'eth1'),
    ...serverAddresses,
    up(server, 'eth0'),
    ...end,
  ];
}

interface CableEnd {
  readonly space: string;
  readonly link: string;
  readonly mac: string;
}

function endTowardsClient(cabling: Cabling, director: string, server: string): CableEnd {
  return { space: cabling === 'straight' ? server : director, link: 'eth0', mac: MACS.directorClientSide };
}

function cable(a: CableEnd, b: CableEnd): HostCommand {
  const [one, other] = [a, b].map(({ space, link, mac }) => ['name', link, 'netns', space, 'address', mac]);
  return ['ip', 'link', 'add', ...one, 'type', 'veth', 'peer', ...other];
}

/**
 * The client's address for its `n`th run of requests. A server remembers closed connections by the client's address
 * and port for a minute; from an address that was never used before nothing is remembered.
 */
export function freshClientAddress(n: number): string {
  const perNetwork = 250;
  return `10.80.${1 + Math.floor(n / perNetwork)}.${1 + (n % perNetwork)}`;
}
