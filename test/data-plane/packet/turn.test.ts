import { expect, test } from 'vitest';
import { idleWaitMs, turn } from '../../../src/data-plane/packet/turn.ts';
import { FakeEngine, FakeIo } from '../support/fake-engine.ts';

test('frames are decided and sent, time passes, and then the engine may speak', () => {
  const diary: string[] = [];
  const engine = new FakeEngine(diary);
  const io = new FakeIo(diary);
  const parts = { engine, io, batch: io.createBatch(8) };
  io.waiting = 3;
  expect(turn(parts, 50)).toBe(3);
  expect(diary).toEqual(['process 3 at 50', 'transmit 3', 'advance 50', 'transmit 1']);
  expect(engine.outbox.count).toBe(0);
});

test('a turn without frames only lets time pass', () => {
  const diary: string[] = [];
  const io = new FakeIo(diary);
  expect(turn({ engine: new FakeEngine(diary), io, batch: io.createBatch(8) }, 51)).toBe(0);
  expect(diary).toEqual(['advance 51']);
});

test('an idle worker sleeps until the next deadline, but never long without looking for commands', () => {
  const idle = { nowMs: 1_000, deadlineMs: 1_020, wakeable: false, lastCommandMs: Number.NEGATIVE_INFINITY };
  expect(idleWaitMs(idle)).toBe(20);
  expect(idleWaitMs({ ...idle, deadlineMs: 900 })).toBe(0);
  expect(idleWaitMs({ ...idle, deadlineMs: Number.POSITIVE_INFINITY })).toBe(50);
  expect(idleWaitMs({ ...idle, lastCommandMs: 900 })).toBe(1);
  expect(idleWaitMs({ ...idle, deadlineMs: Number.POSITIVE_INFINITY, wakeable: true })).toBe(250);
});
