/** Random blueprints, each kind no richer than what one format can hold. */
import fc from 'fast-check';
import { portInTable } from '../../src/config/addresses.ts';
import { APPLICATIONS, applicationOfPort } from '../../src/model/applications.ts';
import {
  ALERT_STATES,
  type Blueprint,
  type CheckWish,
  type FallbackWish,
  NO_CHECK,
  type PersistenceWish,
  type ServerWish,
  type ServiceWish,
  type Watching,
} from '../../src/model/blueprint.ts';
import type { SyncDaemonSpec } from '../../src/model/commands.ts';
import { type ForwardingMethod, PLAIN_TUNNEL, type TunnelSpec } from '../../src/model/forwarding.ts';
import { checkMarkRule, type MarkRule } from '../../src/model/mark-rule.ts';
import {
  familyOfService,
  formatServiceKey,
  isMarkKey,
  type SchedulerFlag,
  type ServiceKey,
  type SourceNat,
} from '../../src/model/service.ts';

export type Format = 'yaml' | 'ldirectord' | 'ipvsadm' | 'keepalived';
type Family = 'ipv4' | 'ipv6';

const PLACE = { line: 0, column: 0 };

/** Without the places, which are different in every file. */
export function meaning(blueprint: Blueprint): unknown {
  return JSON.parse(
    JSON.stringify(blueprint, (name, value) => (name === 'place' || name === 'places' ? undefined : value)),
  );
}

export function arbitraryBlueprint(format: Format): fc.Arbitrary<Blueprint> {
  return fc.record({
    places: fc.constant({}),
    services: fc.uniqueArray(arbitraryService(format), {
      maxLength: 4,
      selector: ({ key }) => formatServiceKey(key),
    }),
    watching: arbitraryCommonWatching(format),
    fallbacks: fc.record({
      ipv4: ['yaml', 'ldirectord'].includes(format)
        ? optional(arbitraryFallback(format, 'ipv4', null))
        : fc.constant(null),
      ipv6: ['yaml', 'ldirectord'].includes(format)
        ? optional(arbitraryFallback(format, 'ipv6', null))
        : fc.constant(null),
    }),
    director: arbitraryDirector(format),
    timeouts:
      format === 'ldirectord'
        ? fc.constant({})
        : some({ tcpSeconds: seconds(), tcpFinSeconds: seconds(), udpSeconds: seconds() }),
    settings:
      format === 'yaml'
        ? some({
            conntrack: digits(1),
            drop_entry: digits(3),
            lblc_expiration: digits(90_000),
            sync_threshold: fc.constant('3 50'),
          })
        : fc.constant({}),
    markRules: format === 'yaml' ? fc.array(arbitraryMarkRule(), { maxLength: 3 }) : fc.constant([]),
    syncDaemons:
      format === 'yaml' || format === 'ipvsadm'
        ? fc.uniqueArray(arbitrarySyncDaemon(), { maxLength: 2, selector: ({ role }) => role })
        : fc.constant([]),
  }) as fc.Arbitrary<Blueprint>;
}

