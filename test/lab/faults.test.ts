/** Broken labs: each is seen to be broken, and to be mended by its author's cure. Real traffic tells. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FAULTS } from '../../src/lab/faults/index.ts';
import { checked, notPassed, takenDown, typed } from './standing-support.ts';
import { LabHost, whyNoLab } from './support.ts';

const LONG_MS = 300_000;
const WHY_NOT =
  process.getuid?.() === 0 ? whyNoLab('packet-ring', ['sysctl']) : 'needs root: these labs outlive the command';

let opened: LabHost | null = null;
beforeEach(async () => {
  if (WHY_NOT === null) opened = await LabHost.open();
});
afterEach(async () => {
  if (opened !== null) await typed(opened, 0, 'down', '--all');
  await opened?.close();
  opened = null;
});

describe('a broken lab is not mended by itself, and is by its cure', () => {
  for (const fault of FAULTS) {
    test(
      fault.name,
      async ({ skip }) => {
        const why = WHY_NOT ?? whyNoLab('packet-ring', fault.lab.programs ?? []);
        skip(why !== null, why ?? '');
        const host = opened as LabHost;
        const before = host.traces();
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
