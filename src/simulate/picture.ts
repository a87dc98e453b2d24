/** A simulation as a picture: load over time, and who got how much. Drawn by Vega, which is loaded when asked for. */
import type { TopLevelSpec } from 'vega-lite';
import { IpvsError } from '../model/errors.ts';
import type { SimulationResult } from './result.ts';

const WIDTH = 640;

/** SVG text, readable on light and dark pages. EOPNOTSUPP when the packages are not installed. */
export async function simulationPicture(results: readonly SimulationResult[]): Promise<string> {
  const { compile, parse, View } = await loadVega();
  const view = new View(parse(compile(specification(results)).spec), { renderer: 'none' });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

async function loadVega() {
  try {
    const [{ parse, View }, { compile }] = await Promise.all([import('vega'), import('vega-lite')]);
    return { parse, View, compile };
  } catch (cause) {
    throw new IpvsError(
      'EOPNOTSUPP',
      'pictures need the packages vega and vega-lite; type `npm install vega vega-lite`',
      {
        cause,
      },
    );
  }
}

function specification(results: readonly SimulationResult[]): TopLevelSpec {
  const over = results.flatMap(({ scheduler, timeline }) =>
    timeline.map(({ seconds, fullest }) => ({ scheduler, seconds, fullest })),
  );
  const shares = results.flatMap(({ scheduler, servers }) =>
    servers.map(({ name, share }) => ({ scheduler, server: name, share })),
  );
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'transparent',
    config: { axis: GREY, legend: GREY, title: { color: '#808080' }, view: { stroke: '#80808060' }, header: GREY },
    vconcat: [
      {
        title: 'Requests at the fullest server over time',
        width: WIDTH,
        height: 220,
        data: { values: over },
        mark: { type: 'line', strokeWidth: 1.5 },
        encoding: {
          x: { field: 'seconds', type: 'quantitative', title: 'seconds' },
          y: { field: 'fullest', type: 'quantitative', title: 'requests' },
          color: { field: 'scheduler', type: 'nominal', sort: null },
        },
      },
      {
        title: 'Share of the requests by server',
        width: WIDTH,
        height: 160,
        data: { values: shares },
        mark: 'bar',
        encoding: {
          x: { field: 'server', type: 'nominal', sort: null, title: null },
          xOffset: { field: 'scheduler', sort: null },
          y: { field: 'share', type: 'quantitative', title: 'share', axis: { format: '%' } },
          color: { field: 'scheduler', type: 'nominal', sort: null },
        },
      },
    ],
  };
}

const GREY = { labelColor: '#808080', titleColor: '#808080', gridColor: '#80808030', domainColor: '#808080' };
