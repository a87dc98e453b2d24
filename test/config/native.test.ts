import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { desiredBalancer } from '../../src/config/desired.ts';
import { EXAMPLE } from '../../src/config/example.ts';
import { readNative } from '../../src/config/native-read.ts';
import { nativeJsonSchema } from '../../src/config/native-shape.ts';
import { FileRefused, formatProblemLine } from '../../src/model/file-problem.ts';

/** `LINE:COLUMN: text` of everything that is wrong. */
function problemsOf(text: string): string[] {
  try {
    readNative(text);
  } catch (error) {
    if (!(error instanceof FileRefused)) throw error;
    return error.problems.map((problem) => formatProblemLine('f', problem).replace('f:', ''));
  }
  return [];
}

const warningsOf = (text: string): string[] =>
  readNative(text).warnings.map((problem) => formatProblemLine('f', problem).replace(/^f:\s*/, ''));

/** A service with these lines in it, and one server. */
const web = (...lines: string[]): string =>
  ['services:', '  - listen: 192.0.2.1:80', ...lines.map((line) => `    ${line}`), '    servers: [10.0.0.1]', ''].join(
    '\n',
  );

describe('the smallest useful file', () => {
  test('has five lines and everything else by default', () => {
    const text =
      'services:\n  - listen: 192.168.1.120:80\n    servers:\n      - 192.168.1.11:80\n      - 192.168.1.12:80\n';
    const { blueprint, warnings } = readNative(text);
    expect(warnings).toEqual([]);
    const [service] = desiredBalancer(blueprint).services;
    expect(service!.spec).toEqual({
      key: { protocol: 'tcp', address: '192.168.1.120', port: 80 },
      scheduler: 'wlc',
      schedulerFlags: [],
      persistenceTimeoutSeconds: null,
      netmask: '255.255.255.255',
      persistenceEngine: null,
      onePacket: false,
    });
    expect(service!.destinations.map(({ address, port, method, weight }) => [address, port, method, weight])).toEqual([
      ['192.168.1.11', 80, 'masquerade', 1],
      ['192.168.1.12', 80, 'masquerade', 1],
    ]);
    expect(blueprint.services[0]!.check.kind).toBe('connect');
  });

  test('may be empty, which is worth a warning', () => {
    expect(warningsOf('# nothing yet\n')).toEqual(['the file has no service']);
  });
});

describe('the example that is printed', () => {
  test('is right, without a warning', () => {
    const { blueprint, warnings } = readNative(EXAMPLE);
    expect(warnings).toEqual([]);
    expect(blueprint.services).toHaveLength(4);
  });

  test('shows every part of the file', () => {
    const names = Object.keys(nativeJsonSchema()['properties'] as object).filter((name) => name !== 'version');
    for (const name of names) expect(EXAMPLE, name).toMatch(new RegExp(`^${name}:`, 'm'));
  });
});

describe('forms', () => {
  test('a range is a server for each address, an address without a port has that of the service', () => {
    const { blueprint } = readNative(web('name: x').replace('10.0.0.1', '10.0.0.254-10.0.1.1, 10.0.2.1-3:8080'));
    expect(blueprint.services[0]!.servers.map(({ address, port }) => `${address}:${port}`)).toEqual(
      '10.0.0.254:80 10.0.0.255:80 10.0.1.0:80 10.0.1.1:80 10.0.2.1:8080 10.0.2.2:8080 10.0.2.3:8080'.split(' '),
    );
  });

  test('a check of the defaults is taken up by services, piece by piece', () => {
    const text = `defaults: { check: { kind: http, request: /up, every: 3s } }\n${web('check: { expect: ok }')}`;
    const { blueprint } = readNative(text);
    const [{ check, watching }] = blueprint.services as [(typeof blueprint.services)[0]];
    expect(check).toMatchObject({ kind: 'negotiate', application: 'http', request: '/up', receive: 'ok' });
    expect(watching).toEqual({});
    expect(blueprint.watching).toEqual({ intervalMs: 3_000 });
  });

  test('a check with a kind of its own takes nothing from the defaults', () => {
    const { blueprint } = readNative(`defaults: { check: { kind: http, request: /up } }\n${web('check: ping')}`);
    expect(blueprint.services[0]!.check).toMatchObject({ kind: 'ping', request: null });
  });

  test('settings may have the whole name of the kernel', () => {
    const { blueprint } = readNative(`sysctl: { net.ipv4.vs.conntrack: 1, sync_threshold: 3 50 }\n${web()}`);
    expect(blueprint.settings).toEqual({ conntrack: '1', sync_threshold: '3 50' });
  });

  test('aliases and merges of the same text stand for what they name', () => {
    const text = `${web('check: &c { kind: http, request: /a }')}  - listen: 192.0.2.2:80\n    check: *c\n    servers: [10.0.0.1]\n`;
    expect(readNative(text).blueprint.services.map(({ check }) => check.request)).toEqual(['/a', '/a']);
  });

  test("port and family of a mark are the client's", () => {
    const { blueprint } = readNative('services:\n  - listen: mark 7 ipv6\n    servers: ["2001:db8::1"]\n');
    expect(blueprint.services[0]).toMatchObject({ key: { mark: 7, family: 'ipv6' }, servers: [{ port: 0 }] });
  });
});

