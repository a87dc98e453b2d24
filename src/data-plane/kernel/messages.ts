/** Services, destinations, daemons and counters as attributes of the family IPVS, in both directions. */
import {
  invalid,
  readDestinationKey,
  readDestinationSettings,
  readInteger,
  readRecord,
  readServiceKey,
  readServiceSettings,
} from '../../balance/checks.ts';
import type { SyncDaemonSpec, SyncRole, TableInfo } from '../../model/commands.ts';
import type { DestinationKey, DestinationSpec, DestinationStatus } from '../../model/destination.ts';
import type { AddressFamily, SchedulerFlag, ServiceKey, ServiceProtocol, ServiceSpec } from '../../model/service.ts';
import type { Timeouts } from '../../model/settings.ts';
import type { Rates, Statistics } from '../../model/statistics.ts';
import { formatIpv4, formatWords, parseAddress } from '../../wire/address.ts';
import { readInt32, writeInt32 } from '../../wire/bytes.ts';
import {
  type Attributes,
  attribute,
  NetlinkFormatError,
  nestedAttribute,
  networkUint16Attribute,
  readAttributes,
  readNetworkUint16,
  readText,
  readUint,
  requireAttribute,
  textAttribute,
  uint8Attribute,
  uint16Attribute,
  uint32Attribute,
} from '../../wire/netlink.ts';
import {
  CommandAttribute,
  DAEMON_STATES,
  DaemonAttribute,
  DestinationAttribute,
  FAMILIES,
  InfoAttribute,
  METHODS,
  PROTOCOLS,
  ServiceAttribute,
  ServiceFlag,
  StatisticsAttribute,
  TUNNEL_CHECKSUMS,
  TUNNEL_TYPES,
} from './family.ts';

const ADDRESS_BYTES = 16;
const INT32_MAX = 2 ** 31 - 1;
const UINT16_MAX = 65_535;
const SCHEDULER_FLAGS: readonly (readonly [flag: SchedulerFlag, bit: number])[] = [
  [1, ServiceFlag.SCHEDULER_1],
  [2, ServiceFlag.SCHEDULER_2],
  [3, ServiceFlag.SCHEDULER_3],
];

/** Which service is meant. Throws an IpvsError for what is no key. */
export function serviceKeyAttribute(key: ServiceKey): Uint8Array {
  return nestedAttribute(CommandAttribute.SERVICE, keyAttributes(key));
}

/** A whole service, as for adding. Throws an IpvsError for what is none. */
export function serviceAttribute(spec: ServiceSpec): Uint8Array {
  const identity = readServiceKey(readRecord(spec, 'a service')['key']);
  const settings = readServiceSettings(spec, identity);
  const { persistenceTimeoutSeconds: timeout, persistenceEngine } = settings;
  let flags = (timeout === null ? 0 : ServiceFlag.PERSISTENT) | (settings.onePacket ? ServiceFlag.ONE_PACKET : 0);
  for (const [flag, bit] of SCHEDULER_FLAGS) if (settings.schedulerFlags.includes(flag)) flags |= bit;
  const flagsAndMask = new Uint8Array(8);
  flagsAndMask[0] = flags;
  flagsAndMask.fill(0xff, 4);
  // An IPv4 mask is in network order, the length of an IPv6 prefix is not.
  const mask = new Uint8Array(4);
  writeInt32(mask, 0, settings.netmask);
  return nestedAttribute(CommandAttribute.SERVICE, [
    ...keyAttributes(spec.key),
    textAttribute(ServiceAttribute.SCHEDULER, settings.scheduler),
    ...(persistenceEngine === null ? [] : [textAttribute(ServiceAttribute.PERSISTENCE_ENGINE, persistenceEngine)]),
    attribute(ServiceAttribute.FLAGS, flagsAndMask),
    uint32Attribute(ServiceAttribute.TIMEOUT, timeout ?? 0),
    identity.ipv6
      ? uint32Attribute(ServiceAttribute.NETMASK, settings.netmask)
      : attribute(ServiceAttribute.NETMASK, mask),
  ]);
}

function keyAttributes(key: ServiceKey): Uint8Array[] {
  const { ipv6, mark, protocol, words, port } = readServiceKey(key);
  const family = uint16Attribute(ServiceAttribute.FAMILY, ipv6 ? FAMILIES.ipv6 : FAMILIES.ipv4);
  if (mark !== 0) return [family, uint32Attribute(ServiceAttribute.MARK, mark)];
  return [
    family,
    uint16Attribute(ServiceAttribute.PROTOCOL, protocol),
    attribute(ServiceAttribute.ADDRESS, addressBytes(ipv6, words)),
    networkUint16Attribute(ServiceAttribute.PORT, port),
  ];
}

