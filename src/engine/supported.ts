/** What this engine does not do yet is refused by name, never half done. */
import type { Command } from '../model/commands.ts';
import type { DestinationSpec } from '../model/destination.ts';
import { notSupportedYet } from '../model/errors.ts';
import { familyOfService, isMarkKey, type ServiceSpec } from '../model/service.ts';

export function requireSupported(command: Command): void {
  switch (command.name) {
    case 'addService':
    case 'editService':
      requireService(command.service);
      return;
    case 'addDestination':
    case 'editDestination':
      requireDestination(command.destination);
      return;
    case 'startSyncDaemon':
    case 'stopSyncDaemon':
      throw notSupportedYet('connection synchronisation');
    default:
  }
}

function requireService(service: ServiceSpec): void {
  if (isMarkKey(service.key)) throw notSupportedYet('firewall-mark services');
  if (familyOfService(service.key) === 'ipv6') throw notSupportedYet('IPv6');
  if (service.key.protocol === 'sctp') throw notSupportedYet('SCTP');
  if (service.persistenceTimeoutSeconds !== null) throw notSupportedYet('persistence');
  if (service.persistenceEngine !== null) throw notSupportedYet('persistence engines');
  if (service.onePacket) throw notSupportedYet('one-packet scheduling');
}

function requireDestination(destination: DestinationSpec): void {
  if (destination.method === 'tunnel') throw notSupportedYet('tunnelling');
  if (destination.method === 'bypass') throw notSupportedYet('bypass');
  if (destination.address.includes(':')) throw notSupportedYet('IPv6');
}
