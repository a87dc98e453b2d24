/**
 * What a lab looks like, as data: networks, hosts, their addresses and the servers on them. The tutorial's shapes
 * are here, and everything on one host; `plan.ts` turns any of them into commands.
 */
import { ADDRESSES, type AddressPlan, type LabFamily } from './addresses.ts';

/** How the director reaches the servers: full NAT, NAT with the director as gateway, direct routing, or tunnels. */
export type LabMode = 'fullnat' | 'masq' | 'dr' | 'tun';
export const LAB_MODES: readonly LabMode[] = ['fullnat', 'masq', 'dr', 'tun'];

/** What a tunnel packet looks like: IP in IP (RFC 2003, RFC 2473), or with a GUE or GRE header between. */
export type LabTunnel = 'ipip' | 'gue' | 'gre';
export const LAB_TUNNELS: readonly LabTunnel[] = ['ipip', 'gue', 'gre'];

export interface LabLink {
  /** Name inside the host: `eth0`. */
  readonly name: string;
  /** Name of the network it is plugged into. */
  readonly network: string;
  /** With prefix length; the first is the one that the host calls others from. */
  readonly addresses: readonly string[];
}

export interface LabHost {
  /** Short name, part of the namespace's name: `rs1`. */
  readonly name: string;
  /** `other`: a host that has no part in balancing, as a router or a stranger. */
  readonly role: 'client' | 'director' | 'server' | 'other';
  readonly links: readonly LabLink[];
  /** Further addresses on `lo`, with prefix length. */
  readonly loopbackAddresses: readonly string[];
  readonly gateway: string | null;
  /** Set before the links come up; `net.ipv4.ip_forward` -> `1`. */
  readonly settings: Readonly<Record<string, string>>;
}

/** A program that answers clients. */
export interface LabServer {
  /** What it calls itself in its answers: `rs1`. */
  readonly name: string;
  /** Name of the host it runs on. */
  readonly host: string;
  /** Its address in the director's table; `label` says the same with the port where several share the address. */
  readonly address: string;
  readonly label: string;
  /** The address it binds. */
  readonly listenOn: string;
  readonly port: number;
  /** Answers when no other server is alive. */
  readonly fallback: boolean;
}

export interface LabTopology {
  readonly mode: LabMode;
  readonly family: LabFamily;
  /** Network name -> its prefix. */
  readonly networks: Readonly<Record<string, string>>;
  readonly hosts: readonly LabHost[];
  readonly servers: readonly LabServer[];
  readonly virtualAddress: string;
  readonly virtualPort: number;
  /** false: no namespaces; everything runs on loopback addresses of this machine itself, without any rights. */
  readonly isolated: boolean;
}

const SERVERS = 'servers';
const CLIENTS = 'clients';

export const VIRTUAL_ADDRESS = ADDRESSES.ipv4.virtual;
export const SERVER_ADDRESSES = ADDRESSES.ipv4.servers;

/** What is not as in the tutorial. */
export interface TutorialVariation {
  readonly family?: LabFamily;
  /** Port of the service and of every server. */
  readonly port?: number;
  /**
   * Whether a fallback answers on the director. Not for IPv6 behind NAT unless said: nothing that comes from outside
   * can be translated to ::1.
   */
  readonly fallback?: boolean;
  /** Whether the director forwards, as a router does, what is not for the service; in `masq` only. */
  readonly forwarding?: boolean;
}

/**
 * The network of the tutorial: a client, the director with the virtual address, three servers. In `masq` the
 * client lives on a network of its own and the director is the servers' gateway; otherwise all share one network
 * and the servers know nothing of the director.
 */
export function tutorialTopology(mode: LabMode, variation: TutorialVariation = {}): LabTopology {
  const { family = 'ipv4', port = 80, forwarding = true } = variation;
  const { fallback = family === 'ipv4' || holdsVirtualAddress(mode) } = variation;
  const plan = ADDRESSES[family];
  const separate = mode === 'masq';
  const settings = family === 'ipv6' ? READY_AT_ONCE : {};
  const serverLink = link(SERVERS, [`${plan.director}/${plan.prefixLength}`, `${plan.virtual}/${plan.prefixLength}`]);
  const clientLink = { ...link(CLIENTS, [`${plan.gateway}/${plan.prefixLength}`]), name: 'eth1' };
  const client = host('client', 'client', {
    links: [
      separate
        ? link(CLIENTS, [`${plan.clientBehindGateway}/${plan.prefixLength}`])
        : link(SERVERS, [`${plan.client}/${plan.prefixLength}`]),
    ],
    gateway: separate ? plan.gateway : null,
    settings,
  });
  const director = host('director', 'director', {
    links: separate ? [serverLink, clientLink] : [serverLink],
    settings: separate && forwarding ? { ...settings, [FORWARDING[family]]: '1' } : settings,
  });
  const servers = plan.servers.map((address, index) => serverHost(`rs${index + 1}`, address, mode, family));
  return {
    mode,
    family,
    networks: separate
      ? { [SERVERS]: plan.serverNetwork, [CLIENTS]: plan.clientNetwork }
      : { [SERVERS]: plan.serverNetwork },
    hosts: [client, director, ...servers],
    servers: tutorialServers(plan, mode, port, fallback),
    virtualAddress: plan.virtual,
    virtualPort: port,
    isolated: true,
  };
}

