/** The names that the recording machine knew: its hosts file, and no DNS. */
import type { NameService } from '../ipvsadm/io.ts';
import { parseServicesFile } from '../ipvsadm/services-file.ts';
import { DEBIAN_SERVICES } from './debian-services.ts';

const HOSTS: readonly (readonly [string, readonly string[]])[] = [
  ['127.0.0.1', ['localhost']],
  ['::1', ['localhost', 'ip6-localhost']],
  ['10.0.0.100', ['www.example.com', 'www']],
  ['fd00::100', ['www6.example.com', 'www6']],
  ['10.1.0.11', ['rs1.example.com', 'rs1']],
  ['fd00:1::11', ['rs1v6.example.com']],
];

const services = parseServicesFile(DEBIAN_SERVICES);

export function createRecordedNames(): NameService {
  return {
    findAddress: async (host) =>
      HOSTS.find(([address, names]) => !address.includes(':') && names.includes(host))?.[0] ?? null,
    findHost: async (address) => HOSTS.find(([known]) => known === address)?.[1][0] ?? null,
    findPort: (service, protocol) => services.findPort(service, protocol),
    findService: (port, protocol) => services.findService(port, protocol),
  };
}
