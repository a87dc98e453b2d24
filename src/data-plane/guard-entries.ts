/**
 * Which packets the guard keeps from the host's own stack, as a pure function of what is configured. The engine sees
 * every frame before the guard does; the guard only prevents that the stack answers, too (with a TCP reset, mostly).
 * For both families, and only for frames sent to this host at link level:
 *
 * G1  the destination (address, protocol, port) is a service; a service on port 0 takes any port, one for FTP
 *     (TCP port 21) also 20 and all from 1024 on, where its data goes;
 * G2  the source (address, protocol, port) is a `masquerade` destination (port 0: any port; FTP: any TCP port),
 *     unless the packet goes to an address that a local route names and to a port of the local port range: then it
 *     answers a socket of the host itself;
 * G3  ICMP errors - of the types 3, 4 and 11, of ICMPv6 1 to 4 - while there is at least one service of the family;
 * G4  whatever a rule marks (model/mark-rule.ts);
 * G5  of fragments, which do not all carry ports: those to an address that has a service, from an address that is
 *     a `masquerade` destination, and those that a rule could mark by their addresses and link.
 *
 * Never held back: IPv6 packets to link-local addresses and groups, and what neighbour discovery says.
 * The engine gives back what turns out not to be its own; its side of the same rules is `engine/held-back.ts`.
 */
import type { DestinationSpec } from '../model/destination.ts';
import { type CheckedMarkRule, checkMarkRule, type MarkRule } from '../model/mark-rule.ts';
import { type AddressFamily, isMarkKey, type ServiceKey, type ServiceProtocol } from '../model/service.ts';
import { formatAddress, parseAddress, prefixMatches } from '../wire/address.ts';

type AddressSet =
  | 'services'
  | 'services_any_port'
  | 'services_ftp'
  | 'service_addresses'
  | 'servers'
  | 'servers_any_port'
  | 'server_addresses';

/** The guard's sets, by the rule that reads them; those of IPv6 end in 6. */
export type GuardSet = AddressSet | `${AddressSet}6` | 'icmp_errors' | 'icmp_errors6';
/** Chains whose rules come and go: each element is the matching part of one. */
export type GuardChain = 'marked' | 'marked6' | 'marked_fragments' | 'marked_fragments6';

/**
 * One element of one set or chain, as nftables reads it: `10.0.0.1 . 6 . 80`, `fd00::1 . 17`, `3`. Protocols are
 * numbers, since their names need a file that small hosts lack.
 */
export interface GuardEntry {
  readonly set: GuardSet | GuardChain;
  readonly element: string;
}

const PROTOCOLS: readonly ServiceProtocol[] = ['tcp', 'udp', 'sctp'];
export const PROTOCOL_NUMBERS: Readonly<Record<ServiceProtocol, number>> = { tcp: 6, udp: 17, sctp: 132 };
const FTP_PORT = 21;
/** Destination ports of FTP data: from the server's side, and to where the server listens. */
export const FTP_DATA_PORTS: readonly (readonly [low: number, high: number])[] = [
  [20, 20],
  [1024, 65_535],
];
const ICMP_ERROR_TYPES: Readonly<Record<AddressFamily, readonly number[]>> = {
  // Destination unreachable, source quench, time exceeded (RFC 792).
  ipv4: [3, 4, 11],
  // Destination unreachable, packet too big, time exceeded, parameter problem (RFC 4443).
  ipv6: [1, 2, 3, 4],
};

/**
 * What a service needs held back (G1, G3, G5). A service by firewall mark has no address of its own: only G3.
 * A key that is no valid one has no entries: nothing unchecked may reach a rule, and the engine refuses it anyway.
 */
export function serviceEntries(key: ServiceKey): readonly GuardEntry[] {
  if (isMarkKey(key)) return key.family === 'ipv4' || key.family === 'ipv6' ? icmpEntries(key.family) : [];
  if (!PROTOCOLS.includes(key.protocol)) return [];
  const place = readPlace(key.address, key.port);
  if (place === null) return [];
  const entries = [place.endpoint('services', key.protocol), place.address('service_addresses')];
  if (key.protocol === 'tcp' && key.port === FTP_PORT) entries.push(place.address('services_ftp'));
  return [...entries, ...icmpEntries(place.family)];
}

/**
 * What a destination of that service needs held back (G2, G5). Port 0 stands for the port the client asked for, so it
 * means any port; behind a firewall mark every protocol may come.
 */
export function destinationEntries(service: ServiceKey, destination: DestinationSpec): readonly GuardEntry[] {
  if (destination.method !== 'masquerade') return [];
  const place = readPlace(destination.address, destination.port);
  if (place === null) return [];
  const protocols = PROTOCOLS.filter((protocol) => isMarkKey(service) || protocol === service.protocol);
  if (protocols.length === 0) return [];
  const entries = protocols.map((protocol) => place.endpoint('servers', protocol));
  if (protocols.includes('tcp') && destination.port === FTP_PORT) entries.push(place.wildcards('servers', 'tcp'));
  return [...entries, place.address('server_addresses')];
}

