/**
 * Reads back from recorded listings and /proc files what traffic had made of a table: counters, rates, loads and
 * connections. Only numbers written in full are taken, so scaled ones have to come out right by themselves.
 */
import { sortDestinations, sortServices } from '../../src/ipvsadm/sort.ts';
import type { ConnectionStatus, Endpoint } from '../../src/model/connection-status.ts';
import type { Rates, Statistics } from '../../src/model/statistics.ts';
import type { TestDestination, TestService, TestTable } from './table.ts';

export function toStatistics([connections, inPackets, outPackets, inBytes, outBytes]: number[]): Statistics {
  return {
    connections: connections ?? 0,
    inPackets: inPackets ?? 0,
    outPackets: outPackets ?? 0,
    inBytes: inBytes ?? 0,
    outBytes: outBytes ?? 0,
  };
}

export function toRates([connections, inPackets, outPackets, inBytes, outBytes]: number[]): Rates {
  return {
    connectionsPerSecond: connections ?? 0,
    inPacketsPerSecond: inPackets ?? 0,
    outPacketsPerSecond: outPackets ?? 0,
    inBytesPerSecond: inBytes ?? 0,
    outBytesPerSecond: outBytes ?? 0,
  };
}

/** Takes over what a listing of the whole table says. `words` are the ones that made it. */
export function learnListing(table: TestTable, words: readonly string[], text: string): void {
  if (words.includes('-t') || words.includes('-u')) return;
  const view = ['--stats', '--rate', '--persistent-conn', '--thresholds'].find((word) => words.includes(word));
  const counted = view === '--stats' || view === '--rate';
  const rows = text.trimEnd().split('\n').slice(3);
  const known = sortServices(table.services).flatMap((service) => [
    service as TestService,
    ...(sortDestinations(service.destinations) as TestDestination[]),
  ]);
  if (rows.length !== known.length) throw new Error(`${rows.length} recorded lines for ${known.length} entries`);
  for (const [index, row] of rows.entries()) {
    const entry = known[index]!;
    if (counted) {
      const match = /((?: +\d+){5})$/.exec(row);
      if (match === null) continue;
      const values = match[1]!.trim().split(/ +/).map(Number);
      if (view === '--stats') entry.statistics = toStatistics(values);
      else entry.rates = toRates(values);
    } else if ('activeConnections' in entry) {
      const columns = row.trim().split(/ +/);
      entry.inactiveConnections = Number(columns.pop());
      entry.activeConnections = Number(columns.pop());
      if (view === '--persistent-conn') entry.persistentConnections = Number(columns.pop());
    }
  }
}

/** /proc/net/ip_vs_conn, with its heading. */
export function readConnections(text: string): ConnectionStatus[] {
  const rows = text.split('\n').filter((row) => row !== '');
  return rows.slice(1).map((row) => {
    const [protocol, from, fromPort, to, toPort, dest, destPort, state, expires, name, data] = row.split(/ +/);
    return {
      protocol: protocol!,
      client: endpoint(from, fromPort),
      virtual: endpoint(to, toPort),
      destination: endpoint(dest, destPort),
      state: state!,
      expiresSeconds: Number(expires),
      template: fromPort === '0000',
      origin: 'LOCAL' as const,
      ...(name === undefined ? {} : { engine: { name, data: data ?? '' } }),
    };
  });
}

function endpoint(hex = '', portHex = ''): Endpoint {
  const address = hex.includes(':')
    ? new URL(`http://[${hex}]/`).hostname.slice(1, -1)
    : [0, 2, 4, 6].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join('.');
  return { address, port: Number.parseInt(portHex, 16) };
}
