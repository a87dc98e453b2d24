/**
 * `npm run test:kernel [-- [--verbose] [STEP...]]`: the tests that boot a real kernel with IPVS; all of them, or the
 * steps that are named. Ends with 1 on any failure.
 */
import { startWithNode } from './node-version.mjs';

startWithNode(async () => {
  const { setUpForLab } = await import('./set-up.mjs');
  const { runKernelTests } = await import('./guest/run.mjs');
  await setUpForLab();
  const words = process.argv.slice(2);
  const steps = words.filter((word) => !word.startsWith('-'));
  const counts = await runKernelTests({ verbose: words.includes('--verbose'), steps });
  if (counts.failed > 0) process.exitCode = 1;
});
