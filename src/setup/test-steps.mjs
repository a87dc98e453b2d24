/** The steps of `npm test`, in order, and their sum. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from './build.mjs';
import { runKernelTests } from './guest/run.mjs';
import { ROOT, setUpForTests } from './set-up.mjs';
import { searchPath } from './terminal.mjs';
import { countsOf, describeFailures, failedFiles, secondAttempt, withSecondAttempt } from './test-results.mjs';

/** @typedef {import('./test-results.mjs').Counts} Counts */
/** @typedef {import('./test-results.mjs').TestResults} TestResults */

/** @param {readonly string[]} filters handed to vitest: parts of file names. */
export async function runTestSteps(filters) {
  /** @type {Counts} */
  const counts = { passed: 0, failed: 0, skipped: 0 };
  // Said again at the end, where somebody looks who sees only the last lines of a long run.
  let remarks = '';
  try {
    await setUpForTests();
    if (await step('build', () => build(ROOT), counts)) {
      await step('lint', () => tool(['@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.']), counts);
      await step('type-check', () => tool(['typescript/bin/tsc', '-p', 'tsconfig.check.json']), counts);
      remarks = await runVitest(filters, counts);
      // Whoever asks for single files of tests does not want to wait for these.
      if (filters.length === 0) add(counts, await runKernelTests());
    }
  } catch (error) {
    process.stdout.write(`${error?.name === 'SetUpError' ? error.message : (error?.stack ?? error)}\n`);
    counts.failed += 1;
  }
  if (counts.failed > 0 || counts.passed === 0) process.exitCode = 1;
  process.stdout.write(remarks);
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

/**
 * @param {readonly string[]} filters @param {Counts} counts
 * @returns {Promise<string>} what is to be said of failures, also of those that did not come again
 */
async function runVitest(filters, counts) {
  let results = await vitest(filters);
  let remarks = '';
  // Whoever asks for single files of tests looks for a failure, not for a way around it.
  const again = filters.length === 0 ? secondAttempt(results) : [];
  if (again.length > 0) {
    process.stdout.write(`\n${again.join(', ')}: failed, once more by itself ...\n`);
    const first = { files: Object.fromEntries(again.map((path) => [path, results.files[path]])), errors: [] };
    const second = await vitest([...again, '--no-file-parallelism']);
    remarks += `\nUnsteady, failed in the whole run and was run again by itself:\n${describeFailures(first)}`;
    results = withSecondAttempt(results, second);
  }
  if (failedFiles(results).length + results.errors.length > 0) remarks += `\nFailed:\n${describeFailures(results)}`;
  add(counts, countsOf(results));
  return remarks;
}

/** @param {readonly string[]} words @returns {Promise<TestResults>} */
async function vitest(words) {
  const folder = mkdtempSync(join(tmpdir(), 'uipvs-test-'));
  const resultFile = join(folder, 'results.json');
  const reporters = ['--reporter=default', `--reporter=${join(ROOT, 'src/setup/test-reporter.mjs')}`];
  try {
    const succeeded = await tool(['vitest/vitest.mjs', 'run', ...reporters, ...words], {
      UIPVS_TEST_RESULTS: resultFile,
    });
    const results = existsSync(resultFile) ? JSON.parse(readFileSync(resultFile, 'utf8')) : { files: {}, errors: [] };
    // A run that fails and names no failure is not a good one.
    if (!succeeded && countsOf(results).failed === 0)
      results.errors.push('vitest ended with a failure that it did not name');
    return results;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
