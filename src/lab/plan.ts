/**
 * From a topology to the host commands that build it. Pure: nothing is run here. Every link is made directly
 * between two of the lab's own network namespaces, so the host's own links, addresses and firewall are not touched.
 */
import { hostsOf, type LabHost, type LabTopology } from './topology.ts';

/** A program with its arguments. */
export type HostCommand = readonly string[];

/** The namespace that holds the bridges; it has no addresses. */
export const SWITCH = 'switch';

/** Every namespace of a lab is named `uipvs-<id>-<host>`; the id is what `labIdOf` gives back. */
export function namespaceName(labId: string, host: string): string {
  return `uipvs-${labId}-${host}`;
}

const NAMESPACE_PATTERN = /^uipvs-([0-9a-f]{6})-(?:client|director2?|switch|router|stranger|rs[0-9]+)$/;

/** The lab that a namespace belongs to, or `null` when its name is not one of ours. */
export function labIdOf(namespace: string): string | null {
  return NAMESPACE_PATTERN.exec(namespace)?.[1] ?? null;
}

/** The namespaces of a lab, the switch first; a lab without networks has none. */
export function planNamespaces(topology: LabTopology, labId: string): string[] {
  const bridges = Object.keys(topology.networks).length > 0 ? [SWITCH] : [];
  return [...bridges, ...topology.hosts.map((host) => host.name)].map((name) => namespaceName(labId, name));
}

/** The commands that build the lab's network, in order; each must succeed. */
export function planNetwork(topology: LabTopology, labId: string): HostCommand[] {
  const bridgeSpace = namespaceName(labId, SWITCH);
  const commands: HostCommand[] = planNamespaces(topology, labId).map((name) => ['ip', 'netns', 'add', name]);
  for (const network of Object.keys(topology.networks)) {
    const bridge = bridgeName(network);
    const quiet = ['stp_state', '0', 'forward_delay', '0', 'mcast_snooping', '0'];
    commands.push(['ip', '-n', bridgeSpace, 'link', 'add', 'name', bridge, 'type', 'bridge', ...quiet]);
    commands.push(['ip', '-n', bridgeSpace, 'link', 'set', bridge, 'up']);
  }
  for (const host of topology.hosts) commands.push(...planHost(host, labId, bridgeSpace));
  return commands;
}

/** The name of a host's end of the cable in the switch: `rs1-eth0`. */
export function switchPort(host: LabHost, link: string): string {
  return `${host.name}-${link}`;
}

function bridgeName(network: string): string {
  return `br-${network}`;
}

function planHost(host: LabHost, labId: string, bridgeSpace: string): HostCommand[] {
  const space = namespaceName(labId, host.name);
  const commands: HostCommand[] = [];
  for (const [setting, value] of Object.entries(host.settings)) {
    commands.push(['ip', 'netns', 'exec', space, 'sysctl', '-q', '-w', `${setting}=${value}`]);
  }
  commands.push(['ip', '-n', space, 'link', 'set', 'lo', 'up']);
  for (const address of host.loopbackAddresses) commands.push(addAddress(space, address, 'lo'));
  for (const link of host.links) {
    const port = switchPort(host, link.name);
    const peer = ['peer', 'name', port, 'netns', bridgeSpace];
    commands.push(['ip', 'link', 'add', 'name', link.name, 'netns', space, 'type', 'veth', ...peer]);
    commands.push(['ip', '-n', bridgeSpace, 'link', 'set', port, 'master', bridgeName(link.network), 'up']);
    link.addresses.forEach((address, index) => {
      commands.push([...addAddress(space, address, link.name), ...(index > 0 ? notAsSource(address) : [])]);
    });
    commands.push(['ip', '-n', space, 'link', 'set', link.name, 'up']);
  }
  if (host.gateway !== null) {
    commands.push(['ip', '-n', space, 'route', 'add', 'default', 'via', host.gateway]);
  }
  return commands;
}

/** IPv6 addresses are there at once, without asking the others first. */
function addAddress(space: string, address: string, link: string): HostCommand {
  return ['ip', '-n', space, 'address', 'add', address, 'dev', link, ...(address.includes(':') ? ['nodad'] : [])];
}

/**
 * Of several IPv6 addresses a host calls others from the newest: a director would check its servers from the virtual
 * address, and a server that holds this itself would answer itself. IPv4 keeps to the first.
 */
function notAsSource(address: string): string[] {
  return address.includes(':') ? ['preferred_lft', '0'] : [];
}

/** Where checksums are left to the receiving end of a cable, and who has to finish them instead. */
export type ChecksumPlace = 'at-receivers' | 'at-director';

/**
 * A virtual cable passes frames on with checksums unfinished, trusting whoever sent them. These commands make
 * switch ports finish them, as a real network card does: towards clients and servers, so that these verify what
 * the director sent; or towards the director, so that a capture there holds complete frames only.
 */
export function planChecksums(topology: LabTopology, labId: string, place: ChecksumPlace): HostCommand[] {
  const hosts = topology.hosts.filter((host) => (host.role === 'director') === (place === 'at-director'));
  return hosts.flatMap((host) =>
    host.links.map((link) => [
      ...['ip', 'netns', 'exec', namespaceName(labId, SWITCH)],
      ...['ethtool', '-K', switchPort(host, link.name), 'tx', 'off'],
    ]),
  );
}

/** Breaks or mends a server: its link goes down or up. Links lose their gateway when they go down. */
export function planServerPower(
  topology: LabTopology,
  labId: string,
  address: string,
  power: 'on' | 'off',
): HostCommand[] {
  const host = hostsOf(topology, 'server').find((server) => server.links[0].addresses[0].startsWith(`${address}/`));
  if (host === undefined) return [];
  const space = namespaceName(labId, host.name);
  if (power === 'off') return [['ip', '-n', space, 'link', 'set', host.links[0].name, 'down']];
  const commands: HostCommand[] = [['ip', '-n', space, 'link', 'set', host.links[0].name, 'up']];
  if (host.gateway !== null) commands.push(['ip', '-n', space, 'route', 'replace', 'default', 'via', host.gateway]);
  return commands;
}