/** Broken files: what is wrong, where, and how it is said. */
const BROKEN: readonly [name: string, text: string, ...problems: string[]][] = [
  [
    'not YAML',
    'services: [\n',
    '2:1: Flow sequence in block collection must be sufficiently indented and end with a ]',
  ],
  ['a tab', 'services:\n\t- listen: x\n', '2:1: Tabs are not allowed as indentation'],
  ['the same name twice', 'services: []\nservices: []\n', '2:1: Map keys must be unique'],
  ['no map', 'hello\n', '1:1: the file must be a map, not "hello"'],
  ['a wrong name at the top', 'serivces: []\n', '1:1: there is no "serivces", did you mean "services"?'],
  ['a wrong name in a service', web('schedular: rr'), '3:5: services[0] has no "schedular", did you mean "scheduler"?'],
  ['a service without listen', 'services:\n  - servers: []\n', '2:5: services[0].listen is missing'],
  ['no list', 'services: 5\n', '1:11: services must be a list, not "5"'],
  [
    'no port',
    'services:\n  - listen: 192.0.2.1\n',
    '2:13: services[0].listen must be ADDRESS:PORT, ADDRESS:PORT/udp, [IPv6]:PORT or "mark NUMBER", not "192.0.2.1"',
  ],
  [
    'a name instead of an address',
    web().replace('10.0.0.1', 'web1:80'),
    '3:15: services[0].servers[0] must be ADDRESS:PORT, ADDRESS or a range such as 10.0.0.1-10.0.0.9:80, not "web1:80"',
  ],
  [
    'a short form of an address',
    web().replace('10.0.0.1', '10.1:80'),
    '3:15: services[0].servers[0] must be ADDRESS:PORT, ADDRESS or a range such as 10.0.0.1-10.0.0.9:80, not "10.1:80"',
  ],
  [
    'a wrong word',
    web('method: masquarade'),
    '3:13: services[0].method must be masquerade or direct or tunnel or local, not "masquarade", did you mean "masquerade"?',
  ],
  ['a wrong check', web('check: htp'), '3:12: services[0].check cannot be "htp", did you mean "http"?'],
  [
    'a time without a unit',
    web('check: { every: 2 }'),
    '3:21: services[0].check.every must be a time such as 2s, 500ms or 5m, not "2"; did you mean 2s?',
  ],
  [
    'too short a time',
    web('check: { every: 1ms }'),
    '3:21: services[0].check.every must be a time such as 2s, 500ms or 5m of at least 100ms and at most a year, not "1ms"',
  ],
  [
    'half a second where whole ones are due',
    web('persistence: 1500ms'),
    '3:18: services[0].persistence must be a time in whole seconds such as 30s or 5m, not "1500ms"',
  ],
  ['yes', web('quiescent: yes'), '3:16: services[0].quiescent must be true or false, not "yes"; write true'],
  [
    'a weight that is none',
    web().replace('10.0.0.1', '{ address: 10.0.0.1, weight: -1 }'),
    '3:44: services[0].servers[0].weight must be a whole number from 0 to 2147483647, not "-1"',
  ],
  [
    'a server twice',
    web().replace('10.0.0.1', '10.0.0.1, 10.0.0.1:80'),
    '3:25: 10.0.0.1 port 80 is a server of this service already',
  ],
  [
    'servers that direct routing makes the same',
    web('method: direct').replace('10.0.0.1', '10.0.0.1:80, 10.0.0.1:81'),
    '4:28: 10.0.0.1 port 80 is a server of this service already',
  ],
  [
    'a service twice',
    `${web()}  - listen: 192.0.2.1:80\n    servers: []\n`,
    '4:5: tcp 192.0.2.1:80 is in this file already, in line 2',
  ],
  [
    'another family',
    web().replace('10.0.0.1', '"::1"'),
    '3:15: ::1 is of another family than tcp 192.0.2.1:80; only tunnels can do that',
  ],
  ['one-packet scheduling of tcp', web('onePacket: true'), '3:5: onePacket is for udp services and marks'],
  [
    'every port without persistence',
    web().replace(':80', ':0'),
    '2:5: a service of every port (port 0) needs persistence',
  ],
  [
    'a mask that is none',
    web('persistence: { netmask: /40 }'),
    '3:20: persistence.netmask must be a mask such as 255.255.255.0 or /24, not "/40"',
  ],
  [
    'source NAT of the other family',
    web('sourceNat: "::1"'),
    "3:5: sourceNat ::1 is not of the service's family, ipv4",
  ],
  ['a program without a path', web('check: external'), '3:5: a check of kind external needs command'],
  [
    'a check that says two things',
    web('check: { kind: http, application: smtp }'),
    '3:5: check.application is smtp, but check.kind says http',
  ],
  [
    'a tunnel without tunnels',
    web().replace('10.0.0.1', '{ address: 10.0.0.1, tunnel: gre }'),
    '3:15: tunnel goes with the method tunnel only, and this is masquerade',
  ],
  [
    'a port for gre',
    web('method: tunnel').replace('10.0.0.1', '{ address: 10.0.0.1, tunnel: { type: gre, port: 5 } }'),
    '4:57: a tunnel of gre has no port',
  ],
  [
    'a setting that is none',
    `sysctl: { contrack: 1 }\n${web()}`,
    '1:11: sysctl has no "contrack", did you mean "conntrack"?',
  ],
  [
    'a setting out of range',
    `sysctl: { drop_entry: 9 }\n${web()}`,
    '1:23: sysctl.drop_entry must be between 0 and 3, not "9"',
  ],
  [
    'a rule that is none',
    `marks: [{ mark: 7, to: 10.0.0.0/40 }]\n${web()}`,
    '1:9: marks: destination must be an IPv4 address or network, not 10.0.0.0/40',
  ],
  [
    'two masters',
    `sync: [{ role: master, interface: e0 }, { role: master, interface: e1 }]\n${web()}`,
    '1:41: sync has two daemons of the role master',
  ],
  [
    'two logs',
    `logging: { file: /a, syslog: local0 }\n${web()}`,
    '1:10: logging has both file and syslog; only one of them can be',
  ],
  ['a future version', `version: 2\n${web()}`, '1:10: version must be a whole number from 1 to 1, not "2"'],
];