function arbitraryService(format: Format): fc.Arbitrary<ServiceWish> {
  return arbitraryKey(format).chain((key) => {
    const mayBeOnePacket = isMarkKey(key) ? format !== 'ldirectord' : key.protocol === 'udp';
    return fc
      .record({
        name: ['yaml', 'ldirectord'].includes(format) ? optional(plainText()) : fc.constant(null),
        comment: ['yaml', 'ldirectord'].includes(format) ? optional(plainText()) : fc.constant(null),
        scheduler: fc.constantFrom('rr', 'wlc', 'sh', 'mh', 'nq', 'sed'),
        flags: fc.subarray<SchedulerFlag>([1, 2, 3]),
        persistence: optional(arbitraryPersistence(format, familyOfService(key))),
        onePacket: mayBeOnePacket ? fc.boolean() : fc.constant(false),
        sourceNat:
          format === 'yaml'
            ? optional(
                fc.constantFrom<SourceNat>(
                  'none',
                  'masquerade',
                  familyOfService(key) === 'ipv6' ? '2001:db8::9' : '10.9.9.9',
                ),
              )
            : fc.constant(null),
        servers: fc.uniqueArray(arbitraryServer(format, key), {
          minLength: format === 'keepalived' ? 1 : 0,
          maxLength: 4,
          selector: ({ address, port, method }) => `${address} ${portInTable(key, method, port)}`,
        }),
        fallback:
          format === 'ipvsadm' ? fc.constant(null) : optional(arbitraryFallback(format, familyOfService(key), key)),
        check: arbitraryCheck(format, key),
        watching: arbitraryOwnWatching(format),
        monitorFile: ['yaml', 'ldirectord'].includes(format)
          ? optional(fc.constant('/run/monitor'))
          : fc.constant(null),
      })
      .map(({ flags, check, servers, watching, ...others }): ServiceWish => {
        const hashes = others.scheduler === 'sh' || others.scheduler === 'mh';
        return {
          place: PLACE,
          places: {},
          key,
          ...others,
          schedulerFlags: hashes && format === 'ipvsadm' ? flags.filter((flag) => flag !== 3) : flags,
          check,
          servers: servers.map((server, index) => fitting(server, index, check, format)),
          watching: format === 'keepalived' && check.kind === 'always-up' ? pickQuiescent(watching) : watching,
        };
      });
  });
}

/** A request of its own goes with some checks only, and in keepalived the first server's is that of the service. */
function fitting(server: ServerWish, index: number, check: CheckWish, format: Format): ServerWish {
  const plain = { ...server, request: null, receive: null };
  if (format === 'ipvsadm' || server.request === null) return plain;
  if (format === 'yaml') return server;
  const isWeb = check.application === 'http' || check.application === 'https';
  if (check.kind !== 'negotiate' || !isWeb || (format === 'keepalived' && index === 0)) return plain;
  const receive = server.receive ?? '';
  if (server.request === check.request && (receive || null) === check.receive) return plain;
  return { ...server, request: server.request, receive };
}

function pickQuiescent({ quiescent }: Watching): Watching {
  return quiescent === undefined ? {} : { quiescent };
}

function arbitraryKey(format: Format): fc.Arbitrary<ServiceKey> {
  const protocols = format === 'ldirectord' ? (['tcp', 'udp'] as const) : (['tcp', 'udp', 'sctp'] as const);
  return fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        protocol: fc.constantFrom(...protocols),
        address: address('ipv4'),
        port: fc.constantFrom(21, 53, 80, 443, 5060, 8080, 65_535),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ protocol: fc.constantFrom(...protocols), address: address('ipv6'), port: port() }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        mark: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
        family: fc.constantFrom<Family>('ipv4', 'ipv6'),
      }),
    },
  );
}

function arbitraryServer(format: Format, key: ServiceKey): fc.Arbitrary<ServerWish> {
  const threshold = fc.integer({ min: 0, max: 1_000_000 });
  return fc
    .record({
      address: address(familyOfService(key)),
      port: fc.integer({ min: 0, max: 65_535 }),
      weight: fc.oneof(fc.constant(1), fc.integer({ min: 0, max: 65_535 })),
      forwarding: arbitraryForwarding(format),
      upperThreshold: threshold,
      lowerThreshold: threshold,
      request: optional(fc.constantFrom('/a', '/b/c.html', '/d?e=f')),
      receive: optional(fc.constantFrom('', 'ok', '^[a-z]+$')),
    })
    .map(({ forwarding, ...server }): ServerWish => {
      // These two know a server by its port in the table.
      const inTable = format === 'ipvsadm' || format === 'keepalived';
      const keepsPort = inTable && !isMarkKey(key) && forwarding.method !== 'masquerade';
      return { place: PLACE, ...server, ...forwarding, port: keepsPort ? key.port : server.port };
    });
}

