/**
 * `uipvs.yaml` -> blueprint. Form first (native-shape.ts), then what the parts mean together; all problems of a file
 * are told at once. Throws FileRefused.
 */
import type { Application } from '../model/applications.ts';
import {
  type Blueprint,
  CHECK_KINDS,
  type CheckKind,
  type CheckWish,
  EMPTY_BLUEPRINT,
  type FallbackWish,
  NO_CHECK,
  type PersistenceWish,
  type ReadFile,
  type ServerWish,
  type ServiceWish,
  type Watching,
} from '../model/blueprint.ts';
import type { SyncDaemonSpec } from '../model/commands.ts';
import { IpvsError } from '../model/errors.ts';
import { type FileProblem, FileRefused, inFileOrder, type Place } from '../model/file-problem.ts';
import { type ForwardingMethod, PLAIN_TUNNEL, type TunnelSpec, type TunnelType } from '../model/forwarding.ts';
import { PERSISTENCE_TIMEOUT_SECONDS_MAX } from '../model/limits.ts';
import { checkMarkRule, type MarkRule } from '../model/mark-rule.ts';
import {
  familyOfAddress,
  familyOfService,
  formatServiceKey,
  isMarkKey,
  type SchedulerFlag,
  type ServiceKey,
  type SourceNat,
} from '../model/service.ts';
import { defaultPort, portInTable, toText, type WrittenEndpoint } from './addresses.ts';
import { type CheckWord, NATIVE_FILE, PERSISTENCE_SECONDS_DEFAULT } from './native-shape.ts';
import { traps } from './traps.ts';
import { parseYaml } from './yaml.ts';

type Values<K> = K extends { read(...input: never[]): { value: { said: infer V } } | null } ? V : never;
type FileValues = Values<typeof NATIVE_FILE>;
type ItemOf<T> = NonNullable<T> extends readonly (infer I)[] ? I : never;
type ServiceSection = ItemOf<FileValues['services']>;
type ServiceValues = ServiceSection['said'];
type DefaultValues = NonNullable<FileValues['defaults']>['said'];
type WrittenServer = ItemOf<ServiceValues['servers']>;
type WrittenTunnel = NonNullable<Extract<WrittenServer['value'], { said: unknown }>['said']['tunnel']>;
type WrittenCheck = NonNullable<ServiceValues['check']>;
type CheckValues = Extract<WrittenCheck, { said: unknown }>['said'];
type AlertValues = NonNullable<DefaultValues['alert']>['said'];

const SCHEDULER_DEFAULT = 'wlc';
const GUE_PORT = 6_080;
const SYNC_DEFAULTS = { group: '224.0.0.81', port: 8_848, ttl: 1 };

export function readNative(text: string): ReadFile {
  const problems: FileProblem[] = [];
  const tree = parseYaml(text);
  if (tree === null) return { blueprint: EMPTY_BLUEPRINT, warnings: traps(EMPTY_BLUEPRINT), lost: [] };
  const read = NATIVE_FILE.read(tree, '', problems);
  if (read === null) throw new FileRefused(inFileOrder(problems));
  const blueprint = new Reader(read.value, problems).read();
  if (problems.length > 0) throw new FileRefused(inFileOrder(problems));
  return { blueprint, warnings: traps(blueprint), lost: [] };
}

class Reader {
  readonly #values: FileValues;
  readonly #places: Readonly<Record<string, Place>>;
  readonly #defaults: DefaultValues;
  readonly #problems: FileProblem[];

  constructor(file: { said: FileValues; places: Readonly<Record<string, Place>> }, problems: FileProblem[]) {
    this.#values = file.said;
    this.#places = file.places;
    this.#defaults = file.said.defaults?.said ?? {};
    this.#problems = problems;
  }

