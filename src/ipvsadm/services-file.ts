/** /etc/services: names of ports by protocol. Format: services(5). */
import type { ServiceProtocol } from '../model/service.ts';

export interface ServiceNames {
  findPort(service: string, protocol: ServiceProtocol): number | null;
  findService(port: number, protocol: ServiceProtocol): string | null;
}

/** The first line that fits counts, as with getservbyname(3); aliases are names too. Other lines are passed over. */
export function parseServicesFile(text: string): ServiceNames {
  const ports = new Map<string, number>();
  const names = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [name, place, ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/);
    const match = /^(\d{1,5})\/(\w+)$/.exec(place ?? '');
    if (name === undefined || match === null) continue;
    const port = Number(match[1]);
    const protocol = match[2]!;
    for (const word of [name, ...aliases]) {
      const key = `${word}/${protocol}`;
      if (!ports.has(key)) ports.set(key, port);
    }
    const key = `${port}/${protocol}`;
    if (!names.has(key)) names.set(key, name);
  }
  return {
    findPort: (service, protocol) => ports.get(`${service}/${protocol}`) ?? null,
    findService: (port, protocol) => names.get(`${port}/${protocol}`) ?? null,
  };
}
