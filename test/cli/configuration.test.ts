/** `uipvs check`, `convert`, `plan`, `apply` and `drain`, over a daemon that carries no traffic. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Cli } from '../../src/cli/cli.ts';
import { runUipvs } from '../../src/cli/run.ts';
import type { Command } from '../../src/model/commands.ts';
import type { ConnectionStatus } from '../../src/model/connection-status.ts';
import { IpvsError } from '../../src/model/errors.ts';
import type { HealthState, HeldHealthReport } from '../../src/model/health.ts';
import { FakeDataPlane, server, tcpService } from '../support/fake-data-plane.ts';
import { temporaryDirectory } from '../support/served.ts';

const EXAMPLES = join(import.meta.dirname, '../ldirectord/examples');
const WEB = tcpService('192.0.2.1', 80);
const FILE = `services:
  - listen: 192.0.2.1:80
    scheduler: rr
    servers: [10.0.0.1:80, { address: 10.0.0.2:80, weight: 5 }]
`;

let directory: string;
let daemon: FakeDaemon;
beforeEach(() => {
  directory = temporaryDirectory();
  daemon = new FakeDaemon(join(directory, 'api.sock'));
});

class FakeDaemon extends FakeDataPlane {
  readonly socket: string;
  startedAt = '2026-11-23T05:00:00.000Z';

  constructor(socket: string) {
    super();
    this.socket = socket;
  }

  async status() {
    return {
      daemon: {
        version: '0.1.0',
        node: 'v20.19.0',
        pid: 77,
        startedAt: this.startedAt,
        uptimeSeconds: 1,
        namespace: 1,
        socket: this.socket,
        settings: {},
      },
      capabilities: this.capabilities,
      table: { version: '1.2.1', connectionTableSize: 4096 },
      counters: null,
    };
  }

  reports: HeldHealthReport[] = [];

  async health() {
    return this.reports;
  }

  /** Changes only, without the questions. */
  changes(): Command[] {
    return this.commands.filter(({ name }) => /^(add|edit|delete|set)/.test(name));
  }

  servers(): Promise<string[]> {
    return this.execute<'listServices'>({ name: 'listServices', limit: 100 }).then(({ items }) =>
      items
        .flatMap(({ destinations }) => destinations.map(({ spec }) => `${spec.address}:${spec.port} ${spec.weight}`))
        .sort(),
    );
  }
}

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function uipvs(words: readonly string[], parts: Partial<Cli> = {}): Promise<Said> {
  let stdout = '';
  let stderr = '';
  const cli: Cli = {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    terminal: null,
    pause: async () => true,
    installation: { programs: '/nowhere', linkDirectory: '/nowhere', alternatives: null, standardPath: [] },
    connect: async () => daemon,
    backEnds: async () => [],
    guard: async () => {
      throw new Error('not asked for here');
    },
    ...parts,
  };
  const code = await runUipvs(words, cli, []);
  return { code, stdout, stderr: stderr.replaceAll(directory, 'DIR') };
}

function file(text: string, name = 'uipvs.yaml'): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

