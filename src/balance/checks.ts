/**
 * Reads keys and specs that anybody may have sent, as JSON or otherwise. What is not of the promised shape is
 * refused with EINVAL and a sentence that names the field. Checks that depend on the table, and their order, are
 * in `service-table.ts`.
 */
import type { DestinationKey, DestinationSpec } from '../model/destination.ts';
import { IpvsError } from '../model/errors.ts';
import type { ForwardingMethod, TunnelChecksum, TunnelSpec, TunnelType } from '../model/forwarding.ts';
import type { SchedulerFlag, ServiceKey, ServiceProtocol, ServiceSpec, SourceNat } from '../model/service.ts';
import { type Address, formatAddress, parseAddress, parseIpv4 } from '../wire/address.ts';
import type { ServiceIdentity, ServiceSettings } from './virtual-service.ts';

const PROTOCOLS: Readonly<Record<ServiceProtocol, number>> = { tcp: 6, udp: 17, sctp: 132 };
const METHODS: readonly ForwardingMethod[] = ['masquerade', 'direct', 'tunnel', 'local', 'bypass'];
const TUNNEL_TYPES: readonly TunnelType[] = ['ipip', 'gue', 'gre'];
const TUNNEL_CHECKSUMS: readonly TunnelChecksum[] = ['none', 'full', 'remote'];
const UINT32_MAX = 4_294_967_295;
const PORT_MAX = 65_535;
const SCHEDULER_NAME_MAX = 15;

/** Which service is meant, as numbers and in canonical form. EAFNOSUPPORT for a family that is not known. */
export function readServiceKey(value: unknown): ServiceIdentity {
  const key = readRecord(value, 'a service key');
  return 'mark' in key ? readMarkKey(key) : readAddressKey(key);
}

function readMarkKey(key: Record<string, unknown>): ServiceIdentity {
  const mark = readInteger(key['mark'], 'a firewall mark', 1, UINT32_MAX);
  const family = key['family'];
  if (typeof family !== 'string') throw invalid('a firewall-mark service needs a family, ipv4 or ipv6');
  if (family !== 'ipv4' && family !== 'ipv6') {
    throw new IpvsError('EAFNOSUPPORT', `${quote(family)} is not a known family: ipv4 or ipv6`);
  }
  return { key: { mark, family }, ipv6: family === 'ipv6', mark, protocol: 0, words: new Int32Array(4), port: 0 };
}

function readAddressKey(key: Record<string, unknown>): ServiceIdentity {
  const protocol = readOneOf(key['protocol'], 'a service protocol', Object.keys(PROTOCOLS) as ServiceProtocol[]);
  const address = readAddress(key['address'], 'a service address');
  const port = readInteger(key['port'], 'a service port', 0, PORT_MAX);
  const canonical: ServiceKey = { protocol, address: formatAddress(address.family, address.words), port };
  const ipv6 = address.family === 'ipv6';
  return { key: canonical, ipv6, mark: 0, protocol: PROTOCOLS[protocol], words: address.words, port };
}

/** A service spec beside its key. `sourceNat` is `null` when the spec does not say. */
export interface CheckedService extends Omit<ServiceSettings, 'sourceNat'> {
  readonly scheduler: string;
  readonly sourceNat: SourceNat | null;
}

/** The length of an IPv6 prefix is not judged here: an unknown scheduler is reported before a wrong one. */
export function readServiceSettings(value: ServiceSpec, identity: ServiceIdentity): CheckedService {
  const spec = readRecord(value, 'a service');
  const timeout = spec['persistenceTimeoutSeconds'];
  const engine = spec['persistenceEngine'];
  const sourceNat = spec['sourceNat'];
  return {
    scheduler: readText(spec['scheduler'], 'a scheduler name', SCHEDULER_NAME_MAX),
    schedulerFlags: readSchedulerFlags(spec['schedulerFlags']),
    persistenceTimeoutSeconds: timeout === null ? null : readInteger(timeout, 'a persistence timeout', 0, UINT32_MAX),
    netmask: readNetmask(spec['netmask'], identity.ipv6),
    persistenceEngine: engine === null ? null : readText(engine, 'a persistence engine', SCHEDULER_NAME_MAX) || null,
    onePacket: readBoolean(spec['onePacket'], 'onePacket'),
    sourceNat: sourceNat === undefined ? null : readSourceNat(sourceNat, identity.ipv6),
  };
}

