/** What counts for a service once block and global settings are known. */
import { familyOfService, formatEndpoint, isMarkKey, type ServiceKey } from '../../model/service.ts';
import {
  type EffectiveSettings,
  type GlobalSettings,
  type RealServer,
  SERVICE_PORTS,
  type VirtualFallback,
  type VirtualServer,
} from './types.ts';
import type { ResolvedBlock } from './virtual-block.ts';

const CHECK_TIMEOUT_SECONDS_DEFAULT = 5;
const NEGOTIATE_TIMEOUT_SECONDS_DEFAULT = 30;

export function finishVirtual(block: ResolvedBlock, globals: GlobalSettings): VirtualServer {
  const { draft, key, service, real, directiveLines } = block;
  const fallback = chooseFallback(block, globals);
  const global = familyOfService(key) === 'ipv6' ? globals.fallback6 : globals.fallback;
  return {
    ...draft,
    key,
    service,
    real,
    directiveLines,
    own: { ...draft.own, fallback: block.fallback },
    effective: effectiveSettings(block, globals),
    fallback,
    fallbackUnusable: block.fallback === null && global !== null && isMarkKey(key),
  };
}

/** The two timeouts stand in for each other before the global values, and those before the defaults. */
function effectiveSettings({ draft: { own } }: ResolvedBlock, globals: GlobalSettings): EffectiveSettings {
  return {
    checkTimeoutSeconds:
      own.checkTimeoutSeconds ??
      own.negotiateTimeoutSeconds ??
      globals.checkTimeoutSeconds ??
      globals.negotiateTimeoutSeconds ??
      CHECK_TIMEOUT_SECONDS_DEFAULT,
    negotiateTimeoutSeconds:
      own.negotiateTimeoutSeconds ??
      own.checkTimeoutSeconds ??
      globals.negotiateTimeoutSeconds ??
      globals.checkTimeoutSeconds ??
      NEGOTIATE_TIMEOUT_SECONDS_DEFAULT,
    checkIntervalSeconds: (globals.fork ? own.checkIntervalSeconds : null) ?? globals.checkIntervalSeconds,
    checkCount: own.checkCount ?? globals.checkCount,
    failureCount: own.failureCount ?? globals.failureCount,
    quiescent: own.quiescent ?? globals.quiescent,
    cleanStop: own.cleanStop ?? globals.cleanStop,
    fallbackCommand: own.fallbackCommand ?? globals.fallbackCommand,
  };
}

/** The block's own, else the global one of the family. For a mark without a port the client's port stays, as ever. */
function chooseFallback({ fallback, key }: ResolvedBlock, globals: GlobalSettings): VirtualFallback | null {
  if (fallback !== null) return { ...fallback, source: 'block' };
  const global = familyOfService(key) === 'ipv6' ? globals.fallback6 : globals.fallback;
  if (global === null) return null;
  return { ...global, port: global.port ?? (isMarkKey(key) ? 0 : key.port), source: 'global' };
}

/** `tcp:192.0.2.1:80`, `udp:[2001:db8::1]:53`, `fwm:7`, `fwm6:7`: at most one service has it. */
export function virtualIdentity(key: ServiceKey): string {
  if (isMarkKey(key)) return `${key.family === 'ipv6' ? 'fwm6' : 'fwm'}:${key.mark}`;
  return `${key.protocol}:${formatEndpoint(key.address, key.port)}`;
}

/** How log lines name a service: `192.0.2.1:80`, or the mark. */
export function virtualName(key: ServiceKey): string {
  return isMarkKey(key) ? String(key.mark) : formatEndpoint(key.address, key.port);
}

/** URL of an http, https or http_proxy check; for http_proxy the request as it stands. */
export function checkUrl(virtual: VirtualServer, real: RealServer): string {
  const schema = virtual.service === 'http_proxy' ? 'http' : virtual.service;
  const port = checkPort(virtual, real);
  const base = `${schema}://${formatEndpoint(real.address, port ?? 0)}/`;
  if (real.request !== null && real.receive !== null) {
    const request = real.request.replace(/^\//, '');
    return request.includes(`${schema}://`) ? request : base + request;
  }
  const request = virtual.request.replace(/^\//, '');
  return virtual.service === 'http_proxy' ? request : base + request;
}

/** The port a check goes to: `checkport`, else the server's own, else the service type's; `null`: none known. */
export function checkPort(virtual: VirtualServer, real: RealServer): number | null {
  if (virtual.checkPort !== null) return virtual.checkPort;
  return real.port > 0 ? real.port : SERVICE_PORTS[virtual.service];
}
