import { describe, expect, test } from 'vitest';
import type { Destination } from '../../src/balance/destination.ts';
import { createTable, destinationSpec, readVectors, serviceSpec, WEB } from './support.ts';

function createDestination(changes: Parameters<typeof destinationSpec>[0] = {}): Destination {
  const table = createTable();
  table.addService(serviceSpec(), 0);
  return table.addDestination(WEB, destinationSpec(changes), 0);
}

interface Step {
  readonly op: 'set-thresholds' | 'connection-bound' | 'connection-gone';
  readonly u: number;
  readonly l: number;
  readonly total: number;
  readonly overload: boolean;
}

describe('the overload flag follows the thresholds', () => {
  const { cases } = readVectors<{ cases: readonly (readonly Step[])[] }>('thresholds');
  // Connections that are inactive from the first weigh the same.
  const runs = cases.flatMap((steps, index) => [true, false].map((inactive) => ({ index, inactive, steps })));
  test.each(runs)('in case $index, inactive: $inactive', ({ inactive, steps }) => {
    const destination = createDestination();
    for (const step of steps) {
      if (step.op === 'set-thresholds') {
        destination.configure({ ...destination.spec(), upperThreshold: step.u, lowerThreshold: step.l }, false);
      } else if (step.op === 'connection-bound') {
        destination.bind(inactive, false);
      } else {
        destination.unbind(inactive, false);
      }
      const total = destination.activeConnections + destination.inactiveConnections;
      expect({ total, overload: destination.overloaded }).toEqual({ total: step.total, overload: step.overload });
    }
  });
});

test('templates are counted apart and do not fill a destination up', () => {
  const destination = createDestination({ upperThreshold: 2 });
  for (let i = 0; i < 5; i++) destination.bind(true, true);
  expect(destination.persistentConnections).toBe(5);
  expect(destination.references).toBe(5);
  expect(destination.overloaded).toBe(false);
  destination.bind(false, false);
  destination.bind(true, false);
  expect(destination.overloaded).toBe(true);
});

test('a connection that becomes inactive changes sides', () => {
  const destination = createDestination({ upperThreshold: 1 });
  destination.bind(false, false);
  destination.setInactive(true);
  expect([destination.activeConnections, destination.inactiveConnections]).toEqual([0, 1]);
  destination.setInactive(false);
  expect([destination.activeConnections, destination.inactiveConnections]).toEqual([1, 0]);
  expect(destination.overloaded).toBe(true);
  destination.unbind(false, false);
  expect(destination.status()).toMatchObject({ activeConnections: 0, inactiveConnections: 0 });
  expect([destination.references, destination.overloaded]).toEqual([0, false]);
});

test('the last weight that was not 0 is remembered, and forgotten when the destination is added', () => {
  const destination = createDestination({ weight: 5 });
  destination.configure({ ...destination.spec(), weight: 0 }, false);
  expect([destination.weight, destination.lastWeight]).toEqual([0, 5]);
  destination.configure({ ...destination.spec(), weight: 7 }, false);
  expect(destination.lastWeight).toBe(7);
  destination.configure({ ...destination.spec(), weight: 0 }, true);
  expect(destination.lastWeight).toBe(0);
});

test('a spec is given back as it was', () => {
  const spec = destinationSpec({
    method: 'tunnel',
    weight: 9,
    upperThreshold: 4294967295,
    lowerThreshold: 4,
    tunnel: { type: 'gue', port: 6080, checksum: 'remote' },
  });
  expect(createDestination(spec).spec()).toEqual(spec);
});
