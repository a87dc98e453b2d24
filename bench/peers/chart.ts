/** Pictures of the results: bars side by side, readable on light and dark pages. */
import { drawSvg, type TopLevelSpec } from '../../src/simulate/vega.ts';
import { PROFILE_KINDS, type ProfileRow } from './profile.ts';
import type { PeerResult } from './results.ts';

/** Colours by group: ours stands out. All are told apart on white and on black. */
const COLOURS: Readonly<Record<PeerResult['group'], string>> = {
  limit: '#9a9a9a',
  kernel: '#6f8fc9',
  proxy: '#c9a06f',
  uipvs: '#2fa36b',
};

interface Picture {
  readonly name: string;
  readonly title: string;
  /** Figures with the words for them. */
  readonly figures: Readonly<Record<string, string>>;
  readonly logarithmic: boolean;
}

const PICTURES: readonly Picture[] = [
  {
    name: 'requests',
    title: 'Requests a second (ab), more is better',
    figures: {
      'ab-20': 'new connections, 20 at once',
      'ab-50': 'new connections, 50 at once',
      'ab-k': 'kept connections',
    },
    logarithmic: false,
  },
  {
    name: 'bulk',
    title: 'Bulk TCP, Gbit/s, more is better',
    figures: { 'bulk-1': 'one stream', 'bulk-8': 'eight streams' },
    logarithmic: false,
  },
  {
    name: 'packets',
    title: 'Small packets, thousand a second, more is better',
    figures: { 'packets-1': 'one way', 'packets-2': 'both ways' },
    logarithmic: false,
  },
  {
    name: 'latency',
    title: 'UDP echo, microseconds, less is better',
    figures: { 'echo-p50': 'p50', 'echo-p99': 'p99', 'load-p50': 'p50 at half load', 'load-p99': 'p99 at half load' },
    logarithmic: true,
  },
];

/** SVG texts by their names; pictures without any figure are left out. */
export async function drawPictures(
  peers: readonly PeerResult[],
  profile: readonly ProfileRow[],
): Promise<Record<string, string>> {
  const drawn: Record<string, string> = {};
  for (const picture of PICTURES) {
    const rows = rowsOf(picture, peers);
    if (rows.length > 0) drawn[picture.name] = await toSvg(barsOf(picture, rows, peers));
  }
  if (profile.length > 0) drawn['profile'] = await toSvg(profileBars(profile));
  return drawn;
}

interface Row {
  readonly peer: string;
  readonly group: string;
  readonly what: string;
  readonly value: number;
  readonly lowest: number;
  readonly highest: number;
}

function rowsOf({ figures }: Picture, peers: readonly PeerResult[]): Row[] {
  return peers.flatMap(({ name, group, figures: found }) =>
    Object.entries(figures).flatMap(([figure, what]) => {
      const summary = found[figure];
      if (summary === undefined) return [];
      return [{ peer: name, group, what, value: summary.median, lowest: summary.lowest, highest: summary.highest }];
    }),
  );
}

const WIDTH = 230;

function barsOf(
  { title, figures, logarithmic }: Picture,
  rows: readonly Row[],
  peers: readonly PeerResult[],
): TopLevelSpec {
  const order = peers.map(({ name }) => name);
  const scale = logarithmic ? ({ type: 'log', nice: false } as const) : ({ zero: true } as const);
  const y = { field: 'peer', type: 'nominal', sort: order, title: null } as const;
  const x = { field: 'value', type: 'quantitative', title: null, scale } as const;
  return {
    title,
    data: { values: [...rows] },
    facet: { field: 'what', type: 'nominal', title: null, sort: Object.values(figures) },
    columns: 2,
    spec: {
      width: WIDTH,
      height: { step: 20 },
      layer: [
        {
          // A bar on a logarithmic scale has no beginning: a point says all that can be said.
          mark: logarithmic ? { type: 'point', filled: true, size: 70 } : { type: 'bar' },
          encoding: {
            y,
            x,
            color: {
              field: 'group',
              type: 'nominal',
              title: null,
              scale: { domain: Object.keys(COLOURS), range: Object.values(COLOURS) },
            },
          },
        },
        {
          mark: { type: 'rule', strokeWidth: 1.5 },
          encoding: { y, x: { ...x, field: 'highest' }, x2: { field: 'lowest' } },
        },
        // The end of a rule does not stretch the scale, a tick does.
        { mark: { type: 'tick', color: INK, size: 6 }, encoding: { y, x: { ...x, field: 'lowest' } } },
      ],
    },
    resolve: { scale: { x: 'independent' } },
    config: CONFIG,
  };
}

function profileBars(profile: readonly ProfileRow[]): TopLevelSpec {
  const values = profile.flatMap(({ peer, load, shares }) =>
    Object.entries(shares).map(([part, share]) => ({
      row: `${peer}, ${load}`,
      part,
      share,
      order: PROFILE_KINDS.indexOf(part),
    })),
  );
  return {
    title: 'Where uipvs spends its processor time',
    width: 2 * WIDTH,
    height: { step: 26 },
    data: { values },
    mark: 'bar',
    encoding: {
      y: { field: 'row', type: 'nominal', sort: null, title: null },
      x: { field: 'share', type: 'quantitative', title: null, axis: { format: '.0%' } },
      color: {
        field: 'part',
        type: 'nominal',
        title: null,
        sort: [...PROFILE_KINDS],
        scale: { scheme: 'tableau10' },
        legend: { columns: 4 },
      },
      order: { field: 'order' },
    },
    config: CONFIG,
  };
}

const INK = '#444444';
const CONFIG: NonNullable<TopLevelSpec['config']> = {
  font: 'sans-serif',
  background: 'transparent',
  view: { stroke: null },
  axis: {
    labelColor: INK,
    tickColor: INK,
    domainColor: INK,
    gridColor: '#88888855',
    labelFontSize: 12,
    labelLimit: 260,
  },
  header: { labelColor: INK, labelFontSize: 12 },
  legend: { labelColor: INK, labelFontSize: 12, orient: 'bottom' },
  title: { color: INK, fontSize: 14, anchor: 'start' },
  rule: { color: INK },
};

/** What is drawn in ink is light on dark pages. */
const FOR_DARK_PAGES = `<style>@media (prefers-color-scheme: dark) {
  [fill="${INK}"] { fill: #d8d8d8; } [stroke="${INK}"] { stroke: #d8d8d8; }
}</style>`;

async function toSvg(spec: TopLevelSpec): Promise<string> {
  const svg = await drawSvg(spec);
  return `${svg.replace(/^(<svg[^>]*>)/, `$1${FOR_DARK_PAGES}`)}\n`;
}
