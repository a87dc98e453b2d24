/**
 * The virtual_server part of keepalived.conf -> blueprint. Behaviour: keepalived.conf(5) of keepalived 2.2. What a
 * blueprint has no place for (VRRP, quorum, scripts, several checks of one server) is told, never passed over.
 */
import { suggestion } from '../../control/nearest.ts';
import {
  type Blueprint,
  type CheckWish,
  EMPTY_BLUEPRINT,
  type FallbackWish,
  NO_CHECK,
  type ReadFile,
  type ServerWish,
  type ServiceWish,
  type Watching,
} from '../../model/blueprint.ts';
import { type FileProblem, FileRefused, inFileOrder, type Place } from '../../model/file-problem.ts';
import { type ForwardingMethod, PLAIN_TUNNEL, type TunnelSpec } from '../../model/forwarding.ts';
import { WEIGHT_MAX } from '../../model/limits.ts';
import {
  familyOfAddress,
  formatServiceKey,
  type SchedulerFlag,
  type ServiceKey,
  type ServiceProtocol,
} from '../../model/service.ts';
import type { Timeouts } from '../../model/settings.ts';
import { defaultPort, parseAddress, parsePort, portInTable, toNumber, toText } from '../addresses.ts';
import { traps } from '../traps.ts';
import { CHECKER_NAMES, type CheckerTimes, readChecker } from './checkers.ts';
import { type ReadIncludes, readStatements, type Statement, type Word } from './statements.ts';

/** Seconds; what keepalived takes where a file says nothing. */
const DELAY_LOOP_SECONDS = 60;
export const CONNECT_TIMEOUT_SECONDS = 5;
const PERSISTENCE_SECONDS = 360;

/** Known words of a virtual_server that say something a blueprint cannot. */
const LOST_OF_SERVICE = new Set(
  (
    'alpha omega quorum hysteresis quorum_up quorum_down ha_suspend smtp_alert_down sorry_server_inhibit warmup ' +
    'delay_before_retry log_all_failures snmp_name'
  ).split(' '),
);
const LOST_OF_SERVER = new Set(
  'notify_up notify_down alpha warmup snmp_name log_all_failures delay_before_retry'.split(' '),
);
const FLAGS: Readonly<Record<string, SchedulerFlag>> = {
  'sh-fallback': 1,
  'mh-fallback': 1,
  'flag-1': 1,
  'sh-port': 2,
  'mh-port': 2,
  'flag-2': 2,
  'flag-3': 3,
};

/** Throws FileRefused with everything that is wrong. */
export function readKeepalived(text: string, includes: ReadIncludes): ReadFile {
  const { statements, lost } = readStatements(text, includes);
  const reader = new Reader(lost);
  const blueprint = reader.read(statements);
  if (reader.problems.length > 0) throw new FileRefused(inFileOrder(reader.problems));
  return { blueprint, warnings: traps(blueprint), lost: inFileOrder(reader.lost) };
}

interface Half {
  readonly method: ForwardingMethod;
  readonly tunnel: TunnelSpec;
}

/** What the statements of a virtual_server came to, before its servers are known. */
interface Draft {
  protocol: ServiceProtocol;
  family: 'ipv4' | 'ipv6';
  scheduler: string;
  flags: Set<SchedulerFlag>;
  onePacket: boolean;
  persistence: { timeoutSeconds: number; netmask: string | null; engine: string | null } | null;
  forwarding: Half;
  fallback: { word: Word; address: string; port: number | null } | null;
  fallbackForwarding: Half | null;
  delayLoopSeconds: number;
  retry: number | null;
  connectTimeoutSeconds: number | null;
  weight: number;
  quiescent: boolean;
  virtualHost: string | null;
  places: Record<string, Place>;
  readonly servers: Statement[];
}

