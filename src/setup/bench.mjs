/** Benchmarks are TypeScript too, built beside dist/ so that they run as the programs do. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, setUpForLab } from './set-up.mjs';
import { run, SetUpError, say } from './terminal.mjs';

/**
 * @param {string} name of bench/NAME.bench.ts
 * @param {readonly string[]} args for the benchmark
 */
export async function runBench(name, args) {
  if (!existsSync(join(ROOT, `bench/${name}.bench.ts`))) throw new SetUpError(`there is no bench/${name}.bench.ts`);
  await setUpForLab();
  say('building the benchmarks (tsc) ...');
  const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
  const built = await run(process.execPath, [compiler, '-p', 'tsconfig.bench.json'], { cwd: ROOT });
  if (built.code !== 0) throw new SetUpError(`the benchmarks do not compile:\n${built.output}`);
  // The programs look for their version there.
  copyFileSync(join(ROOT, 'package.json'), join(ROOT, 'dist/.bench/package.json'));
  const program = join(ROOT, `dist/.bench/bench/${name}.bench.js`);
  const { status } = spawnSync(process.execPath, ['--expose-gc', program, ...args], { cwd: ROOT, stdio: 'inherit' });
  process.exitCode = status ?? 1;
  if (!existsSync(join(ROOT, 'bench/results'))) return;
  // So that results can be kept in the repository as they are.
  const formatter = join(ROOT, 'node_modules/@biomejs/biome/bin/biome');
  await run(process.execPath, [formatter, 'format', '--write', 'bench/results'], { cwd: ROOT });
}
