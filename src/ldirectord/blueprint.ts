/**
 * An ldirectord configuration as a blueprint, and a blueprint as the configuration that the director works by. What
 * only a native file can say travels in the `native` parts, which the file of ldirectord has no words for.
 */
import type { Application } from '../model/applications.ts';
import { applicationOfPort } from '../model/applications.ts';
import {
  type Blueprint,
  type CheckKind,
  type CheckWish,
  EMPTY_BLUEPRINT,
  type FallbackWish,
  type ReadFile,
  type ServerWish,
  type ServiceWish,
  type Watching,
} from '../model/blueprint.ts';
import type { Place } from '../model/file-problem.ts';
import { type ForwardingMethod, PLAIN_TUNNEL, type TunnelSpec } from '../model/forwarding.ts';
import { familyOfService, formatEndpoint, formatServiceKey, isMarkKey } from '../model/service.ts';
import type { VirtualDraft } from './config/block-directives.ts';
import { finishVirtual } from './config/effective.ts';
import { defaultGlobals } from './config/global-directives.ts';
import type { ConfigurationWarning } from './config/problem.ts';
import type {
  CheckType,
  Configuration,
  FallbackServer,
  ForwardWord,
  GlobalSettings,
  NativeForwarding,
  RealServer,
  VirtualOverrides,
  VirtualServer,
} from './config/types.ts';
import { destinationSpec, schedulerFlags } from './specs.ts';

const METHOD_OF: Readonly<Record<ForwardWord, ForwardingMethod>> = {
  gate: 'direct',
  masq: 'masquerade',
  ipip: 'tunnel',
};
export const FORWARD_OF: Readonly<Record<ForwardingMethod, ForwardWord>> = {
  direct: 'gate',
  masquerade: 'masq',
  tunnel: 'ipip',
  local: 'gate',
  bypass: 'gate',
};
const FLAG_TEXT = { 1: 'flag-1', 2: 'flag-2', 3: 'flag-3' } as const;
export const NO_COMMAND = '/bin/true';
const EVERY_STATE = 4;

export function toBlueprint(configuration: Configuration): ReadFile {
  const { globals, globalLines, virtuals, warnings } = configuration;
  const lines = Object.values(globalLines);
  const first = lines.length === 0 ? {} : { watching: at(Math.min(...lines)), director: at(Math.min(...lines)) };
  const blueprint: Blueprint = {
    ...EMPTY_BLUEPRINT,
    places: first,
    services: virtuals.map((virtual) => serviceWish(virtual, globals)),
    watching: globalWatching(globals),
    fallbacks: {
      ipv4: fallbackWish(globals.fallback, at(globalLines['fallback'])),
      ipv6: fallbackWish(globals.fallback6, at(globalLines['fallback6'])),
    },
    director: {
      ...(globals.logFile === defaultGlobals().logFile ? {} : { log: globals.logFile }),
      ...(globals.autoReload ? { autoReload: true } : {}),
      ...said('callback', globals.callback),
      ...(globals.readdQuiescent ? { readdQuiescent: true } : {}),
      ...(globals.supervised ? { foreground: true } : {}),
      ...said('maintenanceDirectory', globals.maintenanceDirectory),
      ...said('alertFrom', globals.emailAlertFrom),
      execute: globals.execute,
    },
  };
  const told = warnings.map(({ line, text }) => ({ place: at(line), text }));
  for (const { key, ops, protocol, line, directiveLines } of virtuals) {
    if (!ops || protocol === 'udp') continue;
    told.push({ place: at(directiveLines['ops'] ?? line), text: `${formatServiceKey(key)}: ops is for udp only` });
  }
  const lost = virtuals.flatMap(({ real }, index) => {
    const kept = blueprint.services[index]!.servers;
    return real
      .filter(({ line, address }) => !kept.some((server) => server.place.line === line && server.address === address))
      .map(({ line, address }) => ({ place: at(line), text: `real server ${address} is in this service already` }));
  });
  return { blueprint, warnings: told, lost };
}

