/**
 * Rules that give packets a firewall mark. A kernel's marks are set by its packet filter, which a packet engine
 * beside it never gets to see; so services by mark need rules of our own.
 */
import { type Address, formatAddress, type Prefix, parseAddress, parsePrefix } from '../wire/address.ts';
import { IpvsError } from './errors.ts';
import type { AddressFamily, ServiceProtocol } from './service.ts';

/** Everything that is named has to match; what is absent matches anything. The first rule that matches decides. */
export interface MarkRule {
  readonly family: AddressFamily;
  /** 1..4294967295 */
  readonly mark: number;
  readonly protocol?: ServiceProtocol;
  /** Prefixes or addresses: `10.0.0.0/8`, `2001:db8::1`. */
  readonly destination?: string;
  readonly source?: string;
  /** Destination ports, of TCP, UDP and SCTP only. `portMax` absent: this one port. */
  readonly portMin?: number;
  readonly portMax?: number;
  /** Name of the link the packet came in by. */
  readonly link?: string;
}

/** A rule in the form that packets are compared with. */
export interface CheckedMarkRule {
  /** Canonical: rules that say the same are equal in it but for `mark`. */
  readonly rule: MarkRule;
  readonly ipv6: boolean;
  readonly destination: Prefix | null;
  readonly source: Prefix | null;
  readonly ports: readonly [low: number, high: number] | null;
}

const MARK_MAX = 0xffff_ffff;
const PORT_MAX = 65_535;
const PROTOCOLS: readonly unknown[] = ['tcp', 'udp', 'sctp'];
/** What a name may be that is written into rules of a packet filter (and what the kernel allows). */
const LINK_NAME = /^[^"\\\s/*]{1,15}$/;

/** Throws EINVAL with a sentence that names what is wrong. */
export function checkMarkRule(rule: MarkRule): CheckedMarkRule {
  if (typeof rule !== 'object' || rule === null) throw invalid('rule must be an object');
  const { family, mark, protocol, link } = rule;
  if (family !== 'ipv4' && family !== 'ipv6') throw invalid('family must be ipv4 or ipv6');
  if (!isWhole(mark, 1, MARK_MAX)) throw invalid(`mark must be a whole number from 1 to ${MARK_MAX}`);
  if (protocol !== undefined && !PROTOCOLS.includes(protocol)) throw invalid('protocol must be tcp, udp or sctp');
  if (link !== undefined && (typeof link !== 'string' || !LINK_NAME.test(link))) {
    throw invalid('link must be the name of one');
  }
  const destination = readPrefix(rule.destination, family, 'destination');
  const source = readPrefix(rule.source, family, 'source');
  const ports = readPorts(rule);
  const canonical: MarkRule = {
    family,
    mark,
    ...(protocol === undefined ? {} : { protocol }),
    ...(destination === null ? {} : { destination: formatPrefix(destination) }),
    ...(source === null ? {} : { source: formatPrefix(source) }),
    ...(ports === null ? {} : { portMin: ports[0], portMax: ports[1] }),
    ...(link === undefined ? {} : { link }),
  };
  return { rule: canonical, ipv6: family === 'ipv6', destination, source, ports };
}

/** `mark 5: ipv4 tcp to 10.0.0.0/24 port 80-90 by e0`. The rule is a canonical one. */
export function formatMarkRule({ mark, ...match }: MarkRule): string {
  return `mark ${mark}: ${formatMarkMatch(match)}`;
}

/** The same without the mark: two rules that match the same packets have the same text. */
export function formatMarkMatch(rule: Omit<MarkRule, 'mark'>): string {
  const { family, protocol, destination, source, portMin, portMax, link } = rule;
  const words: string[] = [family];
  if (protocol !== undefined) words.push(protocol);
  if (source !== undefined) words.push(`from ${source}`);
  if (destination !== undefined) words.push(`to ${destination}`);
  if (portMin !== undefined) words.push(portMin === portMax ? `port ${portMin}` : `port ${portMin}-${portMax}`);
  if (link !== undefined) words.push(`by ${link}`);
  return words.join(' ');
}

function readPorts({ portMin, portMax }: MarkRule): readonly [number, number] | null {
  if (portMin === undefined) {
    if (portMax !== undefined) throw invalid('portMax goes with portMin only');
    return null;
  }
  const high = portMax ?? portMin;
  if (isWhole(portMin, 0, PORT_MAX) && isWhole(high, portMin, PORT_MAX)) return [portMin, high];
  throw invalid(`portMin and portMax must be ports from 0 to ${PORT_MAX}, the lower one first`);
}

function readPrefix(text: unknown, family: AddressFamily, what: string): Prefix | null {
  if (text === undefined) return null;
  const prefix = typeof text === 'string' ? (parsePrefix(text) ?? wholeAddress(parseAddress(text))) : null;
  if (prefix === null || prefix.family !== family) {
    throw invalid(`${what} must be an ${family === 'ipv4' ? 'IPv4' : 'IPv6'} address or network, not ${String(text)}`);
  }
  return prefix;
}

function wholeAddress(address: Address | null): Prefix | null {
  return address === null ? null : { ...address, length: address.family === 'ipv6' ? 128 : 32 };
}

function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix.family, prefix.words)}/${prefix.length}`;
}

function isWhole(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
}

function invalid(message: string): IpvsError {
  return new IpvsError('EINVAL', message);
}
