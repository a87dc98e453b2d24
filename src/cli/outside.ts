/** Who else changes the table on purpose: `uipvs drain`, and programs that check servers. */
import type { Outside, WantedService } from '../control/change-plan.ts';
import type { DestinationKey } from '../model/destination.ts';
import { IpvsError } from '../model/errors.ts';
import type { HealthOfServer, HealthOfService, HealthReport } from '../model/health.ts';
import { formatServiceKey } from '../model/service.ts';
import type { Cli, ConnectedDaemon, RunningDirector } from './cli.ts';
import type { DrainedServer } from './kept-state.ts';

export interface HealthAround {
  /** What programs that check servers tell the daemon. */
  readonly reports: readonly HealthReport[];
  /** Programs that check servers, those that tell nothing among them. */
  readonly directors: readonly RunningDirector[];
}

export async function healthAround(cli: Cli, daemon: ConnectedDaemon): Promise<HealthAround> {
  const reports = (await heldReports(daemon)).filter(({ stale }) => !stale).map(({ report }) => report);
  const running = (await cli.directors?.()) ?? [];
  const silent = running.filter(({ pid }) => !reports.some((report) => report.pid === pid));
  return { reports, directors: [...reports, ...silent] };
}

async function heldReports(daemon: ConnectedDaemon) {
  try {
    return await daemon.health();
  } catch (error) {
    // A daemon of before this question.
    if (error instanceof IpvsError && error.code === 'ENOENT') return [];
    throw error;
  }
}

export function outsideOf({ reports, directors }: HealthAround, drained: readonly DrainedServer[]): Outside {
  const silent = directors.find(({ pid }) => !reports.some((report) => report.pid === pid));
  const told = (service: WantedService): { report: HealthReport; of: HealthOfService } | null => {
    const key = formatServiceKey(service.spec.key);
    for (const report of reports) {
      const of = report.services.find((each) => formatServiceKey(each.key) === key);
      if (of !== undefined) return { report, of };
    }
    return null;
  };
  const whyOut = (service: WantedService, { address, port }: DestinationKey): string | null => {
    const known = told(service);
    if (known === null) {
      return silent !== undefined && service.checked ? `ldirectord (pid ${silent.pid}) has it out` : null;
    }
    const server = known.of.servers.find((each) => each.address === address && each.port === port);
    return server === undefined || server.state === 'up' ? null : inWords(known.report, server);
  };
  return {
    atZero(service, server) {
      const key = formatServiceKey(service.spec.key);
      const isDrained = drained.some(
        (each) => each.service === key && each.address === server.address && each.port === server.port,
      );
      return isDrained ? 'drained; `uipvs drain --undo` brings it back' : whyOut(service, server);
    },
    absent: whyOut,
    movesFallback: (service) => told(service) !== null || (silent !== undefined && service.checked),
  };
}

/** `uldirectord (pid 7): down since 2026-11-23T05:00:00Z: connection refused` */
function inWords({ program, pid }: HealthReport, { state, since, result }: HealthOfServer): string {
  const reason = state === 'down' && result !== null ? `: ${result.reason}` : '';
  return `${program} (pid ${pid}): ${state} since ${since}${reason}`;
}