interface Forwarding {
  readonly method: ForwardingMethod;
  readonly tunnel: TunnelSpec;
}

function arbitraryForwarding(format: Format): fc.Arbitrary<Forwarding> {
  const plain: Forwarding[] = (['masquerade', 'direct', 'tunnel'] as const).map((method) => ({
    method,
    tunnel: PLAIN_TUNNEL,
  }));
  if (format === 'ldirectord') return fc.constantFrom(...plain);
  const checksum = fc.constantFrom('none', 'full', 'remote');
  const tunnel = fc.oneof(
    fc.record({ type: fc.constant('gue'), port: port(), checksum }),
    fc.record({ type: fc.constant('gre'), port: fc.constant(0), checksum: fc.constantFrom('none', 'full') }),
  ) as fc.Arbitrary<TunnelSpec>;
  const others = format === 'yaml' ? [fc.constant<Forwarding>({ method: 'local', tunnel: PLAIN_TUNNEL })] : [];
  return fc.oneof(
    fc.constantFrom(...plain),
    tunnel.map((each): Forwarding => ({ method: 'tunnel', tunnel: each })),
    ...others,
  );
}

function arbitraryFallback(format: Format, family: Family, key: ServiceKey | null): fc.Arbitrary<FallbackWish> {
  return fc
    .record({ address: address(family), port: optional(port()), forwarding: arbitraryForwarding(format) })
    .map(({ address: host, port: wanted, forwarding }): FallbackWish => {
      const own = key !== null && !isMarkKey(key) ? key.port : null;
      const keepsPort = format === 'keepalived' && own !== null && forwarding.method !== 'masquerade';
      return { place: PLACE, address: host, port: wanted === own || keepsPort ? null : wanted, ...forwarding };
    });
}

function arbitraryPersistence(format: Format, family: Family): fc.Arbitrary<PersistenceWish> {
  return fc.record({
    timeoutSeconds: fc.integer({ min: 1, max: 2_678_400 }),
    netmask: optional(
      family === 'ipv6'
        ? fc.integer({ min: 1, max: 127 }).map(String)
        : fc.constantFrom('255.255.255.0', '255.255.0.0'),
    ),
    engine: format === 'ldirectord' ? fc.constant(null) : optional(fc.constant('sip')),
  });
}

function arbitraryCheck(format: Format, key: ServiceKey): fc.Arbitrary<CheckWish> {
  if (format === 'ipvsadm') return fc.constant(NO_CHECK);
  if (format === 'keepalived') return arbitraryKeepalivedCheck(key);
  const usual = isMarkKey(key) ? 'none' : applicationOfPort(key.port);
  return fc
    .record({
      kind: fc.constantFrom('ping', 'connect', 'negotiate', 'external', 'external-perl', 'always-up', 'always-down'),
      application: optional(fc.constantFrom(...APPLICATIONS)),
      connectsBetween: optional(fc.integer({ min: 0, max: 9 })),
      port: optional(port()),
      request: optional(fc.constantFrom('/a', '/b/c.html')),
      receive: optional(fc.constantFrom('ok', '^[a-z ]+$', 'a "b" c')),
      headOnly: fc.boolean(),
      virtualHost: optional(fc.constant('www.example.com')),
      login: optional(plainText()),
      password: optional(plainText()),
      database: optional(plainText()),
      secret: optional(plainText()),
      command: optional(fc.constantFrom('/usr/bin/probe', '/opt/a b')),
    })
    .map((check): CheckWish => {
      const { kind } = check;
      const negotiates = kind === 'negotiate';
      const named = check.application ?? (negotiates && format === 'ldirectord' && usual !== 'none' ? usual : null);
      // Paths keep their slash for the web only.
      const isWeb = ['http', 'https'].includes(named ?? usual);
      const request = format === 'ldirectord' && !isWeb ? (check.request?.slice(1) ?? null) : check.request;
      const loggedIn =
        named === 'ftp' || named === 'sip' ? { login: check.login ?? 'me', password: check.password ?? 'pw' } : {};
      return {
        ...check,
        kind: kind as CheckWish['kind'],
        application: named,
        connectsBetween: negotiates ? check.connectsBetween : null,
        request,
        ...(format === 'ldirectord' ? loggedIn : {}),
        command: kind === 'external' || kind === 'external-perl' ? (check.command ?? '/usr/bin/probe') : check.command,
      };
    });
}

