/** The texts of the kernel's /proc/net/ip_vs* files, for tools that read those instead of asking ipvsadm. */
import type { ConnectionStatus } from '../model/connection-status.ts';
import type { Rates, Statistics } from '../model/statistics.ts';
import { parseAddress } from '../wire/address.ts';

const CONNECTIONS_HEADING = 'Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n';

/** /proc/net/ip_vs_conn: one heading, one row a connection. */
export function procConnections(connections: Iterable<ConnectionStatus>): string {
  let text = CONNECTIONS_HEADING;
  for (const connection of connections) {
    const { client, virtual, destination } = connection;
    const engine = connection.engine === undefined ? '' : ` ${connection.engine.name} ${connection.engine.data}`;
    text += `${connection.protocol.padEnd(3)} ${hexAddress(client.address)} ${hexPort(client.port)} `;
    text += `${hexAddress(virtual.address)} ${hexPort(virtual.port)} `;
    text += `${hexAddress(destination.address)} ${hexPort(destination.port)} `;
    text += `${connection.state.padEnd(11)} ${String(connection.expiresSeconds).padStart(7)}${engine}\n`;
  }
  return text;
}

/** /proc/net/ip_vs_stats: totals and rates in upper-case hexadecimal. */
export function procStatistics(statistics: Statistics, rates: Rates): string {
  const row = (values: readonly number[]): string =>
    ` ${values.map((value, i) => hex(value).padStart(i === 0 ? 7 : i < 3 ? 8 : 16)).join(' ')}\n`;
  return (
    '   Total Incoming Outgoing         Incoming         Outgoing\n' +
    '   Conns  Packets  Packets            Bytes            Bytes\n' +
    row([
      statistics.connections,
      statistics.inPackets,
      statistics.outPackets,
      statistics.inBytes,
      statistics.outBytes,
    ]) +
    '\n' +
    ' Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n' +
    row([
      rates.connectionsPerSecond,
      rates.inPacketsPerSecond,
      rates.outPacketsPerSecond,
      rates.inBytesPerSecond,
      rates.outBytesPerSecond,
    ])
  );
}

function hex(value: number): string {
  return value.toString(16).toUpperCase();
}

function hexPort(port: number): string {
  return hex(port).padStart(4, '0');
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
