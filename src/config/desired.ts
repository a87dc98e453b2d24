/** What a blueprint wants of a data plane: services and servers as specs, and the settings beside them. */
import type { DesiredBalancer } from '../control/change-plan.ts';
import type { Blueprint, FallbackWish, ServerWish, ServiceWish } from '../model/blueprint.ts';
import type { DestinationSpec } from '../model/destination.ts';
import { familyOfService, type ServiceSpec } from '../model/service.ts';
import { defaultPort, portInTable } from './addresses.ts';

export function desiredBalancer(blueprint: Blueprint): DesiredBalancer {
  const { services, fallbacks, timeouts, settings, markRules, syncDaemons } = blueprint;
  return {
    services: services.map((service) => ({
      spec: serviceSpec(service),
      destinations: service.servers.map((server) => destinationSpec(service, server)),
      // Who is checked may be taken out of the table by whoever checks it.
      checked: service.check.kind !== 'always-up',
      fallback: fallbackSpec(service, service.fallback ?? fallbacks[familyOfService(service.key)]),
    })),
    timeouts,
    settings,
    markRules,
    syncDaemons,
  };
}

export function serviceSpec(service: ServiceWish): ServiceSpec {
  const { key, scheduler, schedulerFlags, persistence, onePacket, sourceNat } = service;
  return {
    key,
    scheduler,
    schedulerFlags,
    persistenceTimeoutSeconds: persistence?.timeoutSeconds ?? null,
    netmask: persistence?.netmask ?? (familyOfService(key) === 'ipv6' ? '128' : '255.255.255.255'),
    persistenceEngine: persistence?.engine ?? null,
    onePacket,
    ...(sourceNat === null ? {} : { sourceNat }),
  };
}

function destinationSpec({ key }: ServiceWish, server: ServerWish): DestinationSpec {
  const { address, port, method, weight, upperThreshold, lowerThreshold, tunnel } = server;
  return { address, port: portInTable(key, method, port), method, weight, upperThreshold, lowerThreshold, tunnel };
}

function fallbackSpec({ key }: ServiceWish, fallback: FallbackWish | null): DestinationSpec | null {
  if (fallback === null) return null;
  const { address, port, method, tunnel } = fallback;
  return {
    address,
    port: portInTable(key, method, port ?? defaultPort(key)),
    method,
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    tunnel,
  };
}