function arbitraryKeepalivedCheck(key: ServiceKey): fc.Arbitrary<CheckWish> {
  const isUdp = !isMarkKey(key) && key.protocol === 'udp';
  const web = fc.record({
    application: fc.constantFrom('http', 'https'),
    request: optional(fc.constantFrom('/x', '/y?z=1')),
    receive: optional(fc.constantFrom('fine', 'a {b} "c"')),
    virtualHost: optional(fc.constant('www.example.com')),
    port: optional(port()),
  });
  return fc.oneof(
    fc.constant(NO_CHECK),
    fc.constant({ ...NO_CHECK, kind: 'ping' }),
    optional(port()).map((at) => ({ ...NO_CHECK, kind: isUdp ? 'ping' : 'connect', port: isUdp ? null : at })),
    fc.constant({ ...NO_CHECK, kind: 'external', command: '/usr/bin/probe' }),
    web.map((each) => ({ ...NO_CHECK, ...each, kind: 'negotiate' })),
    optional(port()).map((at) => ({ ...NO_CHECK, kind: 'negotiate', application: 'smtp', port: at })),
    fc.constant({ ...NO_CHECK, kind: 'negotiate', application: 'dns', request: 'www.example.com', receive: '.' }),
  ) as fc.Arbitrary<CheckWish>;
}

function arbitraryOwnWatching(format: Format): fc.Arbitrary<Watching> {
  if (format === 'ipvsadm') return fc.constant({});
  if (format === 'keepalived') {
    return fc
      .record({
        intervalMs: milliseconds(),
        timeoutMs: milliseconds(),
        more: some({ failures: fc.integer({ min: 1, max: 9 }), quiescent: fc.constant(true) }),
      })
      .map(({ more, ...times }) => ({ ...times, ...more }));
  }
  const time = format === 'yaml' ? milliseconds() : fc.integer({ min: 1, max: 900 }).map((each) => each * 1_000);
  return some({
    intervalMs: time,
    timeoutMs: time,
    requestTimeoutMs: time,
    attempts: fc.integer({ min: 1, max: 9 }),
    failures: fc.integer({ min: 1, max: 9 }),
    quiescent: fc.boolean(),
    cleanStop: fc.boolean(),
    fallbackCommand: fc.constant('/usr/bin/sorry now'),
    alertTo: fc.constant('a@example.com, b@example.com'),
    alertEverySeconds: fc.integer({ min: 0, max: 90_000 }),
    alertStates: fc.subarray([...ALERT_STATES]),
    alertSmtp: fc.constant('mail.example.com'),
  });
}

/** Values that are the default are not told by these formats. */
function arbitraryCommonWatching(format: Format): fc.Arbitrary<Watching> {
  if (format === 'ipvsadm') return fc.constant({});
  if (format === 'keepalived')
    return some({ alertTo: fc.constant('a@example.com, b@example.com'), alertSmtp: fc.constant('10.0.0.1') });
  const time = fc.integer({ min: 11, max: 900 }).map((each) => each * 1_000);
  return some({
    intervalMs: time,
    timeoutMs: time,
    requestTimeoutMs: time,
    attempts: fc.integer({ min: 2, max: 9 }),
    failures: fc.integer({ min: 2, max: 9 }),
    quiescent: fc.constant(true),
    cleanStop: fc.constant(false),
    fallbackCommand: fc.constant('/usr/bin/sorry'),
    alertTo: fc.constant('ops@example.com'),
    alertEverySeconds: fc.integer({ min: 1, max: 90_000 }),
    alertStates: fc.subarray([...ALERT_STATES], { maxLength: 3 }),
    alertSmtp: fc.constant('mail.example.com'),
  });
}

