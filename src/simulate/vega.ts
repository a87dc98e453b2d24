/** Vega, which draws pictures without a browser; loaded when the first one is asked for. */
import type { TopLevelSpec } from 'vega-lite';
import { IpvsError } from '../model/errors.ts';

export type { TopLevelSpec } from 'vega-lite';

/** SVG text. EOPNOTSUPP when the packages are not installed. */
export async function drawSvg(specification: TopLevelSpec): Promise<string> {
  const { compile, parse, View } = await loadVega();
  const view = new View(parse(compile(specification).spec), { renderer: 'none' });
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
