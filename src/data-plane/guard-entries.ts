/**
 * Which packets the guard keeps from the host's own stack, as a pure function of services and destinations.
 * The engine sees every frame before the guard does; the guard only prevents that the stack answers, too
 * (with a TCP reset, mostly). Three rules, for IPv4:
 *
 * G1  the destination (address, protocol, port) is a service; a service on port 0 takes any port;
 * G2  the source (address, protocol, port) is a `masquerade` destination, unless the packet goes to an address
 *     of this host and a port of its local port range: then it answers a socket of the host itself;
 * G3  ICMP errors of the types 3, 4 and 11, while there is at least one service.
 *
 * Later fragments carry no ports, so fragments always pass. IPv6 has no entries yet.
 */
import { isIPv4 } from 'node:net';
import type { DestinationSpec } from '../model/destination.ts';
import { isMarkKey, type ServiceKey, type ServiceProtocol } from '../model/service.ts';

/** The guard's sets, by the rule that reads them. */
export type GuardSet = 'services' | 'services_any_port' | 'servers' | 'servers_any_port' | 'icmp_errors';

/**
 * One element of one set, as nftables reads it: `10.0.0.1 . 6 . 80`, `10.0.0.1 . 17`, `3`. Protocols are numbers,
 * since their names need a file that small hosts lack.
 */
export interface GuardEntry {
  readonly set: GuardSet;
  readonly element: string;
}

const PROTOCOLS: readonly ServiceProtocol[] = ['tcp', 'udp', 'sctp'];
const PROTOCOL_NUMBERS: Readonly<Record<ServiceProtocol, number>> = { tcp: 6, udp: 17, sctp: 132 };
/** Destination unreachable, source quench, time exceeded (RFC 792). */
export const ICMP_ERROR_TYPES: readonly number[] = [3, 4, 11];
const ICMP_ENTRIES: readonly GuardEntry[] = ICMP_ERROR_TYPES.map((type) => ({
  set: 'icmp_errors',
  element: `${type}`,
}));

/**
 * What a service needs held back (G1, G3). A service by firewall mark has no address of its own: only G3.
 * A key that is no valid one has no entries: nothing unchecked may reach a rule, and the engine refuses it anyway.
 */
export function serviceEntries(key: ServiceKey): readonly GuardEntry[] {
  if (isMarkKey(key)) return key.family === 'ipv4' ? ICMP_ENTRIES : [];
  if (!PROTOCOLS.includes(key.protocol)) return [];
  const entry = endpointEntry('services', key.address, key.protocol, key.port);
  return entry === null ? [] : [entry, ...ICMP_ENTRIES];
}

/**
 * What a destination of that service needs held back (G2). Port 0 stands for the port the client asked for, so it
 * means any port; behind a firewall mark every protocol may come.
 */
export function destinationEntries(service: ServiceKey, destination: DestinationSpec): readonly GuardEntry[] {
  if (destination.method !== 'masquerade') return [];
  const protocols = isMarkKey(service) ? PROTOCOLS : PROTOCOLS.filter((protocol) => protocol === service.protocol);
  return protocols
    .map((protocol) => endpointEntry('servers', destination.address, protocol, destination.port))
    .filter((entry) => entry !== null);
}

function endpointEntry(
  set: 'services' | 'servers',
  address: string,
  protocol: ServiceProtocol,
  port: number,
): GuardEntry | null {
  if (!isIPv4(address) || !Number.isInteger(port) || port < 0 || port > 65_535) return null;
  if (port === 0) return { set: `${set}_any_port`, element: `${address} . ${PROTOCOL_NUMBERS[protocol]}` };
  return { set, element: `${address} . ${PROTOCOL_NUMBERS[protocol]} . ${port}` };
}

/**
 * How many holders each entry has: one server may stand behind many services. An entry enters the table with
 * its first holder and leaves with its last.
 */
export class GuardLedger {
  readonly #holders = new Map<string, { readonly entry: GuardEntry; count: number }>();

  /** Returns the entries that nobody held before. */
  hold(entries: readonly GuardEntry[]): GuardEntry[] {
    return entries.filter((entry) => {
      const held = this.#holders.get(keyOf(entry));
      if (held !== undefined) {
        held.count += 1;
        return false;
      }
      this.#holders.set(keyOf(entry), { entry, count: 1 });
      return true;
    });
  }

  /** Returns the entries that nobody holds any more; entries that were not held are ignored. */
  release(entries: readonly GuardEntry[]): GuardEntry[] {
    return entries.filter((entry) => {
      const held = this.#holders.get(keyOf(entry));
      if (held === undefined) return false;
      held.count -= 1;
      if (held.count > 0) return false;
      this.#holders.delete(keyOf(entry));
      return true;
    });
  }

  /** Everything held, in the order it came. */
  entries(): GuardEntry[] {
    return [...this.#holders.values()].map((held) => held.entry);
  }
}

function keyOf(entry: GuardEntry): string {
  return `${entry.set} ${entry.element}`;
}

/** The facts of one packet that the three rules look at. */
export interface GuardedPacket {
  readonly protocol: ServiceProtocol | 'icmp';
  readonly source: string;
  readonly destination: string;
  /** 0 for ICMP. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** ICMP only. */
  readonly icmpType?: number;
  /** More fragments follow, or this is a later one. */
  readonly fragment?: boolean;
}

export interface GuardSurroundings {
  readonly isHostAddress: (address: string) => boolean;
  readonly localPortRange: readonly [low: number, high: number];
}

/** The three rules over a set of entries: true when the host's stack does not get to see the packet. */
export function isHeldBack(
  packet: GuardedPacket,
  entries: readonly GuardEntry[],
  surroundings: GuardSurroundings,
): boolean {
  if (packet.fragment === true) return false;
  const held = new Set(entries.map(keyOf));
  if (packet.protocol === 'icmp') return held.has(`icmp_errors ${packet.icmpType}`);
  const { source, sourcePort, destination, destinationPort } = packet;
  const protocol = PROTOCOL_NUMBERS[packet.protocol];
  if (held.has(`services ${destination} . ${protocol} . ${destinationPort}`)) return true;
  if (held.has(`services_any_port ${destination} . ${protocol}`)) return true;
  const [low, high] = surroundings.localPortRange;
  const answersHost = surroundings.isHostAddress(destination) && destinationPort >= low && destinationPort <= high;
  if (answersHost) return false;
  return (
    held.has(`servers ${source} . ${protocol} . ${sourcePort}`) || held.has(`servers_any_port ${source} . ${protocol}`)
  );
}
