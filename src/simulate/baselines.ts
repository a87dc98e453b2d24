/** Schedulers that IPVS does not have, to compare its own with. */
import type { SchedulerKind } from '../balance/scheduler.ts';
import { SCHEDULERS } from '../balance/schedulers/index.ts';

const random: SchedulerKind = {
  name: 'random',
  summary: 'any usable server by chance, whatever its weight and load (not in IPVS)',
  create: (service, environment) => ({
    pick() {
      const usable = service.destinations.filter((it) => it.weight > 0 && !it.overloaded);
      return usable[Math.floor(environment.random() * usable.length)] ?? null;
    },
    explain: () => ({
      chosen: null,
      rule: 'any usable server by chance',
      steps: ['whom chance would draw cannot be told beforehand'],
      candidates: [],
    }),
    destinationsChanged() {},
  }),
};

/** What `uipvs simulate` can compare: the production classes, and a baseline. */
export const COMPARED: Readonly<Record<string, SchedulerKind>> = {
  ...Object.fromEntries(Object.entries(SCHEDULERS).filter(([name]) => name !== 'none')),
  random,
};
