/** `uipvs stats`: counters and rates, of the whole table and of each service and destination. */
import { walkServices } from '../control/pages.ts';
import { formatEndpoint, formatServiceKey, type ServiceStatus } from '../model/service.ts';
import type { Rates, Statistics } from '../model/statistics.ts';
import { type Cli, type ConnectedDaemon, withDaemon } from './cli.ts';
import type { Word } from './command-line.ts';
import { printText } from './print-list.ts';
import { draw, WATCH_OPTION } from './watch.ts';

interface Counted {
  readonly statistics: Statistics;
  readonly rates: Rates;
}

export function statsWord(cli: Cli): Word {
  return {
    name: 'stats',
    summary: 'show counters and rates of the whole table and of each service',
    options: [{ flags: '--json', description: 'print JSON, one service a line' }, WATCH_OPTION],
    notes: `Keys of --json:
  totals        statistics and rates of the whole table; deleted services are in it
  services      of each service: key ({ protocol, address, port } or { mark, family }), statistics, rates,
                destinations (address, port, statistics, rates)
  statistics    connections, inPackets, outPackets, inBytes, outBytes
  rates         connectionsPerSecond, inPacketsPerSecond, outPacketsPerSecond, inBytesPerSecond,
                outBytesPerSecond: averages that follow within some seconds

\`uipvs ipvsadm -Z\` sets the counters to zero.`,
    run: ({ json, watch }) =>
      withDaemon(cli, (daemon) =>
        draw(cli, watch === true, (canvas) =>
          printText(canvas, json === true ? asJson(daemon, watch === true ? '' : '\n') : asTable(daemon)),
        ),
      ),
  };
}

async function* asJson(daemon: ConnectedDaemon, lineEnd: string): AsyncGenerator<string> {
  const totals = await daemon.execute<'getTotals'>({ name: 'getTotals' });
  yield `{${lineEnd}"totals":${JSON.stringify(pick(totals))},${lineEnd}"services":[`;
  let separator = '';
  for await (const service of walkServices(daemon)) {
    yield `${separator}${lineEnd}${JSON.stringify(report(service))}`;
    separator = ',';
  }
  yield `${lineEnd}]}\n`;
}

function report(service: ServiceStatus): unknown {
  return {
    key: service.spec.key,
    ...pick(service),
    destinations: service.destinations.map((destination) => ({
      address: destination.spec.address,
      port: destination.spec.port,
      ...pick(destination),
    })),
  };
}

function pick({ statistics, rates }: Counted): Counted {
  return { statistics, rates };
}

async function* asTable(daemon: ConnectedDaemon): AsyncGenerator<string> {
  yield row('', ['CONNECTIONS', 'IN PKTS', 'OUT PKTS', 'IN BYTES', 'OUT BYTES'], ['CONN/S', 'IN B/S', 'OUT B/S']);
  yield countedRow('total', await daemon.execute<'getTotals'>({ name: 'getTotals' }));
  for await (const service of walkServices(daemon)) {
    yield countedRow(formatServiceKey(service.spec.key), service);
    for (const destination of service.destinations) {
      const { address, port } = destination.spec;
      yield countedRow(`  -> ${formatEndpoint(address, port)}`, destination);
    }
  }
}

function countedRow(name: string, { statistics, rates }: Counted): string {
  const { connections, inPackets, outPackets, inBytes, outBytes } = statistics;
  const { connectionsPerSecond, inBytesPerSecond, outBytesPerSecond } = rates;
  return row(
    name,
    [connections, inPackets, outPackets, inBytes, outBytes],
    [connectionsPerSecond, inBytesPerSecond, outBytesPerSecond],
  );
}

function row(name: string, totals: readonly (string | number)[], rates: readonly (string | number)[]): string {
  const columns = [
    ...totals.map((value) => String(value).padStart(12)),
    ...rates.map((value) => String(value).padStart(10)),
  ];
  return `${name.padEnd(28)} ${columns.join(' ')}\n`;
}
