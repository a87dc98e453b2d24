/** `uipvs explain`: what becomes of a packet, step by step, and why. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { walkConnections } from '../control/pages.ts';
import type { Story } from '../explain/story.ts';
import type { ConnectionStatus } from '../model/connection-status.ts';
import { IpvsError } from '../model/errors.ts';
import type { PacketTrace } from '../model/packet-trace.ts';
import { formatEndpoint } from '../model/service.ts';
import { type Cli, type ConnectedDaemon, toJson, withDaemon } from './cli.ts';
import { USAGE_EXIT_CODE, type Word, wholeNumber } from './command-line.ts';
import { guardFile } from './convert.ts';
import { FORMAT_NAMES, type FormatName, formatWord } from './format-names.ts';

const DROPPED_EXIT_CODE = 3;
const NEXT_PERIOD_MS = 100;
const MARK_MAX = 0xffff_ffff;
const MATCHES_SHOWN = 10;

function oneAddress(text: string): string {
  if (isIP(text) === 0) throw new Error('It must be an IPv4 or IPv6 address.');
  return text;
}

type Options = Readonly<Record<string, unknown>>;

export function explainWord(cli: Cli): Word {
  return {
    name: 'explain',
    summary: 'tell what becomes of a packet, step by step, and why',
    operands: '[packet...]',
    options: [
      { flags: '--config <file>', description: 'ask a director made from this file instead of the daemon' },
      {
        flags: '--director <address>',
        description: 'with --config: an address of the director besides those of its services, for full NAT',
        parse: oneAddress,
      },
      {
        flags: '-f, --from <format>',
        description: 'what the file is; otherwise its name and content tell',
        choices: FORMAT_NAMES,
        parse: formatWord,
      },
      { flags: '--capture <file>', description: 'a packet of a capture file (pcap, pcapng)' },
      {
        flags: '--packet <number>',
        description: 'which one, counted from 1',
        preset: 1,
        parse: wholeNumber(1, 2 ** 31),
      },
      { flags: '--next <filter>', description: 'the next packet that matches, such as "tcp port 80"' },
      {
        flags: '--wait <seconds>',
        description: 'how long to wait for it',
        preset: 60,
        parse: wholeNumber(1, 86_400),
      },
      {
        flags: '--link <name>',
        description: 'where the packet comes in; otherwise where the route to its source goes',
      },
      { flags: '--mark <number>', description: 'the firewall mark it carries', parse: wholeNumber(0, MARK_MAX) },
      { flags: '--hex', description: 'dump the bytes as well, changed ones in brackets' },
      { flags: '--markdown', description: 'print Markdown' },
      { flags: '--json', description: 'print a JSON object' },
    ],
    notes: NOTES,
    run: async (options) => {
      const words = options['operands'] as readonly string[];
      const sources = [words.length > 0, options['capture'] !== undefined, options['next'] !== undefined];
      if (sources.filter(Boolean).length !== 1) {
        await cli.stderr('uipvs explain: type a packet, or name one with --capture or --next; see --help\n');
        return USAGE_EXIT_CODE;
      }
      if (options['next'] !== undefined && options['config'] !== undefined) {
        await cli.stderr('uipvs explain: --next waits for traffic of the daemon, and --config has none\n');
        return USAGE_EXIT_CODE;
      }
      return guardFile(cli, (options['config'] as string | undefined) ?? '', () => explain(cli, words, options));
    },
  };
}

const NOTES = `Packets, in quotes because of the ">":
  uipvs explain 'tcp 10.0.0.5:40000 > 192.168.1.120:80 S'      or, without quotes and ">":
  uipvs explain tcp 10.0.0.5:40000 192.168.1.120:80 S
  uipvs explain udp 10.0.0.5:5000 192.168.1.120:53 len=30
  uipvs explain icmp 10.1.0.11 10.0.0.5 unreachable-port about udp 10.0.0.5:5000 10.1.0.11:53
  uipvs explain connection 10.0.0.5:40000        both directions of a connection that is there
  uipvs explain --config FILE 'tcp A > B S then tcp A > B .'   packets before the last have their effect
Letters behind TCP: S F R P . (ack) or none, as tcpdump writes them; also ttl=HOPS, len=BYTES, sctp ... init.

The daemon rehearses a typed or captured packet: nothing of its state changes, no connection, no counter, no
scheduler's place. --next shows a real one. With --config a director is made up that has just started, on one link on
which every address is a neighbour; the packets of a capture before the one that is asked for have their effect.

Keys of --json: packet, verdict, ending, reason, wayOut, choice, steps (number, name, outcome, sentences), outputs (kind,
link, summary, frame, headers, changedBytes, checksums), trace; for a connection an array of two.
Exit codes: 0 told, 1 it could not be done, 2 the words or the file were not understood, 3 the packet is dropped.`;

async function explain(cli: Cli, words: readonly string[], options: Options): Promise<number> {
  const traces = await tracesFor(cli, words, options);
  if (typeof traces === 'number') return traces;
  const { tellStory } = await import('../explain/story.ts');
  const stories = traces.map(tellStory);
  await print(cli, stories, options);
  return stories.some(({ verdict }) => verdict === 'drop') ? DROPPED_EXIT_CODE : 0;
}

/** The facts, or an exit code when it was said why there are none. */
async function tracesFor(cli: Cli, words: readonly string[], options: Options): Promise<PacketTrace[] | number> {
  const { config, from, capture, next } = options;
  const number = options['packet'] as number;
  if (typeof next === 'string') return withNext(cli, next, options);
  if (words[0] === 'connection') {
    if (config === undefined) return withConnection(cli, words.slice(1), options);
    await cli.stderr('uipvs explain: --config has no connections; type a packet that opens one\n');
    return USAGE_EXIT_CODE;
  }
  const packets = typeof capture === 'string' ? await readPackets(capture, number) : await typed(cli, words);
  if (packets === null) return USAGE_EXIT_CODE;
  if (config === undefined) {
    if (typeof capture !== 'string' && packets.length > 1) {
      await cli.stderr('uipvs explain: the daemon rehearses one packet at a time; "then" goes with --config\n');
      return USAGE_EXIT_CODE;
    }
    const wanted = packets.at(-1) as Arrival;
    return asked(cli, (daemon) => rehearse(daemon, wanted.packet, options));
  }
  const { createOfflineDirector, readDesired } = await import('./offline-director.ts');
  const desired = await readDesired(cli, config as string, from as FormatName | undefined);
  const peers = packets.flatMap(({ packet }) => addressesOf(packet));
  const director = createOfflineDirector(desired, peers, (options['director'] as string | undefined) ?? null);
  const mark = (options['mark'] as number | undefined) ?? 0;
  let last: PacketTrace | null = null;
  for (const { packet, atMs } of packets) last = director.arrive(packet, atMs, mark);
  return [last as PacketTrace];
}

