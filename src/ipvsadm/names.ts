/** Names from the host: /etc/services, and the system's resolver (hosts file, DNS). Read when first asked for. */
import { readFileSync } from 'node:fs';
import type { NameService } from './io.ts';
import { parseServicesFile, type ServiceNames } from './services-file.ts';

const SERVICES_FILE = '/etc/services';

export function createSystemNames(): NameService {
  let services: ServiceNames | null = null;
  const known = (): ServiceNames => {
    services ??= parseServicesFile(readServicesFile());
    return services;
  };
  return {
    async findAddress(host) {
      try {
        const { lookup } = await import('node:dns/promises');
        return (await lookup(host, { family: 4 })).address;
      } catch {
        return null; // No such host, or nobody to ask: either way there is no address.
      }
    },
    async findHost(address) {
      try {
        const { lookupService } = await import('node:dns/promises');
        const { hostname } = await lookupService(address, 0);
        return hostname === address ? null : hostname;
      } catch {
        return null; // An address without a name is shown as a number.
      }
    },
    findPort: (service, protocol) => known().findPort(service, protocol),
    findService: (port, protocol) => known().findService(port, protocol),
  };
}

/** A host without the file has no names of ports. */
function readServicesFile(): string {
  try {
    return readFileSync(SERVICES_FILE, 'utf8');
  } catch {
    return '';
  }
}
