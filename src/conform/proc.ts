/** Files below /proc, made from what the data plane answers. */
import type { IpvsadmTable } from '../ipvsadm/io.ts';
import {
  procConnections,
  procHelpers,
  procPerCpu,
  procServices,
  procStatistics,
  procSyncedConnections,
} from '../ipvsadm/proc-files.ts';
import type { Command, Page } from '../model/commands.ts';
import type { ConnectionStatus } from '../model/connection-status.ts';
import { IpvsError } from '../model/errors.ts';
import type { ServiceStatus } from '../model/service.ts';

const SETTINGS = '/proc/sys/net/ipv4/vs/';

const FILES: Readonly<Record<string, (dataPlane: IpvsadmTable) => Promise<string>>> = {
  '/proc/net/ip_vs': async (dataPlane) =>
    procServices(await dataPlane.execute<'info'>({ name: 'info' }), await services(dataPlane)),
  '/proc/net/ip_vs_conn': async (dataPlane) => procConnections(await connections(dataPlane)),
  '/proc/net/ip_vs_conn_sync': async (dataPlane) => procSyncedConnections(await connections(dataPlane)),
  '/proc/net/ip_vs_stats': async (dataPlane) => {
    const { statistics, rates } = await dataPlane.execute<'getTotals'>({ name: 'getTotals' });
    return procStatistics(statistics, rates);
  },
  '/proc/net/ip_vs_stats_percpu': async (dataPlane) => {
    const { processors } = await dataPlane.execute<'getPerCpu'>({ name: 'getPerCpu' });
    const { statistics, rates } = await dataPlane.execute<'getTotals'>({ name: 'getTotals' });
    return procPerCpu(processors, statistics, rates);
  },
  '/proc/net/ip_vs_app': async (dataPlane) => {
    const { helpers } = await dataPlane.execute<'listHelpers'>({ name: 'listHelpers' });
    return procHelpers(helpers);
  },
};

/** `null`: there is no such file. */
export async function readProcFile(dataPlane: IpvsadmTable, path: string): Promise<string | null> {
  if (path.startsWith(SETTINGS)) return readSetting(dataPlane, path.slice(SETTINGS.length));
  return Object.hasOwn(FILES, path) ? FILES[path]!(dataPlane) : null;
}

async function readSetting(dataPlane: IpvsadmTable, setting: string): Promise<string | null> {
  try {
    const answer = await dataPlane.execute({ name: 'getSetting', setting } as unknown as Command);
    return `${(answer as unknown as { value: string }).value}\n`;
  } catch (error) {
    if (error instanceof IpvsError && error.code === 'ENOENT') return null;
    throw error;
  }
}

function services(dataPlane: IpvsadmTable): Promise<ServiceStatus[]> {
  return allPages((cursor) => dataPlane.execute<'listServices'>({ name: 'listServices', ...cursor }));
}

function connections(dataPlane: IpvsadmTable): Promise<ConnectionStatus[]> {
  return allPages((cursor) => dataPlane.execute<'listConnections'>({ name: 'listConnections', ...cursor }));
}

async function allPages<T>(read: (cursor: { cursor?: string }) => Promise<Page<T>>): Promise<T[]> {
  const items: T[] = [];
  let next: string | null = null;
  do {
    const page: Page<T> = await read(next === null ? {} : { cursor: next });
    items.push(...page.items);
    next = page.next;
  } while (next !== null);
  return items;
}