interface Arrival {
  readonly packet: Uint8Array;
  readonly atMs: number;
}

/**
 * Packets with "then" between them arrive one after the other, a millisecond apart. `null` when it was said that they are
 * not understood.
 */
async function typed(cli: Cli, words: readonly string[]): Promise<Arrival[] | null> {
  const { buildTypedPacket } = await import('../explain/typed-packet.ts');
  const packets: string[][] = [[]];
  for (const word of words.flatMap((each) => each.split(/\s+/))) {
    if (word === 'then') packets.push([]);
    else packets.at(-1)?.push(word);
  }
  try {
    return packets.map((each, index) => ({ packet: buildTypedPacket(each), atMs: index }));
  } catch (error) {
    if (!(error instanceof IpvsError)) throw error;
    await cli.stderr(`uipvs explain: ${error.message}\n`);
    return null;
  }
}

/** The IP packets of a capture up to the one that is asked for, which is the last. */
async function readPackets(path: string, number: number): Promise<Arrival[]> {
  const { readCapture } = await import('../explain/captured.ts');
  const packets: Arrival[] = [];
  let count = 0;
  for (const { number: place, packet, atMs, isCut } of readCapture(readBytes(path))) {
    count = place;
    if (packet !== null) packets.push({ packet, atMs });
    if (place < number) continue;
    if (packet === null) throw new IpvsError('EINVAL', `packet ${number} of ${path} is no IP packet`);
    if (isCut) {
      const way = 'tcpdump -s 0 keeps all of it';
      throw new IpvsError('EINVAL', `packet ${number} of ${path} was cut off when it was captured; ${way}`);
    }
    return packets;
  }
  throw new IpvsError('EINVAL', `${path} has ${count} packets, so there is no packet ${number}`);
}

