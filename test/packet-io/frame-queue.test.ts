import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FrameQueue } from '../../src/packet-io/frame-queue.ts';

const steps = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 })), { maxLength: 200 });

test('whatever is put in and taken out, frames come out whole and in order, and none is lost unsaid', () => {
  fc.assert(
    fc.property(steps, (plan) => {
      const queue = new FrameQueue(6, 100);
      const model: { bytes: number[]; link: number }[] = [];
      const out = new Uint8Array(50);
      plan.forEach((length, n) => {
        if (length > 0) {
          const frame = Uint8Array.from({ length: length + 3 }, (_, i) => (n * 7 + i) & 0xff);
          const held = model.reduce((sum, each) => sum + each.bytes.length, 0);
          const taken = queue.push(frame, length, n);
          if (taken) model.push({ bytes: [...frame.subarray(0, length)], link: n });
          // Room is refused only when it is short: a gap at the end of the ring is smaller than the frame.
          else expect(model.length === 6 || held + 2 * length > 100 || held > 60 - length).toBe(true);
        } else if (model.length > 0) {
          const expected = model.shift()!;
          expect(queue.peek(out, 2, 40)).toBe(expected.bytes.length);
          expect([...out.subarray(2, 2 + expected.bytes.length)]).toEqual(expected.bytes);
          expect(queue.shift()).toBe(expected.link);
        }
        expect(queue.count).toBe(model.length);
      });
    }),
  );
});

test('a frame longer than the room is not copied', () => {
  const queue = new FrameQueue(2, 100);
  queue.push(new Uint8Array(50).fill(9), 50, 1);
  const out = new Uint8Array(60);
  expect(queue.peek(out, 10, 49)).toBe(-1);
  expect(out.every((byte) => byte === 0)).toBe(true);
});
