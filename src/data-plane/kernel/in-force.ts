/** Was an order carried out whose acknowledgement never came? Answered by a look at the table. */
import type { SyncDaemonSpec } from '../../model/commands.ts';
import type { DestinationKey, DestinationSpec, DestinationStatus } from '../../model/destination.ts';
import { IpvsError } from '../../model/errors.ts';
import type { ServiceKey, ServiceSpec, ServiceStatus } from '../../model/service.ts';
import type { Timeouts } from '../../model/settings.ts';
import type { TableOrder } from './ipvs-table.ts';

/** What can be seen of the table. */
export interface VisibleTable {
  services(): readonly unknown[];
  service(key: ServiceKey): ServiceStatus;
  destinations(key: ServiceKey): readonly DestinationStatus[];
  daemons(): readonly SyncDaemonSpec[];
  timeouts(): Timeouts;
}

export function isInForce(order: TableOrder, table: VisibleTable): boolean {
  switch (order.name) {
    case 'addService':
    case 'editService':
      return serviceIs(findService(table, order.service.key), order.service);
    case 'deleteService':
      return findService(table, order.key) === null;
    case 'flush':
      return table.services().length === 0;
    case 'addDestination':
    case 'editDestination':
      return destinationIs(findDestination(table, order.service, order.destination), order.destination);
    case 'deleteDestination':
      return findDestination(table, order.service, order.destination) === undefined;
    case 'zero':
      // Counters that go on counting tell nothing. Who asks again loses nothing.
      return false;
    case 'setTimeouts': {
      const now = table.timeouts();
      const { tcpSeconds, tcpFinSeconds, udpSeconds } = order.timeouts;
      const is = (wanted: number, is: number) => wanted === 0 || wanted === is;
      return is(tcpSeconds, now.tcpSeconds) && is(tcpFinSeconds, now.tcpFinSeconds) && is(udpSeconds, now.udpSeconds);
    }
    case 'startSyncDaemon':
      return table
        .daemons()
        .some((daemon) => daemon.role === order.daemon.role && daemon.interface === order.daemon.interface);
    case 'stopSyncDaemon':
      return !table.daemons().some(({ role }) => role === order.role);
  }
}

function findService(table: VisibleTable, key: ServiceKey): ServiceStatus | null {
  try {
    return table.service(key);
  } catch (error) {
    if (error instanceof IpvsError && error.code === 'ESRCH') return null;
    throw error;
  }
}

function findDestination(table: VisibleTable, service: ServiceKey, key: DestinationKey) {
  return table.destinations(service).find(({ spec }) => spec.address === key.address && spec.port === key.port);
}

function serviceIs(found: ServiceStatus | null, wanted: ServiceSpec): boolean {
  if (found === null) return false;
  const { spec } = found;
  return (
    spec.scheduler === wanted.scheduler &&
    spec.persistenceTimeoutSeconds === wanted.persistenceTimeoutSeconds &&
    spec.netmask === wanted.netmask &&
    spec.persistenceEngine === wanted.persistenceEngine &&
    spec.onePacket === wanted.onePacket &&
    [1, 2, 3].every((flag) => spec.schedulerFlags.includes(flag as 1) === wanted.schedulerFlags.includes(flag as 1))
  );
}

function destinationIs(found: DestinationStatus | undefined, wanted: DestinationSpec): boolean {
  return (
    found !== undefined &&
    found.spec.method === wanted.method &&
    found.spec.weight === wanted.weight &&
    found.spec.upperThreshold === wanted.upperThreshold &&
    found.spec.lowerThreshold === wanted.lowerThreshold
  );
}
