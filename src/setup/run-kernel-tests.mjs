/** `npm run test:kernel [-- --verbose]`: the tests that boot a real kernel with IPVS. Ends with 1 on any failure. */
import { startWithNode } from './node-version.mjs';

startWithNode(async () => {
  const { setUpForLab } = await import('./set-up.mjs');
  const { runKernelTests } = await import('./guest/run.mjs');
  await setUpForLab();
  const counts = await runKernelTests({ verbose: process.argv.includes('--verbose') });
  if (counts.failed > 0) process.exitCode = 1;
});
