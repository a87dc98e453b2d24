/**
 * `uipvs drain`: a server takes no new connections, and those it has may come to their end. TCP connections end by
 * themselves. UDP knows no end: entries go when nothing was sent for a while, so there packets are counted, and a
 * server that gets none for some time counts as empty. Persistence may bring known clients back in spite of weight 0;
 * that is told.
 */
import { parseEndpoint, parseServiceKey } from '../config/addresses.ts';
import { allServices, walkConnections } from '../control/pages.ts';
import type { ConnectionStatus } from '../model/connection-status.ts';
import type { DestinationSpec, DestinationStatus } from '../model/destination.ts';
import { IpvsError } from '../model/errors.ts';
import { formatEndpoint, formatServiceKey, isMarkKey, type ServiceKey, type ServiceSpec } from '../model/service.ts';
import { type Cli, type ConnectedDaemon, toJson, withDaemon } from './cli.ts';
import { USAGE_EXIT_CODE, type Word } from './command-line.ts';
import { type DrainedServer, type KeptState, readState, writeState } from './kept-state.ts';

const LOOK_MS = 1_000;
/** On a file or a pipe: a line when something changed, and at least so often. */
const LINE_EVERY_MS = 10_000;
/** Rows are walked up to this many connections; above, the counters of the server have to do. */
const ROWS_MAX = 50_000;
const WAIT_DEFAULT_MS = 60_000;
const QUIET_DEFAULT_MS = 10_000;
const TIME_OVER_EXIT_CODE = 3;
const INTERRUPTED_EXIT_CODE = 130;
/** Nothing is sent any more; the rows only wait for their time. */
const ENDED_STATES: ReadonlySet<string> = new Set(['TIME_WAIT', 'CLOSE', 'LAST_ACK', 'CLOSED']);
const TERMINAL_COLUMNS = 79;
const CLEAR_LINE = '\r\x1b[K';

interface Target {
  readonly service: ServiceSpec;
  readonly server: DestinationSpec;
}

/** What is left on one server. */
interface Look {
  /** TCP and SCTP connections that may still carry data, and those that only wait for their end. */
  readonly open: number;
  readonly ending: number;
  readonly udp: number;
  /** Clients that persistence binds to the server. */
  readonly bound: number;
  /** The rows were too many to be looked at one by one: `open` counts everything. */
  readonly counted: boolean;
  /** Seconds until the last row of UDP, and the last binding, is gone when nothing more comes. */
  readonly udpEndsSeconds: number;
  readonly boundEndsSeconds: number;
  readonly packets: number;
}

type End = 'empty' | 'time over' | 'interrupted' | 'not waited for';

export function drainWord(cli: Cli): Word {
  return {
    name: 'drain',
    summary: 'take a server out gently: no new connections, then wait until the old ones have ended',
    operands: '[server]',
    options: [
      {
        flags: '--service <service>',
        description: 'only in this service, such as 192.0.2.1:80, 192.0.2.1:53/udp or "mark 7"',
      },
      { flags: '--wait <time>', description: 'wait so long at most; 60s', parse: parseTime },
      {
        flags: '--quiet <time>',
        description: 'a server of UDP is empty when no packet came for so long; 10s',
        parse: parseTime,
      },
      {
        flags: '--on-interrupt <what>',
        description: 'at Ctrl-C: keep the weight at 0, or restore it',
        choices: ['keep', 'restore'],
        preset: 'keep',
      },
      { flags: '--undo', description: 'give a drained server its weight back' },
      { flags: '--json', description: 'print a JSON object at the end' },
    ],
    notes: `SERVER is an address, in every port, or ADDRESS:PORT. Its weight becomes 0 and is remembered for --undo, and by
\`uipvs apply\`, which leaves a drained server out. Where uldirectord checks the server it puts it in again when its check
fails and recovers, or at its reload; for longer work use its maintenance directory.

UDP has no end of a connection: its entries go when nothing came for the timeout of UDP (ipvsadm --set). With persistence,
known clients go on to be sent to the server unless net.ipv4.vs.expire_quiescent_template is 1.

Keys of --json: end (empty, time over, interrupted, not waited for), seconds, servers (service, server, weight, open, ending,
udp, bound)
Exit codes: 0 empty, 1 it could not be done, 2 the words were not understood, ${TIME_OVER_EXIT_CODE} the time is over, 130 after Ctrl-C.`,
    run: async (options) => {
      const [typed, ...more] = options['operands'] as readonly string[];
      const wanted = typed === undefined ? null : parseEndpoint(typed);
      const service = typeof options['service'] === 'string' ? parseServiceKey(options['service']) : null;
      const complaint =
        typed === undefined || more.length > 0
          ? 'type one server, ADDRESS or ADDRESS:PORT'
          : wanted === null
            ? `"${typed}" is no server; type ADDRESS or ADDRESS:PORT`
            : options['service'] !== undefined && service === null
              ? `"${options['service']}" is no service; type ADDRESS:PORT, ADDRESS:PORT/udp or "mark 7"`
              : null;
      if (complaint !== null || wanted === null) {
        await cli.stderr(`uipvs drain: ${complaint}\n`);
        return USAGE_EXIT_CODE;
      }
      return withDaemon(cli, async (daemon) => {
        const targets = await findTargets(daemon, wanted, service);
        const drain = new Drain(cli, daemon, targets, options);
        return options['undo'] === true ? drain.undo() : drain.run();
      });
    },
  };
}