describe('check', () => {
  test('a right file is said to be right', async () => {
    const path = file(FILE);
    expect(await uipvs(['check', path])).toEqual({
      code: 0,
      stdout: `${path}: right (uipvs.yaml: services 1, servers 2)\n`,
      stderr: '',
    });
  });

  test('what is wrong is told as FILE:LINE:COLUMN', async () => {
    const { code, stderr } = await uipvs([
      'check',
      file(FILE.replace('scheduler', 'schedular').replace('weight: 5', 'weight: x')),
    ]);
    expect(code).toBe(2);
    expect(stderr).toBe(
      'DIR/uipvs.yaml:3:5: error: services[0] has no "schedular", did you mean "scheduler"?\n' +
        'DIR/uipvs.yaml:4:60: error: services[0].servers[1].weight must be a whole number from 0 to 2147483647, not "x"\n',
    );
  });

  test.each([
    ['ldirectord.cf', 'virtual=192.0.2.1:80\n\tschedular=rr\n', 2, 2],
    ['keepalived.conf', 'virtual_server 192.0.2.1 80 {\n  lb_alog rr\n}\n', 2, 3],
    ['ipvsadm.rules', '-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.2:80 -r 10.0.0.1\n', 2, 1],
  ])('%s is told from its name and has its place in JSON', async (name, text, line, column) => {
    const { code, stdout } = await uipvs(['check', file(text, name), '--json']);
    expect(code).toBe(2);
    expect(JSON.parse(stdout).errors[0].place).toMatchObject({
      line,
      column: name === 'ldirectord.cf' ? expect.any(Number) : column,
    });
  });

  test.each([
    ['virtual=192.0.2.1:80\n\tscheduler=rr\n# end\n', 'ldirectord'],
    ['global_defs {\n}\n', 'keepalived'],
    ['ipvsadm -A -t 192.0.2.1:80\n', 'ipvsadm'],
    ['services: []\n', 'yaml'],
  ])('%j is told from its content', async (text, format) => {
    expect(JSON.parse((await uipvs(['check', file(text, 'somefile'), '--json'])).stdout).format).toBe(format);
  });

  test('a file of nothing in particular is refused with the formats there are', async () => {
    const { code, stderr } = await uipvs(['check', file('hello\n', 'somefile')]);
    expect(code).toBe(2);
    expect(stderr).toContain('say --from with ldirectord (ldirectord.cf), keepalived');
  });

  test('no file at all is exit code 1, no word 2', async () => {
    expect(await uipvs(['check', join(directory, 'none.yaml')])).toMatchObject({
      code: 1,
      stderr: 'uipvs: cannot read DIR/none.yaml: No such file or directory\n',
    });
    expect((await uipvs(['check'])).code).toBe(2);
    const { code, stderr } = await uipvs(['check', file(FILE), '--from', 'yml']);
    expect(code).toBe(2);
    expect(stderr).toContain('did you mean yaml?');
  });

  test('checking a file does not make the log that it names', async () => {
    const log = join(directory, 'made.log');
    await uipvs(['check', file(`logfile="${log}"\nvirtual=192.0.2.1:80\n\tscheduler=rr\n`, 'a.cf')]);
    expect(existsSync(log)).toBe(false);
  });

  test('the schema is JSON', async () => {
    expect(JSON.parse((await uipvs(['check', '--schema'])).stdout)).toMatchObject({
      title: 'uipvs.yaml',
      type: 'object',
    });
  });
});

describe('convert', () => {
  test('ldirectord.cf becomes uipvs.yaml', async () => {
    expect(await uipvs(['convert', join(EXAMPLES, '01-user-ping.cf')])).toEqual({
      code: 0,
      stderr: '',
      stdout: `# Made from 01-user-ping.cf

defaults:
  check: { every: 2s, timeout: 10s }
  quiescent: true
services:
  - listen: 192.168.1.120:80
    scheduler: rr
    servers: [ 192.168.1.11:80, 192.168.1.12:80, 192.168.1.13:80 ]
    fallback: 127.0.0.1:80
    check: ping
`,
    });
  });

  test('what the other format cannot say is named with its place, and is a failure with --strict', async () => {
    const path = file(`${FILE}    sourceNat: masquerade\nsysctl: { conntrack: 1 }\n`);
    const { code, stderr } = await uipvs(['convert', path, '--to', 'ldirectord', '--strict']);
    expect(code).toBe(3);
    expect(stderr).toBe(
      'DIR/uipvs.yaml:5:5: lost: tcp 192.0.2.1:80: source NAT masquerade\n' +
        'DIR/uipvs.yaml:6:1: lost: settings of net.ipv4.vs; sysctl sets them\n' +
        'uipvs convert: not in ldirectord.cf: 2 of these\n',
    );
    expect((await uipvs(['convert', path, '--to', 'ldirectord'])).code).toBe(0);
  });

  test('the name of the output tells its format, and what is there stays unless it is forced', async () => {
    const path = file(FILE);
    const target = join(directory, 'keepalived.conf');
    expect((await uipvs(['convert', path, '-o', target])).code).toBe(0);
    expect(readFileSync(target, 'utf8')).toContain('virtual_server 192.0.2.1 80 {');
    expect(await uipvs(['convert', path, '-o', target])).toMatchObject({
      code: 1,
      stderr: 'uipvs convert: DIR/keepalived.conf is there already; --force writes over it\n',
    });
    expect((await uipvs(['convert', path, '-o', target, '--force'])).code).toBe(0);
  });

  test('the example is right', async () => {
    const { stdout } = await uipvs(['convert', '--example']);
    expect((await uipvs(['check', file(stdout)])).code).toBe(0);
  });
});

