/** Warnings of our own: what the original accepts without a word although it does not do what was meant. */
import { formatEndpoint, isMarkKey } from '../../model/service.ts';
import type { ConfigurationWarning } from './problem.ts';
import type { VirtualServer } from './types.ts';

/** Traps that are seen on a finished service; those of single lines are warned about where the line is read. */
export function trapWarnings(virtual: VirtualServer): ConfigurationWarning[] {
  const warnings: ConfigurationWarning[] = [];
  const warn = (line: number, text: string) => warnings.push({ line, text, origin: 'uipvs' });
  const { key, checkType, service } = virtual;

  if (virtual.fallbackUnusable) {
    const text = 'the global fallback is used for this mark; the original cannot do that for firewall marks';
    warn(virtual.line, `virtual server: ${text}`);
  }
  if (checkType === 'off') {
    const line = virtual.directiveLines['checktype'] ?? virtual.line;
    warn(line, 'checktype=off: no real server of this service is ever used, only its fallback');
  }
  if ((checkType === 'negotiate' || checkType === 'combined') && service === 'dns' && virtual.receive === '') {
    const line = virtual.directiveLines['service'] ?? virtual.line;
    warn(line, 'service=dns: without receive the check always fails');
  }
  for (const real of virtual.real) {
    if (isMarkKey(key) || real.forward === 'masq' || real.port === key.port) continue;
    const name = formatEndpoint(real.address, real.port);
    warn(
      real.line,
      `real server: ${name} is used with port ${key.port}, that of the service: ${real.forward} cannot change ports`,
    );
  }
  return warnings;
}
