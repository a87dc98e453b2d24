/** `uipvs status`: is it running, and what has it done? */
import type { DaemonStatus } from '../control/api.ts';
import { walkServices } from '../control/pages.ts';
import type { EngineCounters, FastPathCounters, ShardStatus } from '../model/commands.ts';
import { IpvsError } from '../model/errors.ts';
import type { SourceNatReport } from '../model/source-nat-rule.ts';
import type { Rates, Statistics } from '../model/statistics.ts';
import { type Cli, type ConnectedDaemon, toJson, withDaemon } from './cli.ts';
import type { Word } from './command-line.ts';
import { draw, WATCH_OPTION } from './watch.ts';

interface Report extends DaemonStatus {
  readonly services: number;
  readonly destinations: number;
  readonly totals: { readonly statistics: Statistics; readonly rates: Rates };
  /** `null`: this data plane does not know such rules. */
  readonly sourceNat: SourceNatReport | null;
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
  sourceNat     inForce (conntrack is on), and rules: MASQUERADE and SNAT rules of the host's POSTROUTING chains, each
                with origin, text, hits (connections translated by it), concerned (it could match a destination), and
                problem: null, or what of it is not understood; or null
  counters      frames by verdict, drops and passes by reason, connections, connectionsMax; with a
                fast path fastPath: connections, packets, bytes; with uipvsd --shards also
                shards: shard, connections, frames (own, shared, foreign), steering, replaced; or null`,
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
  return { ...status, services, destinations, totals, sourceNat: await sourceNatOf(daemon) };
}

async function sourceNatOf(daemon: ConnectedDaemon): Promise<SourceNatReport | null> {
  try {
    return await daemon.execute<'listSourceNatRules'>({ name: 'listSourceNatRules' });
  } catch (error) {
    // A data plane without them, or a daemon of an older version.
    if (error instanceof IpvsError && (error.code === 'EOPNOTSUPP' || error.code === 'EINVAL')) return null;
    throw error;
  }
}

function formatReport(report: Report): string {
  const { daemon, counters, totals } = report;
  const { statistics, rates } = totals;
  const lines: [string, string][] = [
    ['daemon', `uipvsd ${daemon.version}, pid ${daemon.pid}, running for ${formatDuration(daemon.uptimeSeconds)}`],
    ['namespace', `${daemon.namespace}`],
    ['socket', daemon.socket],
    ['data plane', report.capabilities.name],
    ...Object.entries(daemon.settings)
      .filter(([name, value]) => name !== 'fastPath' || value !== 'on')
      .map(([name, value]): [string, string] => [name, formatSetting(value)]),
    ['services', `${report.services}, destinations ${report.destinations}`],
    ['connections', counters === null ? 'not counted' : connectionsText(counters)],
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
  if (counters?.fastPath !== undefined) lines.push(['fast path', fastPathText(counters.fastPath)]);
  if (counters?.shards !== undefined) lines.push(...shardLines(counters.shards));
  if (report.sourceNat !== null) lines.push(...sourceNatLines(report.sourceNat));
  return lines.map(([name, value]) => `${name.padEnd(15)} ${value}\n`).join('');
}

function connectionsText({ connections, connectionsMax }: EngineCounters): string {
  return connectionsMax === 0 ? String(connections) : `${connections} of ${connectionsMax} at most`;
}

function fastPathText({ connections, packets, bytes }: FastPathCounters): string {
  const carried = connections === 1 ? '1 connection' : `${connections} connections`;
  return `${carried} now; so far ${packets} packets, ${bytes} bytes in the kernel`;
}

function shardLines(shards: readonly ShardStatus[]): [string, string][] {
  return shards.map(({ shard, connections, own, shared, foreign, steering, replaced }) => {
    const lost =
      replaced === 0 ? '' : `; replaced ${replaced === 1 ? 'once' : `${replaced} times`}, its connections were lost`;
    const whole = steering === 'kernel' ? '' : '; it reads every frame: the kernel does not choose for it';
    const frames = `frames: own ${own}, for all shards ${shared}, of other shards ${foreign}`;
    return [`shard ${shard}`, `${connections} connections; ${frames}${whole}${lost}`];
  });
}

/** A line for each rule that has a say, and one for what would make it have one. */
function sourceNatLines({ inForce, rules }: SourceNatReport): [string, string][] {
  const broken = rules.filter(({ problem }) => problem !== null);
  const understood = rules.filter(({ problem }) => problem === null);
  const lines: string[] = [];
  if (inForce) {
    for (const { origin, text, hits } of understood) {
      lines.push(`${hits} ${hits === 1 ? 'connection' : 'connections'} by ${origin}: ${text}`);
    }
    if (understood.length === 0) lines.push('no MASQUERADE or SNAT rule of the host');
    for (const { origin, text, problem } of broken) {
      lines.push(`not followed, not understood: ${problem}; ${origin}: ${text}`);
    }
  } else {
    const concerned = understood.filter((rule) => rule.concerned);
    for (const { origin, text } of concerned) lines.push(`not in force: ${origin}: ${text}`);
    if (concerned.length > 0) {
      lines.push('such rules apply with conntrack=1: type `uipvs sysctl -w net.ipv4.vs.conntrack=1`');
    } else return [];
  }
  return lines.map((line, index) => [index === 0 ? 'source NAT' : '', line]);
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
