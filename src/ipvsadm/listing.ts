/** `ipvsadm -L`: services and real servers, all or those of one service. */
import type { TableInfo } from '../model/commands.ts';
import type { DestinationStatus } from '../model/destination.ts';
import { IpvsError } from '../model/errors.ts';
import { isMarkKey, type ServiceProtocol, type ServiceStatus } from '../model/service.ts';
import type { IpvsadmIo, IpvsadmTable } from './io.ts';
import { LineWriter } from './line-writer.ts';
import { refusalText } from './messages.ts';
import { createNaming, type Naming } from './naming.ts';
import type { ListRequest } from './request.ts';
import { sortDestinations, sortServices } from './sort.ts';
import { SERVICE_NAME_WIDTH, signedMark, VIEWS } from './views.ts';

const DESTINATION_NAME_WIDTH = 28;
const PROTOCOL_WIDTH = 4;

/** Prints and returns the exit status. */
export async function list(request: ListRequest, table: IpvsadmTable, info: TableInfo, io: IpvsadmIo): Promise<number> {
  const out = new LineWriter(io);
  const view = VIEWS[request.view];
  const naming = createNaming(io.names, request.numeric);
  const [serviceHeading, destinationHeading] = view.headings;
  let headed = false;
  const printHeadings = () => {
    if (!headed) out.line(serviceHeading).line(destinationHeading);
    headed = true;
  };
  const print = async (services: readonly ServiceStatus[]) => {
    printHeadings();
    await naming.prepare(addressesOf(services));
    for (const status of services) {
      out.line(view.service(status, serviceName(status, naming), request.exact));
      const destinations = request.sorted ? sortDestinations(status.destinations) : status.destinations;
      for (const destination of destinations) {
        const name = destinationName(destination, portProtocol(status), naming);
        out.line(`  -> ${name}${view.destination(destination, request.exact)}`);
      }
      await out.breathe();
    }
  };

  try {
    if (request.key !== null) {
      await print([await table.execute<'getService'>({ name: 'getService', key: request.key })]);
    } else {
      out.line(`IP Virtual Server version ${info.version} (size=${info.connectionTableSize})`);
      const kept: ServiceStatus[] = [];
      for await (const page of servicePages(table)) {
        printHeadings();
        if (request.sorted) kept.push(...page);
        else await print(page);
      }
      await print(sortServices(kept));
    }
  } catch (error) {
    if (!(error instanceof IpvsError)) throw error;
    await out.end();
    await io.stderr(refusalText('list', error));
    return 1;
  }
  await out.end();
  return 0;
}

/** Every service of the table, page by page. */
export async function* servicePages(table: IpvsadmTable): AsyncGenerator<readonly ServiceStatus[]> {
  let cursor: string | null = null;
  do {
    const page: { items: readonly ServiceStatus[]; next: string | null } = await table.execute<'listServices'>(
      cursor === null ? { name: 'listServices' } : { name: 'listServices', cursor },
    );
    yield page.items;
    cursor = page.next;
  } while (cursor !== null);
}

/** The addresses whose names the lines show. */
export function* addressesOf(services: readonly ServiceStatus[]): Generator<string> {
  for (const { spec, destinations } of services) {
    if (!isMarkKey(spec.key)) yield spec.key.address;
    for (const destination of destinations) yield destination.spec.address;
  }
}

/** Whose service names the ports of real servers have: under a mark they are always numbers. */
export function portProtocol({ spec: { key } }: ServiceStatus): ServiceProtocol | null {
  return isMarkKey(key) ? null : key.protocol;
}

/** `TCP  192.0.2.1:80`, cut for IPv4; `FWM  5 IPv6`. */
function serviceName({ spec }: ServiceStatus, naming: Naming): string {
  const { key } = spec;
  if (isMarkKey(key)) return `FWM  ${signedMark(spec)}${key.family === 'ipv6' ? ' IPv6' : ''}`;
  const endpoint = naming.endpoint(key.address, key.port, key.protocol);
  const name = `${key.protocol.toUpperCase().padEnd(PROTOCOL_WIDTH)} ${endpoint}`;
  return key.address.includes(':') ? name : name.slice(0, SERVICE_NAME_WIDTH);
}

function destinationName({ spec }: DestinationStatus, protocol: ServiceProtocol | null, naming: Naming): string {
  const name = naming.endpoint(spec.address, spec.port, protocol).padEnd(DESTINATION_NAME_WIDTH);
  return spec.address.includes(':') ? name : name.slice(0, DESTINATION_NAME_WIDTH);
}
