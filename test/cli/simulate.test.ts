import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runSimulate } from '../../src/cli/simulate.ts';

async function run(...words: string[]) {
  let stdout = '';
  let stderr = '';
  const code = await runSimulate(words, {
    isTty: false,
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
  });
  return { code, stdout, stderr };
}

const SHORT = ['--seconds', '5', '--rate', '100'];

test('compares schedulers, one table each and one for all', async () => {
  const { code, stdout, stderr } = await run(...SHORT, '--scheduler', 'rr,twos', '--at', '2s rs2 down');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^rr: \d+ requests, 0 found no server\n {2}server {2}weight/);
  expect(stdout).toMatch(/at 2 s: rs2 down: \d+ of \d+ clients of the other servers moved/);
  expect(stdout).toMatch(/\n {2}scheduler {2}imbalance .*\n {2}rr .*\n {2}twos /);
  expect(stdout).toMatch(/All servers together are 8% busy\.\n$/);
});

test('prints JSON, CSV and a picture', async () => {
  const json = JSON.parse((await run(...SHORT, '--scheduler', 'wlc', '--json')).stdout);
  expect(json.results[0]).toMatchObject({ scheduler: 'wlc', refused: 0 });
  const csv = (await run(...SHORT, '--scheduler', 'wlc,sh', '--csv')).stdout.trimEnd().split('\n');
  expect(csv).toHaveLength(1 + 2 * 3);
  expect(new Set(csv.map((line) => line.split(',').length))).toEqual(new Set([12]));
  const folder = mkdtempSync(join(tmpdir(), 'uipvs-simulate-'));
  try {
    expect((await run(...SHORT, '--scheduler', 'rr', '--svg', join(folder, 'a.svg'))).code).toBe(0);
    expect(readFileSync(join(folder, 'a.svg'), 'utf8')).toMatch(/^<svg .*<\/svg>$/s);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.each([
  [['--scheduler', 'rr,wrong'], '--scheduler: there is no scheduler "wrong"; there are rr, wrr,'],
  [['--weights', '1,,2'], '--weights: It must be whole numbers of at least 0'],
  [['--weights', '1,x'], '--weights: It must be whole numbers of at least 0'],
  [['--speeds', '1,2'], '--speeds: There are 3 weights and 2 speeds'],
  [['--arrivals', 'sometimes'], '--arrivals: It must be poisson, constant or burst:SIZE'],
  [['--service', '20ms'], '--service: It must be exponential, constant or pareto with a mean'],
  [['--at', 'rs2 down'], '--at: It must be a time, a server and what happens'],
  [['--at', '1s rs9 down'], '--at: There is no rs9; there are rs1 to rs3.'],
  [['--at', '1s rs1 up'], '--at: rs1 is up already at 1s.'],
  [['--rate', '-1'], '--rate: It must be a number'],
  [['--sched-flags', 'magic'], '--sched-flags: there are fallback and port'],
  [['--seed', 'x'], 'It must be a whole number'],
])('%j is a mistake that says what is right', async (words, sentence) => {
  const { code, stdout, stderr } = await run(...SHORT, ...words);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(sentence);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
});