export class Reader {
  readonly problems: FileProblem[] = [];
  readonly lost: FileProblem[];
  readonly #groups = new Map<string, Statement>();
  #places: Record<string, Place> = {};
  #watching: Watching = {};
  #alertFrom: string | null = null;
  #timeouts: Partial<Timeouts> = {};

  constructor(lost: readonly FileProblem[]) {
    this.lost = [...lost];
  }

  read(statements: readonly Statement[]): Blueprint {
    for (const statement of statements) {
      if (statement.keyword === 'virtual_server_group') this.#groups.set(statement.words[0]?.text ?? '', statement);
    }
    const services: ServiceWish[] = [];
    for (const statement of statements) {
      if (statement.keyword === 'virtual_server') services.push(...this.#virtualServer(statement));
      else if (statement.keyword === 'global_defs') this.#globals(statement);
      else if (statement.keyword !== 'virtual_server_group') this.#topLevel(statement);
    }
    this.#repeated(services);
    return {
      ...EMPTY_BLUEPRINT,
      places: this.#places,
      services,
      watching: this.#watching,
      director: { ...(this.#alertFrom === null ? {} : { alertFrom: this.#alertFrom }), execute: [] },
      timeouts: this.#timeouts,
    };
  }

  refuse(place: Place, text: string): void {
    this.problems.push({ place, text });
  }

  /** The services of a group share their statements; what is lost is told once. */
  lose(place: Place, text: string): void {
    const known = this.lost.some((each) => each.place.line === place.line && each.text === text);
    if (!known) this.lost.push({ place, text });
  }

  #repeated(services: readonly ServiceWish[]): void {
    const seen = new Set<string>();
    for (const { key, place } of services) {
      const name = formatServiceKey(key);
      if (seen.has(name)) this.refuse(place, `${name} is in this file already`);
      seen.add(name);
    }
  }

  #topLevel({ keyword, place, words, block }: Statement): void {
    const known =
      /^(vrrp_|static_|bfd_|linkbeat|net_namespace|namespace_|use_pid_dir|instance|interface_up|random_seed|SSL$|track_|garp_|reload_|config_|child_)/;
    const name = [keyword, ...words.map(({ text }) => text)].join(' ');
    if (known.test(keyword)) this.lose(place, `${name}: left out, only the virtual servers are read`);
    else {
      const names = ['global_defs', 'virtual_server', 'virtual_server_group', 'vrrp_instance'];
      this.refuse(
        place,
        `unknown keyword ${keyword}${suggestion(keyword, names) || (block ? '' : '; a block was expected')}`,
      );
    }
  }

  #globals({ block, place }: Statement): void {
    for (const statement of block ?? []) {
      const { keyword, words } = statement;
      if (keyword === 'lvs_timeouts') this.#readTimeouts(statement);
      else if (keyword === 'notification_email') {
        const to = (statement.block ?? []).map((each) => each.keyword).join(', ');
        if (to !== '') this.#watching = { ...this.#watching, alertTo: to };
        this.#places = { ...this.#places, watching: statement.place };
      } else if (keyword === 'notification_email_from') {
        this.#alertFrom = words.map(({ text }) => text).join(' ');
        this.#places = { ...this.#places, director: place };
      } else if (keyword === 'smtp_server' && words[0] !== undefined) {
        this.#watching = { ...this.#watching, alertSmtp: words[0].text };
        if (words[1] !== undefined && words[1].text !== '25')
          this.lose(words[1].place, 'smtp_server: another port than 25');
      } else if (keyword !== 'smtp_alert' && keyword !== 'smtp_alert_checker') {
        this.lose(statement.place, `global_defs: ${keyword} is left out`);
      }
    }
  }

