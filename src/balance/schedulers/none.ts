/** The scheduler `none`: the service exists, and nobody is ever chosen. */
import { NO_SCHEDULER, type SchedulerKind } from '../scheduler.ts';

export const none: SchedulerKind = {
  name: 'none',
  summary: 'no scheduler: the service takes no connections',
  create: () => NO_SCHEDULER,
};
