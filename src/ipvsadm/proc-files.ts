/**
 * The texts of the kernel's /proc/net/ip_vs* files, for tools that read those instead of asking ipvsadm. Numbers are
 * hexadecimal where the kernel writes them so; blanks at the ends of lines belong to the form.
 */
import type { HelperStatus, ProcessorStatistics, TableInfo } from '../model/commands.ts';
import type { ConnectionStatus } from '../model/connection-status.ts';
import type { DestinationStatus } from '../model/destination.ts';
import type { ForwardingMethod } from '../model/forwarding.ts';
import { familyOfAddress, familyOfService, isMarkKey, type ServiceSpec, type ServiceStatus } from '../model/service.ts';
import { TICKS_PER_SECOND } from '../model/settings.ts';
import type { Rates, Statistics } from '../model/statistics.ts';
import { parseAddress } from '../wire/address.ts';

const METHOD_NAMES: Readonly<Record<ForwardingMethod, string>> = {
  masquerade: 'Masq',
  direct: 'Route',
  tunnel: 'Tunnel',
  local: 'Local',
  bypass: 'Bypass',
};

/** /proc/net/ip_vs: services with their servers, in the order of the data plane. */
export function procServices(info: TableInfo, services: Iterable<ServiceStatus>): string {
  let text = procServicesHeading(info);
  for (const service of services) text += procService(service);
  return text;
}

export function procServicesHeading(info: TableInfo): string {
  return (
    `IP Virtual Server version ${info.version} (size=${info.connectionTableSize})\n` +
    'Prot LocalAddress:Port Scheduler Flags\n' +
    '  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n'
  );
}

/** The lines of one service. */
export function procService({ spec, destinations }: ServiceStatus): string {
  let text = `${serviceText(spec)}${persistenceText(spec)}\n`;
  for (const destination of destinations) text += `${destinationText(destination)}\n`;
  return text;
}

/** The three kinds of service differ in their blanks, and in whether one-packet scheduling is told. */
function serviceText({ key, scheduler, onePacket }: ServiceSpec): string {
  if (isMarkKey(key)) return `FWM  ${hex(key.mark).padStart(8, '0')} ${scheduler} ${onePacket ? 'ops ' : ''}`;
  const protocol = key.protocol.toUpperCase();
  const endpoint = `${bracketed(key.address)}:${hexPort(key.port)}`;
  if (familyOfAddress(key.address) === 'ipv6') return `${protocol}  ${endpoint} ${scheduler} `;
  return `${protocol}  ${endpoint} ${scheduler} ${onePacket ? 'ops ' : ''} `;
}

/** The timeout in kernel ticks, of which there are 32 bits. */
function persistenceText(spec: ServiceSpec): string {
  if (spec.persistenceTimeoutSeconds === null) return '';
  const ticks = Math.imul(spec.persistenceTimeoutSeconds, TICKS_PER_SECOND) >>> 0;
  return `persistent ${ticks} ${maskText(spec)}`;
}

/** An IPv6 prefix length is a number in the machine's order, shown in the network's: 64 is `40000000`. */
function maskText({ key, netmask }: ServiceSpec): string {
  if (familyOfService(key) === 'ipv4') return hexAddress(netmask);
  const length = hex(Number(netmask)).padStart(8, '0');
  return `${length.slice(6)}${length.slice(4, 6)}${length.slice(2, 4)}${length.slice(0, 2)}`;
}

function destinationText({ spec, activeConnections, inactiveConnections }: DestinationStatus): string {
  const method = METHOD_NAMES[spec.method].padEnd(7);
  const columns = [String(spec.weight).padEnd(6), String(activeConnections).padEnd(10)];
  return `  -> ${bracketed(spec.address)}:${hexPort(spec.port)}      ${method} ${columns.join(' ')} ${String(inactiveConnections).padEnd(10)}`;
}

/** /proc/net/ip_vs_conn: one heading, one row a connection. */
export function procConnections(connections: Iterable<ConnectionStatus>): string {
  let text = CONNECTIONS_HEADING;
  for (const connection of connections) text += procConnection(connection);
  return text;
}

export const CONNECTIONS_HEADING = 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n';

export function procConnection(connection: ConnectionStatus): string {
  const { engine, state } = connection;
  const named = engine === undefined ? '' : ` ${engine.name} ${engine.data}`;
  return `${endsText(connection)} ${state.padEnd(11)} ${secondsText(connection)}${named}\n`;
}

