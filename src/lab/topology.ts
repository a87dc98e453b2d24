/**
 * What a lab looks like, as data: networks, hosts, their addresses and what runs on them. The tutorial's three
 * shapes are here; `plan.ts` turns any of them into commands.
 */

/** How the director reaches the servers: full NAT, NAT with the director as gateway, or direct routing. */
export type LabMode = 'fullnat' | 'masq' | 'dr';
export const LAB_MODES: readonly LabMode[] = ['fullnat', 'masq', 'dr'];

export interface LabLink {
  /** Name inside the host: `eth0`. */
  readonly name: string;
  /** Name of the network it is plugged into. */
  readonly network: string;
  /** With prefix length; the first is the primary one. */
  readonly addresses: readonly string[];
}

export interface LabHost {
  /** Short name, part of the namespace's name: `rs1`. */
  readonly name: string;
  readonly role: 'client' | 'director' | 'server';
  readonly links: readonly LabLink[];
  /** Further addresses on `lo`, with prefix length. */
  readonly loopbackAddresses: readonly string[];
  readonly gateway: string | null;
  /** Set before the links come up; `net.ipv4.ip_forward` -> `1`. */
  readonly settings: Readonly<Record<string, string>>;
  /** A web server listens on this address, port 80. */
  readonly webServer: string | null;
}

export interface LabTopology {
  readonly mode: LabMode;
  /** Network name -> its prefix. */
  readonly networks: Readonly<Record<string, string>>;
  readonly hosts: readonly LabHost[];
  readonly virtualAddress: string;
  readonly virtualPort: number;
}

export const VIRTUAL_ADDRESS = '192.168.1.120';
export const SERVER_ADDRESSES: readonly string[] = ['192.168.1.11', '192.168.1.12', '192.168.1.13'];
export const FALLBACK_ADDRESS = '127.0.0.1';

const SERVERS = 'servers';
const CLIENTS = 'clients';

/**
 * The network of the tutorial: a client, the director with the virtual address, three servers. In `masq` the
 * client lives on a network of its own and the director is the servers' gateway; otherwise all share one network
 * and the servers know nothing of the director.
 */
export function tutorialTopology(mode: LabMode): LabTopology {
  const separate = mode === 'masq';
  const serverLink: LabLink = {
    name: 'eth0',
    network: SERVERS,
    addresses: ['192.168.1.10/24', `${VIRTUAL_ADDRESS}/24`],
  };
  const clientLink: LabLink = { name: 'eth1', network: CLIENTS, addresses: ['10.0.0.1/24'] };
  const client = host('client', 'client', {
    links: [separate ? link(CLIENTS, '10.0.0.100/24') : link(SERVERS, '192.168.1.100/24')],
    gateway: separate ? '10.0.0.1' : null,
  });
  const director = host('director', 'director', {
    links: separate ? [serverLink, clientLink] : [serverLink],
    settings: separate ? { 'net.ipv4.ip_forward': '1' } : {},
    webServer: FALLBACK_ADDRESS,
  });
  const servers = SERVER_ADDRESSES.map((address, index) =>
    host(`rs${index + 1}`, 'server', {
      links: [link(SERVERS, `${address}/24`)],
      gateway: separate ? '192.168.1.10' : null,
      // Direct routing: the server accepts the virtual address, but must never answer ARP for it.
      loopbackAddresses: mode === 'dr' ? [`${VIRTUAL_ADDRESS}/32`] : [],
      settings: mode === 'dr' ? { 'net.ipv4.conf.all.arp_ignore': '1', 'net.ipv4.conf.all.arp_announce': '2' } : {},
      webServer: mode === 'dr' ? '0.0.0.0' : address,
    }),
  );
  return {
    mode,
    networks: separate ? { [SERVERS]: '192.168.1.0/24', [CLIENTS]: '10.0.0.0/24' } : { [SERVERS]: '192.168.1.0/24' },
    hosts: [client, director, ...servers],
    virtualAddress: VIRTUAL_ADDRESS,
    virtualPort: 80,
  };
}

function link(network: string, address: string): LabLink {
  return { name: 'eth0', network, addresses: [address] };
}

function host(name: string, role: LabHost['role'], facts: Partial<LabHost>): LabHost {
  return { name, role, links: [], loopbackAddresses: [], gateway: null, settings: {}, webServer: null, ...facts };
}

/** The host's first address without the prefix length: what people call it by. */
export function mainAddress(host: LabHost): string {
  return host.links[0].addresses[0].split('/')[0];
}

export function hostsOf(topology: LabTopology, role: LabHost['role']): LabHost[] {
  return topology.hosts.filter((host) => host.role === role);
}

/** The one host of that role. */
export function hostOf(topology: LabTopology, role: LabHost['role']): LabHost {
  return hostsOf(topology, role)[0];
}