describe('plan', () => {
  test('shows every step as it could be typed, and what it means', async () => {
    const path = file(FILE);
    expect(await uipvs(['plan', path])).toEqual({
      code: 3,
      stderr: '',
      stdout: `+ ipvsadm -A -t 192.0.2.1:80 -s rr
    # a new service tcp 192.0.2.1:80
+ ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 1
    # a new server 10.0.0.1:80 of tcp 192.0.2.1:80
+ ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.2:80 -m -w 5
    # a new server 10.0.0.2:80 of tcp 192.0.2.1:80
steps: 3 to add, 0 to change, 0 to remove; \`uipvs apply ${path}\` carries them out
`,
    });
    expect(daemon.changes()).toEqual([]);
  });

  test('says what differs, field by field', async () => {
    await daemon.execute({ name: 'addService', service: { ...WEB, persistenceTimeoutSeconds: 60 } });
    await daemon.execute({
      name: 'addDestination',
      service: WEB.key,
      destination: server('10.0.0.1', 80, { method: 'direct' }),
    });
    await daemon.execute({ name: 'addDestination', service: WEB.key, destination: server('10.0.0.9', 80) });
    const { stdout } = await uipvs(['plan', file(FILE)]);
    expect(stdout).toContain('    # tcp 192.0.2.1:80: scheduler wlc -> rr, persistence 60 s -> none\n');
    expect(stdout).toContain('    # 10.0.0.1:80 of tcp 192.0.2.1:80: method direct -> masquerade\n');
    expect(stdout).toContain('- ipvsadm -d -t 192.0.2.1:80 -r 10.0.0.9:80\n');
  });

  test('nothing to do is exit code 0, and JSON has the requests of the API', async () => {
    const path = file(FILE);
    const { steps } = JSON.parse((await uipvs(['plan', path, '--json'])).stdout);
    expect(steps[0]).toEqual({
      sign: '+',
      command: 'ipvsadm -A -t 192.0.2.1:80 -s rr',
      meaning: 'a new service tcp 192.0.2.1:80',
      request: { name: 'addService', service: tcpService('192.0.2.1', 80, { scheduler: 'rr' }) },
    });
    for (const { request } of steps) await daemon.execute(request);
    expect(await uipvs(['plan', path])).toEqual({
      code: 0,
      stderr: '',
      stdout: `nothing to do; the daemon is as ${path} says\n`,
    });
  });

  test('a wrong file is exit code 2, and the daemon is not asked', async () => {
    expect((await uipvs(['plan', file('services: 5\n')])).code).toBe(2);
    expect(daemon.commands).toEqual([]);
  });
});

