/** Services and destinations for tests, in the words of the model. */
import type { DestinationSpec } from '../../../src/model/destination.ts';
import { type ForwardingMethod, PLAIN_TUNNEL, type TunnelSpec } from '../../../src/model/forwarding.ts';
import { type AddressServiceKey, familyOfService, type ServiceSpec } from '../../../src/model/service.ts';

export function key(address: string, port: number, protocol: AddressServiceKey['protocol'] = 'tcp'): AddressServiceKey {
  return { protocol, address, port };
}

export function service(serviceKey: ServiceSpec['key']): ServiceSpec {
  return {
    key: serviceKey,
    scheduler: 'wlc',
    schedulerFlags: [],
    persistenceTimeoutSeconds: null,
    netmask: familyOfService(serviceKey) === 'ipv6' ? '128' : '255.255.255.255',
    persistenceEngine: null,
    onePacket: false,
  };
}

export function destination(
  address: string,
  port: number,
  method: ForwardingMethod = 'masquerade',
  tunnel: TunnelSpec = PLAIN_TUNNEL,
): DestinationSpec {
  return { address, port, method, weight: 1, upperThreshold: 0, lowerThreshold: 0, tunnel };
}
