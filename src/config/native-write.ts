/**
 * Blueprint -> `uipvs.yaml`, with everything that differs from what the reader would take anyway. The native file can
 * hold all of a blueprint, so nothing is ever lost.
 */
import type { Blueprint, CheckWish, FallbackWish, ServerWish, ServiceWish, Watching } from '../model/blueprint.ts';
import type { SyncDaemonSpec } from '../model/commands.ts';
import type { ForwardingMethod, TunnelSpec } from '../model/forwarding.ts';
import type { MarkRule } from '../model/mark-rule.ts';
import { formatEndpoint, isMarkKey, type ServiceKey } from '../model/service.ts';
import { defaultPort, formatListen } from './addresses.ts';
import { formatDuration } from './kinds.ts';
import { formatYaml } from './yaml.ts';

/** Names with `undefined` are not written. */
type Plain = Record<string, unknown>;

export function writeNative(blueprint: Blueprint, heading = ''): string {
  const { services, markRules, timeouts, settings, syncDaemons } = blueprint;
  const plain: Plain = {
    defaults: filled(defaults(blueprint)),
    services: services.map(service),
    marks: listed(markRules.map(mark)),
    timeouts: filled({
      tcp: ofSeconds(timeouts.tcpSeconds),
      tcpfin: ofSeconds(timeouts.tcpFinSeconds),
      udp: ofSeconds(timeouts.udpSeconds),
    }),
    sysctl: filled(Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, plainNumber(value)]))),
    sync: listed(syncDaemons.map(sync)),
    ...directing(blueprint),
  };
  return formatYaml(said(plain), heading);
}

function defaults({ watching, fallbacks, director }: Blueprint): Plain {
  const alert = filled({ ...alertOf(watching), from: director.alertFrom });
  return said({
    check: filled(checkTimes(watching)),
    ...watchingOf(watching),
    alert,
    fallback: fallback(fallbacks.ipv4, null),
    fallback6: fallback(fallbacks.ipv6, null),
  });
}

function directing({ director }: Blueprint): Plain {
  const { log, autoReload, callback, readdQuiescent, foreground, maintenanceDirectory, execute } = director;
  const where = log === undefined ? undefined : log.startsWith('/') ? { file: log } : { syslog: log };
  return {
    logging: where,
    director: filled({
      autoReload,
      callback,
      readdQuiescent,
      foreground,
      maintenanceDirectory,
      execute: listed(execute),
    }),
  };
}

function service(wish: ServiceWish): Plain {
  const { key, persistence, servers, check } = wish;
  const method = commonMethod(servers);
  return said({
    listen: formatListen(key),
    name: wish.name ?? undefined,
    comment: wish.comment ?? undefined,
    scheduler: wish.scheduler,
    flags: listed(wish.schedulerFlags.map((flag) => flagWord(wish.scheduler, flag))),
    method: method === 'masquerade' ? undefined : method,
    sourceNat: wish.sourceNat ?? undefined,
    persistence: persistenceOf(persistence),
    onePacket: wish.onePacket || undefined,
    servers: servers.map((each) => server(each, key, method)),
    fallback: fallback(wish.fallback, isMarkKey(key) ? null : key.port),
    check: checkOf(check, wish.watching),
    ...watchingOf(wish.watching),
    alert: filled(alertOf(wish.watching)),
    monitorFile: wish.monitorFile ?? undefined,
  });
}

function flagWord(scheduler: string, flag: 1 | 2 | 3): string {
  if (scheduler !== 'sh' && scheduler !== 'mh') return `flag-${flag}`;
  return flag === 1 ? 'fallback' : flag === 2 ? 'port' : 'flag-3';
}

function persistenceOf(persistence: ServiceWish['persistence']): unknown {
  if (persistence === null) return undefined;
  const { timeoutSeconds, netmask, engine } = persistence;
  const timeout = formatDuration(timeoutSeconds * 1_000);
  if (netmask === null && engine === null && timeoutSeconds > 0) return timeout;
  const mask = netmask === null ? undefined : netmask.includes('.') ? netmask : `/${netmask}`;
  return said({ timeout, netmask: mask, engine: engine ?? undefined });
}