function serviceWish(virtual: VirtualServer, globals: Readonly<GlobalSettings>): ServiceWish {
  const { key, own, directiveLines: lines } = virtual;
  const whole = virtual.family === 'ipv6' ? '128' : '255.255.255.255';
  const persistent = virtual.persistentSeconds !== null;
  return {
    place: at(virtual.line),
    places: {
      ...part('check', lines['checktype'] ?? lines['service'] ?? lines['request']),
      ...part('persistence', lines['persistent']),
      ...part('fallback', lines['fallback'] ?? lines['fallback6']),
      ...part('scheduler', lines['scheduler']),
      ...part('name', lines['servicename'] ?? lines['comment']),
    },
    key,
    name: virtual.serviceName || null,
    comment: virtual.comment || null,
    scheduler: virtual.scheduler,
    schedulerFlags: schedulerFlags(virtual.schedulerFlags ?? ''),
    persistence: persistent
      ? {
          timeoutSeconds: virtual.persistentSeconds as number,
          netmask: virtual.netmask === whole ? null : virtual.netmask,
          engine: virtual.native?.persistenceEngine ?? null,
        }
      : null,
    onePacket: virtual.ops && virtual.protocol === 'udp',
    sourceNat: virtual.native?.sourceNat ?? null,
    servers: withoutRepetitions(virtual).map((real) => serverWish(real, virtual)),
    fallback: ownFallback(virtual, at(lines['fallback'] ?? lines['fallback6'] ?? virtual.line)),
    check: checkWish(virtual),
    watching: ownWatching(own, globals.fork),
    monitorFile: virtual.monitorFile,
  };
}

const KIND_OF: Readonly<Record<CheckType, CheckKind>> = {
  connect: 'connect',
  negotiate: 'negotiate',
  combined: 'negotiate',
  ping: 'ping',
  on: 'always-up',
  off: 'always-down',
  external: 'external',
  'external-perl': 'external-perl',
};

function checkWish(virtual: VirtualServer): CheckWish {
  const { checkType, service, request } = virtual;
  return {
    kind: KIND_OF[checkType],
    application: applicationOf(virtual),
    connectsBetween: checkType === 'combined' ? virtual.connectsBetweenNegotiates : null,
    port: virtual.checkPort,
    request: request === '/' ? null : withoutSlash(request, service),
    receive: virtual.receive || null,
    headOnly: virtual.httpMethod === 'HEAD',
    virtualHost: virtual.virtualHost || null,
    login: virtual.login || null,
    password: virtual.password || null,
    database: virtual.database || null,
    secret: virtual.secret || null,
    command: virtual.checkCommand === NO_COMMAND ? null : virtual.checkCommand,
  };
}

/**
 * What was written, and for a negotiation also what the port tells, so that every format can show it. Not so for the
 * two that log in with names of their own only where `service` is written.
 */
function applicationOf({ directiveLines, checkType, service }: VirtualServer): Application | null {
  if (directiveLines['service'] !== undefined) return service;
  const negotiates = checkType === 'negotiate' || checkType === 'combined';
  return negotiates && !['none', 'ftp', 'sip'].includes(service) ? service : null;
}

