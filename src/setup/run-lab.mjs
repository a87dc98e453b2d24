/** `npm run lab -- ARGS`: sets up what is missing, then the same as `uipvs lab ARGS`. */
import { startWithNode } from './node-version.mjs';

startWithNode(() =>
  import('./set-up.mjs').then(async ({ setUpForLab, setUpForScenario }) => {
    await setUpForLab(process.argv.includes('--unprivileged') ? 'nothing of the system' : 'tools of the lab');
    const { missingPackagesFor, runLab } = await import('../../dist/lab/program.js');
    await setUpForScenario(missingPackagesFor(process.argv.slice(2)));
    process.exitCode = await runLab(process.argv.slice(2), process);
  }),
);
