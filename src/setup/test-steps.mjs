/** The steps of `npm test`, in order, and their sum. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from './build.mjs';
import { runKernelTests } from './guest/run.mjs';
import { ROOT, setUpForTests } from './set-up.mjs';
import { searchPath } from './terminal.mjs';

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

/** @param {readonly string[]} filters handed to vitest: parts of file names. */
export async function runTestSteps(filters) {
  /** @type {Counts} */
  const counts = { passed: 0, failed: 0, skipped: 0 };
  try {
    await setUpForTests();
    if (await step('build', () => build(ROOT), counts)) {
      await step('lint', () => tool(['@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.']), counts);
      await step('type-check', () => tool(['typescript/bin/tsc', '-p', 'tsconfig.check.json']), counts);
      await runVitest(filters, counts);
      // Whoever asks for single files of tests does not want to wait for these.
      if (filters.length === 0) add(counts, await runKernelTests());
    }
  } catch (error) {
    process.stdout.write(`${error?.name === 'SetUpError' ? error.message : (error?.stack ?? error)}\n`);
    counts.failed += 1;
  }
  if (counts.failed > 0 || counts.passed === 0) process.exitCode = 1;
  process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
}

/** @param {Counts} counts @param {Counts} more */
function add(counts, more) {
  for (const outcome of ['passed', 'failed', 'skipped']) counts[outcome] += more[outcome];
}

/** @param {string} name @param {() => Promise<boolean>} work @param {Counts} counts */
async function step(name, work, counts) {
  process.stdout.write(`${name} ...\n`);
  const succeeded = await work();
  process.stdout.write(`${name}: ${succeeded ? 'good' : 'FAILED'}\n`);
  if (!succeeded) counts.failed += 1;
  return succeeded;
}

/**
 * Runs a program of node_modules with its output shown.
 * @param {readonly string[]} words its file below node_modules, then its arguments
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<boolean>} whether it ended with 0
 */
function tool([file, ...args], env = {}) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(ROOT, 'node_modules', file), ...args], {
      cwd: ROOT,
      env: { ...process.env, PATH: searchPath(), ...env },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    child.on('error', () => resolve(false));
    child.on('close', (code) => resolve(code === 0));
  });
}

/** @param {readonly string[]} filters @param {Counts} counts */
async function runVitest(filters, counts) {
  const folder = mkdtempSync(join(tmpdir(), 'uipvs-test-'));
  const resultFile = join(folder, 'counts.json');
  const reporters = ['--reporter=default', `--reporter=${join(ROOT, 'src/setup/test-reporter.mjs')}`];
  try {
    const succeeded = await tool(['vitest/vitest.mjs', 'run', ...reporters, ...filters], {
      UIPVS_TEST_COUNTS: resultFile,
    });
    const result = JSON.parse(readFileSync(resultFile, 'utf8'));
    counts.passed += result.passed;
    counts.skipped += result.skipped;
    // A run that fails without a failed test (a file that cannot be loaded, an error outside tests) counts too.
    counts.failed += succeeded ? result.failed : Math.max(result.failed, 1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
