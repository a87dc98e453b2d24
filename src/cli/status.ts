/** `uipvs status`: is it running, and what has it done? */
import type { DaemonStatus } from '../control/api.ts';
import { walkServices } from '../control/pages.ts';
import type { Rates, Statistics } from '../model/statistics.ts';
import { type Cli, type ConnectedDaemon, toJson, withDaemon } from './cli.ts';
import type { Word } from './command-line.ts';
import { draw, WATCH_OPTION } from './watch.ts';

interface Report extends DaemonStatus {
  readonly services: number;
  readonly destinations: number;
  readonly totals: { readonly statistics: Statistics; readonly rates: Rates };
}

export function statusWord(cli: Cli): Word {
  return {
    name: 'status',
    summary: 'show the daemon of this network namespace, its table and its counters',
    options: [{ flags: '--json', description: 'print JSON' }, WATCH_OPTION],
    notes: `Keys of --json:
  daemon        version, node, pid, startedAt, uptimeSeconds, namespace, socket, settings (io, links, ...)
  capabilities  what the data plane will not refuse: families, protocols, methods, schedulers, ...
  table         version, connectionTableSize
  services      number of virtual services
  destinations  number of destinations of all services
  totals        statistics and rates of the whole table
  counters      frames by verdict, drops and passes by reason, connections, connectionsMax; or null`,
    run: ({ json, watch }) =>
      withDaemon(cli, (daemon) =>
        draw(cli, watch === true, async (canvas) => {
          const report = await gather(daemon);
          await canvas.stdout(json ? toJson(report, watch === true) : formatReport(report));
        }),
      ),
  };
}

async function gather(daemon: ConnectedDaemon): Promise<Report> {
  const status = await daemon.status();
  const totals = await daemon.execute<'getTotals'>({ name: 'getTotals' });
  let services = 0;
  let destinations = 0;
  for await (const service of walkServices(daemon)) {
    services++;
    destinations += service.destinations.length;
  }
  return { ...status, services, destinations, totals };
}

function formatReport(report: Report): string {
  const { daemon, counters, totals } = report;
  const { statistics, rates } = totals;
  const lines: [string, string][] = [
    ['daemon', `uipvsd ${daemon.version}, pid ${daemon.pid}, running for ${formatDuration(daemon.uptimeSeconds)}`],
    ['namespace', `${daemon.namespace}`],
    ['socket', daemon.socket],
    ['data plane', report.capabilities.name],
    ...Object.entries(daemon.settings).map(([name, value]): [string, string] => [name, formatSetting(value)]),
    ['services', `${report.services}, destinations ${report.destinations}`],
    [
      'connections',
      counters === null ? 'not counted' : `${counters.connections} of ${counters.connectionsMax} at most`,
    ],
    ['scheduled', `${statistics.connections} connections, ${rates.connectionsPerSecond} a second`],
    ['in', `${statistics.inPackets} packets, ${statistics.inBytes} bytes, ${rates.inBytesPerSecond} bytes a second`],
    [
      'out',
      `${statistics.outPackets} packets, ${statistics.outBytes} bytes, ${rates.outBytesPerSecond} bytes a second`,
    ],
  ];
  if (counters !== null) {
    lines.push(
      ['frames', formatCounts(counters.verdicts)],
      ['dropped', formatCounts(counters.drops)],
      ['passed on', formatCounts(counters.passes)],
    );
  }
  return lines.map(([name, value]) => `${name.padEnd(15)} ${value}\n`).join('');
}

function formatSetting(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(', ');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function formatCounts(counts: Readonly<Record<string, number>>): string {
  const seen = Object.entries(counts).filter(([, count]) => count > 0);
  return seen.length === 0 ? 'none' : seen.map(([name, count]) => `${name} ${count}`).join(', ');
}

/** `3 d 4 h`, `5 min 6 s`: the two largest units. */
export function formatDuration(seconds: number): string {
  const units: [string, number][] = [
    ['d', 86_400],
    ['h', 3_600],
    ['min', 60],
    ['s', 1],
  ];
  const first = units.findIndex(([, size]) => seconds >= size);
  if (first < 0) return '0 s';
  let left = seconds;
  return units
    .slice(first, first + 2)
    .map(([name, size]) => {
      const count = Math.floor(left / size);
      left -= count * size;
      return `${count} ${name}`;
    })
    .join(' ');
}
