/** Services and their destinations as the rules look at them: one by one, with what changed during the watch. */
import type { DestinationStatus } from '../model/destination.ts';
import { formatEndpoint, formatServiceKey, isMarkKey, type ServiceKey, type ServiceStatus } from '../model/service.ts';
import type { ConnectProbe } from './facts/connects.ts';
import type { DaemonFacts } from './facts/daemon.ts';
import type { CommandWords } from './finding.ts';

export interface Server {
  readonly service: ServiceStatus;
  /** `tcp 192.0.2.1:80` */
  readonly serviceName: string;
  readonly destination: DestinationStatus;
  readonly address: string;
  /** Where it listens: the service's port when it takes any. */
  readonly port: number;
  /** `192.0.2.11:80` */
  readonly name: string;
}

export function serversOf({ services }: DaemonFacts): Server[] {
  return services.flatMap(serversOfService);
}

/** The oldest first: the table has the newest in front. */
export function serversOfService(service: ServiceStatus): Server[] {
  const { key } = service.spec;
  return service.destinations
    .map((destination) => {
      const { address } = destination.spec;
      const port = destination.spec.port || (isMarkKey(key) ? 0 : key.port);
      const name = formatEndpoint(address, port);
      return { service, serviceName: formatServiceKey(key), destination, address, port, name };
    })
    .reverse();
}

export function isTcp({ service }: Server): boolean {
  const { key } = service.spec;
  return !isMarkKey(key) && key.protocol === 'tcp';
}

/** NAT whose clients are not hidden behind an address of the director. */
export function isPlainNat({ service, destination }: Server): boolean {
  const { sourceNat } = service.spec;
  return destination.spec.method === 'masquerade' && (sourceNat === undefined || sourceNat === 'none');
}

export interface PacketCounts {
  readonly inPackets: number;
  readonly outPackets: number;
}

/** Packets to and from a server during the watch; nothing for one that came meanwhile. */
export function packetsDuringWatch(before: DaemonFacts, server: Server): PacketCounts {
  const then = serversOf(before).find((each) => each.serviceName === server.serviceName && each.name === server.name);
  const now = server.destination.statistics;
  if (then === undefined) return { inPackets: 0, outPackets: 0 };
  const was = then.destination.statistics;
  // Counters that were zeroed meanwhile begin anew.
  const grown = (later: number, earlier: number) => (later >= earlier ? later - earlier : later);
  return {
    inPackets: grown(now.inPackets, was.inPackets),
    outPackets: grown(now.outPackets, was.outPackets),
  };
}

/** States of connections to a server, each with how many there are, templates left out. */
export function connectionStates({ connections }: DaemonFacts, server: Server): Record<string, number> {
  const { key } = server.service.spec;
  const counts: Record<string, number> = {};
  for (const { template, destination, virtual, state } of connections) {
    if (template || destination.address !== server.address || destination.port !== server.port) continue;
    if (!isMarkKey(key) && virtual.address !== key.address) continue;
    counts[state] = (counts[state] ?? 0) + 1;
  }
  return counts;
}

/** Clients of the connections to a server that still wait for its first answer. */
export function waitingClients({ connections }: DaemonFacts, server: Server): string[] {
  const waiting = connections.filter(
    ({ state, template, destination }) =>
      !template && state === 'SYN_RECV' && destination.address === server.address && destination.port === server.port,
  );
  return [...new Set(waiting.map(({ client }) => client.address))];
}

export function connectOf(probes: readonly ConnectProbe[], server: Server): ConnectProbe | null {
  return probes.find(({ address, port }) => address === server.address && port === server.port) ?? null;
}

/** `-t 192.0.2.1:80` */
export function serviceWords(key: ServiceKey): CommandWords {
  if (isMarkKey(key)) return ['-f', String(key.mark), ...(key.family === 'ipv6' ? ['-6'] : [])];
  const flag = { tcp: '-t', udp: '-u', sctp: '--sctp-service' }[key.protocol];
  return [flag, formatEndpoint(key.address, key.port)];
}

const METHOD_FLAGS: Readonly<Record<string, string>> = { masquerade: '-m', direct: '-g', tunnel: '-i' };

/** Sets the weight and leaves everything else of the server as it is. */
export function setWeight({ service, destination, name }: Server, weight: number): CommandWords {
  const { method, upperThreshold, lowerThreshold, tunnel } = destination.spec;
  const words = ['uipvsadm', '-e', ...serviceWords(service.spec.key), '-r', name];
  // What is found to be on the director itself was added with one of the others.
  words.push(METHOD_FLAGS[method] ?? '-m', '-w', String(weight));
  if (upperThreshold > 0) words.push('-x', String(upperThreshold));
  if (lowerThreshold > 0) words.push('-y', String(lowerThreshold));
  if (method === 'tunnel' && tunnel.type !== 'ipip') {
    words.push('--tun-type', tunnel.type);
    if (tunnel.type === 'gue') words.push('--tun-port', String(tunnel.port));
    if (tunnel.checksum === 'full') words.push('--tun-csum');
    if (tunnel.checksum === 'remote') words.push('--tun-remcsum');
  }
  return words;
}

/** `3 packets`, `1 packet` */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

/** `a`, `a and b`, `a, b and 3 more` */
export function listed(names: readonly string[], most = 4): string {
  if (names.length === 0) return 'none';
  const shown = names.length > most ? [...names.slice(0, most), `${names.length - most} more`] : [...names];
  const last = shown.pop() as string;
  return shown.length === 0 ? last : `${shown.join(', ')} and ${last}`;
}

/** Who moves the packets: an engine of ours that takes frames before the host's stack, ordinary sockets, or the kernel. */
export function planeOf({ status }: DaemonFacts): 'engine' | 'sockets' | 'kernel' {
  const { name } = status.capabilities;
  if (name === 'proxy') return 'sockets';
  return name.startsWith('kernel') ? 'kernel' : 'engine';
}

export function isPacketEngine(daemon: DaemonFacts): boolean {
  return planeOf(daemon) === 'engine';
}