/** /proc/net/ip_vs_conn_sync: the same with the origin, without the persistence engine. */
export function procSyncedConnections(connections: Iterable<ConnectionStatus>): string {
  let text = SYNCED_HEADING;
  for (const connection of connections) text += procSyncedConnection(connection);
  return text;
}

export const SYNCED_HEADING = 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n';

export function procSyncedConnection(connection: ConnectionStatus): string {
  const { state, origin } = connection;
  return `${endsText(connection)} ${state.padEnd(11)} ${origin.padEnd(6)} ${secondsText(connection)}\n`;
}

function endsText({ protocol, client, virtual, destination }: ConnectionStatus): string {
  const ends = [client, virtual, destination].map(({ address, port }) => `${hexAddress(address)} ${hexPort(port)}`);
  return `${protocol.padEnd(3)} ${ends.join(' ')}`;
}

/** The kernel makes seconds of milliseconds, of which it has 32 bits. */
function secondsText({ expiresSeconds }: ConnectionStatus): string {
  return String(Math.floor(((expiresSeconds * 1000) % 2 ** 32) / 1000)).padStart(7);
}

/** /proc/net/ip_vs_stats: totals and rates, as of the estimator's last tick. */
export function procStatistics(statistics: Statistics, rates: Rates): string {
  return (
    '   Total Incoming Outgoing         Incoming         Outgoing\n' +
    '   Conns  Packets  Packets            Bytes            Bytes\n' +
    `${numbers(totalsOf(statistics))}\n` +
    '\n' +
    ' Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n' +
    `${numbers(ratesOf(rates))}\n`
  );
}

/** /proc/net/ip_vs_stats_percpu: what each processor counted, live and never zeroed; behind `~` the totals as above. */
export function procPerCpu(processors: Iterable<ProcessorStatistics>, statistics: Statistics, rates: Rates): string {
  let text =
    '       Total Incoming Outgoing         Incoming         Outgoing\n' +
    'CPU    Conns  Packets  Packets            Bytes            Bytes\n';
  for (const { processor, counted } of processors) {
    text += `${hex(processor).padStart(3)} ${numbers(totalsOf(counted))}\n`;
  }
  return (
    `${text}  ~ ${numbers(totalsOf(statistics))}\n` +
    '\n' +
    '     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n' +
    `    ${numbers(ratesOf(rates))}\n`
  );
}

/** /proc/net/ip_vs_app: payload helpers and how many connections each is bound to. */
export function procHelpers(helpers: Iterable<HelperStatus>): string {
  let text = 'prot port    usecnt name\n';
  for (const { protocol, port, connections, name } of helpers) {
    text += `${protocol.toUpperCase().padEnd(3)}  ${String(port).padEnd(7)} ${String(connections).padEnd(6)} ${name.padEnd(17)}\n`;
  }
  return text;
}

function totalsOf(statistics: Statistics): number[] {
  const { connections, inPackets, outPackets, inBytes, outBytes } = statistics;
  return [connections, inPackets, outPackets, inBytes, outBytes];
}

function ratesOf(rates: Rates): number[] {
  const { connectionsPerSecond, inPacketsPerSecond, outPacketsPerSecond, inBytesPerSecond, outBytesPerSecond } = rates;
  return [connectionsPerSecond, inPacketsPerSecond, outPacketsPerSecond, inBytesPerSecond, outBytesPerSecond];
}

/** Three columns of eight digits and two of sixteen. */
function numbers(values: readonly number[]): string {
  return values.map((value, index) => hex(value).padStart(index < 3 ? 8 : 16)).join(' ');
}

function hex(value: number): string {
  return value.toString(16).toUpperCase();
}

function hexPort(port: number): string {
  return hex(port).padStart(4, '0');
}

function bracketed(address: string): string {
  return familyOfAddress(address) === 'ipv6' ? `[${hexAddress(address)}]` : hexAddress(address);
}

/** IPv4: eight upper-case digits; IPv6: eight full groups in lower case. */
export function hexAddress(text: string): string {
  const address = parseAddress(text);
  if (address === null) return text;
  if (address.family === 'ipv4') return hex((address.words[3] as number) >>> 0).padStart(8, '0');
  return [...address.words]
    .map((word) => (word >>> 0).toString(16).padStart(8, '0'))
    .map((digits) => `${digits.slice(0, 4)}:${digits.slice(4)}`)
    .join(':');
}
