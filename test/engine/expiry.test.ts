/** Timers in portions: what is due at one moment is worked off over several calls, and nothing is lost or early. */
import { describe, expect, test } from 'vitest';
import { ROW_SHIFT, ROW_WORDS, TIMER_BUCKET } from '../../src/engine/connection.ts';
import { TimingWheel } from '../../src/engine/expiry.ts';
import { CLIENT, clientFrame, REAL1, VIP, World } from '../support/world.ts';

function wheelOf(rowCount: number): TimingWheel {
  const rows = new Int32Array(rowCount * ROW_WORDS);
  for (let row = 0; row < rowCount; row++) rows[(row << ROW_SHIFT) + TIMER_BUCKET] = -1;
  return new TimingWheel(rows, 0);
}

describe('timers that are due at one moment', () => {
  test('fire in portions, each once, and the wheel says when it is done', () => {
    const wheel = wheelOf(10);
    for (let row = 0; row < 10; row++) wheel.set(row, 5);
    const fired: number[] = [];
    const fire = (row: number) => void fired.push(row);
    expect(wheel.advance(6, fire, 4)).toBe(false);
    expect(fired).toHaveLength(4);
    expect(wheel.advance(6, fire, 4)).toBe(false);
    expect(fired).toHaveLength(8);
    expect(wheel.advance(6, fire, 4)).toBe(true);
    expect(fired.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(wheel.count).toBe(0);
  });

  test('fire in the same order in portions as at once', () => {
    const order = (most: number): number[] => {
      const wheel = wheelOf(300);
      for (let row = 0; row < 300; row++) wheel.set(row, (row * 37) % 600);
      const fired: number[] = [];
      for (let tick = 0; tick <= 700; tick++) while (!wheel.advance(tick, (row) => void fired.push(row), most));
      return fired;
    };
    const whole = order(Number.POSITIVE_INFINITY);
    expect(whole).toHaveLength(300);
    expect(order(1)).toEqual(whole);
    expect(order(7)).toEqual(whole);
  });

  test('wait for what is overdue, and a timer set meanwhile does not fire with them', () => {
    const wheel = wheelOf(80);
    // All on the second level, whose buckets are eight ticks wide.
    for (let row = 0; row < 70; row++) wheel.set(row, 70);
    const fired: number[] = [];
    expect(wheel.advance(80, (row) => void fired.push(row), 30)).toBe(false);
    // Due within a whole turn of the level that is in work.
    for (let ahead = 0; ahead < 10; ahead++) wheel.set(70 + ahead, 80 + 498 + ahead);
    while (!wheel.advance(80, (row) => void fired.push(row), 30));
    expect(fired.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 70 }, (_, row) => row));
    expect(wheel.count).toBe(10);
  });
});

test('an engine that has more to expire than one turn allows asks to be called again at once', () => {
  const world = new World();
  world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53 });
  for (let port = 1024; port < 1024 + 1000; port++) {
    world.fromClient(clientFrame().ipv4(CLIENT, VIP).udp(port, 53, { payload: 'x' }));
  }
  const { engine } = world;
  const count = () => engine.execute({ name: 'getCounters' }).connections;
  expect(count()).toBe(1000);
  const lateMs = world.nowMs + 320_000;
  engine.advance(lateMs);
  const after = count();
  expect(after).toBeGreaterThan(0);
  expect(after).toBeLessThan(1000);
  expect(engine.nextDeadlineMs()).toBe(lateMs);
  for (let turn = 0; turn < 10 && engine.nextDeadlineMs() === lateMs; turn++) engine.advance(lateMs);
  expect(count()).toBe(0);
  expect(engine.nextDeadlineMs()).toBeGreaterThan(lateMs);
});
