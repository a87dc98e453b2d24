/** The names of `uipvs.yaml`, what may stand behind each, and one line about it: one table for reader and editors. */
import { APPLICATIONS, type Application } from '../model/applications.ts';
import { ALERT_STATES, CHECK_KINDS } from '../model/blueprint.ts';
import { IpvsError } from '../model/errors.ts';
import { WEIGHT_MAX } from '../model/limits.ts';
import { defaultSettings, SETTING_NAMES, type SettingName, writeSetting } from '../model/settings.ts';
import { parseAddress, parseEndpoint, parseEndpoints, parseServiceKey } from './addresses.ts';
import {
  duration,
  integer,
  type JsonSchema,
  type Kind,
  listOf,
  located,
  oneOf,
  oneOrMore,
  optional,
  required,
  section,
  shortOrLong,
  text,
  word,
  wrong,
  yesNo,
} from './kinds.ts';

const UINT32_MAX = 0xffff_ffff;
const string: JsonSchema = { type: 'string' };

const port = integer(1, 65_535);
const listen = word('ADDRESS:PORT, ADDRESS:PORT/udp, [IPv6]:PORT or "mark NUMBER"', string, parseServiceKey);
const endpoint = word('ADDRESS:PORT, [IPv6]:PORT or ADDRESS', string, parseEndpoint);
const endpoints = word('ADDRESS:PORT, ADDRESS or a range such as 10.0.0.1-10.0.0.9:80', string, parseEndpoints);
const schedulerName = word(
  'the name of a scheduler such as rr or wlc',
  { ...string, pattern: '^[a-z]{1,15}$' },
  (name) => (/^[a-z]{1,15}$/.test(name) ? name : null),
);
const flags = oneOrMore(oneOf(['fallback', 'port', 'flag-1', 'flag-2', 'flag-3']));
const method = oneOf(['masquerade', 'direct', 'tunnel', 'local']);
const sourceNat = word('none, masquerade or an address of this director', string, (written) =>
  written === 'none' || written === 'masquerade' ? written : parseAddress(written),
);
const netmask = word('a mask such as 255.255.255.0, or a prefix length such as /24', string, (written) => written);

const tunnel = shortOrLong(
  oneOf(['ipip', 'gue', 'gre']),
  section({
    type: required(oneOf(['ipip', 'gue', 'gre']), 'How packets are wrapped'),
    port: optional(port, 'UDP port of gue'),
    checksum: optional(oneOf(['none', 'full', 'remote']), 'Checksums of the wrapping'),
  }),
);

const alertFields = {
  to: optional(text('mail addresses'), 'Who gets mail about servers that go and come, separated by commas'),
  every: optional(duration({ wholeSeconds: true }), 'Said again while the server is down; 0s: once'),
  states: optional(listOf(oneOf(ALERT_STATES)), 'In which states of the director mail is sent; all of them'),
  smtp: optional(text('a host name or address'), 'Mail server; absent: the one of this host'),
};

/** `negotiate` is what an application stands for. */
export const CHECK_WORDS = [
  ...CHECK_KINDS,
  'http',
  'https',
  ...APPLICATIONS.filter((name) => !['none', 'http', 'https'].includes(name)),
] as const;
export type CheckWord = (typeof CHECK_KINDS)[number] | Application;
const checkWord = oneOf<CheckWord>(CHECK_WORDS);

const checkFields = {
  kind: optional(checkWord, 'ping, connect, what the servers speak (http, smtp, ...), a program, or none at all'),
  application: optional(oneOf(APPLICATIONS), 'What the servers speak, where neither kind nor port tells'),
  connectsBetween: optional(integer(0, UINT32_MAX), 'Cheap connects between two whole negotiations'),
  port: optional(port, 'Where the check goes; absent: the port of the server'),
  request: optional(text(), 'What is asked: a path, a query, a name'),
  expect: optional(text('a regular expression'), 'Regular expression that the answer must match'),
  headOnly: optional(yesNo, 'http: ask with HEAD'),
  host: optional(text('a host name'), 'http: the Host header'),
  login: optional(text(), 'Name to log in with'),
  password: optional(text(), 'Password to log in with'),
  database: optional(text(), 'mysql, pgsql: the database'),
  secret: optional(text(), 'radius: the shared secret'),
  command: optional(text('a path'), 'external: the program; it gets service address, port, server address, port'),
  every: optional(duration({ minMs: 100 }), 'Between two checks of a server; 10s'),
  timeout: optional(duration({ minMs: 10 }), 'For connects, pings and programs; 5s'),
  requestTimeout: optional(duration({ minMs: 10 }), 'For whole negotiations; 30s. One of the two stands for both'),
  attempts: optional(integer(1, 1_000), 'ping: echoes, of which one must be answered; 1'),
  failures: optional(integer(1, 1_000_000), 'Failures in a row that take a server out; 1'),
};
const check = shortOrLong(checkWord, section(checkFields, 'a word such as ping or http, or a map'));

