/** What the running daemon tells about itself. */
import type { DaemonStatus } from '../../control/api.ts';
import { walkConnections, walkServices } from '../../control/pages.ts';
import type { LinkCounters, SyncDaemonSpec } from '../../model/commands.ts';
import type { ConnectionStatus } from '../../model/connection-status.ts';
import type { DataPlane } from '../../model/data-plane.ts';
import { IpvsError } from '../../model/errors.ts';
import type { HeldHealthReport } from '../../model/health.ts';
import type { ServiceStatus } from '../../model/service.ts';
import type { Timeouts } from '../../model/settings.ts';
import type { SourceNatReport } from '../../model/source-nat-rule.ts';

/** As `control/client.ts` reaches it. */
export interface DaemonToAsk extends DataPlane {
  status(): Promise<DaemonStatus>;
  health(): Promise<readonly HeldHealthReport[]>;
}

export interface DaemonFacts {
  readonly atMs: number;
  readonly status: DaemonStatus;
  readonly services: readonly ServiceStatus[];
  /** No more than `CONNECTIONS_MAX`. */
  readonly connections: readonly ConnectionStatus[];
  readonly connectionsLeftOut: boolean;
  readonly timeouts: Timeouts;
  /** By name without `net.ipv4.vs.`, as text. */
  readonly settings: Readonly<Record<string, string>>;
  /** `null`: this data plane knows no such rules. */
  readonly sourceNat: SourceNatReport | null;
  readonly health: readonly HeldHealthReport[];
  readonly syncDaemons: readonly SyncDaemonSpec[];
  /** Of the packet back end; empty where there is none. */
  readonly links: readonly LinkCounters[];
}

/** Enough for every rule, and read in a second. */
export const CONNECTIONS_MAX = 100_000;

/** `nowMs` is monotonic. */
export async function askDaemon(daemon: DaemonToAsk, nowMs: () => number): Promise<DaemonFacts> {
  const status = await daemon.status();
  const services: ServiceStatus[] = [];
  for await (const service of walkServices(daemon)) services.push(service);
  const connections: ConnectionStatus[] = [];
  let connectionsLeftOut = false;
  for await (const connection of walkConnections(daemon)) {
    if (connections.length >= CONNECTIONS_MAX) {
      connectionsLeftOut = true;
      break;
    }
    connections.push(connection);
  }
  return {
    atMs: nowMs(),
    status,
    services,
    connections,
    connectionsLeftOut,
    timeouts: await daemon.execute<'getTimeouts'>({ name: 'getTimeouts' }),
    settings: await orWithout<Readonly<Record<string, string>>>(
      async () => (await daemon.execute<'listSettings'>({ name: 'listSettings' })).settings,
      {},
    ),
    sourceNat: await orWithout(() => daemon.execute<'listSourceNatRules'>({ name: 'listSourceNatRules' }), null),
    health: await orWithout(() => daemon.health(), []),
    syncDaemons: await orWithout(
      async () => (await daemon.execute<'listSyncDaemons'>({ name: 'listSyncDaemons' })).daemons,
      [],
    ),
    links: await orWithout(
      async () => (await daemon.execute<'getLinkCounters'>({ name: 'getLinkCounters' })).links,
      [],
    ),
  };
}

/** What this data plane, or a daemon of an older version, does not know. */
async function orWithout<T>(ask: () => Promise<T>, without: T): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof IpvsError && ['EOPNOTSUPP', 'EINVAL', 'ENOENT'].includes(error.code)) return without;
    throw error;
  }
}
