/** `npm run build`: builds, whether or not anything changed. */
import { startWithNode } from './node-version.mjs';

startWithNode(() =>
  import('./build.mjs').then(async ({ build }) => {
    if (!(await build(process.cwd()))) process.exitCode = 1;
  }),
);
