/** `uipvs proc`: the kernel's files /proc/net/ip_vs*, for tools that read those. */
import { suggestion } from '../control/nearest.ts';
import { walkConnections, walkServices } from '../control/pages.ts';
import {
  CONNECTIONS_HEADING,
  procConnection,
  procHelpers,
  procPerCpu,
  procService,
  procServicesHeading,
  procStatistics,
  procSyncedConnection,
  SYNCED_HEADING,
} from '../ipvsadm/proc-files.ts';
import { type Cli, type ConnectedDaemon, withDaemon } from './cli.ts';
import { USAGE_EXIT_CODE, type Word } from './command-line.ts';
import { printText } from './print-list.ts';

interface ProcFile {
  readonly summary: string;
  /** In pieces, so that a table of any size costs little memory. */
  read(daemon: ConnectedDaemon): AsyncIterable<string>;
}

export const PROC_FILES: Readonly<Record<string, ProcFile>> = {
  ip_vs: { summary: 'services and their servers', read: services },
  ip_vs_app: { summary: 'payload helpers', read: helpers },
  ip_vs_conn: {
    summary: 'connections',
    read: (daemon) => rows(CONNECTIONS_HEADING, procConnection, walkConnections(daemon)),
  },
  ip_vs_conn_sync: {
    summary: 'connections with their origin',
    read: (daemon) => rows(SYNCED_HEADING, procSyncedConnection, walkConnections(daemon)),
  },
  ip_vs_stats: { summary: 'counters and rates of the whole table', read: statistics },
  ip_vs_stats_percpu: { summary: 'counters of each processor', read: perCpu },
};

export function procWord(cli: Cli): Word {
  return {
    name: 'proc',
    summary: "print one of the kernel's files /proc/net/ip_vs*",
    operands: '<file>',
    operandChoices: Object.keys(PROC_FILES),
    options: [],
    notes: `Files, of which the text is the kernel's to the byte:
${Object.entries(PROC_FILES)
  .map(([name, { summary }]) => `  ${name.padEnd(19)} ${summary}\n`)
  .join('')}
A path (/proc/net/ip_vs) is understood too. For a tool that reads only a file:
  uipvs proc ip_vs > /run/ip_vs`,
    run: async ({ operands }) => {
      const [typed] = operands as [string];
      const name = typed.replace(/^\/proc\/(?:self\/|thread-self\/)?net\//, '');
      const file = Object.hasOwn(PROC_FILES, name) ? PROC_FILES[name] : undefined;
      if (file === undefined) {
        await cli.stderr(
          `uipvs proc: there is no file ${JSON.stringify(typed)}${suggestion(name, Object.keys(PROC_FILES))}\n`,
        );
        return USAGE_EXIT_CODE;
      }
      return withDaemon(cli, async (daemon) => {
        await printText(cli, file.read(daemon));
        return 0;
      });
    },
  };
}

async function* services(daemon: ConnectedDaemon): AsyncGenerator<string> {
  yield procServicesHeading(await daemon.execute<'info'>({ name: 'info' }));
  for await (const service of walkServices(daemon)) yield procService(service);
}

async function* rows<T>(heading: string, format: (item: T) => string, items: AsyncIterable<T>): AsyncGenerator<string> {
  yield heading;
  for await (const item of items) yield format(item);
}

async function* helpers(daemon: ConnectedDaemon): AsyncGenerator<string> {
  yield procHelpers((await daemon.execute<'listHelpers'>({ name: 'listHelpers' })).helpers);
}

async function* statistics(daemon: ConnectedDaemon): AsyncGenerator<string> {
  const totals = await daemon.execute<'getTotals'>({ name: 'getTotals' });
  yield procStatistics(totals.statistics, totals.rates);
}

async function* perCpu(daemon: ConnectedDaemon): AsyncGenerator<string> {
  const { processors } = await daemon.execute<'getPerCpu'>({ name: 'getPerCpu' });
  const totals = await daemon.execute<'getTotals'>({ name: 'getTotals' });
  yield procPerCpu(processors, totals.statistics, totals.rates);
}