export function destinationKeyAttribute(key: DestinationKey): Uint8Array {
  return nestedAttribute(CommandAttribute.DEST, destinationKeyAttributes(key));
}

/** A whole destination, as for adding. Throws an IpvsError for what is none. */
export function destinationAttribute(spec: DestinationSpec): Uint8Array {
  const { method, weight, upperThreshold, lowerThreshold, tunnel } = readDestinationSettings(spec);
  return nestedAttribute(CommandAttribute.DEST, [
    ...destinationKeyAttributes(spec),
    uint32Attribute(DestinationAttribute.METHOD, METHODS.indexOf(method)),
    // Whatever has no place in 31 bits is refused by the kernel, after its other checks, like a negative one.
    uint32Attribute(DestinationAttribute.WEIGHT, weight < 0 || weight > INT32_MAX ? -1 : weight),
    uint32Attribute(DestinationAttribute.UPPER_THRESHOLD, upperThreshold),
    uint32Attribute(DestinationAttribute.LOWER_THRESHOLD, lowerThreshold),
    uint8Attribute(DestinationAttribute.TUNNEL_TYPE, TUNNEL_TYPES.indexOf(tunnel.type)),
    networkUint16Attribute(DestinationAttribute.TUNNEL_PORT, tunnel.port),
    uint16Attribute(DestinationAttribute.TUNNEL_FLAGS, TUNNEL_CHECKSUMS.indexOf(tunnel.checksum)),
  ]);
}

function destinationKeyAttributes(key: DestinationKey): Uint8Array[] {
  const { address, port } = readDestinationKey(key);
  const ipv6 = address.family === 'ipv6';
  return [
    uint16Attribute(DestinationAttribute.FAMILY, ipv6 ? FAMILIES.ipv6 : FAMILIES.ipv4),
    attribute(DestinationAttribute.ADDRESS, addressBytes(ipv6, address.words)),
    networkUint16Attribute(DestinationAttribute.PORT, port),
  ];
}

/** A daemon, as for starting. Throws an IpvsError for what is none. 0 and no group: what the kernel takes then. */
export function daemonAttribute(daemon: SyncDaemonSpec): Uint8Array {
  readRecord(daemon, 'daemon');
  const name: unknown = daemon.interface;
  if (typeof name !== 'string' || name === '') throw invalid('interface must be the name of one');
  const group = typeof daemon.group === 'string' ? parseAddress(daemon.group) : null;
  if (group === null && daemon.group) throw invalid(`group must be a multicast address, not ${String(daemon.group)}`);
  const groupAttributes: Uint8Array[] = [];
  if (group !== null) {
    const ipv6 = group.family === 'ipv6';
    const bytes = addressBytes(ipv6, group.words);
    groupAttributes.push(
      ipv6 ? attribute(DaemonAttribute.GROUP_IPV6, bytes) : attribute(DaemonAttribute.GROUP, bytes.subarray(0, 4)),
    );
  }
  return nestedAttribute(CommandAttribute.DAEMON, [
    uint32Attribute(DaemonAttribute.STATE, stateOf(daemon.role)),
    textAttribute(DaemonAttribute.INTERFACE, name),
    uint32Attribute(DaemonAttribute.SYNC_ID, readInteger(daemon.syncId, 'syncId', 0, 255)),
    uint16Attribute(DaemonAttribute.MAX_LENGTH, readInteger(daemon.maxLength, 'maxLength', 0, UINT16_MAX)),
    ...groupAttributes,
    uint16Attribute(DaemonAttribute.PORT, readInteger(daemon.port, 'port', 0, UINT16_MAX)),
    uint8Attribute(DaemonAttribute.TTL, readInteger(daemon.ttl, 'ttl', 0, 255)),
  ]);
}

export function daemonRoleAttribute(role: SyncRole): Uint8Array {
  return nestedAttribute(CommandAttribute.DAEMON, [uint32Attribute(DaemonAttribute.STATE, stateOf(role))]);
}

function stateOf(role: unknown): number {
  if (role === 'master' || role === 'backup') return DAEMON_STATES[role];
  throw invalid('role must be master or backup');
}

export function timeoutAttributes({ tcpSeconds, tcpFinSeconds, udpSeconds }: Timeouts): Uint8Array[] {
  return [
    uint32Attribute(CommandAttribute.TIMEOUT_TCP, tcpSeconds),
    uint32Attribute(CommandAttribute.TIMEOUT_TCP_FIN, tcpFinSeconds),
    uint32Attribute(CommandAttribute.TIMEOUT_UDP, udpSeconds),
  ];
}

/** A service without its destinations. */
export interface ReadService {
  readonly spec: ServiceSpec;
  readonly statistics: Statistics;
  readonly rates: Rates;
}

