/** The summary of a replay, for people. */
import { REASON_EXPLANATIONS } from '../engine/verdict.ts';
import { formatEndpoint, formatServiceKey, type ServiceStatus } from '../model/service.ts';
import type { ReplayReport } from './replay.ts';

const PASSED_OVER_WORDS: Readonly<Record<string, string>> = {
  'too-short': 'too short to hold a packet',
  'not-ip': 'no IP packet (captured without link headers)',
  'sent-by-us': 'sent by the host that captured',
  outbound: 'sent by the host that captured',
  'too-long': 'longer than a frame can be',
  detached: 'of an interface that is not served',
};

export function formatReplay(report: ReplayReport, elapsedSeconds: number): string {
  const { counters, services } = report;
  const unsent = [
    ...reasons('dropped', counters.drops, REASON_EXPLANATIONS),
    ...reasons('not balanced', counters.passes, REASON_EXPLANATIONS),
    ...reasons('passed over', report.passedOver, PASSED_OVER_WORDS),
  ];
  const lines: string[] = [
    `packets ${report.packets} in ${duration(report.seconds)} of capture time; sent ${report.sent}; took ${elapsedSeconds.toFixed(1)} s`,
    '',
    ...services.flatMap(serviceLines),
    ...(unsent.length === 0 ? [] : [...unsent, '']),
    `connections at the end ${counters.connections}`,
    `sha256 ${report.output.sha256}  (${report.output.bytes} bytes)`,
  ];
  return `${lines.join('\n')}\n`;
}

function serviceLines({ spec, statistics, destinations }: ServiceStatus): string[] {
  const row = (name: string, cells: readonly (string | number)[]): string =>
    `${name.padEnd(32)}${cells.map((cell) => String(cell).padStart(13)).join('')}`;
  const figures = (of: ServiceStatus['statistics']) => [
    of.connections,
    of.inPackets,
    of.outPackets,
    of.inBytes,
    of.outBytes,
  ];
  const all = statistics.connections;
  const rows = [...destinations].reverse().map((destination) => {
    const { address, port } = destination.spec;
    const { connections } = destination.statistics;
    const share = all === 0 ? '' : `  ${((100 * connections) / all).toFixed(1).padStart(5)} %`;
    return `${row(`  -> ${formatEndpoint(address, port)}`, figures(destination.statistics))}${share}`;
  });
  return [
    row(`${formatServiceKey(spec.key)} ${spec.scheduler}`, ['CONNECTIONS', 'PACKETS IN', 'OUT', 'BYTES IN', 'OUT']),
    row('  all', figures(statistics)),
    ...rows,
    '',
  ];
}

function reasons(
  title: string,
  counts: Readonly<Record<string, number>>,
  words: Readonly<Record<string, string>>,
): string[] {
  return Object.entries(counts)
    .sort(([, one], [, other]) => other - one)
    .map(([reason, count]) => `${title.padEnd(13)}${String(count).padStart(10)}  ${reason}: ${words[reason] ?? ''}`);
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds.toFixed(3)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}