/** The slash that every request was given is taken back where it does not belong to the question. */
function withoutSlash(request: string, service: Application): string {
  const isPath = service === 'http' || service === 'https';
  const bare = request.slice(1);
  return bare === '' || bare.startsWith('/') || (isPath && !/^https?:\/\//.test(bare)) ? request : bare;
}

/** Of servers that are the same in the table the first one counts, as for the director. */
function withoutRepetitions(virtual: VirtualServer): RealServer[] {
  const servers = new Map<string, RealServer>();
  for (const real of virtual.real) {
    const { address, port } = destinationSpec(virtual, real);
    const name = formatEndpoint(address, port);
    if (!servers.has(name)) servers.set(name, real);
  }
  return [...servers.values()];
}

function serverWish(real: RealServer, { service }: VirtualServer): ServerWish {
  // A request whose receive string was lost changes nothing.
  const own = real.request !== null && real.receive !== null;
  return {
    place: at(real.line),
    address: real.address,
    port: real.port,
    method: real.native?.method ?? METHOD_OF[real.forward],
    weight: real.weight,
    upperThreshold: real.upperThreshold,
    lowerThreshold: real.lowerThreshold,
    tunnel: real.native?.tunnel ?? PLAIN_TUNNEL,
    request: own ? withoutSlash(real.request as string, service) : null,
    receive: own ? real.receive : null,
  };
}

function fallbackWish(fallback: FallbackServer | null, place: Place): FallbackWish | null {
  if (fallback === null) return null;
  const { address, port, forward, native } = fallback;
  const method = native?.method ?? METHOD_OF[forward];
  return { place, address, port, method, tunnel: native?.tunnel ?? PLAIN_TUNNEL };
}

/** A port that is the service's own anyway is not said. */
function ownFallback({ key, own }: VirtualServer, place: Place): FallbackWish | null {
  const wish = fallbackWish(own.fallback, place);
  return wish?.port === (isMarkKey(key) ? 0 : key.port) ? { ...wish, port: null } : wish;
}

function globalWatching(globals: Readonly<GlobalSettings>): Watching {
  const usual = defaultGlobals();
  const unusual = <K extends keyof GlobalSettings>(name: K) => (globals[name] === usual[name] ? null : globals[name]);
  const states = globals.emailAlertStates;
  return watchingOf({
    checkTimeoutSeconds: globals.checkTimeoutSeconds,
    negotiateTimeoutSeconds: globals.negotiateTimeoutSeconds,
    checkIntervalSeconds: unusual('checkIntervalSeconds'),
    checkCount: unusual('checkCount'),
    failureCount: unusual('failureCount'),
    fallbackCommand: globals.fallbackCommand,
    quiescent: unusual('quiescent'),
    cleanStop: unusual('cleanStop'),
    emailAlert: globals.emailAlert,
    emailAlertSeconds: unusual('emailAlertSeconds'),
    emailAlertStates: states.length === EVERY_STATE ? null : states,
    smtp: globals.smtp,
  });
}

/** The original has intervals of services with fork=yes only. */
function ownWatching(own: Readonly<VirtualOverrides>, fork: boolean): Watching {
  return watchingOf(fork ? own : { ...own, checkIntervalSeconds: null });
}

function watchingOf(own: Omit<Readonly<VirtualOverrides>, 'fallback'>): Watching {
  return {
    ...said('intervalMs', inMs(own.checkIntervalSeconds)),
    ...said('timeoutMs', inMs(own.checkTimeoutSeconds)),
    ...said('requestTimeoutMs', inMs(own.negotiateTimeoutSeconds)),
    ...said('attempts', own.checkCount),
    ...said('failures', own.failureCount),
    ...said('quiescent', own.quiescent),
    ...said('cleanStop', own.cleanStop),
    ...said('fallbackCommand', own.fallbackCommand),
    ...said('alertTo', own.emailAlert),
    ...said('alertEverySeconds', own.emailAlertSeconds),
    ...said('alertStates', own.emailAlertStates),
    ...said('alertSmtp', own.smtp),
  };
}

/** `hostName` is part of the name a check logs in with where none is said. */
export function fromBlueprint(blueprint: Blueprint, hostName: string): Configuration {
  const { services, watching, fallbacks, director, places } = blueprint;
  const own = overrides(watching);
  const globals: GlobalSettings = {
    ...defaultGlobals(),
    checkTimeoutSeconds: own.checkTimeoutSeconds,
    negotiateTimeoutSeconds: own.negotiateTimeoutSeconds,
    ...given({
      checkIntervalSeconds: own.checkIntervalSeconds,
      checkCount: own.checkCount,
      failureCount: own.failureCount,
      quiescent: own.quiescent,
      cleanStop: own.cleanStop,
      emailAlertSeconds: own.emailAlertSeconds,
      emailAlertStates: own.emailAlertStates,
      logFile: director.log ?? null,
      autoReload: director.autoReload ?? null,
      supervised: director.foreground ?? null,
      readdQuiescent: director.readdQuiescent ?? null,
    }),
    callback: director.callback ?? null,
    fallback: fallbackServer(fallbacks.ipv4),
    fallback6: fallbackServer(fallbacks.ipv6),
    fallbackCommand: own.fallbackCommand,
    emailAlert: own.emailAlert,
    emailAlertFrom: director.alertFrom ?? null,
    smtp: own.smtp,
    execute: [...director.execute],
    maintenanceDirectory: director.maintenanceDirectory ?? null,
    fork: services.some((service) => service.watching.intervalMs !== undefined),
  };
  const virtuals = services.map((service) => virtualServer(service, globals, hostName));
  const line = places['director']?.line ?? places['watching']?.line;
  const globalLines = line === undefined ? {} : { execute: line };
  return { globals, globalLines, virtuals, warnings: ignored(blueprint, places) };
}

/** What a director does not do; `uipvs apply` does. */
function ignored({ timeouts, settings, markRules, syncDaemons }: Blueprint, places: Blueprint['places']) {
  const parts: readonly [part: string, name: string, there: boolean][] = [
    ['timeouts', 'timeouts', Object.keys(timeouts).length > 0],
    ['settings', 'sysctl', Object.keys(settings).length > 0],
    ['markRules', 'marks', markRules.length > 0],
    ['syncDaemons', 'sync', syncDaemons.length > 0],
  ];
  return parts
    .filter(([, , there]) => there)
    .map(([part, name]): ConfigurationWarning => {
      const text = `${name}: set by \`uipvs apply\`, not by the director`;
      return { line: places[part]?.line ?? 0, text, origin: 'uipvs' };
    });
}

function virtualServer(wish: ServiceWish, globals: GlobalSettings, hostName: string): VirtualServer {
  const { key, check, persistence, place, places } = wish;
  const family = familyOfService(key);
  const service = check.application ?? (isMarkKey(key) ? 'none' : applicationOfPort(key.port));
  const own = overrides(wish.watching);
  const fallback = fallbackServer(wish.fallback);
  const port = fallback?.port ?? (isMarkKey(key) ? 0 : key.port);
  const draft: VirtualDraft = {
    line: place.line,
    family,
    protocol: isMarkKey(key) ? 'fwm' : key.protocol,
    service,
    scheduler: wish.scheduler,
    schedulerFlags: wish.schedulerFlags.map((flag) => FLAG_TEXT[flag]).join(',') || null,
    persistentSeconds: persistence?.timeoutSeconds ?? null,
    netmask: persistence?.netmask ?? null,
    ops: wish.onePacket,
    checkType: checkType(wish),
    connectsBetweenNegotiates: check.connectsBetween ?? 0,
    checkCommand: check.command ?? NO_COMMAND,
    checkPort: check.port,
    request: withSlash(check.request ?? '/'),
    receive: check.receive ?? '',
    httpMethod: check.headOnly ? 'HEAD' : 'GET',
    virtualHost: check.virtualHost,
    ...credentials(check, hostName),
    database: check.database ?? '',
    secret: check.secret ?? '',
    monitorFile: wish.monitorFile,
    serviceName: wish.name,
    comment: wish.comment,
    fallback: null,
    own,
    native: { sourceNat: wish.sourceNat, persistenceEngine: persistence?.engine ?? null },
  };
  const directiveLines: Record<string, number> = {};
  for (const [name, { line }] of Object.entries(places)) {
    for (const directive of DIRECTIVES_OF[name] ?? []) directiveLines[directive] = line;
  }
  const finished = finishVirtual(
    {
      draft,
      key,
      service,
      real: wish.servers.map((server) => realServer(server, check)),
      fallback: fallback === null ? null : { ...fallback, port },
      directiveLines: check.application === null ? withoutService(directiveLines) : directiveLines,
    },
    globals,
  );
  return finished;
}

/** Where a message about a directive points to. */
const DIRECTIVES_OF: Readonly<Record<string, readonly string[]>> = {
  check: ['checktype', 'service', 'receive', 'request'],
  flags: ['schedflags'],
  scheduler: ['scheduler'],
  persistence: ['persistent'],
  fallback: ['fallback'],
};

/** `service` counts as written only where it was. */
function withoutService({ service, ...others }: Record<string, number>): Record<string, number> {
  return others;
}

function checkType({ key, check }: ServiceWish): CheckType {
  if (check.kind === 'always-up') return 'on';
  if (check.kind === 'always-down') return 'off';
  // There is no such thing as a connect without TCP.
  if (check.kind === 'connect' && !isMarkKey(key) && key.protocol === 'sctp') return 'ping';
  return check.connectsBetween !== null && check.kind === 'negotiate' ? 'combined' : check.kind;
}

/** As `service=ftp` and `service=sip` have it where nothing else is said. */
function credentials({ application, login, password }: CheckWish, hostName: string) {
  const self = `ldirectord@${hostName}`;
  if (application === 'ftp') return { login: login ?? 'anonymous', password: password ?? self };
  return { login: login ?? (application === 'sip' ? self : ''), password: password ?? '' };
}

function realServer(wish: ServerWish, check: CheckWish): RealServer {
  const own = wish.request !== null || wish.receive !== null;
  return {
    line: wish.place.line,
    address: wish.address,
    port: wish.port,
    forward: FORWARD_OF[wish.method],
    weight: wish.weight,
    lowerThreshold: wish.lowerThreshold,
    upperThreshold: wish.upperThreshold,
    request: own ? withSlash(wish.request ?? check.request ?? '/') : null,
    receive: own ? (wish.receive ?? check.receive ?? '') : null,
    ...native(wish),
  };
}

function fallbackServer(wish: FallbackWish | null): FallbackServer | null {
  if (wish === null) return null;
  return { address: wish.address, port: wish.port, forward: FORWARD_OF[wish.method], ...native(wish) };
}

function native({ method, tunnel }: { readonly method: ForwardingMethod; readonly tunnel: TunnelSpec }): {
  native?: NativeForwarding;
} {
  const plain = method !== 'local' && method !== 'bypass' && tunnel.type === 'ipip';
  return plain ? {} : { native: { method, tunnel } };
}

function overrides(watching: Watching): VirtualOverrides {
  return {
    checkTimeoutSeconds: inSeconds(watching.timeoutMs),
    negotiateTimeoutSeconds: inSeconds(watching.requestTimeoutMs),
    checkIntervalSeconds: inSeconds(watching.intervalMs),
    checkCount: watching.attempts ?? null,
    failureCount: watching.failures ?? null,
    fallback: null,
    fallbackCommand: watching.fallbackCommand ?? null,
    quiescent: watching.quiescent ?? null,
    cleanStop: watching.cleanStop ?? null,
    emailAlert: watching.alertTo ?? null,
    emailAlertSeconds: watching.alertEverySeconds ?? null,
    emailAlertStates: watching.alertStates ?? null,
    smtp: watching.alertSmtp ?? null,
  };
}

function withSlash(request: string): string {
  return request.startsWith('/') ? request : `/${request}`;
}

function inMs(seconds: number | null): number | null {
  return seconds === null ? null : seconds * 1_000;
}

function inSeconds(ms: number | undefined): number | null {
  return ms === undefined ? null : ms / 1_000;
}

function at(line: number | undefined): Place {
  return { line: line ?? 0, column: line === undefined || line === 0 ? 0 : 1 };
}

function part(name: string, line: number | undefined): Record<string, Place> {
  return line === undefined ? {} : { [name]: at(line) };
}

function said<N extends string, T>(name: N, value: T | null): { readonly [K in N]?: T } {
  return value === null ? {} : ({ [name]: value } as { readonly [K in N]?: T });
}

/** The names that have a value. */
function given<T extends Record<string, unknown>>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}