  #readTimeouts({ words, place }: Statement): void {
    const names: Readonly<Record<string, keyof Timeouts>> = {
      tcp: 'tcpSeconds',
      tcpfin: 'tcpFinSeconds',
      udp: 'udpSeconds',
    };
    this.#places = { ...this.#places, timeouts: place };
    for (let index = 0; index < words.length; index += 2) {
      const name = words[index] as Word;
      const field = names[name.text];
      if (field === undefined) {
        this.refuse(name.place, `lvs_timeouts takes tcp, tcpfin and udp, not ${name.text}`);
        return;
      }
      const value = this.number(words[index + 1], name.place, `lvs_timeouts ${name.text}`, 1, 31 * 86_400);
      if (value !== null) this.#timeouts = { ...this.#timeouts, [field]: value };
    }
  }

  #virtualServer(statement: Statement): ServiceWish[] {
    const { block, place } = statement;
    if (block === null) {
      this.refuse(place, 'virtual_server needs a block in braces');
      return [];
    }
    const draft = newDraft(place);
    for (const each of block) this.#ofService(each, draft);
    return this.#keys(statement, draft).map((key) => this.#service(key, place, draft));
  }

  /** One service for each address and mark of a group, else one. */
  #keys({ words, place }: Statement, draft: Draft): ServiceKey[] {
    const [first, second] = words;
    if (first?.text === 'group') {
      const group = second === undefined ? undefined : this.#groups.get(second.text);
      if (group === undefined) {
        const hint = suggestion(second?.text ?? '', [...this.#groups.keys()]);
        this.refuse(
          second?.place ?? place,
          `there is no virtual_server_group ${second?.text ?? 'without a name'}${hint}`,
        );
        return [];
      }
      return (group.block ?? []).flatMap((each) => this.#groupKeys(each, draft));
    }
    if (first?.text === 'fwmark') return this.#markKey(second, place, draft);
    return this.#addressKeys(first, second, place, draft);
  }

  #groupKeys({ keyword, words, place }: Statement, draft: Draft): ServiceKey[] {
    if (keyword === 'fwmark') return this.#markKey(words[0], place, draft);
    return this.#addressKeys({ text: keyword, place }, words[0], place, draft);
  }

  #markKey(word: Word | undefined, place: Place, draft: Draft): ServiceKey[] {
    const mark = this.number(word, place, 'fwmark', 1, 0xffff_ffff);
    return mark === null ? [] : [{ mark, family: draft.family }];
  }

  #addressKeys(host: Word | undefined, portWord: Word | undefined, place: Place, { protocol }: Draft): ServiceKey[] {
    const addresses = host === undefined ? null : rangeOf(host.text);
    if (addresses === null) {
      const text = `virtual_server needs an address and a port, "fwmark NUMBER" or "group NAME", not ${quoted(host)}`;
      this.refuse(host?.place ?? place, text);
      return [];
    }
    const port = portWord === undefined ? 0 : this.number(portWord, place, 'the port', 0, 65_535);
    return port === null ? [] : addresses.map((address) => ({ protocol, address, port }));
  }

  #ofService(statement: Statement, draft: Draft): void {
    const { keyword, words, place } = statement;
    const [first] = words;
    switch (keyword) {
      case 'delay_loop':
        draft.places['check'] ??= place;
        draft.delayLoopSeconds = this.seconds(first, place, keyword) ?? draft.delayLoopSeconds;
        return;
      case 'connect_timeout':
        draft.connectTimeoutSeconds = this.seconds(first, place, keyword);
        return;
      case 'retry':
        draft.retry = this.number(first, place, keyword, 0, 999_999);
        return;
      case 'weight':
        draft.weight = this.number(first, place, keyword, 0, WEIGHT_MAX) ?? 1;
        return;
      case 'lb_algo':
      case 'lvs_sched':
        draft.places['scheduler'] = place;
        if (first === undefined) this.refuse(place, `${keyword} needs the name of a scheduler`);
        else draft.scheduler = first.text;
        return;
      case 'lb_kind':
      case 'lvs_method':
        draft.forwarding = this.#method(statement) ?? draft.forwarding;
        return;
      case 'sorry_server_lvs_method':
        draft.fallbackForwarding = this.#method(statement);
        return;
      case 'sorry_server':
        draft.places['fallback'] = place;
        draft.fallback = this.#endpoint(statement);
        return;
      case 'protocol': {
        const protocol = first?.text.toLowerCase();
        if (protocol === 'tcp' || protocol === 'udp' || protocol === 'sctp') draft.protocol = protocol;
        else this.refuse(first?.place ?? place, `protocol must be TCP, UDP or SCTP, not ${quoted(first)}`);
        return;
      }
      case 'ip_family':
        if (first?.text === 'inet' || first?.text === 'inet6') draft.family = first.text === 'inet6' ? 'ipv6' : 'ipv4';
        else this.refuse(first?.place ?? place, `ip_family must be inet or inet6, not ${quoted(first)}`);
        return;
      case 'persistence_timeout':
        draft.places['persistence'] = place;
        draft.persistence = {
          ...(draft.persistence ?? { netmask: null, engine: null }),
          timeoutSeconds:
            first === undefined ? PERSISTENCE_SECONDS : (this.number(first, place, keyword, 1, 2_678_400) ?? 1),
        };
        return;
      case 'persistence_granularity':
      case 'persistence_engine':
        this.#persistenceDetail(statement, draft);
        return;
      case 'ops':
        draft.onePacket = true;
        return;
      case 'inhibit_on_failure':
        draft.quiescent = true;
        return;
      case 'virtualhost':
        draft.virtualHost = first?.text ?? null;
        return;
      case 'real_server':
        draft.servers.push(statement);
        return;
      case 'smtp_alert':
      case 'no_smtp_alert':
        return;
    }
    const flag = FLAGS[keyword];
    if (flag !== undefined) draft.flags.add(flag);
    else if (LOST_OF_SERVICE.has(keyword)) this.lose(place, `${keyword} is left out`);
    else this.#unknown(statement, 'virtual_server', KEYWORDS_OF_SERVICE);
  }

  #persistenceDetail({ keyword, words, place }: Statement, draft: Draft): void {
    const [first] = words;
    const persistence = draft.persistence ?? { timeoutSeconds: PERSISTENCE_SECONDS, netmask: null, engine: null };
    if (first === undefined) this.refuse(place, `${keyword} needs a value`);
    else if (keyword === 'persistence_engine') draft.persistence = { ...persistence, engine: first.text };
    else if (/^\d{1,3}$/.test(first.text) && Number(first.text) >= 1 && Number(first.text) <= 128) {
      draft.persistence = { ...persistence, netmask: first.text };
    } else if (parseAddress(first.text)?.includes('.')) draft.persistence = { ...persistence, netmask: first.text };
    else this.refuse(first.place, `persistence_granularity must be a mask or a prefix length, not ${quoted(first)}`);
  }

  #service(key: ServiceKey, place: Place, draft: Draft): ServiceWish {
    const family = 'mark' in key ? key.family : familyOfAddress(key.address);
    const servers: ServerWish[] = [];
    const checks: { place: Place; check: CheckWish; times: CheckerTimes; quiescent: boolean }[] = [];
    for (const statement of draft.servers) {
      const read = this.#realServer(statement, key, draft);
      if (read === null) continue;
      if (servers.some((one) => sameInTable(key, one, read.server))) {
        this.lose(statement.place, `real_server ${read.server.address} is in this service already`);
        continue;
      }
      servers.push(read.server);
      checks.push({ place: statement.place, ...read });
    }
    this.#commonCheck(checks, servers);
    const chosen = checks[0];
    const netmask = draft.persistence?.netmask ?? null;
    const whole = family === 'ipv6' ? '128' : '255.255.255.255';
    return {
      place,
      places: draft.places,
      key,
      name: null,
      comment: null,
      scheduler: draft.scheduler,
      schedulerFlags: [...draft.flags].sort(),
      persistence:
        draft.persistence === null
          ? null
          : {
              ...draft.persistence,
              netmask: netmask === whole ? null : netmask === null ? null : maskText(netmask, family),
            },
      onePacket: draft.onePacket,
      sourceNat: null,
      servers,
      fallback: fallbackOf(draft, key),
      check: chosen?.check ?? NO_CHECK,
      watching: watchingOf(draft, chosen),
      monitorFile: null,
    };
  }

  /** A blueprint has one check for a service; of others the difference is told, but for requests. */
  #commonCheck(
    checks: readonly { place: Place; check: CheckWish; times: CheckerTimes; quiescent: boolean }[],
    servers: ServerWish[],
  ): void {
    const [first, ...others] = checks;
    if (first === undefined) return;
    others.forEach(({ place, check, times, quiescent }, index) => {
      const server = servers[index + 1] as ServerWish;
      if (check.request !== first.check.request || check.receive !== first.check.receive) {
        servers[index + 1] = { ...server, request: check.request, receive: check.receive ?? '' };
      }
      const same = { ...check, request: first.check.request, receive: first.check.receive };
      if (JSON.stringify(same) !== JSON.stringify(first.check)) {
        this.lose(place, `real_server ${server.address}: its check differs; that of the first server is used for all`);
      }
      if (JSON.stringify(times) !== JSON.stringify(first.times)) {
        this.lose(place, `real_server ${server.address}: the times of its check differ; those of the first are used`);
      }
      if (quiescent !== first.quiescent) {
        this.lose(
          place,
          `real_server ${server.address}: inhibit_on_failure differs; as with the first is used for all`,
        );
      }
    });
  }

  #realServer(statement: Statement, key: ServiceKey, draft: Draft) {
    const endpoint = this.#endpoint(statement);
    if (endpoint === null) return null;
    let weight = draft.weight;
    let half = draft.forwarding;
    let upper = 0;
    let lower = 0;
    let quiescent = draft.quiescent;
    let virtualHost = draft.virtualHost;
    const checkers: Statement[] = [];
    for (const each of statement.block ?? []) {
      const { keyword, words, place } = each;
      if (keyword === 'weight') weight = this.number(words[0], place, keyword, 0, WEIGHT_MAX) ?? weight;
      else if (keyword === 'uthreshold') upper = this.number(words[0], place, keyword, 0, 0xffff_ffff) ?? 0;
      else if (keyword === 'lthreshold') lower = this.number(words[0], place, keyword, 0, 0xffff_ffff) ?? 0;
      else if (keyword === 'lvs_method') half = this.#method(each) ?? half;
      else if (keyword === 'inhibit_on_failure') quiescent = true;
      else if (keyword === 'virtualhost') virtualHost = words[0]?.text ?? null;
      else if (CHECKER_NAMES.includes(keyword)) checkers.push(each);
      else if (keyword === 'delay_loop' || keyword === 'retry' || keyword === 'connect_timeout') {
        this.lose(place, `real_server: ${keyword} of one server is left out; write it in its check or its service`);
      } else if (LOST_OF_SERVER.has(keyword)) this.lose(place, `${keyword} is left out`);
      else if (keyword !== 'smtp_alert' && keyword !== 'no_smtp_alert') {
        this.#unknown(each, 'real_server', [...KEYWORDS_OF_SERVER, ...CHECKER_NAMES]);
      }
    }
    for (const more of checkers.slice(1)) {
      this.lose(more.place, `${more.keyword}: a server has one check here; the first one is used`);
    }
    const checker = checkers[0];
    const { check, times } = checker === undefined ? { check: NO_CHECK, times: {} } : readChecker(checker, this);
    if (checker !== undefined) {
      draft.places['check'] = checker.place;
      const delay = times.delayBeforeRetrySeconds;
      if (delay !== undefined && delay !== draft.delayLoopSeconds) {
        this.lose(
          checker.place,
          `${checker.keyword}: delay_before_retry; a failed check is made again at its usual time`,
        );
      }
    }
    const server: ServerWish = {
      place: statement.place,
      address: endpoint.address,
      port: endpoint.port ?? defaultPort(key),
      weight,
      upperThreshold: upper,
      lowerThreshold: lower,
      ...half,
      request: null,
      receive: null,
    };
    const withHost = check.kind === 'negotiate' && check.virtualHost === null ? { ...check, virtualHost } : check;
    return { server, check: withHost, times, quiescent };
  }

  #endpoint({ keyword, words, place }: Statement): { word: Word; address: string; port: number | null } | null {
    const [host, portWord] = words;
    const address = host === undefined ? null : parseAddress(host.text);
    if (host === undefined || address === null) {
      this.refuse(host?.place ?? place, `${keyword} needs an address and a port, not ${quoted(host)}`);
      return null;
    }
    if (portWord === undefined) return { word: host, address, port: null };
    const port = parsePort(portWord.text);
    if (port !== null) return { word: host, address, port };
    this.refuse(portWord.place, `${keyword}: the port must be a number from 0 to 65535, not ${quoted(portWord)}`);
    return null;
  }

  #method({ keyword, words, place }: Statement): Half | null {
    const [kind, ...rest] = words;
    const methods: Readonly<Record<string, ForwardingMethod>> = { NAT: 'masquerade', DR: 'direct', TUN: 'tunnel' };
    const method = methods[kind?.text.toUpperCase() ?? ''];
    if (method === undefined) {
      this.refuse(kind?.place ?? place, `${keyword} must be NAT, DR or TUN, not ${quoted(kind)}`);
      return null;
    }
    let tunnel: { type: TunnelSpec['type']; port: number; checksum: TunnelSpec['checksum'] } = { ...PLAIN_TUNNEL };
    for (let index = 0; index < rest.length; index++) {
      const { text, place: at } = rest[index] as Word;
      if (text === 'type') continue;
      if (text === 'ipip' || text === 'gue' || text === 'gre') tunnel = { ...tunnel, type: text };
      else if (text === 'nocsum') tunnel = { ...tunnel, checksum: 'none' };
      else if (text === 'csum') tunnel = { ...tunnel, checksum: 'full' };
      else if (text === 'remcsum') tunnel = { ...tunnel, checksum: 'remote' };
      else if (text === 'port') tunnel = { ...tunnel, port: this.number(rest[++index], at, 'port', 1, 65_535) ?? 0 };
      else this.refuse(at, `${keyword} TUN takes type, port and csum, not ${text}`);
    }
    if (tunnel.type === 'gre' && tunnel.checksum === 'remote') this.refuse(place, `${keyword}: gre has no remcsum`);
    if (tunnel.type === 'gue' && tunnel.port === 0) this.refuse(place, `${keyword}: gue needs a port`);
    return { method, tunnel };
  }

  /** A whole number, or `null` after a problem was told. */
  number(word: Word | undefined, place: Place, name: string, min: number, max: number): number | null {
    const value = word !== undefined && /^\d{1,10}$/.test(word.text) ? Number(word.text) : Number.NaN;
    if (value >= min && value <= max) return value;
    this.refuse(word?.place ?? place, `${name} must be a whole number from ${min} to ${max}, not ${quoted(word)}`);
    return null;
  }

  /** Seconds, perhaps with a fraction; `null` after a problem was told. */
  seconds(word: Word | undefined, place: Place, name: string): number | null {
    const value = word !== undefined && /^\d{1,7}(\.\d{1,6})?$/.test(word.text) ? Number(word.text) : Number.NaN;
    if (value > 0) return value;
    this.refuse(word?.place ?? place, `${name} must be a number of seconds, not ${quoted(word)}`);
    return null;
  }

  #unknown({ keyword, place }: Statement, where: string, known: readonly string[]): void {
    this.refuse(place, `${where} has no keyword ${keyword}${suggestion(keyword, known)}`);
  }
}

