/** `uipvs replay`: a capture file through the balancer, in virtual time. */
import { existsSync, statSync } from 'node:fs';
import { desiredBalancer } from '../config/desired.ts';
import { readActual } from '../control/apply-changes.ts';
import type { DesiredBalancer } from '../control/change-plan.ts';
import { IpvsError } from '../model/errors.ts';
import { inFileOrder } from '../model/file-problem.ts';
import type { ReplayReport, ToldPacket } from '../trace/replay.ts';
import { type Cli, toJson, withDaemon } from './cli.ts';
import { USAGE_EXIT_CODE, type Word, wholeNumber } from './command-line.ts';
import { guardFile, problemLine } from './convert.ts';
import { paintFor } from './explain.ts';
import { FORMAT_NAMES, type FormatName, formatWord } from './format-names.ts';

type Options = Readonly<Record<string, unknown>>;

const BAR_CELLS = 30;
/** Lines of --explain are gathered until there is this much to write. */
const CHUNK_CHARACTERS = 32_768;

export function replayWord(cli: Cli): Word {
  return {
    name: 'replay',
    summary:
      'send the packets of a capture file through the balancer, in virtual time: the same bytes come out every time',
    operands: '[file]',
    options: [
      {
        flags: '--config <file>',
        description: 'the table: uipvs.yaml, ldirectord.cf, ipvsadm rules or keepalived.conf',
      },
      {
        flags: '-f, --from <format>',
        description: 'what that file is; otherwise its name and content tell',
        choices: FORMAT_NAMES,
        parse: formatWord,
      },
      {
        flags: '-w, --write <file>',
        description: 'write what came and what left, as pcapng with comments; - is standard output',
      },
      { flags: '--force', description: 'the file behind -w may be there' },
      { flags: '--explain', description: 'tell the story of each packet, as uipvs explain does' },
      { flags: '--brief', description: 'with --explain: a line for each packet' },
      {
        flags: '--snat <how>',
        description: 'full NAT for all services',
        choices: ['none', 'masquerade'],
        preset: 'none',
      },
      { flags: '--seed <number>', description: 'of all that is random', preset: 1, parse: wholeNumber(0, 2 ** 31) },
      { flags: '--json', description: 'print a JSON object' },
    ],
    notes: `Reads pcap and pcapng (micro- and nanoseconds, both byte orders) with Ethernet, raw IP, Linux cooked or BSD loopback
link headers. Time is that of the packets: a day takes seconds. Without --config the table of the running daemon is
used. A capture knows no routes, so a host is made up around it: VIPs are its addresses, packets go to the MAC address
that the first request went to, servers are where their answers came from. Answers of servers only find their
connection when the scheduler chooses the server that had been chosen; frames that the balancer itself had sent are
known by their MAC address and count as for another host.

-w: interface uipvs-in has what came, uipvs-out what left; each rewritten packet has a comment that says what was
changed, each that was not sent the reason. A name that ends in .pcap: only what left, without comments. The sha256 is
that of this file, also when it is not written.

Keys of --json: input, packets, passedOver (by reason), sent, seconds (capture time), startNs, counters (verdicts,
drops, passes by reason), services (as of uipvs services), output (bytes, sha256)
Exit codes: 0 replayed, 1 a file cannot be read or written, 2 the words or the table were not understood.`,
    run: (options) => runReplay(cli, options),
  };
}

async function runReplay(cli: Cli, options: Options): Promise<number> {
  const [path, ...more] = options['operands'] as readonly string[];
  const complain = async (text: string): Promise<number> => {
    await cli.stderr(`uipvs replay: ${text}\n`);
    return USAGE_EXIT_CODE;
  };
  if (path === undefined || more.length > 0) return complain('type one capture file');
  if (path === '-') return complain('a capture is read twice, so it must be a file, not standard input');
  const target = (options['write'] as string | undefined) ?? null;
  if (target === '-' && (options['json'] === true || options['explain'] === true)) {
    return complain('-w - needs standard output for itself: leave --json and --explain out, or write to a file');
  }
  if (target === '-' && (cli.terminal !== null || cli.stdoutBytes === undefined)) {
    return complain('-w - writes bytes, and standard output is a terminal');
  }
  if (target !== null && target !== '-' && existsSync(target)) {
    if (isSameFile(path, target)) return complain(`cannot write ${target}: it is the file that is read`);
    if (options['force'] !== true) {
      await cli.stderr(`uipvs replay: ${target} is there already; --force writes over it\n`);
      return 1;
    }
  }
  const config = options['config'] as string | undefined;
  if (config === undefined) return play(cli, path, target, await tableOfDaemon(cli), options);
  return guardFile(cli, config, async () => {
    const desired = await tableOfFile(cli, config, options['from'] as FormatName | undefined);
    return play(cli, path, target, desired, options);
  });
}

