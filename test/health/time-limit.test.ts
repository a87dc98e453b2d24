import { getEventListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { withinTime } from '../../src/health/time-limit.ts';

const LIMIT_MS = 200;

const untilAborted = (limited: AbortSignal): Promise<boolean> =>
  new Promise((resolve) => {
    if (limited.aborted) resolve(true);
    limited.addEventListener('abort', () => resolve(true));
  });

test('the end of the time is heard, also when memory is tidied up before', async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const { signal } = new AbortController();
  const waiting = Array.from({ length: 100 }, () => withinTime(signal, LIMIT_MS, untilAborted));
  collectGarbage();
  expect(await Promise.all(waiting)).toEqual(Array(100).fill(true));
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('the end is that of the signal when it comes before, or has come already', async () => {
  const stopper = new AbortController();
  const waiting = withinTime(stopper.signal, 1_000_000, async (limited) => {
    await untilAborted(limited);
    return limited.reason as unknown;
  });
  stopper.abort('stopped');
  expect(await waiting).toBe('stopped');
  expect(await withinTime(stopper.signal, 1_000_000, async ({ aborted }) => aborted)).toBe(true);
});
