/** Results as text for people and as CSV. */
import type { SimulationResult } from './result.ts';

const BAR_CELLS = 20;

/** Everything about one scheduler, server by server. */
export function formatResult(result: SimulationResult): string {
  const most = Math.max(...result.servers.map(({ share }) => share), Number.MIN_VALUE);
  const rows = result.servers.map((server) => [
    server.name,
    String(server.weight),
    String(server.requests),
    percent(server.share),
    percent(server.utilisation),
    server.queueMean.toFixed(2),
    String(server.queueMax),
    '#'.repeat(Math.round((server.share / most) * BAR_CELLS)),
  ]);
  const { mean, p50, p95, p99 } = result.responseSeconds;
  const lines = [
    `${result.scheduler}: ${result.requests} requests, ${result.refused} found no server`,
    ...columns([['server', 'weight', 'requests', 'share', 'busy', 'queue', 'longest', ''], ...rows]),
    `  response: mean ${ms(mean)}, p50 ${ms(p50)}, p95 ${ms(p95)}, p99 ${ms(p99)}; imbalance ${result.imbalance.toFixed(3)}`,
    ...result.churn.map(
      ({ change, clients, moved }) =>
        `  at ${change}: ${moved} of ${clients} clients of the other servers moved (${percent(clients === 0 ? 0 : moved / clients)})`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}

/** One line a scheduler. */
export function formatComparison(results: readonly SimulationResult[]): string {
  const rows = results.map((result) => {
    const { mean, p99 } = result.responseSeconds;
    const queueMax = Math.max(...result.servers.map((server) => server.queueMax));
    const moved = result.churn.map(({ clients, moved }) => percent(clients === 0 ? 0 : moved / clients)).join(' ');
    return [
      result.scheduler,
      result.imbalance.toFixed(3),
      ms(mean),
      ms(p99),
      String(queueMax),
      String(result.refused),
      moved,
    ];
  });
  const heading = [
    'scheduler',
    'imbalance',
    'mean',
    'p99',
    'longest queue',
    'refused',
    rows[0]?.[6] === '' ? '' : 'moved',
  ];
  return `${columns([heading, ...rows]).join('\n')}\n`;
}

/** One line for each server of each scheduler, with a heading. */
export function formatCsv(results: readonly SimulationResult[]): string {
  const heading =
    'scheduler,server,weight,requests,share,utilisation,queue_mean,queue_max,response_mean_s,response_p99_s,imbalance,refused';
  const lines = results.flatMap(({ scheduler, servers, responseSeconds, imbalance, refused }) =>
    servers.map((server) =>
      [
        scheduler,
        server.name,
        server.weight,
        server.requests,
        server.share.toFixed(6),
        server.utilisation.toFixed(6),
        server.queueMean.toFixed(6),
        server.queueMax,
        responseSeconds.mean.toFixed(6),
        responseSeconds.p99.toFixed(6),
        imbalance.toFixed(6),
        refused,
      ].join(','),
    ),
  );
  return `${[heading, ...lines].join('\n')}\n`;
}

/** Indented columns: the first to the left, numbers to the right, what is behind them to the left. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => (row[at] ?? '').length)));
  return rows.map((row) =>
    `  ${row
      .map((cell, at) =>
        at === 0 ? cell.padEnd(widths[at] ?? 0) : at === row.length - 1 ? cell : cell.padStart(widths[at] ?? 0),
      )
      .join('  ')}`.trimEnd(),
  );
}

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;

/** `12.3 ms`, `1.20 s`. */
function ms(seconds: number): string {
  return seconds < 1 ? `${(seconds * 1_000).toFixed(1)} ms` : `${seconds.toFixed(2)} s`;
}
