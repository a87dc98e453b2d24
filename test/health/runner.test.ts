import { expect, test } from 'vitest';
import type { Checker, CheckResult, CheckTarget } from '../../src/health/checker.ts';
import { combine } from '../../src/health/checkers/combined.ts';
import { type Check, CheckRunner } from '../../src/health/runner.ts';
import { VirtualClock } from './virtual-clock.ts';

const target = (address: string, timeoutMs = 1_000): CheckTarget => ({ address, port: 80, timeoutMs });

function world(durationMs: (target: CheckTarget) => number) {
  const clock = new VirtualClock();
  const runner = new CheckRunner({ clock, random: () => 0 });
  const begun: [number, string][] = [];
  const heard: [number, string, CheckResult][] = [];
  let running = 0;
  let runningMax = 0;
  const checker: Checker = {
    check(asked) {
      begun.push([clock.nowMs(), asked.address]);
      runningMax = Math.max(runningMax, ++running);
      return new Promise((resolve) => {
        clock.after(durationMs(asked), () => {
          running -= 1;
          resolve({ healthy: true, message: '' });
        });
      });
    },
  };
  const check = (name: string, changes: Partial<Check> = {}): Check => ({
    checker,
    target: target(name),
    intervalMs: 2_000,
    lane: 'test',
    concurrencyMax: 100,
    listener: (result) => heard.push([clock.nowMs(), name, result]),
    ...changes,
  });
  return { clock, runner, begun, heard, check, max: () => runningMax };
}

test('a check begins one interval after it began before', async () => {
  const { clock, runner, begun, check } = world(() => 300);
  runner.start([check('a')]);
  await clock.advance(6_000);
  expect(begun.map(([at]) => at)).toEqual([0, 2_000, 4_000, 6_000]);
});

test('after a slow check there is a pause of a second at most', async () => {
  const { clock, runner, begun, check } = world(() => 900);
  runner.start([check('a', { intervalMs: 1_000 }), check('b', { intervalMs: 500 })]);
  await clock.advance(3_000);
  expect(begun).toEqual([
    [0, 'a'],
    [0, 'b'],
    [1_400, 'b'],
    [1_900, 'a'],
    [2_800, 'b'],
  ]);
});

test('equal checks are made once and heard by everybody', async () => {
  const { clock, runner, begun, heard, check } = world(() => 10);
  const mine: CheckResult[] = [];
  runner.start([check('a'), check('a', { listener: (result) => mine.push(result) }), check('b')]);
  await clock.advance(1_000);
  expect(begun).toHaveLength(2);
  expect(heard.map(([, name]) => name)).toEqual(['a', 'b']);
  expect(mine).toHaveLength(1);
});

test('no more than the bound are under way, and nobody is forgotten', async () => {
  const { clock, runner, begun, check, max } = world(() => 100);
  runner.start(Array.from({ length: 10 }, (_, index) => check(`s${index}`, { concurrencyMax: 3 })));
  await clock.advance(1_000);
  expect(max()).toBe(3);
  expect(begun.map(([at]) => at)).toEqual([0, 0, 0, 100, 100, 100, 200, 200, 200, 300]);
});

test('a checker that never answers is given up after its time', async () => {
  const { clock, runner, heard, check } = world(() => 3_600_000);
  runner.start([check('a', { target: { ...target('a'), attempts: 2 } })]);
  await clock.advance(2_600);
  expect(heard).toEqual([[2_500, 'a', { healthy: false, message: 'no result after 2500 ms' }]]);
});

test('a checker that throws has failed', async () => {
  const { clock, runner, heard, check } = world(() => 0);
  runner.start([check('a', { checker: { check: () => Promise.reject(new Error('odd')) } })]);
  await clock.advance(1);
  expect(heard[0][2]).toEqual({ healthy: false, message: 'odd' });
});