describe('a broken file is refused with place and way out', () => {
  test.each(BROKEN)('%s', (_, text, ...problems) => {
    expect(problemsOf(text)).toEqual(problems);
  });

  test('all that is wrong is told at once, in the order of the file', () => {
    const text = `defualts: {}\n${web('schedular: rr', 'quiescent: no')}`;
    expect(problemsOf(text).map((each) => each.split(':')[0])).toEqual(['1', '4', '5']);
  });

  test('aliases that would grow without end are stopped', () => {
    const text = `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
      .split('')
      .map((name, index) => `${name}: &${name} [${`*${'abcdefg'[index]},`.repeat(9).slice(0, -1)}]`)
      .join('\n')}\n`;
    expect(problemsOf(text)[0]).toContain('nested too deeply or has more than');
  });

  test('any text is read or refused with a place in it', () => {
    const pieces = [
      'services',
      ':',
      ' ',
      '\n',
      '  - ',
      'listen',
      '192.0.2.1:80',
      '[',
      ']',
      '{',
      '}',
      'servers',
      '&a',
      '*a',
      '"',
      '#',
      '|',
      '? ',
    ];
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 4 })), { maxLength: 20 }),
        (parts) => {
          const text = parts.join('');
          for (const problem of problemsOf(text)) {
            const line = Number(/^(\d+):/.exec(problem)?.[1] ?? 0);
            expect(line).toBeLessThanOrEqual(text.split('\n').length + 1);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('a trap gets a warning', () => {
  test.each([
    [
      'an unknown scheduler',
      web('scheduler: wlcc'),
      '3:5: tcp 192.0.2.1:80: the daemon knows no scheduler "wlcc", did you mean "wlc"?',
    ],
    [
      'a port that cannot be changed',
      web('method: direct').replace('10.0.0.1', '10.0.0.1:81'),
      '4:15: 10.0.0.1:81 is used with port 80, that of the service: direct cannot change ports',
    ],
    ['no server', web().replace('10.0.0.1', ''), '2:5: tcp 192.0.2.1:80 has no server, and no fallback either'],
    [
      'no weight',
      web().replace('10.0.0.1', '{ address: 10.0.0.1, weight: 0 }'),
      '2:5: tcp 192.0.2.1:80: every server has weight 0, so none takes a connection',
    ],
    [
      'thresholds the wrong way round',
      web().replace('10.0.0.1', '{ address: 10.0.0.1, upper: 1, lower: 2 }'),
      '3:15: 10.0.0.1:80: the daemon refuses a lower threshold (2) above the upper one (1)',
    ],
    [
      'dns without an answer',
      web('check: { kind: dns, request: a }'),
      '3:5: tcp 192.0.2.1:80: a dns check without an expected answer always fails',
    ],
    [
      'a mark that nothing gives',
      'services:\n  - listen: mark 7\n    servers: [10.0.0.1]\nmarks: [{ mark: 8 }]\n',
      '2:5: fwmark 7: no rule of this file gives packets the mark 7',
    ],
  ])('%s', (_, text, warning) => {
    expect(warningsOf(text)).toEqual([warning]);
  });
});

describe('the JSON Schema', () => {
  test('knows every name that the reader knows, and no others', () => {
    const schema = nativeJsonSchema() as { properties: Record<string, unknown>; additionalProperties: boolean };
    expect(Object.keys(schema.properties)).toEqual(
      'version defaults services marks timeouts sysctl sync logging director'.split(' '),
    );
    expect(schema.additionalProperties).toBe(false);
    // Every part says what it is for, which editors show.
    expect(JSON.stringify(schema)).not.toContain('"description":""');
  });
});
