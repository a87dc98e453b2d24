/** Results as tables for people. */
import { formatMarkdown } from '../text-table.ts';
import { goalLine } from './goals.ts';
import { PROFILE_KINDS, type ProfileRow } from './profile.ts';
import { type BenchResults, figureOf, nftOnItsOwnCore, type PeerResult } from './results.ts';

interface Column {
  readonly figure: string;
  /** Of the measurement that makes it, for its failures. */
  readonly measurement: string;
  readonly heading: string;
  readonly digits: number;
  /** Whether a ratio to others says something. */
  readonly compared: boolean;
}

interface Subject {
  readonly title: string;
  readonly columns: readonly Column[];
}

function column(figure: string, measurement: string, heading: string, digits = 0, compared = true): Column {
  return { figure, measurement, heading, digits, compared };
}

export const SUBJECTS: readonly Subject[] = [
  {
    title: 'Requests a second',
    columns: [
      column('ab-20', 'ab-20', 'new, c=20'),
      column('ab-50', 'ab-50', 'new, c=50'),
      column('ab-k', 'ab-k', 'kept, c=20'),
    ],
  },
  {
    title: 'Bulk TCP, Gbit/s',
    columns: [column('bulk-1', 'bulk-1', 'one stream', 2), column('bulk-8', 'bulk-8', 'eight streams', 2)],
  },
  {
    title: 'Small packets, thousand a second',
    columns: [
      column('packets-1', 'packets-1', 'one way'),
      column('packets-2', 'packets-2', 'both ways'),
      column('packets-offered', 'packets-1', 'offered', 0, false),
      column('packets-card', 'packets-card', 'as from a card'),
    ],
  },
  {
    title: 'UDP echo, microseconds there and back',
    columns: [
      column('echo-p50', 'echo', 'p50'),
      column('echo-p99', 'echo', 'p99'),
      column('echo-p999', 'echo', 'p99.9'),
      column('load-p50', 'echo-load', 'half load p50'),
      column('load-p99', 'echo-load', 'p99'),
      column('load-p999', 'echo-load', 'p99.9'),
      column('load-lost', 'echo-load', 'lost %', 2, false),
    ],
  },
  {
    title: 'What it costs (processor time; "machine": everybody together, client and server too)',
    columns: [
      column('cpu-request', 'ab-20', 'µs a request'),
      column('machine-request', 'ab-20', 'machine'),
      column('cpu-gigabyte', 'bulk-1', 'ms a gigabyte'),
      column('machine-gigabyte', 'bulk-1', 'machine'),
      column('memory', 'memory', 'MiB resident', 0, false),
    ],
  },
];

export function formatReport(results: BenchResults): string {
  const { peers } = results;
  const parts = SUBJECTS.flatMap((subject) => {
    const columns = subject.columns.filter(({ figure, measurement }) =>
      peers.some((peer) => peer.figures[figure] !== undefined || peer.failures[measurement] !== undefined),
    );
    if (columns.length === 0) return [];
    const rows = peers.filter((peer) => peer.absent === null).map((peer) => rowOf(peer, columns, peers));
    return [`### ${subject.title}\n\n${formatMarkdown(['', ...columns.map(({ heading }) => heading)], rows)}`];
  });
  const own = nftOnItsOwnCore(peers);
  if (own !== null) {
    parts.push(
      `nft on a core of its own would forward about ${own.toFixed(0)} thousand packets/s: the generator alone needs ` +
        `${microseconds(figureOf(peers, 'straight', 'packets-1'))} µs a packet, generator and nft together ` +
        `${microseconds(figureOf(peers, 'nft', 'packets-1'))} µs.`,
    );
  }
  const offered = figureOf(peers, results.ours, 'packets-offered');
  if (offered !== null) {
    parts.push(
      `Packets come in for a packet socket on the processor that sends them, here the generator's: against ` +
        `${results.ours} it offered ${offered.toFixed(0)} thousand packets/s, and nobody could have forwarded more.`,
    );
  }
  if (results.profile.length > 0) parts.push(formatProfile(results.profile));
  const reasons = reasonsOf(peers);
  if (reasons.length > 0) parts.push(`### Not measured\n\n${reasons.map((reason) => `- ${reason}`).join('\n')}`);
  parts.push(`### How it was measured\n\n${results.conditions.map((condition) => `- ${condition}`).join('\n')}`);
  parts.push(`### Goals\n\n${results.goals.map((goal) => `- ${goalLine(goal)}`).join('\n')}`);
  return parts.join('\n\n');
}

function microseconds(thousandPerSecond: number | null): string {
  return (1000 / (thousandPerSecond ?? Number.NaN)).toFixed(1);
}

function rowOf(peer: PeerResult, columns: readonly Column[], peers: readonly PeerResult[]): string[] {
  return [peer.name, ...columns.map((each) => cell(peer, each, peers))];
}

/** `6402 ±8% (1.2, 1.0)`: median, spread, ratio to HAProxy and to nft. */
function cell(
  peer: PeerResult,
  { figure, measurement, digits, compared }: Column,
  peers: readonly PeerResult[],
): string {
  const summary = peer.figures[figure];
  if (summary === undefined) return peer.failures[measurement] === undefined ? '-' : 'failed';
  const spread = summary.values.length > 1 ? ` ±${Math.round(summary.spread * 100)}%` : '';
  const text = `${summary.median.toFixed(digits)}${spread}`;
  if (!compared) return summary.median.toFixed(digits);
  const ratios = ['haproxy', 'nft'].map((other) => ratioTo(figureOf(peers, other, figure), summary.median));
  return `${text} (${ratios.join(', ')})`;
}

function ratioTo(other: number | null, value: number): string {
  return other === null || other === 0 ? '-' : (value / other).toFixed(2);
}

function reasonsOf(peers: readonly PeerResult[]): string[] {
  return peers.flatMap(({ name, absent, failures }) =>
    absent !== null
      ? [`${name}: ${absent}`]
      : Object.entries(failures).map(([measurement, reason]) => `${name}, ${measurement}: ${reason}`),
  );
}

function formatProfile(rows: readonly ProfileRow[]): string {
  const found = new Set(rows.flatMap(({ shares }) => Object.keys(shares)));
  const kinds = [
    ...PROFILE_KINDS.filter((kind) => found.has(kind)),
    ...[...found].filter((kind) => !PROFILE_KINDS.includes(kind)),
  ];
  const percent = (share: number | undefined) => (share === undefined ? '-' : `${(share * 100).toFixed(0)} %`);
  const table = formatMarkdown(
    ['', ...kinds, 'of one core'],
    rows.map((row) => [
      `${row.peer}, ${row.load}`,
      ...kinds.map((kind) => percent(row.shares[kind])),
      percent(row.processors),
    ]),
  );
  return `### Where uipvs spends its processor time\n\n${table}\n\n${[...new Set(rows.map(({ source }) => source))].join(' ')}`;
}
