/**
 * The kernel's files below /proc/net about IPVS, read. Columns are told apart by blanks: their widths have changed
 * between kernels. What is not of the form is an IpvsError (EIO), never a wrong row.
 */
import type { HelperStatus, ProcessorStatistics } from '../../model/commands.ts';
import type { ConnectionStatus, Endpoint } from '../../model/connection-status.ts';
import { IpvsError } from '../../model/errors.ts';
import type { ServiceProtocol } from '../../model/service.ts';
import type { Rates, Statistics } from '../../model/statistics.ts';
import { formatAddress, formatIpv4, parseAddress } from '../../wire/address.ts';

/** States of templates, which have no other. */
const TEMPLATE_STATES = ['NONE', 'ASSURED'];

/** One row of ip_vs_conn. */
export function readConnection(line: string): ConnectionStatus {
  const words = line.trim().split(/ +/);
  const [protocol, client, clientPort, virtual, virtualPort, destination, destinationPort, state, expires] = words;
  if (expires === undefined || !/^\d+$/.test(expires)) throw malformed('ip_vs_conn', line);
  const engine = words.slice(9);
  const ends = {
    client: readEndpoint(client, clientPort, line),
    virtual: readEndpoint(virtual, virtualPort, line),
    destination: readEndpoint(destination, destinationPort, line),
  };
  return {
    protocol: protocol as string,
    ...ends,
    state: state as string,
    expiresSeconds: Number(expires),
    // Both have no client port, but the data connections of FTP have a state of their own.
    template: ends.client.port === 0 && TEMPLATE_STATES.includes(state as string),
    origin: 'LOCAL',
    ...(engine.length === 0 ? {} : { engine: { name: engine[0] as string, data: engine.slice(1).join(' ') } }),
  };
}

/** The rows of ip_vs_conn_sync that came by synchronisation, each as `connectionIdentity` names it. */
export function readSyncedIdentities(text: string): Set<string> {
  const found = new Set<string>();
  for (const line of rowsOf(text)) {
    const words = line.trim().split(/ +/);
    if (words.length < 10) throw malformed('ip_vs_conn_sync', line);
    if (words[8] === 'SYNC') found.add(words.slice(0, 7).join(' '));
  }
  return found;
}

/** The columns of a row that say which connection it is. */
export function connectionIdentity(line: string): string {
  return line.trim().split(/ +/, 7).join(' ');
}

/** The lines behind the heading. */
export function rowsOf(text: string): string[] {
  return text
    .split('\n')
    .slice(1)
    .filter((line) => line !== '');
}

/** The whole of ip_vs_stats. */
export function readTotals(text: string): { readonly statistics: Statistics; readonly rates: Rates } {
  const rows = text.split('\n').filter((line) => /^[\s0-9A-F]+$/.test(line) && line.trim() !== '');
  if (rows.length !== 2) throw malformed('ip_vs_stats', text.slice(0, 200));
  const [counted, rated] = rows.map((row) => readNumbers(row, 'ip_vs_stats')) as [number[], number[]];
  return { statistics: statisticsOf(counted), rates: ratesOf(rated) };
}

/** The whole of ip_vs_stats_percpu, without its last lines, which are the totals. */
export function readPerCpu(text: string): readonly ProcessorStatistics[] {
  const processors: ProcessorStatistics[] = [];
  for (const line of text.split('\n').slice(2)) {
    if (line.trimStart().startsWith('~')) return processors;
    const [processor, ...numbers] = readNumbers(line, 'ip_vs_stats_percpu');
    processors.push({ processor: processor as number, counted: statisticsOf(numbers) });
  }
  throw malformed('ip_vs_stats_percpu', text.slice(0, 200));
}

/** The whole of ip_vs_app. */
export function readHelpers(text: string): readonly HelperStatus[] {
  return rowsOf(text).map((line) => {
    const [protocol, port, connections, name] = line.trim().split(/ +/);
    if (name === undefined || !/^\d+$/.test(`${port}${connections}`)) throw malformed('ip_vs_app', line);
    return {
      name,
      protocol: (protocol as string).toLowerCase() as ServiceProtocol,
      port: Number(port),
      connections: Number(connections),
    };
  });
}

/** IPv4 as eight digits, IPv6 as eight groups; ports in hexadecimal. */
function readEndpoint(address: string | undefined, port: string | undefined, line: string): Endpoint {
  if (address === undefined || port === undefined || !/^[0-9A-F]{4}$/.test(port)) throw malformed('ip_vs_conn', line);
  const number = Number.parseInt(port, 16);
  if (/^[0-9A-F]{8}$/.test(address)) return { address: formatIpv4(Number.parseInt(address, 16) | 0), port: number };
  const words = address.includes(':') ? parseAddress(address) : null;
  if (words === null) throw malformed('ip_vs_conn', line);
  return { address: formatAddress('ipv6', words.words), port: number };
}

function readNumbers(line: string, file: string): number[] {
  const words = line.trim().split(/ +/);
  if (words.length < 5 || words.some((word) => !/^[0-9A-F]+$/.test(word))) throw malformed(file, line);
  return words.map((word) => Number.parseInt(word, 16));
}

function statisticsOf([connections, inPackets, outPackets, inBytes, outBytes]: readonly number[]): Statistics {
  return { connections, inPackets, outPackets, inBytes, outBytes } as Statistics;
}

function ratesOf(numbers: readonly number[]): Rates {
  const [connectionsPerSecond, inPacketsPerSecond, outPacketsPerSecond, inBytesPerSecond, outBytesPerSecond] = numbers;
  return {
    connectionsPerSecond,
    inPacketsPerSecond,
    outPacketsPerSecond,
    inBytesPerSecond,
    outBytesPerSecond,
  } as Rates;
}

function malformed(file: string, line: string): IpvsError {
  return new IpvsError('EIO', `/proc/net/${file} cannot be read: ${JSON.stringify(line)}`);
}
