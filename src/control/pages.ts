/** Long answers come in pages; these two walk through them. */
import type { Page } from '../model/commands.ts';
import type { ConnectionStatus } from '../model/connection-status.ts';
import type { DataPlane } from '../model/data-plane.ts';
import type { ServiceStatus } from '../model/service.ts';

/** Every service, page after page. A service that comes or goes meanwhile may be missed or seen. */
export function walkServices(dataPlane: DataPlane): AsyncGenerator<ServiceStatus, void> {
  return walk((cursor) => dataPlane.execute<'listServices'>({ name: 'listServices', ...cursor }));
}

/** Every connection, page after page; the table goes on living meanwhile. */
export function walkConnections(dataPlane: DataPlane): AsyncGenerator<ConnectionStatus, void> {
  return walk((cursor) => dataPlane.execute<'listConnections'>({ name: 'listConnections', ...cursor }));
}

/** All services in one array: for tables of a size that people configure. */
export async function allServices(dataPlane: DataPlane): Promise<ServiceStatus[]> {
  const services: ServiceStatus[] = [];
  for await (const service of walkServices(dataPlane)) services.push(service);
  return services;
}

async function* walk<T>(fetchPage: (at: { cursor?: string }) => Promise<Page<T>>): AsyncGenerator<T, void> {
  let next: string | null = null;
  do {
    const page: Page<T> = await fetchPage(next === null ? {} : { cursor: next });
    yield* page.items;
    next = page.next;
  } while (next !== null);
}
