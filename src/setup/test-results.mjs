/**
 * What became of the tests, a file at a time, and the rule for a second attempt.
 *
 * Tests that meet the kernel, the clock and other programs can fail because the machine was busy with something
 * else. Such a file is run once more, by itself; a test that passes then is named as unsteady, never passed over in
 * silence. Tests of pure code get no second attempt: there, a failure that does not come again is a random case
 * that was found and would be lost.
 *
 * @typedef {{ readonly name: string, readonly message: string }} Failure
 * @typedef {{ passed: number, skipped: number, failures: Failure[] }} FileResult
 * @typedef {{ files: Record<string, FileResult>, errors: string[] }} TestResults errors: those outside of any test
 * @typedef {{ passed: number, failed: number, skipped: number }} Counts
 */

/** Folders of test/ whose tests run programs, use the network or wait for real time to pass. */
const LIVE_ROOMS = [
  'bench',
  'bin',
  'cli',
  'compare',
  'control',
  'data-plane',
  'doctor',
  'explain',
  'health',
  'lab',
  'ldirectord',
  'lessons',
  'native',
  'native-free',
  'packet-io',
  'setup',
  'trace',
];

/** More files than these fail for a reason of their own. */
const MOST_FILES = 4;

/**
 * @param {TestResults} results
 * @returns {string[]} the files that deserve a second attempt; none when it could not turn the run into a good one.
 */
export function secondAttempt(results) {
  if (results.errors.length > 0) return [];
  const failed = failedFiles(results);
  return failed.length <= MOST_FILES && failed.every(isLive) ? failed : [];
}

/** @param {TestResults} results */
export function failedFiles({ files }) {
  return Object.keys(files).filter((path) => files[path].failures.length > 0);
}

/**
 * The first run with the files of the second in their place.
 * @param {TestResults} first @param {TestResults} second
 * @returns {TestResults}
 */
export function withSecondAttempt(first, second) {
  return { files: { ...first.files, ...second.files }, errors: [...first.errors, ...second.errors] };
}

/** @param {TestResults} results @returns {Counts} */
export function countsOf({ files, errors }) {
  const counts = { passed: 0, failed: errors.length, skipped: 0 };
  for (const { passed, skipped, failures } of Object.values(files)) {
    counts.passed += passed;
    counts.failed += failures.length;
    counts.skipped += skipped;
  }
  return counts;
}

/** @param {TestResults} results @returns {string} a paragraph for each failure; empty without any. */
export function describeFailures({ files, errors }) {
  const lines = errors.map((error) => `  outside of any test\n${indented(error)}`);
  for (const [path, { failures }] of Object.entries(files)) {
    for (const { name, message } of failures) lines.push(`  ${path}: ${name}\n${indented(message)}`);
  }
  return lines.join('');
}

/** @param {string} text */
function indented(text) {
  return text.replace(/^/gm, '      ').concat('\n');
}

/** @param {string} path */
function isLive(path) {
  return LIVE_ROOMS.some((room) => path.startsWith(`test/${room}/`)) && !path.endsWith('.property.test.ts');
}