function readSchedulerFlags(value: unknown): readonly SchedulerFlag[] {
  if (!Array.isArray(value) || !value.every((flag) => flag === 1 || flag === 2 || flag === 3)) {
    throw invalid('schedulerFlags must be a list of 1, 2 and 3');
  }
  return value;
}

function readNetmask(value: unknown, ipv6: boolean): number {
  const text = readText(value, 'a netmask', PORT_MAX);
  if (ipv6) {
    if (!/^\d{1,9}$/.test(text)) throw invalid(`${quote(text)} is not a prefix length`);
    return Number(text);
  }
  const mask = parseIpv4(text);
  if (mask === null) throw invalid(`${quote(text)} is not an IPv4 netmask`);
  return mask;
}

function readSourceNat(value: unknown, ipv6: boolean): SourceNat {
  if (value === 'none' || value === 'masquerade') return value;
  const address = readAddress(value, 'sourceNat');
  if ((address.family === 'ipv6') !== ipv6) throw invalid(`sourceNat ${quote(value)} is not of the service's family`);
  return formatAddress(address.family, address.words);
}

export interface CheckedDestinationKey {
  readonly address: Address;
  readonly port: number;
}

export function readDestinationKey(value: DestinationKey): CheckedDestinationKey {
  const key = readRecord(value, 'a destination');
  return {
    address: readAddress(key['address'], 'a destination address'),
    port: readInteger(key['port'], 'a destination port', 0, PORT_MAX),
  };
}

/** Weight and thresholds are whole numbers here; their limits come later in the kernel's order of checks. */
export function readDestinationSettings(value: DestinationSpec): Omit<DestinationSpec, 'address' | 'port'> {
  const spec = readRecord(value, 'a destination');
  return {
    method: readOneOf(spec['method'], 'a forwarding method', METHODS),
    weight: readInteger(spec['weight'], 'a weight', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
    upperThreshold: readInteger(spec['upperThreshold'], 'an upper threshold', 0, UINT32_MAX),
    lowerThreshold: readInteger(spec['lowerThreshold'], 'a lower threshold', 0, UINT32_MAX),
    tunnel: readTunnel(spec['tunnel']),
  };
}

function readTunnel(value: unknown): TunnelSpec {
  const tunnel = readRecord(value, 'a tunnel');
  return {
    type: readOneOf(tunnel['type'], 'a tunnel type', TUNNEL_TYPES),
    port: readInteger(tunnel['port'], 'a tunnel port', 0, PORT_MAX),
    checksum: readOneOf(tunnel['checksum'], 'a tunnel checksum', TUNNEL_CHECKSUMS),
  };
}

export function readRecord(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(`${what} must be an object`);
  return value as Record<string, unknown>;
}

export function readInteger(value: unknown, what: string, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value)) throw invalid(`${what} must be a whole number`);
  if (value < min || value > max) throw invalid(`${what} must be between ${min} and ${max}, not ${value}`);
  // JSON has a minus zero; nobody else wants one.
  return value + 0;
}

function readAddress(value: unknown, what: string): Address {
  const address = typeof value === 'string' ? parseAddress(value) : null;
  if (address === null) throw invalid(`${what} must be an IPv4 or IPv6 address, not ${quote(value)}`);
  return address;
}

function readText(value: unknown, what: string, lengthMax: number): string {
  if (typeof value !== 'string') throw invalid(`${what} must be text`);
  if (value.length > lengthMax) throw invalid(`${what} must have at most ${lengthMax} characters`);
  return value;
}

function readBoolean(value: unknown, what: string): boolean {
  if (typeof value !== 'boolean') throw invalid(`${what} must be true or false`);
  return value;
}

function readOneOf<T extends string>(value: unknown, what: string, allowed: readonly T[]): T {
  if (!allowed.includes(value as T)) throw invalid(`${what} must be one of ${allowed.join(', ')}, not ${quote(value)}`);
  return value as T;
}

export function invalid(message: string): IpvsError {
  return new IpvsError('EINVAL', message);
}

const QUOTE_MAX = 60;

/** What somebody sent, short enough for a message. */
function quote(value: unknown): string {
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value !== 'string') return String(value);
  return JSON.stringify(value.length > QUOTE_MAX ? `${value.slice(0, QUOTE_MAX)}...` : value);
}
