/** The tables `ipvsadm -L` prints, as data: headings, what a service line and a real server's line show. */
import type { DestinationStatus } from '../model/destination.ts';
import type { ForwardingMethod, TunnelChecksum } from '../model/forwarding.ts';
import { familyOfService, isMarkKey, type ServiceSpec, type ServiceStatus } from '../model/service.ts';
import type { Rates, Statistics } from '../model/statistics.ts';
import { formatCounter, formatPlain } from './number-format.ts';
import type { ListView } from './request.ts';
import { formatSchedulerFlags } from './scheduler-flags.ts';

export const SERVICE_NAME_WIDTH = 33;

export interface View {
  readonly headings: readonly [string, string];
  /** A whole line. `name`: protocol and address, or the mark. */
  service(status: ServiceStatus, name: string, exact: boolean): string;
  /** What follows the name of a real server. */
  destination(status: DestinationStatus, exact: boolean): string;
}

const METHOD_NAMES: Readonly<Record<ForwardingMethod, string>> = {
  masquerade: 'Masq',
  direct: 'Route',
  tunnel: 'Tunnel',
  local: 'Local',
  bypass: 'Bypass',
};
const CHECKSUM_MARKS: Readonly<Record<TunnelChecksum, string>> = { none: '-c', full: '+c', remote: 'r+c' };

const PLAIN_HEADING = 'Prot LocalAddress:Port Scheduler Flags';
const DESTINATION_HEADING = '  -> RemoteAddress:Port';

export const VIEWS: Readonly<Record<ListView, View>> = {
  plain: {
    headings: [PLAIN_HEADING, '  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn'],
    service: settingsLine,
    destination: (status) => columns([METHOD_NAMES[status.spec.method], 7], [status.spec.weight, 6], ...loads(status)),
  },
  'tun-info': {
    headings: [PLAIN_HEADING, '  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn'],
    service: settingsLine,
    destination: (status) =>
      columns(
        [METHOD_NAMES[status.spec.method], 7],
        [tunnelText(status), 13],
        [status.spec.weight, 6],
        ...loads(status),
      ),
  },
  thresholds: {
    headings: ['Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn ', DESTINATION_HEADING],
    service: settingsLine,
    destination: (status) =>
      columns([status.spec.upperThreshold, 10], [status.spec.lowerThreshold, 10], ...loads(status)),
  },
  'persistent-conn': {
    headings: ['Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn ', DESTINATION_HEADING],
    service: settingsLine,
    destination: (status) => columns([status.spec.weight, 9], [status.persistentConnections, 11], ...loads(status)),
  },
  stats: {
    headings: ['Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes', DESTINATION_HEADING],
    service: (status, name, exact) => counterLine(name, counters(status.statistics), exact),
    destination: (status, exact) => counterLine('', counters(status.statistics), exact),
  },
  rate: {
    headings: ['Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS', DESTINATION_HEADING],
    service: (status, name, exact) => counterLine(name, rates(status.rates), exact),
    destination: (status, exact) => {
      const values = rates(status.rates);
      const unscaled = values.slice(0, 3).map(formatPlain).join('');
      return unscaled + counterLine('', values.slice(3), exact);
    },
  },
};

/** Left-aligned columns, each behind a blank; the last one is padded as well. */
function columns(...cells: readonly (readonly [value: string | number, width: number])[]): string {
  return cells.map(([value, width]) => ` ${String(value).padEnd(width)}`).join('');
}

function loads(status: DestinationStatus): [number, number][] {
  return [
    [status.activeConnections, 10],
    [status.inactiveConnections, 10],
  ];
}

function counterLine(name: string, values: readonly number[], exact: boolean): string {
  const start = name === '' ? '' : name.padEnd(SERVICE_NAME_WIDTH);
  return start + values.map((value) => (exact ? formatPlain(value) : formatCounter(value))).join('');
}

function counters(statistics: Statistics): number[] {
  const { connections, inPackets, outPackets, inBytes, outBytes } = statistics;
  return [connections, inPackets, outPackets, inBytes, outBytes];
}

function rates(values: Rates): number[] {
  return [
    values.connectionsPerSecond,
    values.inPacketsPerSecond,
    values.outPacketsPerSecond,
    values.inBytesPerSecond,
    values.outBytesPerSecond,
  ];
}

function tunnelText({ spec: { method, tunnel } }: DestinationStatus): string {
  if (method !== 'tunnel') return 'n/a';
  if (tunnel.type === 'ipip') return 'ipip';
  const checksum = CHECKSUM_MARKS[tunnel.checksum];
  return tunnel.type === 'gue' ? `gue:${tunnel.port}:${checksum}` : `gre:${checksum}`;
}

/** Scheduler and flags, each only when set. The engine is shown with persistence only. */
function settingsLine({ spec }: ServiceStatus, name: string): string {
  let line = `${name} ${spec.scheduler}`;
  if (spec.schedulerFlags.length > 0) line += ` (${formatSchedulerFlags(spec.schedulerFlags, spec.scheduler)})`;
  if (spec.persistenceTimeoutSeconds !== null) {
    line += ` persistent ${spec.persistenceTimeoutSeconds}`;
    if (!hasDefaultMask(spec)) line += ` mask ${spec.netmask}`;
    if (spec.persistenceEngine !== null) line += ` pe ${spec.persistenceEngine}`;
  }
  return spec.onePacket ? `${line} ops` : line;
}

export function hasDefaultMask(spec: ServiceSpec): boolean {
  return spec.netmask === (familyOfService(spec.key) === 'ipv6' ? '128' : '255.255.255.255');
}

/** Marks are shown as signed numbers. */
export function signedMark(spec: ServiceSpec): number {
  return isMarkKey(spec.key) ? spec.key.mark | 0 : 0;
}
