/** `npm run bench:NAME -- ARGS`: builds bench/NAME.bench.ts and runs it with ARGS. */
import { startWithNode } from './node-version.mjs';

startWithNode(() => import('./bench.mjs').then(({ runBench }) => runBench(process.argv[2], process.argv.slice(3))));