/** The method that most servers have stands at the service. */
function commonMethod(servers: readonly ServerWish[]): ForwardingMethod {
  const counts = new Map<ForwardingMethod, number>();
  for (const { method } of servers) counts.set(method, (counts.get(method) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'masquerade';
}

function server(wish: ServerWish, key: ServiceKey, common: ForwardingMethod): unknown {
  const address = endpoint(wish.address, wish.port === defaultPort(key) && isMarkKey(key) ? null : wish.port);
  const more = said({
    method: wish.method === common ? undefined : wish.method,
    weight: wish.weight === 1 ? undefined : wish.weight,
    upper: wish.upperThreshold || undefined,
    lower: wish.lowerThreshold || undefined,
    tunnel: tunnel(wish.tunnel),
    request: wish.request ?? undefined,
    expect: wish.receive ?? undefined,
  });
  return Object.keys(more).length === 0 ? address : { address, ...more };
}

function fallback(wish: FallbackWish | null, usualPort: number | null): unknown {
  if (wish === null) return undefined;
  const address = endpoint(wish.address, wish.port ?? usualPort);
  const more = said({
    method: wish.method === 'masquerade' ? undefined : wish.method,
    tunnel: tunnel(wish.tunnel),
  });
  return Object.keys(more).length === 0 ? address : { address, ...more };
}

function endpoint(address: string, port: number | null): string {
  return port === null ? address : formatEndpoint(address, port);
}

function tunnel({ type, port, checksum }: TunnelSpec): unknown {
  if (type === 'ipip') return undefined;
  return said({ type, port: type === 'gue' ? port : undefined, checksum: checksum === 'none' ? undefined : checksum });
}

function checkOf(check: CheckWish, watching: Watching): unknown {
  const kind = check.kind === 'negotiate' && check.application !== null ? check.application : check.kind;
  // The application `none` is no kind of its own.
  const isKind = kind !== 'none';
  const more = said({
    application: isKind && kind !== check.kind ? undefined : (check.application ?? undefined),
    connectsBetween: check.connectsBetween ?? undefined,
    port: check.port ?? undefined,
    request: check.request ?? undefined,
    expect: check.receive ?? undefined,
    headOnly: check.headOnly || undefined,
    host: check.virtualHost ?? undefined,
    login: check.login ?? undefined,
    password: check.password ?? undefined,
    database: check.database ?? undefined,
    secret: check.secret ?? undefined,
    command: check.command ?? undefined,
    ...checkTimes(watching),
  });
  const word = isKind ? kind : check.kind;
  return Object.keys(more).length === 0 ? word : { kind: word, ...more };
}

function checkTimes(watching: Watching): Plain {
  return said({
    every: ofMs(watching.intervalMs),
    timeout: ofMs(watching.timeoutMs),
    requestTimeout: ofMs(watching.requestTimeoutMs),
    attempts: watching.attempts,
    failures: watching.failures,
  });
}

function watchingOf({ quiescent, cleanStop, fallbackCommand }: Watching): Plain {
  return { quiescent, cleanStop, fallbackCommand };
}

function alertOf({ alertTo, alertEverySeconds, alertStates, alertSmtp }: Watching): Plain {
  return { to: alertTo, every: ofSeconds(alertEverySeconds), states: alertStates, smtp: alertSmtp };
}

function mark({ family, mark: number, protocol, destination, source, portMin, portMax, link }: MarkRule): Plain {
  const ports =
    portMin === undefined ? undefined : portMin === (portMax ?? portMin) ? portMin : `${portMin}-${portMax}`;
  const told = destination ?? source;
  return said({
    mark: number,
    family: told === undefined && family === 'ipv6' ? family : undefined,
    protocol,
    to: destination,
    from: source,
    ports,
    link,
  });
}

function sync({ role, interface: link, syncId, maxLength, group, port, ttl }: SyncDaemonSpec): Plain {
  return said({ role, interface: link, id: syncId, maxLength: maxLength || undefined, group, port, ttl });
}

function ofMs(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : formatDuration(ms);
}

function ofSeconds(seconds: number | undefined): string | undefined {
  return seconds === undefined ? undefined : formatDuration(seconds * 1_000);
}

function plainNumber(value: string | undefined): unknown {
  return value !== undefined && /^(0|-?[1-9]\d{0,14})$/.test(value) ? Number(value) : value;
}

/** Without the names that have no value. */
function said(plain: Plain): Plain {
  return Object.fromEntries(Object.entries(plain).filter(([, value]) => value !== undefined));
}

function filled(plain: Plain): Plain | undefined {
  const left = said(plain);
  return Object.keys(left).length === 0 ? undefined : left;
}

function listed<T>(items: readonly T[]): readonly T[] | undefined {
  return items.length === 0 ? undefined : items;
}
