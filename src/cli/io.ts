/** `uipvs io`: which ways of reading and writing packets work on this host, and how does the one in use fare? */
import type { DaemonStatus } from '../control/api.ts';
import type { FastPathCounters, LinkCounters } from '../model/commands.ts';
import { type BackEnd, type Cli, toJson, withDaemon } from './cli.ts';
import type { Word } from './command-line.ts';
import { draw, WATCH_OPTION } from './watch.ts';

interface BackEndReport {
  readonly name: string;
  readonly summary: string;
  readonly thread: 'any' | 'main';
  readonly available: boolean;
  readonly reason: string | null;
  readonly ffi: string | null;
  /** `on`, or why the engine sees every packet. */
  readonly fastPath: string;
}

/** One look at the daemon's links. */
interface LinksReport {
  readonly io: unknown;
  readonly ioPassedOver: unknown;
  readonly ffi: unknown;
  /** `on`, or why there is none; then what it carries. */
  readonly fastPath: unknown;
  readonly fast: (FastPathCounters & { readonly perSecond: number }) | null;
  /** Since the look before; 0 at the first. */
  readonly intervalSeconds: number;
  readonly links: readonly LinkReport[];
}

interface LinkReport extends LinkCounters {
  readonly perSecond: Readonly<Record<Rated, number>>;
}

const RATED = ['received', 'transmitted', 'receiveDrops', 'transmitErrors'] as const;
type Rated = (typeof RATED)[number];

export function ioWord(cli: Cli): Word {
  return {
    name: 'io',
    summary: 'list the packet back ends, which of them work here, and why the others do not',
    options: [
      { flags: '--json', description: 'print JSON' },
      { ...WATCH_OPTION, description: 'the links of the running daemon, every second, until Ctrl-C' },
    ],
    notes: `Keys of each back end with --json:
  name, summary   what \`uipvsd --io\` calls it, and what it is
  thread          any, or main: then the daemon runs it in a process of its own
  available       whether it works here, for this user
  reason          why not, with the way out; null when it works
  fastPath        on, or why the engine sees every packet: see \`uipvsd --fast-path\`
  ffi             what its system calls go through (koffi, or node:ffi of Node 26; UIPVS_FFI=koffi or node chooses)

The exit code is 0 when at least one of them works.

With --watch the running daemon is asked: what the fast path carries, and a row for each link:
  received, sent  frames a second that uipvsd reads and sends itself: those of the fast path are not among them
  dropped         frames a second that the kernel threw away because they were not read in time
  errors          frames a second that the link refused; behind it since it is served, by reason
  ring            frames that wait to be read, the most that were seen waiting, and the room
  AF_XDP          back end xdp: how the XDP program is attached, and frames that went past the host's stack both ways;
                  or why there are none
Keys of --json --watch, one line a second: io, ioPassedOver, ffi, fastPath, fast { connections,
packets, bytes, perSecond } or null, intervalSeconds, links (link, received, transmitted,
receiveDrops, transmitErrors by reason, ring { waiting, peak, slots } or null, perSecond; back end xdp: xdp { mode,
received, transmitted } or { refused }).

Offloads stay as they are with every back end but one: AF_XDP carries no super-frames. By default (generic) those reach
uipvs by the packet socket beside it, at the price of a copy, as does whatever else programs of the same host send
unfinished. With \`uipvsd --xdp-mode native\` a veth has its other end cut them before: bulk traffic is then several times
slower. For bulk traffic use packet-ring.`,
    run: ({ json, watch }) => (watch === true ? watchLinks(cli, json === true) : listBackEnds(cli, json === true)),
  };
}

async function listBackEnds(cli: Cli, json: boolean): Promise<number> {
  const reports = await Promise.all((await cli.backEnds()).map(examine));
  await cli.stdout(json ? toJson(reports) : reports.map(formatBackEnd).join(''));
  return reports.some((report) => report.available) ? 0 : 1;
}

async function examine(backEnd: BackEnd): Promise<BackEndReport> {
  const { name, summary, thread } = backEnd;
  const reason = await backEnd.unavailable();
  return {
    name,
    summary,
    thread,
    available: reason === null,
    reason,
    ffi: backEnd.provider?.() ?? null,
    fastPath: reason === null ? fastPathOf(backEnd) : 'the back end does not work here',
  };
}

function fastPathOf({ name, fastPathRefused }: BackEnd): string {
  return fastPathRefused === undefined ? `${name} has none` : (fastPathRefused() ?? 'on');
}

function formatBackEnd({ name, summary, available, reason, ffi, fastPath }: BackEndReport): string {
  const verdict = available ? 'works here' : `does not work here: ${reason}`;
  const through = available && ffi !== null ? `, through ${ffi}` : '';
  const fast = available ? `; ${fastPath === 'on' ? 'with fast path' : `no fast path: ${fastPath}`}` : '';
  return `${name.padEnd(14)} ${summary}\n${' '.repeat(15)}${verdict}${through}${fast}\n`;
}

