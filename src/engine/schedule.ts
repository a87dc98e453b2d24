/** Asks a service's scheduler. */
import type { Destination } from '../balance/destination.ts';
import type { VirtualService } from '../balance/virtual-service.ts';
import type { Endpoints } from '../wire/endpoints.ts';
import type { EngineContext } from './context.ts';

/** The destination for a new connection of `ends`, `null`: nobody takes it. */
export function schedule(context: EngineContext, ends: Endpoints, service: VirtualService): Destination | null {
  const { flow } = context;
  flow.ipv6 = ends.ipv6;
  flow.protocol = ends.protocol;
  flow.client0 = ends.source0;
  flow.client1 = ends.source1;
  flow.client2 = ends.source2;
  flow.client3 = ends.source3;
  flow.clientPort = ends.sourcePort;
  flow.virtual0 = ends.destination0;
  flow.virtual1 = ends.destination1;
  flow.virtual2 = ends.destination2;
  flow.virtual3 = ends.destination3;
  flow.virtualPort = ends.destinationPort;
  flow.mark = service.mark;
  const { observation } = context;
  if (observation === null) return service.scheduler.pick(flow, context.nowTick);
  observation.weigh(service, service.scheduler.explain(flow, context.nowTick));
  const picked = service.scheduler.pick(flow, context.nowTick);
  observation.picked(picked);
  return picked;
}