function arbitraryDirector(format: Format): fc.Arbitrary<Blueprint['director']> {
  const from = { alertFrom: fc.constant('director@example.com') };
  if (format === 'ipvsadm') return fc.constant({ execute: [] });
  if (format === 'keepalived') return some(from).map((director) => ({ ...director, execute: [] }));
  return fc
    .record({
      execute: fc.subarray(['a.cf', 'b.cf']),
      more: some({
        ...from,
        log: fc.constantFrom('/var/log/other.log', 'local3'),
        autoReload: fc.constant(true),
        callback: fc.constant('/usr/bin/push it'),
        readdQuiescent: fc.constant(true),
        foreground: fc.constant(true),
        maintenanceDirectory: fc.constant('/tmp'),
      }),
    })
    .map(({ execute, more }) => ({ ...more, execute }));
}

function arbitraryMarkRule(): fc.Arbitrary<MarkRule> {
  return fc
    .record({
      family: fc.constantFrom<Family>('ipv4', 'ipv6'),
      mark: fc.integer({ min: 1, max: 0xffff_ffff }),
      more: some({
        protocol: fc.constantFrom('tcp', 'udp'),
        link: fc.constant('eth0'),
        portMin: fc.integer({ min: 0, max: 99 }),
      }),
      to: fc.boolean(),
      from: fc.boolean(),
    })
    .map(({ family, mark, more, to, from }) => {
      const network = family === 'ipv6' ? '2001:db8::/32' : '10.0.0.0/8';
      const rule = {
        family,
        mark,
        ...more,
        ...(to ? { destination: network } : {}),
        ...(from ? { source: network } : {}),
      };
      return checkMarkRule(rule as MarkRule).rule;
    });
}

function arbitrarySyncDaemon(): fc.Arbitrary<SyncDaemonSpec> {
  return fc.record({
    role: fc.constantFrom('master', 'backup'),
    interface: fc.constantFrom('eth0', 'bond0.7'),
    syncId: fc.integer({ min: 0, max: 255 }),
    maxLength: fc.integer({ min: 0, max: 1_500 }),
    group: fc.constantFrom('224.0.0.81', '239.1.2.3'),
    port: port(),
    ttl: fc.integer({ min: 1, max: 255 }),
  });
}

function address(family: Family): fc.Arbitrary<string> {
  const last = fc.integer({ min: 1, max: 250 });
  return family === 'ipv6'
    ? last.map((each) => `2001:db8::${each.toString(16)}`)
    : last.map((each) => `10.0.0.${each}`);
}

function port(): fc.Arbitrary<number> {
  return fc.integer({ min: 1, max: 65_535 });
}

function seconds(): fc.Arbitrary<number> {
  return fc.integer({ min: 1, max: 100_000 });
}

function milliseconds(): fc.Arbitrary<number> {
  return fc.integer({ min: 100, max: 900_000 });
}

function digits(max: number): fc.Arbitrary<string> {
  return fc.integer({ min: 0, max }).map(String);
}

/** Words that every format can hold, among them what looks like a number or a word of YAML. */
function plainText(): fc.Arbitrary<string> {
  return fc.constantFrom('shop', 'a b', '007', 'true', 'null', 'x: y', "it's", '-', '1e3', '{a}', '*b', '2001:db8::1');
}

function optional<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> {
  return fc.option(arbitrary, { nil: null });
}

/** Some of these fields; the others are absent. */
function some<T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<Partial<T>> {
  return fc.record(fields, { requiredKeys: [] }) as fc.Arbitrary<Partial<T>>;
}
