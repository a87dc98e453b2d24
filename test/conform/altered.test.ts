/**
 * Proves that the player notices: every kind of expectation is altered in every recording that passes, and each altered
 * recording must fail.
 */
import { afterAll, expect, test } from 'vitest';
import { type CaseResult, playRecording } from '../../src/conform/fit.ts';
import { playOnce } from '../../src/conform/play.ts';
import { CATEGORIES, type Recording } from '../../src/conform/recording.ts';
import { readRecordings, shippedRecordings } from '../../src/conform/recording-files.ts';
import { Random } from '../support/random.ts';
import { ALTERATION_KINDS, type Alteration } from './alterations.ts';

const SEED = 20_240;
/** Of so many alterations one is also played with all other phases, which takes a hundred times as long. */
const ALL_PHASES_EVERY = 250;
const MINUTES = 60_000;

interface Count {
  made: number;
  noticed: number;
}

const counts = new Map<string, Count>(ALTERATION_KINDS.map(({ name }) => [name, { made: 0, noticed: 0 }]));
let played = 0;

for (const category of CATEGORIES) {
  test(
    `${category}: every altered expectation is noticed`,
    async () => {
      const overlooked: string[] = [];
      for (const recording of readRecordings([`${shippedRecordings()}/${category}.jsonl.br`])) {
        const result = await playRecording(recording);
        if (!result.passed) continue;
        for (const { name, alteration } of alterationsOf(recording)) {
          const noticed = await isNoticed(alteration, result);
          const count = counts.get(name) as Count;
          count.made++;
          if (noticed) count.noticed++;
          else overlooked.push(`${name}: ${alteration.what}`);
        }
      }
      expect(overlooked).toEqual([]);
    },
    5 * MINUTES,
  );
}

afterAll(() => {
  const lines = [...counts].map(([name, { made, noticed }]) => `${name.padEnd(32)} ${noticed} of ${made} noticed`);
  process.stdout.write(`${lines.join('\n')}\n`);
});

function alterationsOf(recording: Recording): { readonly name: string; readonly alteration: Alteration }[] {
  return ALTERATION_KINDS.flatMap(({ name, alter }, index) => {
    const random = new Random(SEED + index * 7919 + hashOf(recording.id));
    const alteration = alter(recording, (limit) => random.below(limit));
    return alteration === null ? [] : [{ name, alteration }];
  });
}

/** With the phases that fit the recording, and now and then with all others too. */
async function isNoticed({ recording }: Alteration, result: CaseResult): Promise<boolean> {
  if ((await playOnce(recording, result.phases)).failure === null) return false;
  if (played++ % ALL_PHASES_EVERY !== 0) return true;
  return !(await playRecording(recording)).passed;
}

function hashOf(text: string): number {
  return [...text].reduce((hash, letter) => (Math.imul(hash, 31) + letter.charCodeAt(0)) | 0, 0);
}
