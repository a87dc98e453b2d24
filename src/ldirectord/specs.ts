/** A configured service and its servers in the words of the data plane. */
import type { DestinationSpec } from '../model/destination.ts';
import { type ForwardingMethod, PLAIN_TUNNEL } from '../model/forwarding.ts';
import { isMarkKey, type SchedulerFlag, type ServiceSpec } from '../model/service.ts';
import type { ForwardWord, RealServer, VirtualServer } from './config/types.ts';

const METHODS: Readonly<Record<ForwardWord, ForwardingMethod>> = {
  gate: 'direct',
  masq: 'masquerade',
  ipip: 'tunnel',
};

const FLAG_NUMBERS: Readonly<Record<string, SchedulerFlag>> = {
  'flag-1': 1,
  'flag-2': 2,
  'flag-3': 3,
  'sh-fallback': 1,
  'sh-port': 2,
  'mh-fallback': 1,
  'mh-port': 2,
};
export const SCHEDULER_FLAG_WORDS: readonly string[] = Object.keys(FLAG_NUMBERS);

export function serviceSpec(virtual: VirtualServer): ServiceSpec {
  const persistent = virtual.persistentSeconds !== null;
  return {
    key: virtual.key,
    scheduler: virtual.scheduler,
    schedulerFlags: schedulerFlags(virtual.schedulerFlags ?? ''),
    persistenceTimeoutSeconds: virtual.persistentSeconds,
    netmask: (persistent ? virtual.netmask : null) ?? (virtual.family === 'ipv6' ? '128' : '255.255.255.255'),
    persistenceEngine: virtual.native?.persistenceEngine ?? null,
    onePacket: virtual.ops && virtual.protocol === 'udp',
    ...(virtual.native?.sourceNat ? { sourceNat: virtual.native.sourceNat } : {}),
  };
}

/** Unknown words are left out. */
export function schedulerFlags(words: string): SchedulerFlag[] {
  const numbers = words
    .split(',')
    .map((word) => FLAG_NUMBERS[word])
    .filter((number) => number !== undefined);
  return [...new Set(numbers)].sort();
}

export function destinationSpec(virtual: VirtualServer, server: RealServer): DestinationSpec {
  return {
    ...destinationKey(virtual, server),
    method: server.native?.method ?? METHODS[server.forward],
    weight: server.weight,
    upperThreshold: server.upperThreshold,
    lowerThreshold: server.lowerThreshold,
    tunnel: server.native?.tunnel ?? PLAIN_TUNNEL,
  };
}

/** The fallback has weight 1; `null`: the service has none. */
export function fallbackSpec(virtual: VirtualServer): DestinationSpec | null {
  const { fallback } = virtual;
  if (fallback === null) return null;
  return {
    ...destinationKey(virtual, fallback),
    method: fallback.native?.method ?? METHODS[fallback.forward],
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    tunnel: fallback.native?.tunnel ?? PLAIN_TUNNEL,
  };
}

/** Direct routing and tunnels cannot change a port: the table holds the service's, as with ipvsadm(8). */
function destinationKey(
  { key }: VirtualServer,
  { address, port, forward }: { readonly address: string; readonly port: number; readonly forward: ForwardWord },
): { address: string; port: number } {
  return { address, port: isMarkKey(key) || forward === 'masq' ? port : key.port };
}
