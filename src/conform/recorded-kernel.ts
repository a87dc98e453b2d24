/** Where the recorded machine is not the product: commands as its kernel would have taken them. */
import { SCHEDULERS_DEBIAN_LACKS } from '../balance/schedulers/index.ts';
import type { Command, CommandName } from '../model/commands.ts';
import type { ServiceSpec } from '../model/service.ts';
import type { Leniency } from './tolerances.ts';

/** A name that no scheduler has, so that the refusal comes in its place among the others. */
const NO_SCHEDULER = 'not-built-in';

export function asRecordedKernel<N extends CommandName>(command: Command<N>, leniency: Leniency): Command<N> {
  const any = command as Command;
  if (any.name !== 'addService' && any.name !== 'editService') return command;
  const { service } = any;
  return {
    ...any,
    service: { ...service, ...scheduler(service, leniency) },
  } as unknown as Command<N>;
}

/** Tolerance `missing-scheduler`. */
function scheduler({ scheduler }: ServiceSpec, leniency: Leniency): Partial<ServiceSpec> {
  if (!SCHEDULERS_DEBIAN_LACKS.includes(scheduler)) return {};
  leniency.use('missing-scheduler');
  return { scheduler: NO_SCHEDULER };
}
