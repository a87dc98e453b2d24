/** Services and destinations for tests, in the words of the model. */
import type { DestinationSpec } from '../../../src/model/destination.ts';
import { type ForwardingMethod, PLAIN_TUNNEL } from '../../../src/model/forwarding.ts';
import type { AddressServiceKey, ServiceSpec } from '../../../src/model/service.ts';

export function key(address: string, port: number, protocol: AddressServiceKey['protocol'] = 'tcp'): AddressServiceKey {
  return { protocol, address, port };
}

export function service(serviceKey: ServiceSpec['key']): ServiceSpec {
  return {
    key: serviceKey,
    scheduler: 'wlc',
    schedulerFlags: [],
    persistenceTimeoutSeconds: null,
    netmask: '255.255.255.255',
    persistenceEngine: null,
    onePacket: false,
  };
}

export function destination(address: string, port: number, method: ForwardingMethod = 'masquerade'): DestinationSpec {
  return { address, port, method, weight: 1, upperThreshold: 0, lowerThreshold: 0, tunnel: PLAIN_TUNNEL };
}
