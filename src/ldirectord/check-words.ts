/** What a configured check is, as a text that tells checks apart and in words for people. */
import { planCheck } from './checks.ts';
import type { RealServer, VirtualServer } from './config/types.ts';

/** Fields that say how patiently is asked, and not what. */
const PATIENCE: ReadonlySet<string> = new Set(['timeoutMs', 'thoroughTimeoutMs', 'attempts']);

/**
 * Equal for two servers exactly when a result for one is a result for the other as well, and for one server before
 * and after a reload exactly when what was found out still holds. Timeouts and intervals are no part of it.
 */
export function identityOfCheck(virtual: VirtualServer, server: RealServer): string {
  const plan = planCheck(virtual, server);
  return JSON.stringify(plan, (name, value) => (PATIENCE.has(name) ? undefined : value));
}

/** `ping every 2 s, timeout 10 s` */
export function describeCheck(virtual: VirtualServer): string {
  const { checkType, effective } = virtual;
  const every = `every ${effective.checkIntervalSeconds} s`;
  const short = `timeout ${effective.checkTimeoutSeconds} s`;
  const long = `timeout ${effective.negotiateTimeoutSeconds} s`;
  const attempts = effective.checkCount > 1 ? `, up to ${effective.checkCount} attempts` : '';
  const port = virtual.checkPort === null ? '' : ` to port ${virtual.checkPort}`;
  switch (checkType) {
    case 'off':
      return 'never checked (checktype=off)';
    case 'on':
      return 'always up (checktype=on)';
    case 'ping':
      return `ping ${every}, ${short}${attempts}`;
    case 'connect':
      if (virtual.protocol === 'udp')
        return `ping (for a connect check of a udp service) ${every}, ${short}${attempts}`;
      return `connect${port} ${every}, ${short}`;
    case 'external':
    case 'external-perl':
      return `${checkType} ${virtual.checkCommand} ${every}, ${short}`;
    case 'negotiate':
      if (virtual.service === 'none') return 'always up (service=none)';
      return `${describeNegotiation(virtual)}${port} ${every}, ${long}`;
    case 'combined': {
      const connects = `then ${virtual.connectsBetweenNegotiates} times connect`;
      return `${describeNegotiation(virtual)}, ${connects}${port}, ${every}, ${long} and ${effective.checkTimeoutSeconds} s`;
    }
  }
}

/** Passwords are no part of it. */
function describeNegotiation({ service, request, receive, httpMethod }: VirtualServer): string {
  const method = httpMethod === 'HEAD' ? ' HEAD' : '';
  const asking = request === '/' ? '' : ` "${request}"`;
  const expecting = receive === '' ? '' : ` expecting "${receive}"`;
  return `${service}${method}${asking}${expecting}`;
}