  read(): Blueprint {
    const { timeouts, sysctl, sync, logging, director } = this.#values;
    const places = this.#places;
    const { tcp, tcpfin, udp } = timeouts?.said ?? {};
    const { execute = [], ...directing } = director?.said ?? {};
    const log = logging?.said.file ?? logging?.said.syslog;
    if (logging?.said.file !== undefined && logging.said.syslog !== undefined) {
      this.#refuse(logging.place, 'logging has both file and syslog; only one of them can be');
    }
    if (logging?.said.file?.startsWith('/') === false) {
      this.#refuse(logging.places['file']!, 'logging.file must be a path that begins with /');
    }
    const alertFrom = this.#defaults.alert?.said.from;
    return {
      places: {
        ...named('watching', places['defaults']),
        ...named('director', places['director'] ?? places['logging']),
        ...named('timeouts', places['timeouts']),
        ...named('settings', places['sysctl']),
        ...named('markRules', places['marks']),
        ...named('syncDaemons', places['sync']),
      },
      services: this.#services(),
      watching: watchingOf(this.#defaults, this.#defaults.alert?.said),
      fallbacks: {
        ipv4: this.#globalFallback('fallback', 'ipv4'),
        ipv6: this.#globalFallback('fallback6', 'ipv6'),
      },
      director: { ...directing, ...named('log', log), ...named('alertFrom', alertFrom), execute },
      timeouts: {
        ...named('tcpSeconds', seconds(tcp)),
        ...named('tcpFinSeconds', seconds(tcpfin)),
        ...named('udpSeconds', seconds(udp)),
      },
      settings: sysctl ?? {},
      markRules: this.#markRules(),
      syncDaemons: this.#syncDaemons(sync ?? []),
    };
  }

  #services(): ServiceWish[] {
    const seen = new Map<string, Place>();
    return (this.#values.services ?? []).map((written) => {
      const service = this.#service(written);
      const key = formatServiceKey(service.key);
      const before = seen.get(key);
      if (before !== undefined) {
        this.#refuse(written.places['listen']!, `${key} is in this file already, in line ${before.line}`);
      }
      seen.set(key, written.place);
      return service;
    });
  }

  #service({ said: values, places, place }: ServiceSection): ServiceWish {
    const key = values.listen!;
    const family = familyOfService(key);
    const method = values.method ?? this.#defaults.method ?? 'masquerade';
    const sourceNat = values.sourceNat ?? this.#defaults.sourceNat ?? null;
    const onePacket = values.onePacket ?? false;
    const persistence = this.#persistence(values.persistence, family, places['persistence'] ?? place);
    if (onePacket && !isMarkKey(key) && key.protocol !== 'udp') {
      this.#refuse(places['onePacket']!, 'onePacket is for udp services and marks');
    }
    if (!isMarkKey(key) && key.port === 0 && persistence === null) {
      this.#refuse(places['listen']!, 'a service of every port (port 0) needs persistence');
    }
    this.#familyOfSourceNat(sourceNat, family, places['sourceNat'] ?? this.#places['defaults'] ?? place);
    return {
      place,
      places: { ...places, ...(places['listen'] ? {} : { listen: place }) },
      key,
      name: values.name ?? null,
      comment: values.comment ?? null,
      scheduler: values.scheduler ?? this.#defaults.scheduler ?? SCHEDULER_DEFAULT,
      schedulerFlags: flagNumbers(values.flags ?? (values.scheduler === undefined ? this.#defaults.flags : undefined)),
      persistence,
      onePacket,
      sourceNat,
      servers: this.#servers(values.servers ?? [], key, method),
      fallback: this.#ownFallback(values.fallback, key, places['fallback'] ?? place),
      check: this.#check(values.check, key, places['check'] ?? place),
      watching: watchingOf(values, values.alert?.said),
      monitorFile: values.monitorFile ?? null,
    };
  }

  #servers(written: readonly WrittenServer[], key: ServiceKey, method: ForwardingMethod): ServerWish[] {
    const seen = new Set<string>();
    return written.flatMap(({ place, value }) => {
      const long = 'said' in value ? value : null;
      const endpoints = long === null ? (value as readonly WrittenEndpoint[]) : long.said.address!;
      return endpoints.map(({ address, port }): ServerWish => {
        const server = {
          place,
          address,
          port: port ?? defaultPort(key),
          method: long?.said.method ?? method,
          weight: long?.said.weight ?? 1,
          upperThreshold: long?.said.upper ?? 0,
          lowerThreshold: long?.said.lower ?? 0,
          tunnel: this.#tunnel(long?.said.tunnel, long?.said.method ?? method, place),
          request: long?.said.request ?? null,
          receive: long?.said.expect ?? null,
        };
        if (server.method !== 'tunnel' && familyOfAddress(address) !== familyOfService(key)) {
          this.#refuse(
            place,
            `${address} is of another family than ${formatServiceKey(key)}; only tunnels can do that`,
          );
        }
        const inTable = portInTable(key, server.method, server.port);
        const identity = `${address} ${inTable}`;
        if (seen.has(identity)) this.#refuse(place, `${address} port ${inTable} is a server of this service already`);
        seen.add(identity);
        return server;
      });
    });
  }

  #tunnel(written: WrittenTunnel | undefined, method: ForwardingMethod, place: Place): TunnelSpec {
    if (written === undefined) return PLAIN_TUNNEL;
    if (method !== 'tunnel') this.#refuse(place, `tunnel goes with the method tunnel only, and this is ${method}`);
    if (typeof written === 'string') return { type: written, port: written === 'gue' ? GUE_PORT : 0, checksum: 'none' };
    const { type, port, checksum = 'none' } = written.said;
    if (port !== undefined && type !== 'gue') this.#refuse(written.places['port']!, `a tunnel of ${type} has no port`);
    if (checksum !== 'none' && type === 'ipip') {
      this.#refuse(written.places['checksum']!, 'a tunnel of ipip has no checksum');
    }
    if (checksum === 'remote' && type === 'gre') {
      this.#refuse(written.places['checksum']!, 'a tunnel of gre has the checksums none and full only');
    }
    return { type: type as TunnelType, port: type === 'gue' ? (port ?? GUE_PORT) : 0, checksum };
  }

  #fallback(written: ServiceValues['fallback'], family: 'ipv4' | 'ipv6', place: Place): FallbackWish | null {
    if (written === undefined) return null;
    const long = 'said' in written ? written : null;
    const { address, port } = long === null ? (written as WrittenEndpoint) : long.said.address!;
    const method = long?.said.method ?? 'masquerade';
    if (method !== 'tunnel' && familyOfAddress(address) !== family) {
      this.#refuse(place, `the fallback ${address} is of another family; only tunnels can do that`);
    }
    return { place, address, port, method, tunnel: this.#tunnel(long?.said.tunnel, method, place) };
  }

  /** A port that is the service's own anyway counts as not said. */
  #ownFallback(written: ServiceValues['fallback'], key: ServiceKey, place: Place): FallbackWish | null {
    const wish = this.#fallback(written, familyOfService(key), place);
    return wish?.port === defaultPort(key) ? { ...wish, port: null } : wish;
  }

  #globalFallback(name: 'fallback' | 'fallback6', family: 'ipv4' | 'ipv6'): FallbackWish | null {
    const place = this.#values.defaults?.places[name] ?? this.#places['defaults'] ?? { line: 1, column: 1 };
    return this.#fallback(this.#defaults[name], family, place);
  }

  #persistence(written: ServiceValues['persistence'], family: 'ipv4' | 'ipv6', place: Place): PersistenceWish | null {
    if (written === undefined) return null;
    const long = typeof written === 'number' ? null : written;
    const timeoutMs = long === null ? (written as number) : long.said.timeout;
    const timeoutSeconds = seconds(timeoutMs) ?? PERSISTENCE_SECONDS_DEFAULT;
    if (timeoutSeconds > PERSISTENCE_TIMEOUT_SECONDS_MAX) this.#refuse(place, 'persistence can last 31 days at most');
    const mask = long?.said.netmask;
    const netmask = mask === undefined ? null : netmaskText(mask, family);
    if (mask !== undefined && netmask === null) {
      const expected = family === 'ipv6' ? 'a prefix length from /1 to /128' : 'a mask such as 255.255.255.0 or /24';
      this.#refuse(long!.places['netmask']!, `persistence.netmask must be ${expected}, not "${mask}"`);
    }
    return { timeoutSeconds, netmask, engine: long?.said.engine ?? null };
  }

  /** What a service says of its own goes before the defaults; with a kind of its own nothing of theirs is left. */
  #check(own: WrittenCheck | undefined, key: ServiceKey, place: Place): CheckWish {
    const common = contentOf(this.#defaults.check);
    const mine = contentOf(own);
    const content = mine.kind === undefined ? { ...common, ...mine } : mine;
    const word: CheckWord = content.kind ?? (!isMarkKey(key) && key.protocol === 'tcp' ? 'connect' : 'ping');
    const isKind = (CHECK_KINDS as readonly string[]).includes(word);
    const kind = isKind ? (word as CheckKind) : 'negotiate';
    if (!isKind && content.application !== undefined && content.application !== word) {
      this.#refuse(place, `check.application is ${content.application}, but check.kind says ${word}`);
    }
    if ((kind === 'external' || kind === 'external-perl') && content.command === undefined) {
      this.#refuse(place, `a check of kind ${kind} needs command`);
    }
    if (content.connectsBetween !== undefined && kind !== 'negotiate') {
      this.#refuse(place, `connectsBetween goes with the protocol of an application, and this check is ${kind}`);
    }
    return {
      ...NO_CHECK,
      kind,
      application: isKind ? (content.application ?? null) : (word as Application),
      connectsBetween: content.connectsBetween ?? null,
      port: content.port ?? null,
      request: content.request ?? null,
      receive: content.expect ?? null,
      headOnly: content.headOnly ?? false,
      virtualHost: content.host ?? null,
      login: content.login ?? null,
      password: content.password ?? null,
      database: content.database ?? null,
      secret: content.secret ?? null,
      command: content.command ?? null,
    };
  }

  #markRules(): MarkRule[] {
    return (this.#values.marks ?? []).flatMap(({ said: values, place }) => {
      const { mark, protocol, to, from, ports, link } = values;
      const [low, high] = (ports ?? '').split('-').map(Number);
      const rule: MarkRule = {
        family: values.family ?? familyOfAddress(to ?? from ?? ''),
        mark: mark!,
        ...named('protocol', protocol),
        ...named('destination', to),
        ...named('source', from),
        ...(ports === undefined ? {} : { portMin: low as number, portMax: high ?? (low as number) }),
        ...named('link', link),
      };
      try {
        return [checkMarkRule(rule).rule];
      } catch (error) {
        if (!(error instanceof IpvsError)) throw error;
        this.#refuse(place, `marks: ${error.message}`);
        return [];
      }
    });
  }

  #syncDaemons(written: NonNullable<FileValues['sync']>): SyncDaemonSpec[] {
    const roles = new Set<string>();
    return written.map(({ said: values, place }) => {
      if (roles.has(values.role!)) this.#refuse(place, `sync has two daemons of the role ${values.role}`);
      roles.add(values.role!);
      return {
        role: values.role!,
        interface: values.interface!,
        syncId: values.id ?? 0,
        maxLength: values.maxLength ?? 0,
        group: values.group ?? SYNC_DEFAULTS.group,
        port: values.port ?? SYNC_DEFAULTS.port,
        ttl: values.ttl ?? SYNC_DEFAULTS.ttl,
      };
    });
  }

  #familyOfSourceNat(sourceNat: SourceNat | null, family: 'ipv4' | 'ipv6', place: Place): void {
    if (sourceNat === null || sourceNat === 'none' || sourceNat === 'masquerade') return;
    if (familyOfAddress(sourceNat) !== family) {
      this.#refuse(place, `sourceNat ${sourceNat} is not of the service's family, ${family}`);
    }
  }

  #refuse(place: Place, text: string): void {
    this.#problems.push({ place, text });
  }
}

