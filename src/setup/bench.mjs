/** Benchmarks are TypeScript too, built beside dist/ so that they run as the programs do. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, setUpForLab } from './set-up.mjs';
import { BENCH_TOOLS, installLine, installWithoutServices, missingPackages } from './system-tools.mjs';
import { run, SetUpError, say } from './terminal.mjs';

/**
 * @param {string} name of bench/NAME.bench.ts
 * @param {readonly string[]} args for the benchmark
 */
export async function runBench(name, args) {
  if (!existsSync(join(ROOT, `bench/${name}.bench.ts`))) throw new SetUpError(`there is no bench/${name}.bench.ts`);
  await setUpForLab();
  if (name === 'peers') await installPeers();
  say('building the benchmarks (tsc) ...');
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  const built = await run(process.execPath, [compiler, '-p', 'tsconfig.bench.json'], { cwd: ROOT });
  if (built.code !== 0) throw new SetUpError(`the benchmarks do not compile:\n${built.output}`);
  // The programs look for their version there.
  copyFileSync(join(ROOT, 'package.json'), join(ROOT, 'dist/.bench/package.json'));
  // Ctrl-C reaches the benchmark too, which cleans up; this program waits for it.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
  const program = join(ROOT, `dist/.bench/bench/${name}.bench.js`);
  const { status } = spawnSync(process.execPath, ['--expose-gc', program, ...args], { cwd: ROOT, stdio: 'inherit' });
  process.exitCode = status ?? 1;
  if (!existsSync(join(ROOT, 'bench/results'))) return;
  // So that results can be kept in the repository as they are.
  const formatter = join(ROOT, 'node_modules/@biomejs/biome/bin/biome');
  await run(process.execPath, [formatter, 'format', '--write', 'bench/results'], { cwd: ROOT });
}

/** A peer that cannot be had is a row without figures. */
async function installPeers() {
  const missing = missingPackages(BENCH_TOOLS);
  if (missing.length === 0) return;
  const failure = await installWithoutServices(missing);
  if (failure !== null) say(`some peers are missing: ${failure}\n${installLine(missing)}`);
}