async function play(
  cli: Cli,
  path: string,
  target: string | null,
  desired: DesiredBalancer,
  options: Options,
): Promise<number> {
  const { CaptureFileError, fileSink, formatReplay, PacketIoError, replay, streamSink } = await import(
    '../trace/index.ts'
  );
  const startMs = performance.now();
  let lines = '';
  const showsLines = options['explain'] === true && options['json'] !== true;
  const report = async (share: number): Promise<void> => {
    if (lines.length > CHUNK_CHARACTERS || share === 1) {
      const text = lines;
      lines = '';
      if (text !== '') await cli.stdout(text);
    }
    if (!showsLines) await showProgress(cli, share);
    // Ctrl-C is heard here.
    await new Promise((turn) => setImmediate(turn));
  };
  const tell = options['explain'] === true ? await teller(cli, options['brief'] === true) : null;
  try {
    const sink =
      target === null
        ? null
        : target === '-'
          ? streamSink(async (bytes) => cli.stdoutBytes?.(bytes))
          : fileSink(target);
    const result: ReplayReport = await replay({
      input: path,
      desired,
      output: sink,
      format: target?.endsWith('.pcap') === true ? 'pcap' : 'pcapng',
      sourceNat: options['snat'] as 'none' | 'masquerade',
      seed: options['seed'] as number,
      ...(tell === null ? {} : { explain: (told: ToldPacket) => void (lines += tell(told)) }),
      progress: ({ share }) => report(share),
    });
    if (!showsLines) await clearProgress(cli);
    const text = formatReplay(result, (performance.now() - startMs) / 1000);
    if (options['json'] === true) await cli.stdout(toJson(result));
    else if (target === '-') await cli.stderr(text);
    else await cli.stdout(`${lines}${showsLines ? '\n' : ''}${text}`);
    return 0;
  } catch (error) {
    if (!(error instanceof CaptureFileError) && !(error instanceof PacketIoError)) throw error;
    if (!showsLines) await clearProgress(cli);
    if (lines !== '') await cli.stdout(lines);
    throw new IpvsError('EINVAL', error instanceof CaptureFileError ? `${path}: ${error.message}` : error.message, {
      cause: error,
    });
  }
}

async function teller(cli: Cli, brief: boolean): Promise<(told: ToldPacket) => string> {
  if (brief) return ({ place, line }) => `${place} ${line}\n`;
  const [{ tellStory }, { renderText }, paint] = await Promise.all([
    import('../explain/story.ts'),
    import('../explain/render-text.ts'),
    paintFor(cli),
  ]);
  return ({ place, trace }) =>
    // What the balancer said because of a packet stands in that packet's story.
    trace === null ? '' : `${paint('dim', place)}\n${renderText(tellStory(trace), { paint, hex: false })}\n`;
}

async function tableOfFile(cli: Cli, path: string, from: FormatName | undefined): Promise<DesiredBalancer> {
  const { detectFormat, FORMATS, readText } = await import('./formats.ts');
  const text = readText(path);
  const format = from === undefined ? detectFormat(path, text) : FORMATS[from];
  const read = await format.read(text, path);
  const told = inFileOrder([...read.warnings, ...read.lost]);
  await cli.stderr(told.map((problem) => `${problemLine(path, problem, 'warning')}\n`).join(''));
  return desiredBalancer(read.blueprint);
}

/** As it is now: services with their servers, settings and marks. */
async function tableOfDaemon(cli: Cli): Promise<DesiredBalancer> {
  let table: DesiredBalancer | null = null;
  try {
    await withDaemon(cli, async (daemon) => {
      const { services, timeouts, settings, markRules } = await readActual(daemon);
      table = {
        services: services.map(({ spec, destinations }) => ({
          spec,
          destinations: destinations.map((destination) => destination.spec),
          checked: false,
          fallback: null,
        })),
        timeouts,
        settings,
        markRules,
        syncDaemons: [],
      };
      return 0;
    });
  } catch (error) {
    if (!(error instanceof IpvsError) || error.code !== 'ENOPROTOOPT') throw error;
    throw new IpvsError('ENOPROTOOPT', 'there is no table: name a file with --config, or start uipvsd', {
      cause: error,
    });
  }
  return table as unknown as DesiredBalancer;
}

async function showProgress(cli: Cli, share: number): Promise<void> {
  if (cli.progressTerminal !== true) return;
  const cells = Math.round(share * BAR_CELLS);
  await cli.stderr(`\r\x1b[K[${'#'.repeat(cells)}${'.'.repeat(BAR_CELLS - cells)}] ${Math.round(share * 100)}%`);
}

async function clearProgress(cli: Cli): Promise<void> {
  if (cli.progressTerminal === true) await cli.stderr('\r\x1b[K');
}

function isSameFile(one: string, other: string): boolean {
  const first = statSync(one, { throwIfNoEntry: false });
  const second = statSync(other, { throwIfNoEntry: false });
  return first !== undefined && second !== undefined && first.dev === second.dev && first.ino === second.ino;
}
