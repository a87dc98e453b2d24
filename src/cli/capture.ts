/** `uipvs capture`: both sides of the running balancer in one file. */
import { existsSync } from 'node:fs';
import { IpvsError } from '../model/errors.ts';
import { FRAME_BYTES_MAX } from '../model/limits.ts';
import { FILTER_SYNTAX, parsePacketFilter } from '../model/packet-filter.ts';
import type { ByteSink } from '../trace/sink.ts';
import { type Cli, type ConnectedDaemon, toJson, withDaemon } from './cli.ts';
import { USAGE_EXIT_CODE, type Word, wholeNumber } from './command-line.ts';

type Options = Readonly<Record<string, unknown>>;

/** How often the balancer is asked while little passes. */
const PERIOD_MS = 50;
const COUNT_MAX = 1_000_000_000;
const SECONDS_MAX = 1_000_000;

export interface CaptureReport {
  readonly file: string;
  readonly seconds: number;
  /** Packets that came, frames that left. */
  readonly came: number;
  readonly left: number;
  /** Packets that there was no room for, because they were not read in time. */
  readonly lost: number;
  /** The worker was replaced while it was captured: packets in between are missing. */
  readonly interruptions: number;
}

export function captureWord(cli: Cli): Word {
  return {
    name: 'capture',
    summary: 'write what comes to the balancer and what leaves it into one file for Wireshark, with comments',
    operands: '[filter...]',
    options: [
      { flags: '-w, --write <file>', description: 'write to this file, as pcapng; - is standard output' },
      { flags: '--force', description: 'the file behind -w may be there' },
      {
        flags: '-c, --count <number>',
        description: 'end after so many packets that came',
        parse: wholeNumber(1, COUNT_MAX),
      },
      { flags: '--seconds <number>', description: 'end after so many seconds', parse: wholeNumber(1, SECONDS_MAX) },
      {
        flags: '-s, --snap <bytes>',
        description: 'keep so much of each frame; otherwise all of it',
        parse: wholeNumber(64, FRAME_BYTES_MAX),
      },
      { flags: '--all', description: 'also packets that are not balanced' },
      { flags: '--json', description: 'print a JSON object at the end' },
    ],
    notes: `Interface uipvs-in has what came, uipvs-out what left: each rewritten packet with a comment such as
  dst 192.168.1.120 -> 192.168.1.11, checksum 1a2b -> 3c4d
and each that was not sent with the reason. In Wireshark: frame.comment, frame.interface_name. Checksums that a card
would have finished are finished. Ctrl-C ends it, and the file is whole. For a pipe:
  uipvs capture -w - tcp port 80 | tshark -r - -T fields -e frame.interface_name -e ip.dst -e frame.comment

The filter, in the words of pcap-filter(7), is asked about the packet as it came and as it left:
  ${FILTER_SYNTAX.replaceAll('\n', '\n  ')}

Traffic is never slowed: what is not read in time is lost, counted and said. A name that ends in .pcap: only what left,
without comments. Only the packet engine can be captured; the proxy sees no packets.

Keys of --json: file, seconds, came, left, lost, interruptions
Exit codes: 0 captured, 1 it could not be done, 2 the words were not understood.`,
    run: (options) => runCapture(cli, options),
  };
}

async function runCapture(cli: Cli, options: Options): Promise<number> {
  const complain = async (text: string): Promise<number> => {
    await cli.stderr(`uipvs capture: ${text}\n`);
    return USAGE_EXIT_CODE;
  };
  const target = options['write'] as string | undefined;
  if (target === undefined) return complain('say with -w which file to write, or -w - for standard output');
  if (target === '-' && options['json'] === true)
    return complain('-w - needs standard output for itself: leave --json out');
  if (target === '-' && (cli.terminal !== null || cli.stdoutBytes === undefined)) {
    return complain('-w - writes bytes, and standard output is a terminal');
  }
  const filter = (options['operands'] as readonly string[]).join(' ');
  try {
    parsePacketFilter(filter);
  } catch (error) {
    return complain((error as Error).message);
  }
  if (target !== '-' && existsSync(target) && options['force'] !== true) {
    await cli.stderr(`uipvs capture: ${target} is there already; --force writes over it\n`);
    return 1;
  }
  return withDaemon(cli, (daemon) => capture(cli, daemon, target, filter, options));
}

async function capture(
  cli: Cli,
  daemon: ConnectedDaemon,
  target: string,
  filter: string,
  options: Options,
): Promise<number> {
  const { createTwoSides, fileSink, LiveCapture, LiveWriter, PacketIoError, streamSink } = await import(
    '../trace/index.ts'
  );
  const live = new LiveCapture(daemon, `capture-${process.pid}`, {
    filter,
    all: options['all'] === true,
    ...(options['snap'] === undefined ? {} : { snapBytes: options['snap'] as number }),
  });
  // Refusals come before a file is made.
  let page = await live.read();
  try {
    const sink: ByteSink = target === '-' ? streamSink(async (bytes) => cli.stdoutBytes?.(bytes)) : fileSink(target);
    const writer = new LiveWriter(createTwoSides(sink, target.endsWith('.pcap') ? 'pcap' : 'pcapng'));
    await cli.stderr(`capturing to ${target === '-' ? 'standard output' : target}; Ctrl-C ends it\n`);
    const startMs = performance.now();
    const countMax = (options['count'] as number | undefined) ?? Number.POSITIVE_INFINITY;
    const endMs = startMs + 1000 * ((options['seconds'] as number | undefined) ?? Number.POSITIVE_INFINITY);
    let lost = 0;
    let interruptions = 0;
    const take = async (): Promise<void> => {
      writer.links = page.links;
      for (const record of page.records) if (writer.came < countMax) writer.write(record);
      lost += page.lost;
      if (page.beganAnew) interruptions++;
      await (target === '-' && page.records.length > 0 ? sink.flush() : sink.settle());
    };
    for (;;) {
      await take();
      if (writer.came >= countMax || performance.now() >= endMs || cli.interruption?.aborted === true) break;
      if (!page.more && !(await cli.pause(Math.min(PERIOD_MS, Math.max(1, endMs - performance.now()))))) break;
      page = await live.read();
    }
    for await (const last of live.rest()) {
      page = last;
      await take();
    }
    await sink.close();
    const seconds = Number(((performance.now() - startMs) / 1000).toFixed(3));
    const report = { file: target, seconds, came: writer.came, left: writer.left, lost, interruptions };
    if (options['json'] === true) await cli.stdout(toJson(report));
    else await cli.stderr(formatReport(report));
    return 0;
  } catch (error) {
    if (!(error instanceof PacketIoError)) throw error;
    throw new IpvsError('EPERM', error.message, { cause: error });
  }
}

function formatReport({ came, left, lost, interruptions, seconds }: CaptureReport): string {
  const lines = [`came ${came}, left ${left} in ${seconds.toFixed(1)} s`];
  if (lost > 0) {
    lines.push(`lost ${lost}: they were not read in time; a filter, or -s 128, makes less of them`);
  }
  if (interruptions > 0)
    lines.push(`the packet worker was replaced ${interruptions} times: packets in between are missing`);
  return `${lines.join('\n')}\n`;
}