test('after stop nothing is heard, nothing begins, no timer is left', async () => {
  const { clock, runner, begun, heard, check } = world(() => 300);
  runner.start([check('a')]);
  await clock.advance(100);
  runner.stop();
  await clock.advance(10_000);
  expect(begun).toHaveLength(1);
  expect(heard).toEqual([]);
  expect(clock.timerCount).toBe(0);
});

test('a new list leaves what is the same in it in its rhythm, and ends the rest', async () => {
  const { clock, runner, begun, heard, check } = world(() => 900);
  const kept: CheckResult[] = [];
  runner.start([check('a'), check('b')]);
  // However often the list is replaced: the check that is under way comes to its end.
  for (let round = 0; round < 9; round++) {
    await clock.advance(99);
    runner.start([check('a', { listener: (result) => kept.push(result) }), check('c')]);
  }
  await clock.advance(2_500 - 9 * 99);
  expect(begun).toEqual([
    [0, 'a'],
    [0, 'b'],
    [99, 'c'],
    [2_000, 'a'],
    [2_099, 'c'],
  ]);
  expect(kept).toHaveLength(1);
  expect(heard.map(([at, name]) => [at, name])).toEqual([[999, 'c']]);
  expect(runner.size).toBe(2);
});

test('a check that nobody wants at the moment is left out, and made again when somebody does', async () => {
  const { clock, runner, begun, check } = world(() => 10);
  let mine = false;
  let yours = false;
  runner.start([check('a', { wanted: () => mine }), check('a', { wanted: () => yours })]);
  await clock.advance(5_000);
  expect(begun).toEqual([]);
  yours = true;
  await clock.advance(2_000);
  expect(begun).toEqual([[6_000, 'a']]);
  mine = true;
  await clock.advance(2_000);
  expect(begun).toHaveLength(2);
});

test('a check that was stopped while it waited for its lane is never made', async () => {
  const { clock, runner, begun, check } = world(() => 500);
  const all = ['a', 'b', 'c'].map((name) => check(name, { concurrencyMax: 1 }));
  runner.start(all);
  runner.start([all[0], all[2]]);
  await clock.advance(1_200);
  expect(begun.map(([, name]) => name)).toEqual(['a', 'c']);
});

test('jitter only ever shortens an interval, the first one by up to a half so that checks are spread out', async () => {
  const clock = new VirtualClock();
  const begun: number[] = [];
  const checker: Checker = {
    check: async () => {
      begun.push(clock.nowMs());
      return { healthy: true, message: '' };
    },
  };
  new CheckRunner({ clock, random: () => 1 }).start([
    { checker, target: target('a'), intervalMs: 2_000, lane: 'x', concurrencyMax: 1, listener: () => {} },
  ]);
  await clock.advance(4_000);
  expect(begun).toEqual([0, 1_000, 2_900]);
});

test('combined checks negotiate once, then connect N times, and negotiate again after a failure', async () => {
  const asked: string[] = [];
  let cheapHealthy = true;
  let thoroughHealthy = true;
  const fixed = (name: string, healthy: () => boolean): Checker => ({
    check: async ({ timeoutMs }) => {
      asked.push(`${name} ${timeoutMs}`);
      return { healthy: healthy(), message: '' };
    },
  });
  const checker = combine(
    { checker: fixed('negotiate', () => thoroughHealthy), timeoutMs: 30 },
    { checker: fixed('connect', () => cheapHealthy), timeoutMs: 5 },
    2,
  );
  const check = () => checker.check(target('a'), new AbortController().signal);
  for (let round = 0; round < 4; round++) await check();
  expect(asked.splice(0)).toEqual(['negotiate 30', 'connect 5', 'connect 5', 'negotiate 30']);
  cheapHealthy = false;
  thoroughHealthy = false;
  for (let round = 0; round < 3; round++) await check();
  expect(asked).toEqual(['connect 5', 'negotiate 30', 'negotiate 30']);
});
