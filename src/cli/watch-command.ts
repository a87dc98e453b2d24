/** `uipvs watch -- COMMAND`: runs it, then says what happened at the balancer meanwhile. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { allServices } from '../control/pages.ts';
import { FILTER_SYNTAX, parsePacketFilter } from '../model/packet-filter.ts';
import type { LiveCapture, LivePage } from '../trace/live-capture.ts';
import { type Cli, type ConnectedDaemon, toJson, withDaemon } from './cli.ts';
import { USAGE_EXIT_CODE, type Word } from './command-line.ts';

const PERIOD_MS = 50;
/** After the command: the last packets of its connections. */
const AFTER_MS = 300;
/** Headers, with the longest options of IP and TCP, also in a tunnel. */
const SNAP_BYTES = 192;
/** After Ctrl-C the command has so long to end by itself. */
const PATIENCE_MS = 3_000;
const NOT_FOUND_EXIT_CODE = 127;
const NOT_STARTED_EXIT_CODE = 126;

export function watchCommandWord(cli: Cli): Word {
  return {
    name: 'watch',
    summary: 'run a command, then say what happened at the balancer meanwhile: uipvs watch -- ab -n 1000 http://VIP/',
    operands: '[command...]',
    options: [
      { flags: '--filter <text>', description: 'look at these packets only' },
      { flags: '--json', description: 'print a JSON object; what the command prints goes to standard error' },
    ],
    notes: `Type -- before the command. For each server, of the connections that began meanwhile:
  CONNS, %     how many, and their share     RST SRV/CLI  ended by a reset of the server, the client
  NO ANSWER    the first packet was not answered          SENT AGAIN  segments that were sent before
  HALF OPEN    answered, but the client did not go on     MEDIAN, P99 from the request to the first bytes
  REFUSED      answered with a reset                                  of its answer, in milliseconds
then the slowest answers and a verdict. With direct routing and tunnels answers do not pass the balancer: "-".
The running daemon is looked at, in this network namespace or at UIPVS_SOCKET; it must be the packet engine.

Filter: ${FILTER_SYNTAX.replaceAll('\n', '\n  ')}

Keys of --json: command, exitCode, seconds, packets, connections, reusedPorts, openedAgain (SYNs sent again), segments,
sentAgain, strays, drops (by reason), lost (packets not seen), notFollowed, servers (server, connections, share,
unanswered, halfOpen, refused, resetByServer, resetByClient, sentAgain, medianMs, p99Ms, oneWay), slowest (client,
server, ms), verdict (sentences, what is wrong first), findings (how many of them are about something wrong)
The exit code is that of the command; ${NOT_FOUND_EXIT_CODE} it is not there, ${NOT_STARTED_EXIT_CODE} it cannot be started, 1 the balancer cannot be looked at (then
nothing is run), 2 the words were not understood.`,
    run: async ({ operands, json, filter }) => {
      const command = operands as readonly string[];
      if (command.length === 0) {
        await cli.stderr(
          'uipvs watch: type the command behind --: uipvs watch -- ab -n 1000 -c 20 http://192.168.1.120/\n',
        );
        return USAGE_EXIT_CODE;
      }
      try {
        parsePacketFilter((filter as string | undefined) ?? '');
      } catch (error) {
        await cli.stderr(`uipvs watch: ${(error as Error).message}\n`);
        return USAGE_EXIT_CODE;
      }
      return withDaemon(cli, (daemon) => watchCommand(cli, daemon, command, (filter as string) ?? '', json === true));
    },
  };
}

async function watchCommand(
  cli: Cli,
  daemon: ConnectedDaemon,
  command: readonly string[],
  filter: string,
  json: boolean,
): Promise<number> {
  const { Conversations, formatWatch, LiveCapture, watchReport } = await import('../trace/index.ts');
  const live = new LiveCapture(daemon, `watch-${process.pid}`, { filter, snapBytes: SNAP_BYTES });
  const conversations = new Conversations();
  let lost = 0;
  const take = (page: LivePage): void => {
    for (const record of page.records) conversations.add(record);
    lost += page.lost;
  };
  take(await live.read());
  const startMs = performance.now();
  const outcome = run(command, json, cli.interruption);
  await follow(live, take, outcome);
  const ended = await outcome;
  const seconds = (performance.now() - startMs) / 1000;
  await new Promise((resolve) => setTimeout(resolve, AFTER_MS));
  for await (const page of live.rest()) take(page);
  if (ended.problem !== null) {
    await cli.stderr(`uipvs watch: ${ended.problem}\n`);
    return ended.exitCode;
  }
  const services = await allServices(daemon);
  const { exitCode } = ended;
  const report = watchReport({ command, exitCode, seconds, lost, conversations, services });
  await cli.stdout(json ? toJson(report) : `\n${formatWatch(report)}`);
  return ended.exitCode;
}

/** Reads until the command has ended. */
async function follow(live: LiveCapture, take: (page: LivePage) => void, outcome: Promise<Outcome>): Promise<void> {
  let isOver = false;
  void outcome.then(() => {
    isOver = true;
  });
  while (!isOver) {
    const page = await live.read();
    take(page);
    if (!page.more) await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
  }
}

interface Outcome {
  readonly exitCode: number;
  /** Why it did not run, or `null`. */
  readonly problem: string | null;
}

function run([program, ...words]: readonly string[], json: boolean, interruption?: AbortSignal): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(program as string, words, { stdio: ['inherit', json ? 2 : 'inherit', 'inherit'] });
    // The terminal tells Ctrl-C to the command as well, which then ends in its own way.
    const insist = (): void => void setTimeout(() => child.kill('SIGTERM'), PATIENCE_MS).unref();
    interruption?.addEventListener('abort', insist, { once: true });
    child.on('error', (error: NodeJS.ErrnoException) => {
      const exitCode = error.code === 'ENOENT' ? NOT_FOUND_EXIT_CODE : NOT_STARTED_EXIT_CODE;
      const why = error.code === 'ENOENT' ? 'there is no such program' : error.message;
      resolve({ exitCode, problem: `${program} cannot be run: ${why}` });
    });
    child.on('close', (code, signal) => {
      interruption?.removeEventListener('abort', insist);
      resolve({ exitCode: code ?? 128 + (signal === null ? 0 : constants.signals[signal]), problem: null });
    });
  });
}
