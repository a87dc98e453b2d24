import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { playRecording } from '../../src/conform/play.ts';
import { parseRecording, type Recording } from '../../src/conform/recording.ts';
import { TOLERANCES } from '../../src/conform/tolerances.ts';

const FOLDER = join(import.meta.dirname, 'samples');

for (const name of readdirSync(FOLDER)) {
  const text = readFileSync(join(FOLDER, name), 'utf8');

  test(`${name}: the engine does what a real kernel did`, async () => {
    expect(await playRecording(parseRecording(text, name))).toMatchObject({ passed: true });
  });

  test(`${name}: one altered bit of one packet is noticed`, async () => {
    const recording = structuredClone(parseRecording(text, name)) as Recording;
    const step = recording.steps.find((candidate) => (candidate.out?.length ?? 0) > 0);
    const output = step!.out![0] as { hex: string };
    const last = Number.parseInt(output.hex.slice(-1), 16) ^ 1;
    output.hex = output.hex.slice(0, -1) + last.toString(16);
    expect((await playRecording(recording)).passed).toBe(false);
  });
}

test('every tolerance says why it is needed', () => {
  for (const [name, tolerance] of Object.entries(TOLERANCES)) {
    expect(tolerance.name).toBe(name);
    expect(tolerance.why.length).toBeGreaterThan(20);
  }
});
