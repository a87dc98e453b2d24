/** `uipvs io`: which ways of reading and writing packets work on this host? */
import { type BackEnd, type Cli, toJson } from './cli.ts';
import type { Word } from './command-line.ts';

interface BackEndReport {
  readonly name: string;
  readonly summary: string;
  readonly thread: 'any' | 'main';
  readonly available: boolean;
  readonly reason: string | null;
}

export function ioWord(cli: Cli): Word {
  return {
    name: 'io',
    summary: 'list the packet back ends, which of them work here, and why the others do not',
    options: [{ flags: '--json', description: 'print JSON' }],
    notes: `Keys of each back end with --json:
  name, summary   what \`uipvsd --io\` calls it, and what it is
  thread          any, or main: then the daemon runs it in a process of its own
  available       whether it works here, for this user
  reason          why not, with the way out; null when it works

The exit code is 0 when at least one of them works.`,
    run: async ({ json }) => {
      const reports = await Promise.all((await cli.backEnds()).map(examine));
      await cli.stdout(json ? toJson(reports) : reports.map(formatBackEnd).join(''));
      return reports.some((report) => report.available) ? 0 : 1;
    },
  };
}

async function examine(backEnd: BackEnd): Promise<BackEndReport> {
  const { name, summary, thread } = backEnd;
  const reason = await backEnd.unavailable();
  return { name, summary, thread, available: reason === null, reason };
}

function formatBackEnd({ name, summary, available, reason }: BackEndReport): string {
  const verdict = available ? 'works here' : `does not work here: ${reason}`;
  return `${name.padEnd(14)} ${summary}\n${' '.repeat(15)}${verdict}\n`;
}