async function findTargets(
  daemon: ConnectedDaemon,
  { address, port }: { readonly address: string; readonly port: number | null },
  service: ServiceKey | null,
): Promise<Target[]> {
  const services = await allServices(daemon);
  const targets = services
    .filter(({ spec }) => service === null || formatServiceKey(spec.key) === formatServiceKey(service))
    .flatMap(({ spec, destinations }) =>
      destinations
        .filter((each) => each.spec.address === address && (port === null || each.spec.port === port))
        .map((each): Target => ({ service: spec, server: each.spec })),
    );
  if (targets.length > 0) return targets;
  const known = new Set(services.flatMap(({ destinations }) => destinations.map(({ spec }) => nameOf(spec))));
  const where = service === null ? 'any service' : formatServiceKey(service);
  const list = [...known].slice(0, 8).join(', ');
  const there = known.size === 0 ? 'there are no servers' : `servers are ${list}${known.size > 8 ? ', ...' : ''}`;
  throw new IpvsError(
    'ENOENT',
    `${port === null ? address : nameOf({ address, port })} is no server of ${where}; ${there}`,
  );
}

class Drain {
  readonly #cli: Cli;
  readonly #daemon: ConnectedDaemon;
  readonly #targets: readonly Target[];
  readonly #waitMs: number;
  readonly #quietMs: number;
  readonly #restores: boolean;
  readonly #json: boolean;
  /** Packets at the first look, at the last, and since when there were no more. */
  readonly #packets = new Map<Target, { readonly first: number; count: number; sinceMs: number }>();
  #elapsedMs = 0;
  #lastNews = '';
  #lastLineMs = Number.NEGATIVE_INFINITY;

  constructor(
    cli: Cli,
    daemon: ConnectedDaemon,
    targets: readonly Target[],
    options: Readonly<Record<string, unknown>>,
  ) {
    this.#cli = cli;
    this.#daemon = daemon;
    this.#targets = targets;
    this.#waitMs = (options['wait'] as number | undefined) ?? WAIT_DEFAULT_MS;
    this.#quietMs = (options['quiet'] as number | undefined) ?? QUIET_DEFAULT_MS;
    this.#restores = options['onInterrupt'] === 'restore';
    this.#json = options['json'] === true;
  }