function contentOf(check: WrittenCheck | undefined): CheckValues {
  if (check === undefined) return {};
  return typeof check === 'string' ? { kind: check } : check.said;
}

type WatchingValues = Partial<Pick<ServiceValues, 'check' | 'quiescent' | 'cleanStop' | 'fallbackCommand'>>;

function watchingOf(values: WatchingValues, alert: AlertValues | undefined): Watching {
  const check = contentOf(values.check);
  return {
    ...named('intervalMs', check.every),
    ...named('timeoutMs', check.timeout),
    ...named('requestTimeoutMs', check.requestTimeout),
    ...named('attempts', check.attempts),
    ...named('failures', check.failures),
    ...named('quiescent', values.quiescent),
    ...named('cleanStop', values.cleanStop),
    ...named('fallbackCommand', values.fallbackCommand),
    ...named('alertTo', alert?.to),
    ...named('alertEverySeconds', seconds(alert?.every)),
    ...named('alertStates', alert?.states),
    ...named('alertSmtp', alert?.smtp),
  };
}

/** Names of flags are those of the scheduler; `flag-1` is `fallback`, `flag-2` is `port`. */
const FLAG_WORDS = { fallback: 1, port: 2, 'flag-1': 1, 'flag-2': 2, 'flag-3': 3 } as const;

function flagNumbers(words: readonly (keyof typeof FLAG_WORDS)[] | undefined): SchedulerFlag[] {
  return [...new Set((words ?? []).map((word) => FLAG_WORDS[word]))].sort();
}

/** The text that a spec has, or `null` when it is no mask. */
function netmaskText(written: string, family: 'ipv4' | 'ipv6'): string | null {
  const length = /^\/?(\d{1,3})$/.exec(written);
  if (family === 'ipv6') {
    return length !== null && Number(length[1]) >= 1 && Number(length[1]) <= 128 ? String(Number(length[1])) : null;
  }
  if (length !== null) {
    const bits = Number(length[1]);
    return bits >= 1 && bits <= 32 ? toText((0xffff_ffff << (32 - bits)) >>> 0) : null;
  }
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(written) && written.split('.').every((part) => Number(part) < 256)
    ? written
    : null;
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1_000;
}

/** `{ name: value }`, or nothing when there is none: absent is not the same as undefined. */
function named<N extends string, T>(name: N, value: T | undefined): { readonly [K in N]?: T } {
  return value === undefined ? {} : ({ [name]: value } as { readonly [K in N]?: T });
}