/** `null`: a service of a protocol that nothing here has a word for. Throws a NetlinkFormatError. */
export function readService(message: Attributes): ReadService | null {
  const own = readAttributes(requireAttribute(message, CommandAttribute.SERVICE, 0, 'service'));
  const family = readFamily(requireAttribute(own, ServiceAttribute.FAMILY, 2, 'family'));
  const key = readKey(own, family);
  if (key === null) return null;
  const flags = readUint(requireAttribute(own, ServiceAttribute.FLAGS, 8, 'flags').subarray(0, 4));
  const timeout = readUint(requireAttribute(own, ServiceAttribute.TIMEOUT, 4, 'timeout'));
  const mask = requireAttribute(own, ServiceAttribute.NETMASK, 4, 'netmask').subarray(0, 4);
  const engine = own.get(ServiceAttribute.PERSISTENCE_ENGINE);
  return {
    spec: {
      key,
      scheduler: readText(requireAttribute(own, ServiceAttribute.SCHEDULER, 1, 'scheduler')),
      schedulerFlags: SCHEDULER_FLAGS.filter(([, bit]) => (flags & bit) !== 0).map(([flag]) => flag),
      persistenceTimeoutSeconds: (flags & ServiceFlag.PERSISTENT) === 0 ? null : timeout,
      netmask: family === 'ipv6' ? String(readUint(mask)) : formatIpv4(readInt32(mask, 0)),
      persistenceEngine: engine === undefined ? null : readText(engine),
      onePacket: (flags & ServiceFlag.ONE_PACKET) !== 0,
      sourceNat: 'none',
    },
    ...readCounters(own, ServiceAttribute.STATISTICS_64, ServiceAttribute.STATISTICS),
  };
}

function readKey(own: Attributes, family: AddressFamily): ServiceKey | null {
  const mark = own.get(ServiceAttribute.MARK);
  if (mark !== undefined) return { mark: readUint(mark), family };
  const number = readUint(requireAttribute(own, ServiceAttribute.PROTOCOL, 2, 'protocol'));
  const protocol = (Object.keys(PROTOCOLS) as ServiceProtocol[]).find((name) => PROTOCOLS[name] === number);
  const address = readAddress(own, ServiceAttribute.ADDRESS, family);
  const port = readNetworkUint16(requireAttribute(own, ServiceAttribute.PORT, 2, 'port'));
  return protocol === undefined ? null : { protocol, address, port };
}

/** `serviceFamily`: what old kernels, which do not say, mean. Throws a NetlinkFormatError. */
export function readDestination(message: Attributes, serviceFamily: AddressFamily): DestinationStatus {
  const own = readAttributes(requireAttribute(message, CommandAttribute.DEST, 0, 'destination'));
  const familyNumber = own.get(DestinationAttribute.FAMILY);
  const family = familyNumber === undefined ? serviceFamily : readFamily(familyNumber);
  const number = (type: number, what: string) => readUint(requireAttribute(own, type, 4, what));
  const optional = (type: number) => {
    const value = own.get(type);
    return value === undefined ? 0 : readUint(value);
  };
  const method = METHODS[number(DestinationAttribute.METHOD, 'method') & 7];
  if (method === undefined) throw new NetlinkFormatError('a destination has no forwarding method');
  const tunnelPort = own.get(DestinationAttribute.TUNNEL_PORT);
  return {
    spec: {
      address: readAddress(own, DestinationAttribute.ADDRESS, family),
      port: readNetworkUint16(requireAttribute(own, DestinationAttribute.PORT, 2, 'port')),
      method,
      weight: number(DestinationAttribute.WEIGHT, 'weight'),
      upperThreshold: number(DestinationAttribute.UPPER_THRESHOLD, 'upper threshold'),
      lowerThreshold: number(DestinationAttribute.LOWER_THRESHOLD, 'lower threshold'),
      tunnel: {
        // The kernel takes any number, and sends through what it does not know as through ipip.
        type: TUNNEL_TYPES[optional(DestinationAttribute.TUNNEL_TYPE)] ?? 'ipip',
        port: tunnelPort === undefined ? 0 : readNetworkUint16(tunnelPort),
        checksum: TUNNEL_CHECKSUMS[optional(DestinationAttribute.TUNNEL_FLAGS) & 3] ?? 'none',
      },
    },
    activeConnections: number(DestinationAttribute.ACTIVE, 'active connections'),
    inactiveConnections: number(DestinationAttribute.INACTIVE, 'inactive connections'),
    persistentConnections: number(DestinationAttribute.PERSISTENT, 'persistent connections'),
    ...readCounters(own, DestinationAttribute.STATISTICS_64, DestinationAttribute.STATISTICS),
  };
}

