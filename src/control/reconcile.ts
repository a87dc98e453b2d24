/**
 * What must change so that the actual table becomes the desired one. Pure: states in, commands out.
 *
 * Order matters to the traffic: a service is filled before anything is taken from it, and what is not wished any
 * more goes last, so no service is without destinations on the way unless it is meant to be.
 */
import type { Command } from '../model/commands.ts';
import type { DestinationSpec } from '../model/destination.ts';
import { formatEndpoint, formatServiceKey, type ServiceKey, type ServiceSpec } from '../model/service.ts';

/** A service as somebody wants it. Keys and addresses are canonical text, as in the model. */
export interface DesiredService {
  readonly spec: ServiceSpec;
  /** In the order they shall be added. */
  readonly destinations: readonly DestinationSpec[];
}

/** As much of a `ServiceStatus` as is compared. */
export interface ActualService {
  readonly spec: ServiceSpec;
  readonly destinations: readonly { readonly spec: DestinationSpec }[];
}

export interface ReconcileOptions {
  /** Which services may be deleted when nobody desires them. Absent: every one. */
  readonly mayDelete?: (key: ServiceKey) => boolean;
}

/** The commands, in order. None when nothing differs. A key that is desired twice counts as its last mention. */
export function reconcile(
  desired: readonly DesiredService[],
  actual: readonly ActualService[],
  options: ReconcileOptions = {},
): Command[] {
  const wanted = new Map(desired.map((service) => [formatServiceKey(service.spec.key), service]));
  const present = new Map(actual.map((service) => [formatServiceKey(service.spec.key), service]));
  const commands: Command[] = [];
  for (const [key, service] of wanted) {
    const there = present.get(key);
    if (there === undefined) commands.push({ name: 'addService', service: service.spec });
    else if (!sameService(service.spec, there.spec)) commands.push({ name: 'editService', service: service.spec });
    commands.push(...reconcileDestinations(service, there));
  }
  for (const [key, { spec }] of present) {
    if (!wanted.has(key) && options.mayDelete?.(spec.key) !== false) {
      commands.push({ name: 'deleteService', key: spec.key });
    }
  }
  return commands;
}

function reconcileDestinations(desired: DesiredService, actual: ActualService | undefined): Command[] {
  const service = desired.spec.key;
  const wanted = new Map(desired.destinations.map((spec) => [destinationKey(spec), spec]));
  const present = new Map((actual?.destinations ?? []).map(({ spec }) => [destinationKey(spec), spec]));
  const commands: Command[] = [];
  for (const [key, destination] of wanted) {
    const there = present.get(key);
    if (there === undefined) commands.push({ name: 'addDestination', service, destination });
    else if (!sameDestination(destination, there)) commands.push({ name: 'editDestination', service, destination });
  }
  for (const [key, { address, port }] of present) {
    if (!wanted.has(key)) commands.push({ name: 'deleteDestination', service, destination: { address, port } });
  }
  return commands;
}

function destinationKey(spec: DestinationSpec): string {
  return formatEndpoint(spec.address, spec.port);
}

function sameService(desired: ServiceSpec, actual: ServiceSpec): boolean {
  return (
    desired.scheduler === actual.scheduler &&
    desired.persistenceTimeoutSeconds === actual.persistenceTimeoutSeconds &&
    desired.netmask === actual.netmask &&
    desired.persistenceEngine === actual.persistenceEngine &&
    desired.onePacket === actual.onePacket &&
    [...desired.schedulerFlags].sort().join() === [...actual.schedulerFlags].sort().join() &&
    // Absent: whatever it is now is right.
    (desired.sourceNat === undefined || desired.sourceNat === (actual.sourceNat ?? 'none'))
  );
}

function sameDestination(desired: DestinationSpec, actual: DestinationSpec): boolean {
  return (
    desired.method === actual.method &&
    desired.weight === actual.weight &&
    desired.upperThreshold === actual.upperThreshold &&
    desired.lowerThreshold === actual.lowerThreshold &&
    (desired.method !== 'tunnel' ||
      (desired.tunnel.type === actual.tunnel.type &&
        desired.tunnel.port === actual.tunnel.port &&
        desired.tunnel.checksum === actual.tunnel.checksum))
  );
}