describe('apply', () => {
  test('makes it so, and then there is nothing to do', async () => {
    const path = file(FILE);
    const { code, stdout } = await uipvs(['apply', path]);
    expect(code).toBe(0);
    expect(stdout).toContain('steps: 3 to add, 0 to change, 0 to remove: done; the daemon is as');
    expect(await daemon.servers()).toEqual(['10.0.0.1:80 1', '10.0.0.2:80 5']);
    expect((await uipvs(['plan', path])).code).toBe(0);
  });

  test('a refused step takes all back', async () => {
    daemon.before = (command) => {
      if (command.name === 'addDestination' && command.destination.address === '10.0.0.2') {
        throw new IpvsError('ENOMEM', 'the table is full');
      }
    };
    expect(await uipvs(['apply', file(FILE)])).toMatchObject({
      code: 1,
      stderr:
        'uipvs apply: refused: ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.2:80 -m -w 5: the table is full\n' +
        'uipvs apply: steps taken back: 2; all is as before\n',
    });
    expect(daemon.services).toBe(0);
  });

  test('Ctrl-C between two steps takes all back', async () => {
    const controller = new AbortController();
    daemon.before = ({ name }) => {
      if (name === 'addDestination') controller.abort();
    };
    expect(await uipvs(['apply', file(FILE)], { interruption: controller.signal })).toMatchObject({
      code: 130,
      stderr: 'uipvs apply: interrupted\nuipvs apply: steps taken back: 2; all is as before\n',
    });
    expect(daemon.services).toBe(0);
  });

  test('what was typed by hand stays, what the same file named before goes', async () => {
    await daemon.execute({ name: 'addService', service: tcpService('192.0.2.7', 80) });
    const path = file(`${FILE}  - listen: 192.0.2.2:80\n    servers: [10.0.0.3]\n`);
    await uipvs(['apply', path]);
    expect(daemon.services).toBe(3);
    file(FILE);
    const { stdout } = await uipvs(['apply', path]);
    expect(stdout).toContain('- ipvsadm -D -t 192.0.2.2:80\n');
    expect(daemon.services).toBe(2);
    expect((await uipvs(['plan', path])).code).toBe(0);
    expect((await uipvs(['plan', path, '--exclusive'])).stdout).toContain('- ipvsadm -D -t 192.0.2.7:80\n');
  });

  test('what another daemon was given is not remembered for this one', async () => {
    const path = file(`${FILE}  - listen: 192.0.2.2:80\n    servers: [10.0.0.3]\n`);
    await uipvs(['apply', path]);
    daemon.startedAt = '2026-11-24T05:00:00.000Z';
    file(FILE);
    expect((await uipvs(['plan', path])).code).toBe(0);
  });

  test('--dry-run changes nothing', async () => {
    expect((await uipvs(['apply', file(FILE), '--dry-run'])).code).toBe(3);
    expect(daemon.changes()).toEqual([]);
  });

  const reportOf = (states: readonly [address: string, state: HealthState][]): HeldHealthReport => ({
    source: 'uldirectord',
    receivedAt: '',
    stale: false,
    report: {
      program: 'uldirectord',
      pid: 4711,
      configuration: '/etc/uipvs.yaml',
      startedAt: '',
      renewSeconds: 10,
      services: [
        {
          key: WEB.key,
          check: 'connect',
          fallback: null,
          fallbackInUse: false,
          servers: states.map(([address, state]) => ({
            address,
            port: 80,
            state,
            since: '2026-11-23T05:00:00Z',
            result: { at: '', healthy: false, reason: 'connection refused', latencyMs: null },
            failures: 1,
            failuresMax: 1,
            nextCheckAt: null,
            changes: [],
          })),
        },
      ],
    },
  });
  const quiet = (address: string): Promise<null> =>
    daemon.execute<'editDestination'>({
      name: 'editDestination',
      service: WEB.key,
      destination: server(address, 80, { weight: 0 }),
    });

  test('who is down by the word of a director stays out, who is up comes back', async () => {
    const path = file(FILE);
    await uipvs(['apply', path]);
    await quiet('10.0.0.1');
    await quiet('10.0.0.2');
    daemon.reports = [
      reportOf([
        ['10.0.0.1', 'up'],
        ['10.0.0.2', 'down'],
      ]),
    ];
    const { stdout } = await uipvs(['plan', path]);
    expect(stdout).toContain(
      '= 10.0.0.2:80 of tcp 192.0.2.1:80 stays as it is: uldirectord (pid 4711): down since 2026-11-23T05:00:00Z: connection refused\n',
    );
    expect(stdout).toContain('10.0.0.1:80 of tcp 192.0.2.1:80: weight 0 -> 1');
    expect((await uipvs(['plan', path, '--restore'])).stdout).toContain('weight 0 -> 5');
    daemon.reports = [{ ...reportOf([['10.0.0.2', 'down']]), stale: true }];
    expect((await uipvs(['plan', path])).stdout).toContain('weight 0 -> 5');
  });

  test('of an ldirectord that tells nothing every server that is out stays out', async () => {
    const path = file(FILE);
    await uipvs(['apply', path]);
    await quiet('10.0.0.2');
    const directors = async () => [{ pid: 4712, configuration: '/etc/ha.d/ldirectord.cf' }];
    const plan = await uipvs(['plan', path], { directors });
    expect(plan.stdout).toBe(
      '= 10.0.0.2:80 of tcp 192.0.2.1:80 stays as it is: ldirectord (pid 4712) has it out\n' +
        `nothing to do; the daemon is as ${path} says\n`,
    );
    expect((await uipvs(['plan', path])).stdout).toContain('weight 0 -> 5');
  });
});

