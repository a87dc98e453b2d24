/** The names that the recording machine knew: its hosts file, and no DNS. */
import type { NameService } from '../ipvsadm/io.ts';
import { parseServicesFile } from '../ipvsadm/services-file.ts';

const HOSTS: readonly (readonly [string, readonly string[]])[] = [
  ['127.0.0.1', ['localhost']],
  ['::1', ['localhost', 'ip6-localhost']],
  ['10.0.0.100', ['www.example.com', 'www']],
  ['fd00::100', ['www6.example.com', 'www6']],
  ['10.1.0.11', ['rs1.example.com', 'rs1']],
  ['fd00:1::11', ['rs1v6.example.com']],
];

/** The part of Debian's /etc/services that recordings mention; numbers are IANA's. */
const SERVICES = `
ftp-data 20/tcp
ftp 21/tcp
ssh 22/tcp
telnet 23/tcp
smtp 25/tcp
domain 53/tcp
domain 53/udp
http 80/tcp
pop3 110/tcp
ntp 123/udp
imap2 143/tcp
snmp 161/udp
https 443/tcp
https 443/udp
submission 587/tcp
imaps 993/tcp
mysql 3306/tcp
sip 5060/tcp
sip 5060/udp
http-alt 8080/tcp
http-alt 8080/udp
`;

export function createRecordedNames(): NameService {
  const services = parseServicesFile(SERVICES);
  return {
    findAddress: async (host) =>
      HOSTS.find(([address, names]) => !address.includes(':') && names.includes(host))?.[0] ?? null,
    findHost: async (address) => HOSTS.find(([known]) => known === address)?.[1][0] ?? null,
    findPort: (service, protocol) => services.findPort(service, protocol),
    findService: (port, protocol) => services.findService(port, protocol),
  };
}
