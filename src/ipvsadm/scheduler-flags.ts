/** Scheduler flags by name (`-b`): `sh` and `mh` have words of their own for the first two. */
import type { SchedulerFlag } from '../model/service.ts';
import { mistake } from './usage-error.ts';

const FLAGS: readonly SchedulerFlag[] = [1, 2, 3];

/** Names by flag number. The hashing schedulers show no third flag. */
const OWN_NAMES: Readonly<Record<string, Partial<Record<SchedulerFlag, string>>>> = {
  sh: { 1: 'sh-fallback', 2: 'sh-port' },
  mh: { 1: 'mh-fallback', 2: 'mh-port' },
};
const COMMON_NAMES: Readonly<Record<SchedulerFlag, string>> = { 1: 'flag-1', 2: 'flag-2', 3: 'flag-3' };

/** Reads a comma list. Throws a UsageError for a flag that does not exist or belongs to another scheduler. */
export function parseSchedulerFlags(text: string, scheduler: string): SchedulerFlag[] {
  if (text === '') return [];
  const words = text.split(',').filter((word) => word !== '');
  if (words.length === 0) throw mistake(`invalid scheduler flag \`${text}'`);
  const found = words.map((word) => parseSchedulerFlag(word, scheduler));
  return FLAGS.filter((flag) => found.includes(flag));
}

function parseSchedulerFlag(word: string, scheduler: string): SchedulerFlag {
  for (const flag of FLAGS) {
    if (word === COMMON_NAMES[flag]) return flag;
    for (const [owner, names] of Object.entries(OWN_NAMES)) {
      if (word !== names[flag]) continue;
      if (owner !== scheduler) throw mistake(`incompatible scheduler flag \`${word}'`);
      return flag;
    }
  }
  throw mistake(`invalid scheduler flag \`${word}'`);
}

/** `sh-fallback,sh-port`, `flag-3`; `''` for the third flag of `sh`, which has no name there. */
export function formatSchedulerFlags(flags: readonly SchedulerFlag[], scheduler: string): string {
  const names = OWN_NAMES[scheduler] ?? COMMON_NAMES;
  return FLAGS.flatMap((flag) => (flags.includes(flag) ? (names[flag] ?? []) : [])).join(',');
}
