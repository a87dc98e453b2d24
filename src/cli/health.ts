/** `uipvs health`: is each real server alive, since when, and why not? As the programs that check them tell. */
import { nearestWord } from '../control/nearest.ts';
import { IpvsError } from '../model/errors.ts';
import type { HealthOfServer, HealthOfService, HeldHealthReport } from '../model/health.ts';
import { formatEndpoint } from '../model/service.ts';
import { type Cli, type ConnectedDaemon, toJson, withDaemon } from './cli.ts';
import { USAGE_EXIT_CODE, type Word } from './command-line.ts';
import { formatHealth } from './health-table.ts';
import { draw, WATCH_OPTION } from './watch.ts';

const ALL_WELL = 0;
const CANNOT_TELL = 1;
const SOME_DOWN = 3;

export function healthWord(cli: Cli): Word {
  return {
    name: 'health',
    summary: 'show whether the real servers are alive, since when, and why not',
    operands: '[SERVER...]',
    options: [
      { flags: '--timeline', description: 'print all changes that are remembered, not only the last few' },
      { flags: '--json', description: 'print a JSON array, one report of a checking program each' },
      WATCH_OPTION,
    ],
    notes: `SERVER is an address or address:port; without it all servers are shown.

Exit codes: 0 no server is down, 3 some server is down, 1 that cannot be told: no daemon, no program that checks,
or one that tells no more. Servers in maintenance and servers that are never checked are not down.

Keys of each report with --json:
  source, receivedAt, stale (it should have come again and did not)
  report     program, pid, configuration, startedAt, renewSeconds, services
  services   key ({ protocol, address, port } or { mark, family }), check (in words), fallback, fallbackInUse, servers
  servers    address, port, state (up, down, unknown, maintenance), since,
             result ({ at, healthy, reason, latencyMs } or null), failures, failuresMax, nextCheckAt,
             changes ({ number, at, state, reason }, the newest last)

Every change is also told as an event \`health\` of GET /v1/events and logged by uipvsd.`,
    run: async ({ operands, json, timeline, watch }) => {
      const wanted = operands as readonly string[];
      let exitCode = ALL_WELL;
      const shown = await withDaemon(cli, async (daemon) => {
        const first = await ask(daemon);
        const complaint = complaintAbout(wanted, first);
        if (complaint !== null) {
          await cli.stderr(`uipvs health: ${complaint}\n`);
          return USAGE_EXIT_CODE;
        }
        let next: readonly HeldHealthReport[] | null = first;
        return draw(cli, watch === true, async (canvas) => {
          const reports = only(next ?? (await ask(daemon)), wanted);
          next = null;
          exitCode = exitCodeFor(reports);
          const text =
            json === true ? toJson(reports, watch === true) : formatHealth(reports, timeline === true, Date.now());
          await canvas.stdout(text);
        });
      });
      return shown === ALL_WELL ? exitCode : shown;
    },
  };
}

async function ask(daemon: ConnectedDaemon): Promise<readonly HeldHealthReport[]> {
  try {
    return await daemon.health();
  } catch (cause) {
    if (!(cause instanceof IpvsError) || cause.code !== 'ENOENT') throw cause;
    throw new IpvsError('EOPNOTSUPP', 'this uipvsd is too old to know of health; start the newer one', { cause });
  }
}

function exitCodeFor(reports: readonly HeldHealthReport[]): number {
  const servers = reports.flatMap(({ report }) => report.services.flatMap((service) => service.servers));
  if (servers.some(({ state }) => state === 'down')) return SOME_DOWN;
  return reports.length === 0 || reports.some(({ stale }) => stale) ? CANNOT_TELL : ALL_WELL;
}

function complaintAbout(wanted: readonly string[], reports: readonly HeldHealthReport[]): string | null {
  const servers = reports.flatMap(({ report }) => report.services.flatMap((service) => service.servers));
  const unknown = wanted.find((name) => !servers.some((server) => isNamed(server, name)));
  // Whether anybody tells of servers at all is said below.
  if (unknown === undefined || reports.length === 0) return null;
  const names = [...new Set(servers.map(({ address, port }) => formatEndpoint(address, port)))];
  const nearest = nearestWord(unknown, names);
  const hint = nearest === null ? '; `uipvs health` shows all of them' : `, did you mean ${nearest}?`;
  return `no server "${unknown}" is checked${hint}`;
}

function isNamed({ address, port }: HealthOfServer, name: string): boolean {
  return name === address || name === formatEndpoint(address, port) || name === `[${address}]`;
}

/** Reports with the wanted servers alone, and the services that have some. */
function only(reports: readonly HeldHealthReport[], wanted: readonly string[]): readonly HeldHealthReport[] {
  if (wanted.length === 0) return reports;
  const narrow = (service: HealthOfService): HealthOfService => ({
    ...service,
    servers: service.servers.filter((server) => wanted.some((name) => isNamed(server, name))),
  });
  return reports
    .map((held) => {
      const services = held.report.services.map(narrow).filter(({ servers }) => servers.length > 0);
      return { ...held, report: { ...held.report, services } };
    })
    .filter(({ report }) => report.services.length > 0);
}