const FORWARDING: Readonly<Record<LabFamily, string>> = {
  ipv4: 'net.ipv4.ip_forward',
  ipv6: 'net.ipv6.conf.all.forwarding',
};

/** No waiting for others who might have the same address, and a link that goes down keeps its addresses, as in IPv4. */
const READY_AT_ONCE: Readonly<Record<string, string>> = {
  'net.ipv6.conf.default.accept_dad': '0',
  'net.ipv6.conf.all.keep_addr_on_down': '1',
};

/** With these a host never answers ARP for an address that is on `lo` only; for IPv6 no host ever does. */
const QUIET_ABOUT_LOOPBACK: Readonly<Record<string, string>> = {
  'net.ipv4.conf.all.arp_ignore': '1',
  'net.ipv4.conf.all.arp_announce': '2',
};

/** Direct routing and tunnels: the server itself accepts the virtual address, and answers the client from it. */
export function holdsVirtualAddress(mode: LabMode): boolean {
  return mode === 'dr' || mode === 'tun';
}

function serverHost(name: string, address: string, mode: LabMode, family: LabFamily): LabHost {
  const plan = ADDRESSES[family];
  const quiet = holdsVirtualAddress(mode) && family === 'ipv4' ? QUIET_ABOUT_LOOPBACK : {};
  return host(name, 'server', {
    links: [link(SERVERS, [`${address}/${plan.prefixLength}`])],
    gateway: mode === 'masq' ? plan.director : null,
    loopbackAddresses: holdsVirtualAddress(mode) ? [`${plan.virtual}/${plan.hostPrefixLength}`] : [],
    settings: family === 'ipv6' ? READY_AT_ONCE : quiet,
  });
}

function tutorialServers(plan: AddressPlan, mode: LabMode, port: number, fallback: boolean): LabServer[] {
  const servers = plan.servers.map((address, index): LabServer => {
    const name = `rs${index + 1}`;
    const listenOn = holdsVirtualAddress(mode) ? plan.anyAddress : address;
    return { name, host: name, address, label: address, listenOn, port, fallback: false };
  });
  if (!fallback) return servers;
  const address = plan.loopback;
  // Where nothing is translated it is asked at the virtual address.
  const listenOn = holdsVirtualAddress(mode) ? plan.anyAddress : address;
  return [...servers, { name: 'fallback', host: 'director', address, label: address, listenOn, port, fallback: true }];
}

/** Everything on one host: the client, the director and the servers, which share the loopback address. */
export function oneHostTopology(): LabTopology {
  const plan = ADDRESSES.ipv4;
  const address = plan.loopback;
  return {
    mode: 'masq',
    family: 'ipv4',
    networks: {},
    hosts: [host('director', 'director', { loopbackAddresses: [`${plan.virtual}/${plan.hostPrefixLength}`] })],
    servers: [8001, 8002, 8003].map((port, index) => {
      const name = `rs${index + 1}`;
      return { name, host: 'director', address, label: `${address}:${port}`, listenOn: address, port, fallback: false };
    }),
    virtualAddress: plan.virtual,
    virtualPort: 80,
    isolated: true,
  };
}

/** The same without any rights: ordinary sockets on loopback addresses and high ports of this machine itself. */
export function loopbackTopology(): LabTopology {
  const servers = [1, 2, 3].map((number): LabServer => {
    const address = `127.0.0.${10 + number}`;
    const [name, port] = [`rs${number}`, 8080];
    return { name, host: 'director', address, label: address, listenOn: address, port, fallback: false };
  });
  return {
    mode: 'fullnat',
    family: 'ipv4',
    networks: {},
    hosts: [host('director', 'director', {})],
    servers,
    virtualAddress: '127.0.0.120',
    virtualPort: 8080,
    isolated: false,
  };
}

function link(network: string, addresses: readonly string[]): LabLink {
  return { name: 'eth0', network, addresses };
}

function host(name: string, role: LabHost['role'], facts: Partial<LabHost>): LabHost {
  return { name, role, links: [], loopbackAddresses: [], gateway: null, settings: {}, ...facts };
}

/** The host's first address without the prefix length: what people call it by. */
export function mainAddress(host: LabHost): string {
  return host.links[0].addresses[0].split('/')[0];
}

export function hostsOf(topology: LabTopology, role: LabHost['role']): LabHost[] {
  return topology.hosts.filter((host) => host.role === role);
}

/** The one director. */
export function directorOf(topology: LabTopology): LabHost {
  return hostsOf(topology, 'director')[0];
}

/** The one client; where everything is on one host, that is it. */
export function clientOf(topology: LabTopology): LabHost {
  return hostsOf(topology, 'client')[0] ?? directorOf(topology);
}

/** The host that a server runs on. */
export function hostOfServer(topology: LabTopology, server: LabServer): LabHost {
  return topology.hosts.find((host) => host.name === server.host) as LabHost;
}

/** Whether a result's server is the fallback on the director. */
export function isFallbackLabel(label: string): boolean {
  return Object.values(ADDRESSES).some((plan) => plan.loopback === label);
}

/** The servers that health checks ought to find alive. */
export function realServers(topology: LabTopology): LabServer[] {
  return topology.servers.filter((server) => !server.fallback);
}
