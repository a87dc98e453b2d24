/**
 * `npm test [-- FILTERS]`: set-up, build, lint, type-check and every test. The last line of standard output is
 * `N passed, N failed, N skipped`; a step that fails counts as one failure. Ends with 1 on any failure, and when
 * no test ran at all.
 */
import { startWithNode } from './node-version.mjs';

startWithNode(() => import('./test-steps.mjs').then(({ runTestSteps }) => runTestSteps(process.argv.slice(2))));
