/**
 * The shipped recordings against the engine. Cases that are known to fail are listed beside this file; the list may
 * only shrink. To take off it what passes now: UIPVS_SHRINK=1 npx vitest run test/conform/recordings.test.ts
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type CaseResult, playRecording } from '../../src/conform/fit.ts';
import { CATEGORIES } from '../../src/conform/recording.ts';
import { readRecordings, shippedRecordings } from '../../src/conform/recording-files.ts';
import { failureText } from '../../src/conform/report.ts';

const LIST = join(import.meta.dirname, 'expected-failures.json');
const SHRINK = process.env['UIPVS_SHRINK'] !== undefined;
const MINUTES = 60_000;

const expectedFailures = new Set(JSON.parse(readFileSync(LIST, 'utf8')) as string[]);

describe('the engine does what a real kernel did', () => {
  for (const category of CATEGORIES) {
    test(
      category,
      async () => {
        const results: CaseResult[] = [];
        for (const recording of readRecordings([join(shippedRecordings(), `${category}.jsonl.br`)])) {
          results.push(await playRecording(recording));
        }
        expect(results.length).toBeGreaterThan(0);
        const unexpected = results.filter(({ id, passed }) => !passed && !expectedFailures.has(id));
        expect(unexpected.map((result) => failureText(result, result.failure!))).toEqual([]);
        shrink(results.filter(({ passed }) => passed));
      },
      5 * MINUTES,
    );
  }
});

/** A case that passes must come off the list, so that it can never fail again unnoticed. */
function shrink(passed: readonly CaseResult[]): void {
  const ids = passed.map(({ id }) => id).filter((id) => expectedFailures.has(id));
  if (!SHRINK) {
    expect(ids, 'these pass now: take them off expected-failures.json').toEqual([]);
    return;
  }
  for (const id of ids) expectedFailures.delete(id);
  writeFileSync(LIST, `${JSON.stringify([...expectedFailures].sort(), null, 2)}\n`);
}