function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new IpvsError('ENOENT', `cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** Source and destination, as text. */
function addressesOf(packet: Uint8Array): string[] {
  const view = Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength);
  if ((packet[0] ?? 0) >>> 4 === 4 && packet.length >= 20) {
    return [12, 16].map((at) => [...view.subarray(at, at + 4)].join('.'));
  }
  if (packet.length < 40) return [];
  return [8, 24].map((at) =>
    (
      view
        .subarray(at, at + 16)
        .toString('hex')
        .match(/.{4}/g) as string[]
    ).join(':'),
  );
}

/** Adds the way out that this word has. */
export function withWayOut(error: unknown): unknown {
  if (!(error instanceof IpvsError)) return error;
  if (error.code === 'EOPNOTSUPP') {
    const what = 'the data plane of this daemon sees no packets (it is not the packet engine)';
    return new IpvsError(error.code, `${what}; uipvs explain --config FILE tells what it would do`, { cause: error });
  }
  if (error.code === 'ENOPROTOOPT') {
    return new IpvsError(error.code, `${error.message}, or name a configuration with --config FILE`, { cause: error });
  }
  return error;
}

async function asked(cli: Cli, question: (daemon: ConnectedDaemon) => Promise<PacketTrace[]>): Promise<PacketTrace[]> {
  let traces: PacketTrace[] = [];
  try {
    await withDaemon(cli, async (daemon) => {
      traces = await question(daemon);
      return 0;
    });
  } catch (error) {
    throw withWayOut(error);
  }
  return traces;
}

async function rehearse(daemon: ConnectedDaemon, packet: Uint8Array, { link, mark }: Options): Promise<PacketTrace[]> {
  const trace = await daemon.execute<'rehearse'>({
    name: 'rehearse',
    packet: Buffer.from(packet).toString('hex'),
    ...(typeof link === 'string' ? { link } : {}),
    ...(typeof mark === 'number' ? { mark } : {}),
  });
  return [trace];
}

async function withNext(cli: Cli, filter: string, options: Options): Promise<PacketTrace[] | number> {
  (await import('../model/packet-filter.ts')).parsePacketFilter(filter);
  const seconds = options['wait'] as number;
  const traces = await asked(cli, async (daemon) => {
    const id = `explain-${process.pid}`;
    try {
      for (let waitedMs = 0; waitedMs <= seconds * 1000; waitedMs += NEXT_PERIOD_MS) {
        const page = await daemon.execute<'readTrace'>({ name: 'readTrace', id, filter, limit: 1 });
        // Several shards may each have one.
        if (page.traces.length > 0) return page.traces.slice(0, 1);
        if (!(await cli.pause(NEXT_PERIOD_MS))) break;
      }
      return [];
    } finally {
      await daemon.execute({ name: 'readTrace', id, limit: 0 }).catch(() => {});
    }
  });
  if (traces.length > 0) return traces;
  await cli.stderr(`uipvs explain: no packet matched in ${seconds} s; \`uipvs trace\` shows what passes\n`);
  return 1;
}

