/** What a command asks of a data plane beyond what every one of them can do. */
import type { Command } from '../../model/commands.ts';
import type { Capabilities } from '../../model/data-plane.ts';
import type { DestinationSpec } from '../../model/destination.ts';
import { familyOfService, isMarkKey, type ServiceSpec } from '../../model/service.ts';

/** The capability that is missing, in words; `null`: the data plane must carry the command out. */
export function missingCapability(command: Command, capabilities: Capabilities): string | null {
  switch (command.name) {
    case 'addService':
    case 'editService':
      return missingForService(command.service, capabilities);
    case 'addDestination':
    case 'editDestination':
      return missingForMethod(command.destination, capabilities);
    case 'startSyncDaemon':
      return capabilities.sync ? null : 'sync';
    case 'addMarkRule':
      return capabilities.marks ? null : 'marks';
    default:
      return null;
  }
}

function missingForService({ key, persistenceTimeoutSeconds, persistenceEngine }: ServiceSpec, can: Capabilities) {
  if (!can.families.includes(familyOfService(key))) return `family ${familyOfService(key)}`;
  if (persistenceTimeoutSeconds !== null && !can.persistence) return 'persistence';
  if (persistenceEngine !== null && !can.persistenceEngines) return 'persistence engines';
  if (isMarkKey(key)) return can.marks ? null : 'marks';
  if (!can.protocols.includes(key.protocol)) return `protocol ${key.protocol}`;
  const wildcard = key.port === 0 || key.address === '0.0.0.0' || key.address === '::';
  return wildcard && !can.wildcards ? 'wildcards' : null;
}

function missingForMethod({ method }: DestinationSpec, { methods }: Capabilities): string | null {
  return methods.includes(method) ? null : `method ${method}`;
}
