/**
 * The commands that touch only the service table. Every data plane that keeps a `ServiceTable` shares them, so
 * all give the same answers and errors.
 */
import type { Answer, Command, CommandName, Page } from '../model/commands.ts';
import { SERVICE_PAGE_MAX } from '../model/limits.ts';
import type { ServiceStatus } from '../model/service.ts';
import { invalid, readInteger, readRecord } from './checks.ts';
import type { ServiceTable } from './service-table.ts';

/**
 * Carries out a command, and returns its answer; `undefined` when it is not about the service table. The command
 * may come from anybody. Throws an IpvsError.
 */
export function executeTableCommand(
  table: ServiceTable,
  command: Command,
  nowTicks: number,
): Answer<CommandName> | undefined {
  readRecord(command, 'a command');
  switch (command.name) {
    case 'addService':
      table.addService(command.service, nowTicks);
      return null;
    case 'editService':
      table.editService(command.service, nowTicks);
      return null;
    case 'deleteService':
      table.deleteService(command.key, nowTicks);
      return null;
    case 'flush':
      table.flush(nowTicks);
      return null;
    case 'addDestination':
      table.addDestination(command.service, command.destination, nowTicks);
      return null;
    case 'editDestination':
      table.editDestination(command.service, command.destination, nowTicks);
      return null;
    case 'deleteDestination':
      table.deleteDestination(command.service, command.destination, nowTicks);
      return null;
    case 'getService':
      return table.getService(command.key).status();
    case 'listServices':
      return listServices(table, command.cursor, command.limit);
    case 'zero':
      table.zero(command.key);
      return null;
    case 'getTotals':
      return { statistics: table.totals.statistics(), rates: table.totals.rates() };
    case 'getPerCpu':
      return { processors: [{ processor: 0, counted: table.totals.counted() }] };
    default:
      return undefined;
  }
}

/**
 * A cursor names the last service of its page by bucket and serial number. Table order is by these two, so pages
 * neither skip nor repeat a service that is there all the time, whatever is added or deleted between them.
 */
function listServices(table: ServiceTable, cursor: unknown, limit: unknown): Page<ServiceStatus> {
  const count = Math.min(limit === undefined ? SERVICE_PAGE_MAX : readLimit(limit), SERVICE_PAGE_MAX);
  const services = table.services();
  const first = cursor === undefined ? 0 : placeBehind(table, cursor);
  const items = services.slice(first, first + count);
  const last = items.at(-1);
  const more = first + count < services.length;
  return {
    items: items.map((service) => service.status()),
    next: more && last !== undefined ? `${table.bucketOf(last)}-${last.serial}` : null,
  };
}

function readLimit(limit: unknown): number {
  return readInteger(limit, 'limit', 1, Number.MAX_SAFE_INTEGER);
}

function placeBehind(table: ServiceTable, cursor: unknown): number {
  const match = typeof cursor === 'string' ? /^(\d{1,3})-(\d{1,15})$/.exec(cursor) : null;
  if (match === null) throw invalid('cursor must be what the page before gave as next');
  const bucket = Number(match[1]);
  const serial = Number(match[2]);
  const services = table.services();
  const place = services.findIndex((service) => {
    const itsBucket = table.bucketOf(service);
    return itsBucket > bucket || (itsBucket === bucket && service.serial < serial);
  });
  return place < 0 ? services.length : place;
}