const KEYWORDS_OF_SERVICE = [
  ...(
    'delay_loop connect_timeout retry weight lb_algo lvs_sched lb_kind lvs_method sorry_server_lvs_method sorry_server ' +
    'protocol ip_family persistence_timeout persistence_granularity persistence_engine ops inhibit_on_failure ' +
    'virtualhost real_server smtp_alert'
  ).split(' '),
  ...LOST_OF_SERVICE,
  ...Object.keys(FLAGS),
];
const KEYWORDS_OF_SERVER = [
  ...'weight uthreshold lthreshold lvs_method inhibit_on_failure virtualhost smtp_alert'.split(' '),
  ...LOST_OF_SERVER,
];

function newDraft(place: Place): Draft {
  return {
    protocol: 'tcp',
    family: 'ipv4',
    scheduler: 'wlc',
    flags: new Set(),
    onePacket: false,
    persistence: null,
    forwarding: { method: 'masquerade', tunnel: PLAIN_TUNNEL },
    fallback: null,
    fallbackForwarding: null,
    delayLoopSeconds: DELAY_LOOP_SECONDS,
    retry: null,
    connectTimeoutSeconds: null,
    weight: 1,
    quiescent: false,
    virtualHost: null,
    places: { listen: place },
    servers: [],
  };
}