/** A packet from the client and one from the server, rehearsed. */
async function withConnection(cli: Cli, words: readonly string[], options: Options): Promise<PacketTrace[] | number> {
  const [client, virtual] = words;
  if (client === undefined) {
    await cli.stderr('uipvs explain: name the client of the connection: uipvs explain connection 10.0.0.5:40000\n');
    return USAGE_EXIT_CODE;
  }
  const { buildTypedPacket } = await import('../explain/typed-packet.ts');
  return asked(cli, async (daemon) => {
    const { protocol, client: from, virtual: to, destination, local } = await findConnection(daemon, client, virtual);
    const name = protocol.toLowerCase();
    if (name !== 'tcp' && name !== 'udp')
      throw new IpvsError('EINVAL', `packets of ${protocol} connections cannot be typed`);
    const flags = name === 'tcp' ? ['.'] : ['len=8'];
    const isNat = (await methodOf(daemon, to, destination)) === 'masquerade';
    const sides = [
      [from, to],
      [isNat ? destination : to, local ?? from],
    ] as const;
    const traces: PacketTrace[] = [];
    for (const [source, target] of sides) {
      const packet = buildTypedPacket([name, text(source), text(target), ...flags]);
      traces.push(...(await rehearse(daemon, packet, options)));
    }
    return traces;
  });
}

async function findConnection(
  daemon: ConnectedDaemon,
  client: string,
  virtual: string | undefined,
): Promise<ConnectionStatus> {
  const is = (wanted: string | undefined, end: ConnectionStatus['client']): boolean =>
    wanted === undefined || wanted === end.address || wanted === text(end);
  const found: ConnectionStatus[] = [];
  for await (const each of walkConnections(daemon)) {
    if (!each.template && is(client, each.client) && is(virtual, each.virtual)) found.push(each);
  }
  if (found.length === 1) return found[0] as ConnectionStatus;
  if (found.length === 0)
    throw new IpvsError('ENOENT', `there is no connection of ${client}; \`uipvs connections\` lists them`);
  const names = found.slice(0, MATCHES_SHOWN).map((each) => `${text(each.client)} ${text(each.virtual)}`);
  throw new IpvsError(
    'EINVAL',
    `${client} has ${found.length} connections; name one of them by client and service:\n${names.map((each) => `  uipvs explain connection ${each}`).join('\n')}`,
  );
}

async function methodOf(
  daemon: ConnectedDaemon,
  virtual: ConnectionStatus['virtual'],
  { address, port }: ConnectionStatus['destination'],
): Promise<string | null> {
  const { allServices } = await import('../control/pages.ts');
  const all = (await allServices(daemon)).flatMap(({ spec: { key }, destinations }) =>
    destinations.map(({ spec }) => ({ key, spec })),
  );
  const fits = all.filter(({ spec }) => spec.address === address && (spec.port === port || spec.port === 0));
  const own = fits.find(({ key }) => 'address' in key && key.address === virtual.address) ?? fits[0];
  return own?.spec.method ?? null;
}

function text({ address, port }: ConnectionStatus['client']): string {
  return formatEndpoint(address, port);
}

async function print(cli: Cli, stories: readonly Story[], options: Options): Promise<void> {
  const hex = options['hex'] === true;
  if (options['json'] === true) {
    const { storyToJson } = await import('../explain/story-json.ts');
    const told = stories.map(storyToJson);
    await cli.stdout(toJson(told.length === 1 ? told[0] : told));
    return;
  }
  if (options['markdown'] === true) {
    const { renderMarkdown } = await import('../explain/render-markdown.ts');
    await cli.stdout(stories.map((story) => renderMarkdown(story, hex)).join('\n'));
    return;
  }
  const [{ renderText }, paint] = await Promise.all([import('../explain/render-text.ts'), paintFor(cli)]);
  await cli.stdout(stories.map((story) => renderText(story, { paint, hex })).join('\n'));
}

/** Colours on a terminal, unless NO_COLOR is set (no-color.org). */
export async function paintFor(cli: Cli): Promise<typeof import('../explain/paint.ts')['plain']> {
  const { coloured, plain } = await import('../explain/paint.ts');
  return cli.terminal !== null && (process.env['NO_COLOR'] ?? '') === '' ? coloured : plain;
}