/** Throws a NetlinkFormatError. */
export function readDaemon(message: Attributes): SyncDaemonSpec {
  const own = readAttributes(requireAttribute(message, CommandAttribute.DAEMON, 0, 'daemon'));
  const state = readUint(requireAttribute(own, DaemonAttribute.STATE, 4, 'state'));
  const role = (Object.keys(DAEMON_STATES) as SyncRole[]).find((name) => DAEMON_STATES[name] === state);
  if (role === undefined) throw new NetlinkFormatError(`a daemon has the state ${state}`);
  const optional = (type: number) => {
    const value = own.get(type);
    return value === undefined ? 0 : readUint(value);
  };
  const ipv6 = own.has(DaemonAttribute.GROUP_IPV6);
  return {
    role,
    interface: readText(requireAttribute(own, DaemonAttribute.INTERFACE, 1, 'interface')),
    syncId: readUint(requireAttribute(own, DaemonAttribute.SYNC_ID, 4, 'sync id')),
    maxLength: optional(DaemonAttribute.MAX_LENGTH),
    group:
      ipv6 || own.has(DaemonAttribute.GROUP)
        ? readAddress(own, ipv6 ? DaemonAttribute.GROUP_IPV6 : DaemonAttribute.GROUP, ipv6 ? 'ipv6' : 'ipv4')
        : '224.0.0.81',
    port: optional(DaemonAttribute.PORT),
    ttl: optional(DaemonAttribute.TTL),
  };
}

/** Throws a NetlinkFormatError. */
export function readTimeouts(message: Attributes): Timeouts {
  const seconds = (type: number) => readUint(requireAttribute(message, type, 4, 'timeout'));
  return {
    tcpSeconds: seconds(CommandAttribute.TIMEOUT_TCP),
    tcpFinSeconds: seconds(CommandAttribute.TIMEOUT_TCP_FIN),
    udpSeconds: seconds(CommandAttribute.TIMEOUT_UDP),
  };
}

/** Throws a NetlinkFormatError. */
export function readInfo(message: Attributes): TableInfo {
  const version = readUint(requireAttribute(message, InfoAttribute.VERSION, 4, 'version'));
  return {
    version: `${version >>> 16}.${(version >>> 8) & 255}.${version & 255}`,
    connectionTableSize: readUint(requireAttribute(message, InfoAttribute.TABLE_SIZE, 4, 'table size')),
  };
}

/** The 64-bit counters, or the short ones of kernels before 4.1. */
function readCounters(own: Attributes, long: number, short: number): { statistics: Statistics; rates: Rates } {
  const counters = readAttributes(own.get(long) ?? requireAttribute(own, short, 0, 'statistics'));
  const number = (type: number) => readUint(requireAttribute(counters, type, 4, 'a counter'));
  return {
    statistics: {
      connections: number(StatisticsAttribute.CONNECTIONS),
      inPackets: number(StatisticsAttribute.IN_PACKETS),
      outPackets: number(StatisticsAttribute.OUT_PACKETS),
      inBytes: number(StatisticsAttribute.IN_BYTES),
      outBytes: number(StatisticsAttribute.OUT_BYTES),
    },
    rates: {
      connectionsPerSecond: number(StatisticsAttribute.CONNECTIONS_PER_SECOND),
      inPacketsPerSecond: number(StatisticsAttribute.IN_PACKETS_PER_SECOND),
      outPacketsPerSecond: number(StatisticsAttribute.OUT_PACKETS_PER_SECOND),
      inBytesPerSecond: number(StatisticsAttribute.IN_BYTES_PER_SECOND),
      outBytesPerSecond: number(StatisticsAttribute.OUT_BYTES_PER_SECOND),
    },
  };
}

function readFamily(value: Uint8Array): AddressFamily {
  const number = readUint(value);
  if (number === FAMILIES.ipv4) return 'ipv4';
  if (number === FAMILIES.ipv6) return 'ipv6';
  throw new NetlinkFormatError(`there is no address family ${number}`);
}

function readAddress(own: Attributes, type: number, family: AddressFamily): string {
  const ipv6 = family === 'ipv6';
  const bytes = requireAttribute(own, type, ipv6 ? ADDRESS_BYTES : 4, 'address');
  const word = (index: number) => readInt32(bytes, index * 4);
  return ipv6 ? formatWords(true, word(0), word(1), word(2), word(3)) : formatIpv4(word(0));
}

/** Sixteen bytes, of which IPv4 takes the first four. */
function addressBytes(ipv6: boolean, words: Int32Array): Uint8Array {
  const bytes = new Uint8Array(ADDRESS_BYTES);
  if (!ipv6) writeInt32(bytes, 0, words[3] as number);
  else for (let index = 0; index < 4; index++) writeInt32(bytes, index * 4, words[index] as number);
  return bytes;
}
