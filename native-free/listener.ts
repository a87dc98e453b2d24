/** Why a service's address and port cannot be had, with the way out. */
import { IpvsError } from '../src/model/errors.ts';
import { formatServiceKey, type ServiceKey } from '../src/model/service.ts';

export function listenerRefusal(key: ServiceKey, error: NodeJS.ErrnoException): IpvsError {
  const what = formatServiceKey(key);
  const { address, port } = key as { address: string; port: number };
  switch (error.code) {
    case 'EADDRINUSE':
      return new IpvsError(
        'EBUSY',
        `${what}: another program has this port; \`ss -lntup 'sport = :${port}'\` shows which`,
        { cause: error },
      );
    case 'EADDRNOTAVAIL':
      return new IpvsError(
        'ENODEV',
        `${what}: the proxy can listen on addresses of this host only; type \`ip addr add ${address}/${address.includes(':') ? 128 : 32} dev lo\``,
        { cause: error },
      );
    case 'EACCES':
      return new IpvsError(
        'EPERM',
        `${what}: ports below 1024 need root, or \`sysctl -w net.ipv4.ip_unprivileged_port_start=${port}\``,
        { cause: error },
      );
    default:
      return new IpvsError('EIO', `${what}: cannot listen: ${error.message}`, { cause: error });
  }
}