const fallback = shortOrLong(
  endpoint,
  section({
    address: required(endpoint, 'ADDRESS:PORT; without a port that of the service'),
    method: optional(method, 'How packets reach it; masquerade'),
    tunnel: optional(tunnel, 'For the method tunnel'),
  }),
);

const server = located(
  shortOrLong(
    endpoints,
    section(
      {
        address: required(endpoints, 'ADDRESS:PORT, or a range; without a port that of the service'),
        method: optional(method, 'How packets reach it; masquerade'),
        weight: optional(integer(0, WEIGHT_MAX), 'Its share; 0 takes no new connections; 1'),
        upper: optional(integer(0, UINT32_MAX), 'Connections at which it counts as overloaded; 0: never'),
        lower: optional(integer(0, UINT32_MAX), 'Connections below which it is used again'),
        tunnel: optional(tunnel, 'For the method tunnel'),
        request: optional(text(), 'Instead of that of the check'),
        expect: optional(
          text('a regular expression', { mayBeEmpty: true }),
          'Instead of that of the check; empty: any answer',
        ),
      },
      'ADDRESS:PORT or a map',
    ),
  ),
);

const persistence = shortOrLong(
  duration({ wholeSeconds: true, minMs: 1_000 }),
  section({
    timeout: optional(duration({ wholeSeconds: true }), 'How long a client stays with its server; 6m'),
    netmask: optional(netmask, 'Clients of one network stay together; each by itself'),
    engine: optional(oneOf(['sip']), 'What tells one client from another, besides its address'),
  }),
);

const scheduling = {
  scheduler: optional(schedulerName, 'How a server is chosen: wlc, rr, wrr, lc, sh, mh, ...; wlc'),
  flags: optional(flags, 'Flags of the scheduler: fallback and port for sh and mh'),
  method: optional(method, 'How packets reach the servers: masquerade, direct, tunnel; masquerade'),
  sourceNat: optional(sourceNat, 'Full NAT: servers answer to this director, whatever their routes; none'),
};

const watching = {
  check: optional(check, 'How servers are checked'),
  quiescent: optional(yesNo, 'A server that is out keeps its connections, with weight 0; false: it is removed'),
  cleanStop: optional(yesNo, 'Services are removed when the director stops; true'),
  fallbackCommand: optional(text('a command'), 'Run with start and stop when the last server goes and the first comes'),
};

const service = section(
  {
    listen: required(listen, 'ADDRESS:PORT, ADDRESS:PORT/udp, [IPv6]:PORT/sctp, "mark 7", "mark 7 ipv6"'),
    name: optional(text(), 'For people'),
    comment: optional(text(), 'For people'),
    ...scheduling,
    persistence: optional(persistence, 'Clients stay with their server'),
    onePacket: optional(yesNo, 'udp: every packet is scheduled by itself; false'),
    servers: optional(listOf(server), 'The real servers'),
    fallback: optional(fallback, 'Used while no server is up'),
    ...watching,
    alert: optional(section(alertFields), 'Mail about this service'),
    monitorFile: optional(text('a path'), 'File that gets a line for each result of a check'),
  },
  'a map that begins with listen',
);

const defaults = section({
  ...scheduling,
  ...watching,
  fallback: optional(fallback, 'For services of IPv4 without one of their own'),
  fallback6: optional(fallback, 'For services of IPv6 without one of their own'),
  alert: optional(
    section({ ...alertFields, from: optional(text('a mail address'), 'Sender of all mail') }),
    'Mail about every service',
  ),
});

const marks = section({
  mark: required(integer(1, UINT32_MAX), 'The firewall mark that matching packets get'),
  family: optional(oneOf(['ipv4', 'ipv6']), 'Absent: told by the addresses, or ipv4'),
  protocol: optional(oneOf(['tcp', 'udp', 'sctp']), 'Absent: any'),
  to: optional(text('an address or a network'), 'Destination of the packets'),
  from: optional(text('an address or a network'), 'Source of the packets'),
  ports: optional(
    word('a port, or two such as 80-90', { type: ['string', 'integer'] }, (written) =>
      /^\d{1,5}(-\d{1,5})?$/.test(written) ? written : null,
    ),
    'Destination port or ports',
  ),
  link: optional(text('the name of a link'), 'Link they come in by'),
});

