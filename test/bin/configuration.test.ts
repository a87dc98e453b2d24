/**
 * The native file and the programs that work by it, as processes: against a daemon that carries no traffic, and as root
 * against the real one with real connections, in network namespaces of its own.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EXAMPLE } from '../../src/config/example.ts';
import { buildForProcesses, type Finished, type Started, startProcess } from '../support/built.ts';
import { temporaryDirectory, uniqueLockName, until } from '../support/served.ts';

const directory = temporaryDirectory();
const runDirectory = join(directory, 'run');
const environment = { UIPVS_SOCKET: join(directory, 'api.sock'), UIPVS_RUN_DIR: runDirectory, UIPVS_HA_DIR: directory };
let built: string;
let daemon: Started;

beforeAll(async () => {
  built = buildForProcesses();
  mkdirSync(runDirectory);
  daemon = startProcess(join(built, 'test/support/fake-uipvsd.js'), ['--log-level', 'silent'], {
    ...environment,
    FAKE_LOCK: uniqueLockName(),
    FAKE_CONNECTIONS: '1',
  });
  await until(() => daemon.stdout().includes('ready'), 'the daemon');
});
afterAll(async () => {
  daemon.child.kill('SIGTERM');
  await daemon.finished;
});

const program = (name: string): string => join(built, `src/bin/${name}.js`);
const run = (name: string, ...words: string[]): Promise<Finished> =>
  startProcess(program(name), words, environment).finished;

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

describe('uipvs over a daemon without traffic', () => {
  test('checks the example from standard input', async () => {
    const started = startProcess(program('uipvs'), ['check', '-'], environment);
    started.child.stdin.end(EXAMPLE);
    expect(await started.finished).toMatchObject({
      code: 0,
      stdout: '-: right (uipvs.yaml: services 4, servers 12)\n',
    });
  });

  test('plans, applies, and has nothing to do afterwards', async () => {
    const path = file(
      'a.yaml',
      'services:\n  - listen: 192.0.2.9:80\n    servers: [10.0.0.1, 10.0.0.2]\ntimeouts: { udp: 30s }\n',
    );
    expect((await run('uipvs', 'plan', path)).code).toBe(3);
    expect(await run('uipvs', 'apply', path)).toMatchObject({ code: 0, stderr: '' });
    expect((await run('uipvs', 'plan', path)).code).toBe(0);
    expect((await run('uipvsadm', '-Sn')).stdout).toContain('-a -t 192.0.2.9:80 -r 10.0.0.2:80 -m -w 1\n');
  });

  test('takes all back when the daemon refuses a part of the file', async () => {
    // This data plane has no rules that give packets marks.
    const path = file('b.yaml', 'services:\n  - listen: mark 7\n    servers: [10.0.0.1]\nmarks: [{ mark: 7 }]\n');
    const { code, stderr } = await run('uipvs', 'apply', path);
    expect(code).toBe(1);
    expect(stderr).toContain('uipvs apply: steps taken back: 2; all is as before\n');
    expect((await run('uipvsadm', '-Sn')).stdout).not.toContain('-f 7');
  });

  test('drain ends at Ctrl-C, says so, and gives the weight back when told to', async () => {
    // The one connection of this daemon never ends.
    await run('uipvsadm', '-a', '-t', '192.0.2.1:80', '-r', '10.0.0.1:80', '-m', '-w', '4');
    const drain = startProcess(
      program('uipvs'),
      ['drain', '10.0.0.1', '--service', '192.0.2.1:80', '--on-interrupt', 'restore'],
      environment,
    );
    await until(() => drain.stdout().includes('open 1'), 'the first look');
    drain.child.kill('SIGINT');
    const { code, stderr } = await drain.finished;
    expect({ code, stderr }).toEqual({
      code: 130,
      stderr: 'uipvs drain: interrupted: 10.0.0.1:80 open 1, ending 0; the weight is as before\n',
    });
    expect((await run('uipvsadm', '-Sn')).stdout).toContain('-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 4\n');
  });
});

describe('uldirectord by the native file', () => {
  const text = `services:
  - listen: 192.0.2.50:80
    servers: [10.0.0.1, { address: 10.0.0.2, weight: 3 }]
    check: { kind: always-up }
    sourceNat: masquerade
logging: { file: ${join(directory, 'director.log')} }
`;

  test('starts, stands in the table, is known to plan, and stops', async () => {
    const path = file('director.yaml', text);
    expect(await run('uldirectord', path, 'start')).toMatchObject({ code: 0, stderr: '' });
    expect((await run('uipvs', 'services', '--json')).stdout).toContain('"sourceNat":"masquerade"');
    expect((await run('uipvs', 'plan', path)).code).toBe(0);
    expect((await run('uipvs', 'apply', path)).stderr).toContain(
      `works by ${path}; if that is where its services come from`,
    );
    expect((await run('uldirectord', path, 'status')).code).toBe(0);
    expect((await run('uldirectord', path, 'stop')).code).toBe(0);
    await until(() => !existsSync(join(runDirectory, 'ldirectord.director.yaml.pid')), 'the end of the director');
    expect((await run('uipvsadm', '-Sn')).stdout).not.toContain('192.0.2.50');
  });

  test('refuses a wrong file with its line, and says what it leaves to apply', async () => {
    const wrong = file('wrong.yaml', text.replace('servers', 'sevrers').replace('weight', 'wieght'));
    expect(await run('uldirectord', wrong, 'start')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('wrong.yaml at line 3: services[0] has no "sevrers", did you mean "servers"?'),
    });
    const more = file('more.yaml', `${text}timeouts: { udp: 30s }\n`);
    const started = await run('uldirectord', more, 'start');
    expect(started.stderr).toContain('at line 7: timeouts: set by `uipvs apply`, not by the director');
    await run('uldirectord', more, 'stop');
    await until(() => !existsSync(join(runDirectory, 'ldirectord.more.yaml.pid')), 'the end of the director');
  });
});

describe.skipIf(process.getuid?.() !== 0)('the real daemon, with real connections (root only)', () => {
  const names = ['c', 'd', 's'].map((each) => `uipvs-cfg-${process.pid}${each}`);
  const [client, director, servers] = names as [string, string, string];
  const here = temporaryDirectory();
  const at = { UIPVS_SOCKET: join(here, 'uipvsd.sock'), UIPVS_RUN_DIR: here };
  const started: ReturnType<typeof spawn>[] = [];

  const ip = (...words: string[]): void => void execFileSync('ip', words, { stdio: 'pipe' });
  const within = (namespace: string, ...words: string[]): Started => {
    const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, ...words], {
      env: { ...process.env, ...at },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    started.push(child);
    const finished = new Promise<Finished>((resolve) => {
      child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
    });
    return { child, stdout: () => stdout, stderr: () => stderr, finished };
  };
  const uipvs = (...words: string[]): Started => within(director, program('uipvs'), ...words);

  beforeAll(async () => {
    for (const name of names) {
      ip('netns', 'add', name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
    ip('link', 'add', 'c0', 'netns', client, 'type', 'veth', 'peer', 'name', 'd0', 'netns', director);
    ip('link', 'add', 's0', 'netns', servers, 'type', 'veth', 'peer', 'name', 'd1', 'netns', director);
    for (const [name, link, address] of [
      [client, 'c0', '10.97.1.2/24'],
      [director, 'd0', '10.97.1.1/24'],
      [director, 'd1', '10.97.2.1/24'],
      [servers, 's0', '10.97.2.11/24'],
    ] as const) {
      ip('-n', name, 'addr', 'add', address, 'dev', link);
      ip('-n', name, 'link', 'set', link, 'up');
    }
    ip('-n', servers, 'route', 'add', 'default', 'via', '10.97.2.1');
    const uipvsd = within(director, program('uipvsd'), '--log-level', 'warn');
    await until(() => uipvsd.stdout().includes('ready'), 'the daemon');
  });
  afterAll(async () => {
    for (const child of started) if (child.exitCode === null) child.kill('SIGTERM');
    await until(
      () => started.every(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null),
      'the end of all',
    );
    for (const name of names) ip('netns', 'delete', name);
  });

  test('a file with everything in it is applied, and drain waits for the last connection', async () => {
    const path = join(here, 'real.yaml');
    writeFileSync(
      path,
      `services:
  - listen: 10.97.1.1:8080
    scheduler: rr
    servers: [{ address: 10.97.2.11:80, weight: 2, upper: 100 }]
  - listen: mark 7
    servers: [10.97.2.11]
marks: [{ mark: 7, protocol: udp, to: 10.97.1.9, ports: 5000-5009 }]
timeouts: { udp: 30s }
sysctl: { expire_quiescent_template: 1, drop_entry: 2 }
sync: { role: master, interface: d0, id: 3 }
`,
    );
    expect(await uipvs('apply', path).finished).toMatchObject({ code: 0, stderr: '' });
    expect((await uipvs('plan', path).finished).stdout).toBe(`nothing to do; the daemon is as ${path} says\n`);

    const echo = `require('node:net').createServer((s) => s.on('error', () => {}).on('data', (d) => s.write(d))).listen(80, () => console.log('up'))`;
    const listening = within(servers, '-e', echo);
    await until(() => listening.stdout().includes('up'), 'the server');
    const talk = `const s = require('node:net').connect(8080, '10.97.1.1', () => s.write('hello')); s.on('data', () => console.log('answered')); process.stdin.on('data', () => s.end()); s.on('close', () => process.exit())`;
    const talking = within(client, '-e', talk);
    await until(() => talking.stdout().includes('answered'), 'an answer through the balancer');

    const drain = uipvs('drain', '10.97.2.11:80', '--wait', '10m');
    await until(() => drain.stdout().includes('open 1'), 'the open connection');
    talking.child.stdin!.write('now\n');
    const { code, stdout } = await drain.finished;
    expect(code).toBe(0);
    expect(stdout).toContain('10.97.2.11:80 of tcp 10.97.1.1:8080: weight 2 -> 0\n');
    expect(stdout).toMatch(/empty after .*: 10\.97\.2\.11:80 open 0, ending 1\n$/);
    expect((await uipvs('plan', path).finished).stdout).toContain('stays as it is: drained');
    expect((await uipvs('drain', '10.97.2.11:80', '--undo').finished).code).toBe(0);
  });
});