/** What a rule that marks packets needs held back (G4, G5). */
export function markRuleEntries(rule: MarkRule): readonly GuardEntry[] {
  let checked: CheckedMarkRule;
  try {
    checked = checkMarkRule(rule);
  } catch {
    return [];
  }
  const { family, protocol, destination, source, portMin, portMax, link } = checked.rule;
  const ip = family === 'ipv6' ? 'ip6' : 'ip';
  const ends: string[] = [];
  if (link !== undefined) ends.push(`meta iifname "${link}"`);
  if (source !== undefined) ends.push(`${ip} saddr ${source}`);
  if (destination !== undefined) ends.push(`${ip} daddr ${destination}`);
  const whole = [...ends];
  if (protocol !== undefined) whole.push(`meta l4proto ${PROTOCOL_NUMBERS[protocol]}`);
  else if (portMin !== undefined) whole.push(`meta l4proto { ${Object.values(PROTOCOL_NUMBERS).join(', ')} }`);
  if (portMin !== undefined) whole.push(`th dport ${portMin}-${portMax}`);
  return family === 'ipv6'
    ? [
        { set: 'marked6', element: whole.join(' ') },
        { set: 'marked_fragments6', element: ends.join(' ') },
      ]
    : [
        { set: 'marked', element: whole.join(' ') },
        { set: 'marked_fragments', element: ends.join(' ') },
      ];
}

function icmpEntries(family: AddressFamily): readonly GuardEntry[] {
  const set = family === 'ipv4' ? 'icmp_errors' : 'icmp_errors6';
  return ICMP_ERROR_TYPES[family].map((type) => ({ set, element: `${type}` }));
}

interface Place {
  readonly family: AddressFamily;
  endpoint(set: 'services' | 'servers', protocol: ServiceProtocol): GuardEntry;
  wildcards(set: 'services' | 'servers', protocol: ServiceProtocol): GuardEntry;
  address(set: 'services_ftp' | 'service_addresses' | 'server_addresses'): GuardEntry;
}

function readPlace(text: string, port: number): Place | null {
  const parsed = typeof text === 'string' ? parseAddress(text) : null;
  if (parsed === null || !Number.isInteger(port) || port < 0 || port > 65_535) return null;
  const { family, words } = parsed;
  const address = formatAddress(family, words);
  const named = (set: AddressSet) => (family === 'ipv6' ? (`${set}6` as const) : set);
  const wildcards: Place['wildcards'] = (set, protocol) => ({
    set: named(`${set}_any_port`),
    element: `${address} . ${PROTOCOL_NUMBERS[protocol]}`,
  });
  return {
    family,
    wildcards,
    endpoint: (set, protocol) =>
      port === 0
        ? wildcards(set, protocol)
        : { set: named(set), element: `${address} . ${PROTOCOL_NUMBERS[protocol]} . ${port}` },
    address: (set) => ({ set: named(set), element: address }),
  };
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

/** The facts of one packet that the rules look at; its family is that of its addresses. */
export interface GuardedPacket {
  /** `icmp` stands for ICMPv6 too. */
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
  /** Some local route names it. */
  readonly isHostAddress: (address: string) => boolean;
  readonly localPortRange: readonly [low: number, high: number];
  readonly markRules?: readonly MarkRule[];
}

/** The rules over a set of entries: true when the host's stack does not get to see the packet. */
export function isHeldBack(
  packet: GuardedPacket,
  entries: readonly GuardEntry[],
  surroundings: GuardSurroundings,
): boolean {
  const held = new Set(entries.map(keyOf));
  const { source, sourcePort, destination, destinationPort, icmpType = -1 } = packet;
  const six = destination.includes(':') ? '6' : '';
  if (six !== '' && /^(fe[89ab]|ff02)/i.test(destination)) return false;
  const marked = (surroundings.markRules ?? []).some((rule) => isMarked(packet, checkMarkRule(rule)));
  if (packet.fragment === true) {
    return marked || held.has(`service_addresses${six} ${destination}`) || held.has(`server_addresses${six} ${source}`);
  }
  if (packet.protocol === 'icmp') {
    const isNeighborTalk = six !== '' && icmpType >= 133 && icmpType <= 137;
    return !isNeighborTalk && (marked || held.has(`icmp_errors${six} ${icmpType}`));
  }
  if (marked) return true;
  const protocol = PROTOCOL_NUMBERS[packet.protocol];
  if (held.has(`services${six} ${destination} . ${protocol} . ${destinationPort}`)) return true;
  if (held.has(`services_any_port${six} ${destination} . ${protocol}`)) return true;
  const isFtpData = FTP_DATA_PORTS.some(([low, high]) => destinationPort >= low && destinationPort <= high);
  if (isFtpData && packet.protocol === 'tcp' && held.has(`services_ftp${six} ${destination}`)) return true;
  const [low, high] = surroundings.localPortRange;
  const answersHost = surroundings.isHostAddress(destination) && destinationPort >= low && destinationPort <= high;
  if (answersHost) return false;
  return (
    held.has(`servers${six} ${source} . ${protocol} . ${sourcePort}`) ||
    held.has(`servers_any_port${six} ${source} . ${protocol}`)
  );
}

function isMarked(packet: GuardedPacket, { rule, ipv6, destination, source, ports }: CheckedMarkRule): boolean {
  const within = (prefix: typeof source, text: string) => {
    const address = parseAddress(text);
    if (address === null) return false;
    const [w0, w1, w2, w3] = address.words as unknown as [number, number, number, number];
    return address.family === rule.family && (prefix === null || prefixMatches(prefix, ipv6, w0, w1, w2, w3));
  };
  if (!within(destination, packet.destination) || !within(source, packet.source)) return false;
  if (packet.fragment === true) return true;
  if (rule.protocol !== undefined && rule.protocol !== packet.protocol) return false;
  if (ports === null) return true;
  return packet.protocol !== 'icmp' && packet.destinationPort >= ports[0] && packet.destinationPort <= ports[1];
}