describe('drain', () => {
  const row = (port: number, more: Partial<ConnectionStatus> = {}): ConnectionStatus => ({
    protocol: 'TCP',
    client: { address: '198.51.100.7', port },
    virtual: { address: '192.0.2.1', port: 80 },
    destination: { address: '10.0.0.1', port: 80 },
    state: 'ESTABLISHED',
    expiresSeconds: 899,
    template: false,
    origin: 'LOCAL',
    ...more,
  });
  const udp = tcpService('192.0.2.1', 53, { key: { protocol: 'udp', address: '192.0.2.1', port: 53 } });
  const query = (port: number): ConnectionStatus =>
    row(port, {
      protocol: 'UDP',
      state: 'UDP',
      virtual: { address: '192.0.2.1', port: 53 },
      destination: { address: '10.0.0.1', port: 53 },
      expiresSeconds: 250,
    });

  beforeEach(async () => {
    await daemon.execute({ name: 'addService', service: WEB });
    for (const address of ['10.0.0.1', '10.0.0.2']) {
      await daemon.execute({
        name: 'addDestination',
        service: WEB.key,
        destination: server(address, 80, { weight: 4, upperThreshold: 9 }),
      });
    }
    await daemon.execute({ name: 'addService', service: udp });
    await daemon.execute({ name: 'addDestination', service: udp.key, destination: server('10.0.0.1', 53) });
    daemon.pageItems = 100;
  });

  /** One connection ends with each look. */
  const ending: Partial<Cli> = {
    pause: async () => {
      daemon.connections = daemon.connections.slice(1);
      return true;
    },
  };

  test('waits until the last connection has ended, and tells how it goes', async () => {
    daemon.connections = [
      row(1),
      row(2),
      row(3, { state: 'TIME_WAIT' }),
      row(4, { destination: { address: '10.0.0.2', port: 80 } }),
    ];
    expect(await uipvs(['drain', '10.0.0.1:80'], ending)).toEqual({
      code: 0,
      stderr: '',
      stdout: `10.0.0.1:80 of tcp 192.0.2.1:80: weight 4 -> 0
0 s of 1:00 min: 10.0.0.1:80 open 2, ending 1
1 s of 1:00 min: 10.0.0.1:80 open 1, ending 1
empty after 2 s: 10.0.0.1:80 open 0, ending 1
`,
    });
    expect(await daemon.servers()).toEqual(['10.0.0.1:53 1', '10.0.0.1:80 0', '10.0.0.2:80 4']);
    expect(daemon.changes().at(-1)).toMatchObject({ destination: { upperThreshold: 9, weight: 0 } });
  });

  test('ends with 3 when the time is over, and the weight stays 0', async () => {
    daemon.connections = [row(1)];
    expect(await uipvs(['drain', '10.0.0.1:80', '--wait', '3s'])).toMatchObject({
      code: 3,
      stderr: 'uipvs drain: not empty after 3 s: 10.0.0.1:80 open 1, ending 0; the weight stays 0\n',
    });
    expect(await daemon.servers()).toContain('10.0.0.1:80 0');
  });

  test('a server of UDP is empty when no packet came for some time, for its entries have no end', async () => {
    daemon.connections = [query(1), query(2)];
    const { code, stdout } = await uipvs(['drain', '10.0.0.1:53', '--quiet', '4s']);
    expect(code).toBe(0);
    expect(stdout).toContain(
      'UDP has no end of a connection; the longest entry lasts 4:10 min from now if nothing more comes',
    );
    expect(stdout).toContain('empty after 4 s: 10.0.0.1:53 udp entries 2, packets since 0, none for 4 s\n');
  });

  test('clients that persistence brings back keep a server from being empty, unless the setting ends that', async () => {
    daemon.connections = [
      row(0, { template: true, state: 'NONE', destination: { address: '10.0.0.1', port: 80 }, expiresSeconds: 300 }),
    ];
    const { code, stdout } = await uipvs(['drain', '10.0.0.1:80', '--wait', '2s']);
    expect(code).toBe(3);
    expect(stdout).toContain(
      'clients bound by persistence: 1, for 5:00 min at the longest; they go on to be sent there',
    );
    await daemon.execute({ name: 'setSetting', setting: 'expire_quiescent_template', value: '1' });
    expect((await uipvs(['drain', '10.0.0.1:80', '--wait', '2s'])).code).toBe(0);
  });

  test('an address alone means every port, --service one of them', async () => {
    await uipvs(['drain', '10.0.0.1', '--wait', '0s']);
    expect(await daemon.servers()).toEqual(['10.0.0.1:53 0', '10.0.0.1:80 0', '10.0.0.2:80 4']);
    expect((await uipvs(['drain', '10.0.0.1', '--undo', '--service', '192.0.2.1:53/udp'])).stdout).toBe(
      '10.0.0.1:53 of udp 192.0.2.1:53: weight 0 -> 1\n',
    );
    expect(await daemon.servers()).toEqual(['10.0.0.1:53 1', '10.0.0.1:80 0', '10.0.0.2:80 4']);
  });

  test('--undo gives back the weight from before, once; draining twice does not forget it', async () => {
    await uipvs(['drain', '10.0.0.1:80', '--wait', '0s']);
    await uipvs(['drain', '10.0.0.1:80', '--wait', '0s']);
    expect((await uipvs(['drain', '10.0.0.1:80', '--undo'])).code).toBe(0);
    expect(await daemon.servers()).toContain('10.0.0.1:80 4');
    expect(await uipvs(['drain', '10.0.0.1:80', '--undo'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('was not drained'),
    });
  });

  test('Ctrl-C keeps the weight at 0, or restores it when told to', async () => {
    daemon.connections = [row(1)];
    const interrupted: Partial<Cli> = { pause: async () => false };
    expect(await uipvs(['drain', '10.0.0.1:80'], interrupted)).toMatchObject({
      code: 130,
      stderr: 'uipvs drain: interrupted: 10.0.0.1:80 open 1, ending 0; the weight stays 0; --undo gives it back\n',
    });
    expect(await daemon.servers()).toContain('10.0.0.1:80 0');
    await uipvs(['drain', '10.0.0.1:80', '--undo']);
    expect((await uipvs(['drain', '10.0.0.1:80', '--on-interrupt', 'restore'], interrupted)).stderr).toContain(
      'as before',
    );
    expect(await daemon.servers()).toContain('10.0.0.1:80 4');
  });

  test('a drained server stays drained when a file is applied', async () => {
    const path = file(
      'services:\n  - listen: 192.0.2.1:80\n    servers: [{ address: 10.0.0.1:80, weight: 4, upper: 9 }]\n    check: always-up\n',
    );
    await uipvs(['drain', '10.0.0.1:80', '--wait', '0s']);
    const { stdout } = await uipvs(['apply', path]);
    expect(stdout).toContain('stays as it is: drained; `uipvs drain --undo` brings it back\n');
    expect(await daemon.servers()).toContain('10.0.0.1:80 0');
  });

  test('on a terminal one line is written over and over', async () => {
    daemon.connections = [row(1)];
    const { stdout } = await uipvs(['drain', '10.0.0.1:80'], { ...ending, terminal: { rows: () => 24 } });
    expect(stdout).toContain('\r\x1b[K0 s of 1:00 min: 10.0.0.1:80 open 1, ending 0');
    expect(stdout.endsWith('\r\x1b[Kempty after 1 s: 10.0.0.1:80 open 0, ending 0\n')).toBe(true);
  });

  test('--json is one object', async () => {
    daemon.connections = [row(1)];
    const { stdout } = await uipvs(['drain', '10.0.0.1:80', '--json', '--wait', '5s'], ending);
    expect(JSON.parse(stdout)).toEqual({
      end: 'empty',
      seconds: 1,
      servers: [
        {
          service: 'tcp 192.0.2.1:80',
          server: { address: '10.0.0.1', port: 80 },
          weight: 4,
          open: 0,
          ending: 0,
          udp: 0,
          bound: 0,
        },
      ],
    });
  });

  test.each([
    [['drain', '10.0.0.9'], 1, 'uipvs: 10.0.0.9 is no server of any service; servers are 10.0.0.'],
    [['drain', 'web1'], 2, 'uipvs drain: "web1" is no server; type ADDRESS or ADDRESS:PORT\n'],
    [['drain'], 2, 'uipvs drain: type one server, ADDRESS or ADDRESS:PORT\n'],
    [['drain', '10.0.0.1', '--service', 'web'], 2, 'uipvs drain: "web" is no service'],
    [['drain', '10.0.0.1', '--wait', '60'], 2, 'did you mean 60s?'],
  ])('%j is refused', async (words, code, sentence) => {
    const said = await uipvs(words);
    expect(said.code).toBe(code);
    expect(said.stderr).toContain(sentence);
  });
});
