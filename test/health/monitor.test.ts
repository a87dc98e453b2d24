import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ASSUMED_UP, forceDown, type Health, type HealthEvent, judge, UNKNOWN } from '../../src/health/monitor.ts';

/** `+` success, `-` failure: what is said, in order. */
function story(results: string, failuresToDown: number, from: Health = UNKNOWN): string[] {
  let health = from;
  const said: string[] = [];
  for (const result of results) {
    const verdict = judge(health, { healthy: result === '+' }, failuresToDown);
    health = verdict.health;
    said.push(...verdict.events.map((event: HealthEvent) => event.type));
  }
  return said;
}

test('the first result decides at once, also a failure', () => {
  expect(story('+', 3)).toEqual(['up']);
  expect(story('-', 3)).toEqual(['down']);
});

test('an up server needs failures in a row to go down', () => {
  expect(story('+--+--', 3)).toEqual([
    'up',
    'soft-failure',
    'soft-failure',
    'failures-reset',
    'soft-failure',
    'soft-failure',
  ]);
  expect(story('+---', 3)).toEqual(['up', 'soft-failure', 'soft-failure', 'down']);
});

test('one success is enough to come back, and failures while down say nothing', () => {
  expect(story('+---+', 1)).toEqual(['up', 'down', 'failures-reset', 'up']);
});

test('a server assumed up is treated like one', () => {
  expect(story('--', 2, ASSUMED_UP)).toEqual(['soft-failure', 'down']);
});

test('an operator takes a server down at once, once', () => {
  const first = forceDown(ASSUMED_UP);
  expect(first.events).toEqual([{ type: 'down' }]);
  expect(forceDown(first.health).events).toEqual([]);
});

test('up and down always alternate, and down never comes earlier than allowed', () => {
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { maxLength: 60 }),
      fc.integer({ min: 1, max: 5 }),
      (results, failuresToDown) => {
        let health = ASSUMED_UP;
        let failuresInRow = 0;
        for (const healthy of results) {
          failuresInRow = healthy ? 0 : failuresInRow + 1;
          const before = health.state;
          const verdict = judge(health, { healthy }, failuresToDown);
          health = verdict.health;
          const types = verdict.events.map(({ type }) => type);
          if (types.includes('down')) expect(before === 'up' && failuresInRow === failuresToDown).toBe(true);
          if (types.includes('up')) expect(before === 'down' && healthy).toBe(true);
          expect(health.state).toBe(failuresInRow === 0 ? 'up' : health.state);
        }
      },
    ),
  );
});