  async run(): Promise<number> {
    const state = await this.#keep();
    for (const { service, server } of this.#targets) {
      if (server.weight > 0) await this.#edit(service.key, { ...server, weight: 0 });
      await this.#say(
        server.weight === 0
          ? `${nameOf(server)} of ${formatServiceKey(service.key)} has weight 0 already\n`
          : `${nameOf(server)} of ${formatServiceKey(service.key)}: weight ${server.weight} -> 0\n`,
      );
    }
    const expires = await this.#bindingsExpire();
    let { looks, isEmpty } = await this.#look(expires);
    let end: End = isEmpty ? 'empty' : this.#waitMs === 0 ? 'not waited for' : 'time over';
    await this.#explain(looks, expires);
    while (!isEmpty && this.#elapsedMs < this.#waitMs) {
      await this.#progress(looks);
      const pauseMs = Math.min(LOOK_MS, this.#waitMs - this.#elapsedMs);
      const startedMs = performance.now();
      const goOn = await this.#cli.pause(pauseMs);
      // A busy machine may have waited longer than it was asked to.
      this.#elapsedMs += Math.max(pauseMs, Math.round(performance.now() - startedMs));
      if (!goOn || this.#cli.interruption?.aborted === true) {
        end = 'interrupted';
        break;
      }
      ({ looks, isEmpty } = await this.#look(expires));
      if (isEmpty) end = 'empty';
    }
    await this.#finish(end, looks, state);
    return { empty: 0, 'not waited for': 0, 'time over': TIME_OVER_EXIT_CODE, interrupted: INTERRUPTED_EXIT_CODE }[end];
  }

  async undo(): Promise<number> {
    const status = await this.#daemon.status();
    const state = readState(status);
    let restored = 0;
    for (const target of this.#targets) {
      const { service, server } = target;
      const kept = state.drained.find((each) => isOf(each, target));
      if (kept === undefined) continue;
      if (server.weight === 0) await this.#edit(service.key, { ...server, weight: kept.weight });
      await this.#say(
        server.weight === 0
          ? `${nameOf(server)} of ${formatServiceKey(service.key)}: weight 0 -> ${kept.weight}\n`
          : `${nameOf(server)} of ${formatServiceKey(service.key)} has weight ${server.weight} already\n`,
      );
      restored++;
    }
    writeState(status, {
      ...state,
      drained: state.drained.filter((each) => !this.#targets.some((t) => isOf(each, t))),
    });
    if (this.#json) await this.#cli.stdout(toJson({ end: 'restored', servers: restored }));
    if (restored > 0) return 0;
    await this.#cli.stderr(
      'uipvs drain: this server was not drained, so its weight is not known; ipvsadm -e ... -w sets one\n',
    );
    return 1;
  }

  /** Remembers the weights before anything changes, so that they are not lost whatever happens. */
  async #keep(): Promise<KeptState> {
    const status = await this.#daemon.status();
    const before = readState(status);
    const fresh = this.#targets
      .filter(({ server }) => server.weight > 0)
      .map(({ service, server: { address, port, weight } }): DrainedServer => {
        return { service: formatServiceKey(service.key), address, port, weight };
      });
    const others = before.drained.filter((each) => !fresh.some((one) => sameServer(one, each)));
    writeState(status, { ...before, drained: [...others, ...fresh] });
    return before;
  }