function fallbackOf({ fallback, fallbackForwarding, forwarding }: Draft, key: ServiceKey): FallbackWish | null {
  if (fallback === null) return null;
  return {
    place: fallback.word.place,
    address: fallback.address,
    port: fallback.port === defaultPort(key) ? null : fallback.port,
    ...(fallbackForwarding ?? forwarding),
  };
}

function watchingOf(
  draft: Draft,
  chosen: { readonly check: CheckWish; readonly times: CheckerTimes; readonly quiescent: boolean } | undefined,
): Watching {
  const quiescent = chosen?.quiescent ?? draft.quiescent;
  if (chosen === undefined || chosen.check.kind === 'always-up') return quiescent ? { quiescent } : {};
  const timeoutSeconds = chosen.times.timeoutSeconds ?? draft.connectTimeoutSeconds ?? CONNECT_TIMEOUT_SECONDS;
  const retry = chosen.times.retry ?? draft.retry;
  return {
    intervalMs: Math.round(draft.delayLoopSeconds * 1_000),
    timeoutMs: Math.round(timeoutSeconds * 1_000),
    ...(retry === null || retry === undefined ? {} : { failures: retry + 1 }),
    ...(quiescent ? { quiescent } : {}),
  };
}

function sameInTable(key: ServiceKey, left: ServerWish, right: ServerWish): boolean {
  const port = (server: ServerWish): number => portInTable(key, server.method, server.port);
  return left.address === right.address && port(left) === port(right);
}

/** `10.0.0.1`, `10.0.0.1-10` (the last number counts up), an IPv6 address; `null` for anything else. */
function rangeOf(text: string): string[] | null {
  const range = /^(\d+\.\d+\.\d+\.\d+)-(\d{1,3})$/.exec(text);
  if (range === null) {
    const address = parseAddress(text);
    return address === null ? null : [address];
  }
  const first = parseAddress(range[1] as string);
  const last = Number(range[2]);
  if (first === null || last > 255) return null;
  const from = toNumber(first);
  const count = last - (from & 255) + 1;
  return count < 1 ? null : Array.from({ length: count }, (_, index) => toText(from + index));
}

function maskText(netmask: string, family: 'ipv4' | 'ipv6'): string {
  if (family === 'ipv6' || netmask.includes('.')) return netmask;
  return toText((0xffff_ffff << (32 - Math.min(32, Number(netmask)))) >>> 0);
}

function quoted(word: Word | undefined): string {
  return word === undefined ? 'nothing' : `"${word.text}"`;
}