const sync = section({
  role: required(oneOf(['master', 'backup']), 'master sends connections, backup takes them'),
  interface: required(text('the name of a link'), 'Link of the messages'),
  id: optional(integer(0, 255), 'Number of the pair of directors; 0'),
  maxLength: optional(integer(0, 65_507), 'Bytes of a message; 0: chosen'),
  group: optional(word('a multicast address', string, parseAddress), '224.0.0.81'),
  port: optional(port, '8848'),
  ttl: optional(integer(1, 255), '1'),
});

/** Names of net.ipv4.vs, with or without that in front; values as in sysctl.conf. */
const sysctl: Kind<Partial<Record<SettingName, string>>> = {
  schema: {
    type: 'object',
    properties: Object.fromEntries(SETTING_NAMES.map((name) => [name, { type: ['integer', 'string'] }])),
    additionalProperties: false,
    patternProperties: { '^net\\.ipv4\\.vs\\.': { type: ['integer', 'string'] } },
  },
  read(tree, at, problems) {
    const plain = section(
      Object.fromEntries(SETTING_NAMES.map((name) => [name, optional(text('a number'), '')])),
      'a map of settings',
    );
    const short = (name: string): string => name.replace(/^net[./]ipv4[./]vs[./]/, '');
    const named =
      tree.type === 'map'
        ? { ...tree, entries: tree.entries.map((entry) => ({ ...entry, name: short(entry.name) })) }
        : tree;
    const read = plain.read(named, at, problems);
    if (read === null || named.type !== 'map') return null;
    const values = read.value.said as Partial<Record<SettingName, string>>;
    const before = problems.length;
    for (const { name, value } of named.entries) {
      const written = values[name as SettingName];
      if (written === undefined) continue;
      try {
        writeSetting(defaultSettings(), name as SettingName, written);
      } catch (error) {
        if (!(error instanceof IpvsError)) throw error;
        wrong(value, `${at}.${name}`, error.message.replace(/^.* must be /, '').replace(/, not .*$/, ''), problems);
      }
    }
    return problems.length > before ? null : { value: values };
  },
};

export const NATIVE_FILE = section({
  version: optional(integer(1, 1), 'Of this form of file; 1'),
  defaults: optional(defaults, 'For all services that do not say it themselves'),
  services: optional(listOf(service), 'The virtual services'),
  marks: optional(listOf(marks), 'Rules that give packets firewall marks; the first that matches counts'),
  timeouts: optional(
    section({
      tcp: optional(duration({ wholeSeconds: true, minMs: 1_000 }), 'Idle TCP connections; 15m'),
      tcpfin: optional(duration({ wholeSeconds: true, minMs: 1_000 }), 'TCP connections after a FIN; 2m'),
      udp: optional(duration({ wholeSeconds: true, minMs: 1_000 }), 'UDP; 5m'),
    }),
    'As ipvsadm --set',
  ),
  sysctl: optional(sysctl, 'Settings of net.ipv4.vs'),
  sync: optional(oneOrMore(sync), 'Synchronisation of connections with another director'),
  logging: optional(
    section({
      file: optional(text('a path'), 'Log file of the director; /var/log/ldirectord.log'),
      syslog: optional(text('a facility such as local0'), 'Log to syslog instead'),
    }),
    'Where the director writes what it does',
  ),
  director: optional(
    section({
      autoReload: optional(yesNo, 'The file is read again when it changes; false'),
      callback: optional(text('a path'), 'Program that is told when the file has changed'),
      readdQuiescent: optional(yesNo, 'A server that is down and was removed by hand comes back, quiescent; false'),
      foreground: optional(yesNo, 'Stay in the foreground, log to standard output; false'),
      maintenanceDirectory: optional(text('a path'), 'A file there, named like a server, takes it out'),
      execute: optional(oneOrMore(text('a file')), 'Other configurations to start along with this one'),
    }),
    'The program that checks servers',
  ),
});

export const PERSISTENCE_SECONDS_DEFAULT = 360;

/** JSON Schema (draft 2020-12) of the file, for editors. */
export function nativeJsonSchema(): JsonSchema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'uipvs.yaml',
    description: 'What a uipvs director balances: services, servers, checks, settings',
    ...NATIVE_FILE.schema,
  };
}
