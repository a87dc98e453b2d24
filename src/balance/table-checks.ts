/**
 * What is checked after a spec was read and before the table changes, in the kernel's order: unknown names and
 * values out of range. Whether the service or destination exists is the table's own question, asked between.
 */
import type { DestinationSpec } from '../model/destination.ts';
import { IpvsError } from '../model/errors.ts';
import { WEIGHT_MAX } from '../model/limits.ts';
import { type CheckedDestinationKey, type CheckedService, invalid, readDestinationSettings } from './checks.ts';
import type { DestinationSettings } from './destination.ts';
import type { SchedulerKind } from './scheduler.ts';
import { findScheduler } from './schedulers/index.ts';
import type { ServiceIdentity, VirtualService } from './virtual-service.ts';

/** Persistence engines that services may name. */
export const PERSISTENCE_ENGINES: readonly string[] = ['sip'];

/** The checks of a service that follow "does it exist", in the kernel's order. */
export function checkService(checked: CheckedService, identity: ServiceIdentity): SchedulerKind {
  const kind = findScheduler(checked.scheduler);
  if (kind === null) throw new IpvsError('ENOENT', `there is no scheduler ${JSON.stringify(checked.scheduler)}`);
  const engine = checked.persistenceEngine;
  if (engine !== null && !PERSISTENCE_ENGINES.includes(engine)) {
    throw new IpvsError('ENOENT', `there is no persistence engine ${JSON.stringify(engine)}`);
  }
  if (identity.ipv6 && (checked.netmask < 1 || checked.netmask > 128)) {
    throw invalid(`an IPv6 prefix length must be between 1 and 128, not ${checked.netmask}`);
  }
  return kind;
}

/** The checks between "is there such a service" and "is there such a destination", in the kernel's order. */
export function checkDestination(
  spec: DestinationSpec,
  key: CheckedDestinationKey,
  service: VirtualService,
  syncDaemonRunning: boolean,
): DestinationSettings {
  const settings = readDestinationSettings(spec);
  if ((key.address.family === 'ipv6') !== service.ipv6) {
    if (syncDaemonRunning) {
      throw invalid('a destination of another family than its service needs the synchronisation daemon stopped');
    }
    if (settings.method !== 'tunnel') {
      throw invalid('a destination of another family than its service needs the method tunnel');
    }
  }
  if (settings.weight < 0 || settings.weight > WEIGHT_MAX) {
    throw new IpvsError('ERANGE', `a weight must be between 0 and ${WEIGHT_MAX}, not ${settings.weight}`);
  }
  if (settings.lowerThreshold > settings.upperThreshold) {
    throw new IpvsError('ERANGE', 'the lower threshold must not be above the upper threshold');
  }
  if (settings.tunnel.type === 'gue' && settings.tunnel.port === 0) throw invalid('a gue tunnel needs a port');
  return settings;
}
