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
    warn(virtual.line, 'virtual server: the global fallback does not work for firewall marks; give this block its own');
  }
  if (checkType === 'off') {
    const line = virtual.directiveLines['checktype'] ?? virtual.line;
    warn(line, 'checktype=off: no real server of this service is ever used, only its fallback');
  }
  if (checkType === 'negotiate' || checkType === 'combined') {
    const line = virtual.directiveLines['service'] ?? virtual.line;
    for (const text of negotiationTraps(virtual)) warn(line, `service=${service}: ${text}`);
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

/** What a negotiation lacks, or does not do as one might think. */
function negotiationTraps(virtual: VirtualServer): string[] {
  const { service, login, password, secret, receive, request, real } = virtual;
  const hasOwn = (server: VirtualServer['real'][number]) => server.request !== null && server.receive !== null;
  const asksNothing = request === '/' && !real.every(hasOwn);
  const missing = (words: Readonly<Record<string, boolean>>): string[] => {
    const names = Object.keys(words).filter((word) => words[word]);
    return names.length === 0 ? [] : [`without ${names.join(' and ')} the check always fails`];
  };
  switch (service) {
    case 'dns': {
      const any = receive === '' && !real.every(hasOwn);
      const text = 'without receive any address will do here; with the original ldirectord the check always fails';
      return [...missing({ request: asksNothing }), ...(any ? [text] : [])];
    }
    case 'ldap':
    case 'ldaps':
      return login !== '' && password === '' ? ['without passwd the login is not used and the bind is anonymous'] : [];
    case 'mysql':
    case 'pgsql':
      return missing({ login: login === '', request: asksNothing });
    case 'radius':
      return missing({ login: login === '', passwd: password === '', secret: secret === '' });
    default:
      return [];
  }
}