function watchLinks(cli: Cli, json: boolean): Promise<number> {
  return withDaemon(cli, async (daemon) => {
    const { settings } = (await daemon.status()).daemon;
    let before: Look | null = null;
    return draw(cli, true, async (canvas) => {
      const { links } = await daemon.execute<'getLinkCounters'>({ name: 'getLinkCounters' });
      const { fastPath = null } = await daemon.execute<'getCounters'>({ name: 'getCounters' });
      const now = { atMs: performance.now(), links, fastPath };
      const report = reportOf(settings, now, before);
      before = now;
      await canvas.stdout(json ? toJson(report, true) : formatLinks(report));
    });
  });
}

interface Look {
  readonly atMs: number;
  readonly links: readonly LinkCounters[];
  readonly fastPath: FastPathCounters | null;
}

function reportOf(
  settings: DaemonStatus['daemon']['settings'],
  { atMs, links, fastPath }: Look,
  before: Look | null,
): LinksReport {
  const seconds = before === null ? 0 : (atMs - before.atMs) / 1000;
  return {
    io: settings['io'] ?? null,
    ioPassedOver: settings['ioPassedOver'] ?? [],
    ffi: settings['ffi'] ?? null,
    fastPath: settings['fastPath'] ?? null,
    fast: fastPath === null ? null : { ...fastPath, perSecond: fastRate(fastPath, before?.fastPath ?? null, seconds) },
    intervalSeconds: Number(seconds.toFixed(3)),
    links: links.map((link) => ({
      ...link,
      perSecond: ratesOf(link, before?.links.find((known) => known.link === link.link) ?? null, seconds),
    })),
  };
}

function fastRate(now: FastPathCounters, before: FastPathCounters | null, seconds: number): number {
  return seconds === 0 || before === null ? 0 : Math.round(Math.max(0, now.packets - before.packets) / seconds);
}

/** A link that was served anew has begun to count anew: then its figures are those since it was. */
function ratesOf(now: LinkCounters, before: LinkCounters | null, seconds: number): Record<Rated, number> {
  const rate = (of: (link: LinkCounters) => number) => {
    if (seconds === 0 || before === null) return 0;
    const grown = of(now) - of(before);
    return Math.round((grown < 0 ? of(now) : grown) / seconds);
  };
  return {
    received: rate((link) => link.received),
    transmitted: rate((link) => link.transmitted),
    receiveDrops: rate((link) => link.receiveDrops),
    transmitErrors: rate(errorsOf),
  };
}

function errorsOf({ transmitErrors }: LinkCounters): number {
  return Object.values(transmitErrors).reduce((sum, count) => sum + count, 0);
}

function formatLinks({ io, ffi, fastPath, fast, ioPassedOver, links }: LinksReport): string {
  const passedOver = (ioPassedOver as readonly string[]).map((reason) => `not used: ${reason}\n`).join('');
  const head = `${io}${ffi === null ? '' : `, through ${ffi}`}\n${passedOver}${fastText(fastPath, fast)}\n`;
  const titles = row(['LINK', 'RECEIVED/S', 'SENT/S', 'DROPPED/S', 'ERRORS/S', 'RING (PEAK) OF'], 'SINCE SERVED');
  return head + titles + links.map(formatLink).join('');
}

function fastText(fastPath: unknown, fast: LinksReport['fast']): string {
  if (fast === null) return fastPath === null ? '' : `fast path: ${fastPath}\n`;
  const { connections, packets, perSecond } = fast;
  const carried = connections === 1 ? '1 connection' : `${connections} connections`;
  return `fast path: ${carried}, ${perSecond} packets/s, ${packets} so far\n`;
}

function formatLink(link: LinkReport): string {
  const { received, transmitted, receiveDrops, transmitErrors } = link.perSecond;
  const { ring } = link;
  const fill = ring === null ? '-' : `${ring.waiting} (${ring.peak}) ${ring.slots}`;
  const rest = [
    ...xdpText(link.xdp),
    ...(link.receiveDrops > 0 ? [`dropped ${link.receiveDrops}`] : []),
    ...Object.entries(link.transmitErrors).map(([reason, count]) => `${reason} ${count}`),
  ];
  return row([link.link, received, transmitted, receiveDrops, transmitErrors, fill], rest.join(', '));
}

function xdpText(xdp: LinkCounters['xdp']): string[] {
  if (xdp === undefined) return [];
  if ('refused' in xdp) return [`without AF_XDP: ${xdp.refused}`];
  return [`AF_XDP (${xdp.mode}) ${xdp.received} in ${xdp.transmitted} out`];
}

function row(cells: readonly (string | number)[], rest: string): string {
  const [name, ...figures] = cells.map(String) as [string, ...string[]];
  const columns = figures.map((figure, i) => figure.padStart(i === figures.length - 1 ? 18 : 11));
  return `${`${name.padEnd(15)} ${columns.join('')}  ${rest}`.trimEnd()}\n`;
}
