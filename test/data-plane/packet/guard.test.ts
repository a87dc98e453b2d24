import { expect, test } from 'vitest';
import { changeLines, withoutCovered } from '../../../src/data-plane/packet/guard.ts';

test('neighbouring changes of one kind share a line, and their order within a set stays', () => {
  const entry = (set: 'services' | 'servers', element: string) => ({ set, element });
  const lines = changeLines([
    { verb: 'add', entry: entry('services', 'a') },
    { verb: 'add', entry: entry('servers', 'x') },
    { verb: 'add', entry: entry('services', 'b') },
    { verb: 'delete', entry: entry('services', 'a') },
    { verb: 'add', entry: entry('services', 'a') },
  ]);
  expect(lines.split('\n')).toEqual([
    'add element netdev uipvs services { a, b }',
    'delete element netdev uipvs services { a }',
    'add element netdev uipvs services { a }',
    'add element netdev uipvs servers { x }',
    '',
  ]);
});

test('ten thousand elements are ten lines', () => {
  const changes = Array.from({ length: 10_000 }, (_, i) => ({
    verb: 'add' as const,
    entry: { set: 'servers' as const, element: `${i}` },
  }));
  expect(changeLines(changes).trim().split('\n')).toHaveLength(10);
});

test('prefixes that lie within others are left out, since intervals must not overlap', () => {
  const prefixes = ['127.0.0.0/8', '127.0.0.1/32', '192.0.2.1/32', '192.0.2.0/24', '10.0.0.1', '10.0.0.1/32'];
  expect(withoutCovered(prefixes)).toEqual(['10.0.0.1', '127.0.0.0/8', '192.0.2.0/24']);
  expect(withoutCovered(['255.255.255.255/32', '0.0.0.0/0'])).toEqual(['0.0.0.0/0']);
});