  #edit(service: ServiceKey, destination: DestinationSpec): Promise<null> {
    return this.#daemon.execute<'editDestination'>({ name: 'editDestination', service, destination });
  }

  async #bindingsExpire(): Promise<boolean> {
    const setting = 'expire_quiescent_template';
    const { value } = await this.#daemon.execute<'getSetting'>({ name: 'getSetting', setting });
    return Number(value) !== 0;
  }

  async #look(bindingsExpire: boolean): Promise<{ looks: Map<Target, Look>; isEmpty: boolean }> {
    const rows = await this.#rows();
    const looks = new Map<Target, Look>();
    let isEmpty = true;
    for (const target of this.#targets) {
      const status = await this.#status(target);
      const look = lookAt(target, status, rows);
      looks.set(target, look);
      const quiet = this.#isQuiet(target, look.packets);
      const bound = bindingsExpire ? 0 : look.bound;
      if (look.open > 0 || bound > 0 || (look.udp > 0 && !quiet)) isEmpty = false;
    }
    return { looks, isEmpty };
  }

  /** Rows of all connections, or `null` when there are too many of them. */
  async #rows(): Promise<ConnectionStatus[] | null> {
    const { connections } = await this.#daemon.execute<'getCounters'>({ name: 'getCounters' });
    if (connections > ROWS_MAX) return null;
    const rows: ConnectionStatus[] = [];
    for await (const row of walkConnections(this.#daemon)) rows.push(row);
    return rows;
  }

  /** `null`: the server, or its service, is gone. */
  async #status({ service, server }: Target): Promise<DestinationStatus | null> {
    try {
      const { destinations } = await this.#daemon.execute<'getService'>({ name: 'getService', key: service.key });
      return destinations.find(({ spec }) => nameOf(spec) === nameOf(server)) ?? null;
    } catch (error) {
      if (error instanceof IpvsError && error.code === 'ESRCH') return null;
      throw error;
    }
  }

  #isQuiet(target: Target, count: number): boolean {
    const last = this.#packets.get(target);
    if (last === undefined || last.count !== count) {
      this.#packets.set(target, { first: last?.first ?? count, count, sinceMs: this.#elapsedMs });
      return false;
    }
    return this.#elapsedMs - last.sinceMs >= this.#quietMs;
  }

  /** What is not to be expected to end soon by itself, once. */
  async #explain(looks: ReadonlyMap<Target, Look>, bindingsExpire: boolean): Promise<void> {
    for (const [{ service, server }, look] of looks) {
      const name = `${nameOf(server)} of ${formatServiceKey(service.key)}`;
      if (look.udp > 0) {
        await this.#say(
          `${name}: UDP has no end of a connection; the longest entry lasts ${duration(look.udpEndsSeconds)} from now if ` +
            `nothing more comes, and the server counts as empty after ${duration(this.#quietMs / 1_000)} without a packet\n`,
        );
      }
      if (look.bound === 0) continue;
      await this.#say(
        bindingsExpire
          ? `${name}: clients bound by persistence: ${look.bound}; their next connection goes elsewhere\n`
          : `${name}: clients bound by persistence: ${look.bound}, for ${duration(look.boundEndsSeconds)} at the longest; they go ` +
              'on to be sent there. `uipvs sysctl -w net.ipv4.vs.expire_quiescent_template=1` ends that\n',
      );
    }
  }

  async #progress(looks: ReadonlyMap<Target, Look>): Promise<void> {
    if (this.#json) return;
    const line = [...looks]
      .map(([target, look]) => `${nameOf(target.server)} ${this.#inWords(target, look)}`)
      .join('; ');
    const clock = `${duration(this.#elapsedMs / 1_000)} of ${duration(this.#waitMs / 1_000)}`;
    // Time that passes is no news.
    const news = [...looks.values()].map(({ open, ending, udp, bound, packets }) => [
      open,
      ending,
      udp,
      bound,
      packets,
    ]);
    if (this.#cli.terminal !== null) {
      // A line that wraps could not be written over.
      await this.#cli.stdout(`${CLEAR_LINE}${`${clock}: ${line}`.slice(0, TERMINAL_COLUMNS)}`);
    } else if (news.join() !== this.#lastNews || this.#elapsedMs - this.#lastLineMs >= LINE_EVERY_MS) {
      this.#lastNews = news.join();
      this.#lastLineMs = this.#elapsedMs;
      await this.#cli.stdout(`${clock}: ${line}\n`);
    }
  }

  #inWords(target: Target, look: Look): string {
    const words: string[] = [];
    const { key } = target.service;
    if (look.counted) words.push(`connections ${look.open}`);
    else if (isMarkKey(key) || key.protocol !== 'udp') words.push(`open ${look.open}, ending ${look.ending}`);
    if (look.udp > 0) {
      const { first, sinceMs } = this.#packets.get(target) ?? { first: look.packets, sinceMs: this.#elapsedMs };
      const quiet = duration((this.#elapsedMs - sinceMs) / 1_000);
      words.push(`udp entries ${look.udp}, packets since ${look.packets - first}, none for ${quiet}`);
    }
    if (look.bound > 0) words.push(`bound clients ${look.bound}`);
    return words.length === 0 ? 'nothing left' : words.join(', ');
  }

  async #finish(end: End, looks: ReadonlyMap<Target, Look>, before: KeptState): Promise<void> {
    if (this.#cli.terminal !== null && !this.#json) await this.#cli.stdout(CLEAR_LINE);
    if (end === 'interrupted' && this.#restores) {
      for (const { service, server } of this.#targets) if (server.weight > 0) await this.#edit(service.key, server);
      writeState(await this.#daemon.status(), { ...readState(await this.#daemon.status()), drained: before.drained });
    }
    if (this.#json) {
      const servers = [...looks].map(([{ service, server }, look]) => ({
        service: formatServiceKey(service.key),
        server: { address: server.address, port: server.port },
        weight: server.weight,
        open: look.open,
        ending: look.ending,
        udp: look.udp,
        bound: look.bound,
      }));
      await this.#cli.stdout(toJson({ end, seconds: Math.round(this.#elapsedMs / 1_000), servers }));
      return;
    }
    const took = duration(this.#elapsedMs / 1_000);
    const left = [...looks]
      .map(([target, look]) => `${nameOf(target.server)} ${this.#inWords(target, look)}`)
      .join('; ');
    if (end === 'empty') await this.#say(`empty after ${took}: ${left}\n`);
    else if (end === 'not waited for') await this.#say(`not waited for: ${left}\n`);
    else if (end === 'time over')
      await this.#cli.stderr(`uipvs drain: not empty after ${took}: ${left}; the weight stays 0\n`);
    else {
      const what = this.#restores ? 'the weight is as before' : 'the weight stays 0; --undo gives it back';
      await this.#cli.stderr(`uipvs drain: interrupted: ${left}; ${what}\n`);
    }
  }

  async #say(text: string): Promise<void> {
    if (!this.#json) await this.#cli.stdout(text);
  }
}

/** Rows say most; without them the counters of the server are taken. */
function lookAt({ service, server }: Target, status: DestinationStatus | null, all: ConnectionStatus[] | null): Look {
  const packets = status?.statistics.inPackets ?? 0;
  if (all === null) {
    const { activeConnections = 0, inactiveConnections = 0, persistentConnections = 0 } = status ?? {};
    return {
      open: activeConnections + inactiveConnections,
      ending: 0,
      udp: 0,
      bound: persistentConnections,
      counted: true,
      udpEndsSeconds: 0,
      boundEndsSeconds: 0,
      packets,
    };
  }
  const rows = all.filter((row) => goesTo(row, service.key, server));
  const templates = rows.filter((row) => row.template);
  const udp = rows.filter((row) => !row.template && row.protocol === 'UDP');
  const streams = rows.filter((row) => !row.template && row.protocol !== 'UDP');
  const ending = streams.filter(({ state }) => ENDED_STATES.has(state)).length;
  return {
    open: streams.length - ending,
    ending,
    udp: udp.length,
    bound: templates.length,
    counted: false,
    udpEndsSeconds: longest(udp),
    boundEndsSeconds: longest(templates),
    packets,
  };
}

/** Rows do not name their service; of a mark any virtual address may be meant. */
function goesTo(row: ConnectionStatus, key: ServiceKey, server: DestinationSpec): boolean {
  if (row.destination.address !== server.address) return false;
  if (server.port !== 0 && row.destination.port !== server.port && !row.template) return false;
  if (isMarkKey(key)) return true;
  if (row.virtual.address !== key.address || row.protocol !== key.protocol.toUpperCase()) return false;
  return key.port === 0 || row.virtual.port === key.port;
}

function longest(rows: readonly ConnectionStatus[]): number {
  return rows.reduce((most, { expiresSeconds }) => Math.max(most, expiresSeconds), 0);
}

function isOf(kept: DrainedServer, { service, server }: Target): boolean {
  return sameServer(kept, { service: formatServiceKey(service.key), address: server.address, port: server.port });
}

function sameServer(
  left: Pick<DrainedServer, 'service' | 'address' | 'port'>,
  right: Pick<DrainedServer, 'service' | 'address' | 'port'>,
): boolean {
  return left.service === right.service && left.address === right.address && left.port === right.port;
}

function nameOf({ address, port }: { readonly address: string; readonly port: number }): string {
  return formatEndpoint(address, port);
}

/** `4:07`, `58 s` */
function duration(seconds: number): string {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')} min`;
}

/** For options: milliseconds. */
function parseTime(text: string): number {
  const parts = /^(\d{1,6})(ms|s|m|h)$/.exec(text);
  if (parts === null) {
    throw new Error(`It must be a time such as 60s or 5m${/^\d+$/.test(text) ? `; did you mean ${text}s?` : ''}.`);
  }
  return Number(parts[1]) * { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[parts[2] as 'ms' | 's' | 'm' | 'h'];
}
