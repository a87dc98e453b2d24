/**
 * Broken labs: each is seen to be broken, and to be mended by its author's cure. Real traffic tells. Most of the time is
 * patience with answers that do not come, so several labs stand at once.
 */
import { describe, expect, test } from 'vitest';
import { FAULTS } from '../../src/lab/faults/index.ts';
import { checked, notPassed, takenDown, typed, withHost } from './standing-support.ts';
import { whyNoLab } from './support.ts';

const LONG_MS = 600_000;
const WHY_NOT =
  process.getuid?.() === 0 ? whyNoLab('packet-ring', ['sysctl']) : 'needs root: these labs outlive the command';

describe.concurrent('a broken lab is not mended by itself, and is by its cure', () => {
  for (const fault of FAULTS) {
    test(
      fault.name,
      async ({ skip }) => {
        const why = WHY_NOT ?? whyNoLab('packet-ring', fault.lab.programs ?? []);
        skip(why !== null, why ?? '');
        await withHost(async (host, before) => {
          const name = `broken-${fault.name}`;
          const up = await typed(host, 0, 'up', name);
          expect(up.stdout).toContain(fault.symptom);
          const broken = await checked(host, name);
          expect(broken.passed).toBe(false);
          // Not everything is wrong: that would tell nothing.
          expect(broken.items.some(({ passed }) => passed)).toBe(true);
          await typed(host, 0, 'cure', name);
          expect(notPassed(await checked(host, name))).toEqual([]);
          await takenDown(host, up, before);
        });
      },
      LONG_MS,
    );
  }
});

test('every fault is told by what users see, and has hints', () => {
  expect(new Set(FAULTS.map(({ name }) => name)).size).toBe(FAULTS.length);
  for (const { symptom, hints, breaks, cure } of FAULTS) {
    expect(symptom).toMatch(/^[A-Z].*\.$/);
    expect(hints.length).toBeGreaterThanOrEqual(3);
    expect(breaks.length).toBeGreaterThan(0);
    expect(cure.length).toBeGreaterThan(0);
  }
});
