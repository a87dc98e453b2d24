/** `ipvsadm -S`: the table as commands that `-R` reads. Thresholds, timeouts and sync daemons have no place in it. */
import { IpvsError } from '../model/errors.ts';
import type { ServiceStatus } from '../model/service.ts';
import { destinationWords, serviceWords, settingWords } from './command-words.ts';
import type { IpvsadmIo, IpvsadmTable } from './io.ts';
import { LineWriter } from './line-writer.ts';
import { addressesOf, portProtocol, servicePages } from './listing.ts';
import { refusalText } from './messages.ts';
import { createNaming } from './naming.ts';
import { sortDestinations, sortServices } from './sort.ts';

/** Prints and returns the exit status. */
export async function save(numeric: boolean, table: IpvsadmTable, io: IpvsadmIo): Promise<number> {
  const out = new LineWriter(io);
  const naming = createNaming(io.names, numeric);
  const services: ServiceStatus[] = [];
  try {
    for await (const page of servicePages(table)) services.push(...page);
  } catch (error) {
    if (!(error instanceof IpvsError)) throw error;
    await io.stderr(refusalText('save', error));
    return 1;
  }
  await naming.prepare(addressesOf(services));
  for (const status of sortServices(services)) {
    const endpoint = (address: string, port: number): string => naming.endpoint(address, port, portProtocol(status));
    const service = serviceWords(status.spec.key, endpoint, (mark) => String(mark | 0));
    out.line(['-A', ...service, ...settingWords(status.spec)].join(' '));
    for (const destination of sortDestinations(status.destinations)) {
      out.line(['-a', ...service, ...destinationWords(destination.spec, endpoint)].join(' '));
    }
    await out.breathe();
  }
  await out.end();
  return 0;
}
