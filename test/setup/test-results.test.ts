/** What the run of the tests says of itself: counts, failures by name, and who gets a second attempt. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

interface FileResult {
  passed: number;
  skipped: number;
  failures: { name: string; message: string }[];
}
interface Results {
  files: Record<string, FileResult>;
  errors: string[];
}

const { countsOf, describeFailures, secondAttempt, withSecondAttempt } = await import(
  '../../src/setup/test-results.mjs' as string
);

const good = (passed: number): FileResult => ({ passed, skipped: 0, failures: [] });
const bad = (...names: string[]): FileResult => ({
  passed: 1,
  skipped: 0,
  failures: names.map((name) => ({ name, message: 'expected 1\nto be 2' })),
});
const results = (files: Record<string, FileResult>, errors: string[] = []): Results => ({ files, errors });

describe('a second attempt', () => {
  test('is for the files that failed, where they meet the kernel and the clock', () => {
    const live = {
      'test/doctor/a.test.ts': bad('x'),
      'test/lab/b.test.ts': bad('y', 'z'),
      'test/lab/c.test.ts': good(3),
    };
    expect(secondAttempt(results(live))).toEqual(['test/doctor/a.test.ts', 'test/lab/b.test.ts']);
  });

  test.each([
    ['nothing failed', results({ 'test/lab/a.test.ts': good(3) })],
    ['pure code failed', results({ 'test/engine/a.test.ts': bad('x') })],
    [
      'pure code failed beside the rest',
      results({ 'test/engine/a.test.ts': bad('x'), 'test/lab/a.test.ts': bad('x') }),
    ],
    ['a random case failed', results({ 'test/ldirectord/a.property.test.ts': bad('x') })],
    ['an error belongs to no test', results({ 'test/lab/a.test.ts': bad('x') }, ['rejected'])],
    ['much failed', results(Object.fromEntries([1, 2, 3, 4, 5].map((at) => [`test/lab/${at}.test.ts`, bad('x')])))],
  ])('is not made when %s', (_, run) => expect(secondAttempt(run)).toEqual([]));

  test('takes the place of the first, for better or worse', () => {
    const first = results({
      'test/lab/a.test.ts': bad('x'),
      'test/lab/b.test.ts': bad('y'),
      'test/lab/c.test.ts': good(3),
    });
    const second = results({ 'test/lab/a.test.ts': good(2), 'test/lab/b.test.ts': bad('y') });
    expect(countsOf(first)).toEqual({ passed: 5, failed: 2, skipped: 0 });
    expect(countsOf(withSecondAttempt(first, second))).toEqual({ passed: 6, failed: 1, skipped: 0 });
  });
});

test('a failure is told with its file, its name and what it says', () => {
  expect(describeFailures(results({ 'test/lab/a.test.ts': bad('x > y'), 'test/lab/b.test.ts': good(1) }, ['oh']))).toBe(
    '  outside of any test\n      oh\n  test/lab/a.test.ts: x > y\n      expected 1\n      to be 2\n',
  );
  expect(describeFailures(results({}))).toBe('');
});

describe('the reporter', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'uipvs-reporter-test-'));
    mkdirSync(join(folder, 'test'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function run(files: Record<string, string>): { results: Results; stdout: string } {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, 'test', name), text);
    const vitest = resolve('node_modules/vitest/vitest.mjs');
    const { stdout } = spawnSync(
      process.execPath,
      [vitest, 'run', '--globals', '--root', folder, `--reporter=${resolve('src/setup/test-reporter.mjs')}`],
      { cwd: folder, encoding: 'utf8', env: { ...process.env, UIPVS_TEST_RESULTS: join(folder, 'results.json') } },
    );
    return { results: JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')), stdout };
  }

  test('tells files apart, and counts a test that fails, a suite that cannot be set up and a file that cannot be loaded', () => {
    const { results, stdout } = run({
      'mixed.test.js': `
        test('passes', () => {});
        test('fails', () => { throw new Error('for this reason'); });
        test('differs', () => expect(['a', 'b']).toEqual(['a', 'c']));
        test('is left out', ({ skip }) => skip('no such machine'));`,
      'suite.test.js': `
        describe('no ground', () => {
          beforeAll(() => { throw new Error('nothing to stand on'); });
          test('never runs', () => {});
        });`,
      'broken.test.js': 'this is no program',
      'good.test.js': `test('passes', () => {});`,
    });
    expect(results.files['test/mixed.test.js']).toEqual({
      passed: 1,
      skipped: 1,
      failures: [
        { name: 'fails', message: 'for this reason' },
        { name: 'differs', message: expect.stringMatching(/^-\s+"c",\n\+\s+"b",$/m) },
      ],
    });
    expect(results.files['test/suite.test.js']).toMatchObject({
      passed: 0,
      failures: [{ name: 'no ground', message: 'nothing to stand on' }],
    });
    expect(results.files['test/broken.test.js']).toMatchObject({ passed: 0, failures: [{ name: 'the file itself' }] });
    expect(results.files['test/good.test.js']).toEqual({ passed: 1, skipped: 0, failures: [] });
    expect(results.errors).toEqual([]);
    expect(stdout).toContain('Skipped: no such machine\n  test/mixed.test.js: is left out\n');
  });

  test('knows errors that belong to no test', () => {
    const { results } = run({
      'late.test.js': `test('passes', async () => { void Promise.reject(new Error('too late')); });`,
    });
    expect(results.errors.join()).toContain('too late');
  });
});
