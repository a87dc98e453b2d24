/**
 * Where the recorded machine is less than the product: commands as its kernel would have taken them.
 */
import { SCHEDULERS_DEBIAN_LACKS } from '../balance/schedulers/index.ts';
import type { Command, CommandName } from '../model/commands.ts';
import type { ServiceSpec } from '../model/service.ts';
import type { HostSetup } from './host-setup.ts';

/** A name that no scheduler has, so that the refusal comes in its place among the others. */
const NO_SCHEDULER = 'not-built-in';

export function asRecordedKernel<N extends CommandName>(command: Command<N>, host: HostSetup): Command<N> {
  const any = command as Command;
  if (any.name !== 'addService' && any.name !== 'editService') return command;
  return { ...any, service: serviceOf(any.service, host) } as unknown as Command<N>;
}

/** Tolerance `missing-scheduler`; and MASQUERADE on the host, which is full NAT here. */
function serviceOf(service: ServiceSpec, host: HostSetup): ServiceSpec {
  const scheduler = SCHEDULERS_DEBIAN_LACKS.includes(service.scheduler) ? NO_SCHEDULER : service.scheduler;
  return { ...service, scheduler, ...(host.masquerade ? { sourceNat: 'masquerade' as const } : {}) };
}
