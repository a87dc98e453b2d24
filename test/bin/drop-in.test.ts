/** `uipvsadm` in the place of `ipvsadm`: under that name, quick, with a daemon of its own, for tables of any size. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildForProcesses, type Finished, type Started, startProcess } from '../support/built.ts';
import { temporaryDirectory, uniqueLockName, until } from '../support/served.ts';

const CONNECTIONS = 1_000_000;
const MEMORY_KIB_MAX = 150 * 1024;

let built: string;
let daemon: Started;
const directory = temporaryDirectory();
const socket = join(directory, 'api.sock');
const lock = uniqueLockName();

beforeAll(async () => {
  built = buildForProcesses();
  daemon = startProcess(join(built, 'test/support/fake-uipvsd.js'), ['--log-level', 'silent'], {
    UIPVS_SOCKET: socket,
    FAKE_LOCK: lock,
    FAKE_CONNECTIONS: String(CONNECTIONS),
  });
  await until(() => daemon.stdout().includes('ready'), 'the daemon');
});
afterAll(async () => {
  daemon.child.kill('SIGTERM');
  await daemon.finished;
});

const program = (name: string): string => join(built, `src/bin/${name}.js`);

/** A link with this name to one of the programs, in a directory of its own. */
function linkTo(name: string, to: string): string {
  const folder = join(temporaryDirectory(), 'sbin');
  mkdirSync(folder);
  symlinkSync(program(to), join(folder, name));
  return join(folder, name);
}

describe('through a link', () => {
  const run = (link: string, ...words: string[]): Promise<Finished> =>
    startProcess(link, words, { UIPVS_SOCKET: socket }).finished;

  test('ipvsadm says its own name', async () => {
    const ipvsadm = linkTo('ipvsadm', 'uipvsadm');
    expect(await run(ipvsadm, 'foo')).toMatchObject({
      code: 255,
      stderr: "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n",
    });
    expect((await run(ipvsadm, '-h')).stdout).toContain('\n  ipvsadm -C\n');
    expect((await run(ipvsadm, '-Ln')).stdout).toContain('TCP  192.0.2.1:80 wlc');
  });

  test('also through a link to a link, as update-alternatives makes them, and started by its first line', async () => {
    const first = linkTo('whatever', 'uipvsadm');
    const second = join(temporaryDirectory(), 'ipvsadm');
    symlinkSync(first, second);
    const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) => {
      execFile('sh', ['-c', `chmod +x ${program('uipvsadm')} && exec ${second} foo`], (error, _, text) =>
        resolve({ code: error?.code, stderr: text }),
      );
    });
    // Without a daemon that is what is said first, so the words are not looked at.
    expect(code).toBe(2);
    expect(stderr).toMatch(/^Can't initialize ipvs: /);
    expect((await run(second, 'foo')).stderr).toMatch(/^Try `ipvsadm -h'/);
  });

  test('ipvsadm-save tells its usage under the name it was typed by', async () => {
    expect((await run(linkTo('ipvsadm-save', 'uipvsadm-save'), '-x')).stderr).toMatch(/^Usage: ipvsadm-save \[-n\]\n/);
  });

  test('an old Node is told of under the name that was typed', async () => {
    const preload = join(directory, 'old-node.cjs');
    writeFileSync(
      preload,
      "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.4' } });",
    );
    const old = startProcess(linkTo('ipvsadm', 'uipvsadm'), [], { NODE_OPTIONS: `--require ${preload}` });
    expect((await old.finished).stderr).toMatch(/^ipvsadm: needs Node/);
  });
});

describe('a listing', () => {
  test('loads few files and no package', async () => {
    const coverage = join(directory, 'coverage');
    const { code } = await startProcess(program('uipvsadm'), ['-Ln'], {
      UIPVS_SOCKET: socket,
      NODE_V8_COVERAGE: coverage,
    }).finished;
    expect(code).toBe(0);
    const files = readdirSync(coverage).flatMap((file) => {
      const { result } = JSON.parse(readFileSync(join(coverage, file), 'utf8')) as { result: { url: string }[] };
      return result.map(({ url }) => url).filter((url) => url.startsWith('file:'));
    });
    expect(files).toContain(`file://${program('uipvsadm-main')}`);
    expect(files.filter((file) => file.includes('/node_modules/'))).toEqual([]);
    // Each file costs a third of a millisecond: a new one should be worth it.
    expect(files.length).toBeLessThanOrEqual(32);
    expect(files.filter((file) => /command-line|logger|autostart|openapi|server\.js/.test(file))).toEqual([]);
  });

  test('loads nothing heavy of Node', async () => {
    const probe = join(directory, 'probe.cjs');
    writeFileSync(
      probe,
      `process.on('exit', () => {
         const heavy = /^NativeModule (_http_\\w+|https?|http2|crypto|tls|worker_threads|child_process|dns)$/;
         process.stderr.write(JSON.stringify(process.moduleLoadList.filter((name) => heavy.test(name))));
       });`,
    );
    const environment = { UIPVS_SOCKET: socket, NODE_OPTIONS: `--require ${probe}` };
    expect(await startProcess(program('uipvsadm'), ['-Ln'], environment).finished).toMatchObject({
      code: 0,
      stderr: '[]',
    });
  });

  test('of a million connections is whole, and needs little memory', { timeout: 120_000 }, async () => {
    const { stdout, stderr } = await measured(`${process.execPath} ${program('uipvsadm')} -Lnc | wc -l`);
    expect(Number(stdout)).toBe(CONNECTIONS + 2);
    expect(Number(/VmHWM:\s*(\d+) kB/.exec(stderr)?.[1])).toBeLessThan(MEMORY_KIB_MAX);
  });

  test('so does the text of /proc', { timeout: 120_000 }, async () => {
    const { stdout, stderr } = await measured(`${process.execPath} ${program('uipvs')} proc ip_vs_conn | wc -l`);
    expect(Number(stdout)).toBe(CONNECTIONS + 1);
    expect(Number(/VmHWM:\s*(\d+) kB/.exec(stderr)?.[1])).toBeLessThan(MEMORY_KIB_MAX);
  });

  /** Standard error ends with the most memory that the program had. */
  function measured(command: string): Promise<{ stdout: string; stderr: string }> {
    const peak = join(directory, 'peak.cjs');
    const read = "/VmHWM:.*/.exec(require('node:fs').readFileSync('/proc/self/status', 'utf8'))[0]";
    writeFileSync(peak, `process.on('exit', () => process.stderr.write(${read}));`);
    const env = { ...process.env, UIPVS_SOCKET: socket, NODE_OPTIONS: `--require ${peak}` };
    return new Promise((resolve, reject) => {
      execFile('bash', ['-c', command], { env }, (error, stdout, stderr) => {
        if (error) reject(error);
        else resolve({ stdout, stderr });
      });
    });
  }
});

const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
test.skipIf(major < 22 || (major === 22 && minor < 1))('compiled code is kept for the next start', async () => {
  const home = temporaryDirectory();
  // Root has one place, whatever HOME says.
  const kept = process.getuid?.() === 0 ? '/var/cache/uipvs/compiled' : join(home, '.cache/uipvs/compiled');
  const { code } = await startProcess(program('uipvsadm'), ['-Ln'], { UIPVS_SOCKET: socket, HOME: home }).finished;
  expect(code).toBe(0);
  expect(readdirSync(kept).length).toBeGreaterThan(0);
});

describe('UIPVS_AUTOSTART', () => {
  /** A client that starts the fake daemon; prints the daemon's process number. */
  function client(environment: NodeJS.ProcessEnv, ...words: string[]): Started {
    const file = join(built, `src/bin/autostart-probe.js`);
    writeFileSync(
      file,
      `import { startAndConnect } from '../control/autostart.js';
       const [command, lockName, ...words] = process.argv.slice(2);
       try {
         const plane = await startAndConnect({ command, words, lockName, readyTimeoutMs: 15_000 });
         console.log((await plane.status()).daemon.pid);
         await plane.close();
       } catch (error) {
         console.log(error.code + ' ' + error.message);
       }`,
    );
    return startProcess(file, words, environment);
  }

  test('many clients at once start one daemon, and all of them reach it', async () => {
    const place = join(temporaryDirectory(), 'd.sock');
    const name = uniqueLockName();
    const environment = { UIPVS_SOCKET: place, FAKE_LOCK: name, FAKE_CONNECTIONS: '1' };
    const words = [process.execPath, name, join(built, 'test/support/fake-uipvsd.js'), '--log-level', 'warn'];
    const clients = await Promise.all(Array.from({ length: 4 }, () => client(environment, ...words).finished));
    const pids = new Set(clients.map(({ stdout }) => stdout.trim()));
    const [pid] = pids;
    try {
      expect(pids.size).toBe(1);
      expect(clients.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
      // It goes on without them, and leads a session of its own.
      expect(readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[5]).toBe(pid);
      // The losers say that they lost, where it can be looked up.
      const log = (): string => readFileSync(place.replace(/sock$/, 'log'), 'utf8');
      // One that starts late must not find the lock free because this test is through.
      const lost = `pid ${pid} serves this network namespace`;
      await until(() => log().split(lost).length === 4, 'the words of all three losers');
    } finally {
      if (/^\d+$/.test(pid ?? '')) process.kill(Number(pid), 'SIGTERM');
    }
    await until(() => !existsSync(place), 'the end of the daemon');
  });

  test('a daemon that cannot start is quoted', async () => {
    const environment = { UIPVS_SOCKET: join(temporaryDirectory(), 'd.sock') };
    const words = ['/bin/sh', uniqueLockName(), '-c', 'echo "uipvsd: needs root" >&2; exit 1'];
    expect((await client(environment, ...words).finished).stdout).toBe(
      'ENOPROTOOPT UIPVS_AUTOSTART started uipvsd, which ended (exit code 1): uipvsd: needs root\n',
    );
  });

  test('one that serves this namespace behind another socket is no help', async () => {
    const environment = { UIPVS_SOCKET: join(temporaryDirectory(), 'd.sock'), FAKE_LOCK: lock };
    const words = [process.execPath, lock, join(built, 'test/support/fake-uipvsd.js'), '--log-level', 'warn'];
    expect((await client(environment, ...words).finished).stdout).toContain(
      `ended (exit code 1): uipvsd: uipvsd with pid ${daemon.child.pid} serves this network namespace already (socket ${socket})`,
    );
  });

  test.each(['', '0'])('is only heard when it is 1, not %j', async (value) => {
    const alone = startProcess(program('uipvsadm'), ['-Ln'], {
      UIPVS_SOCKET: join(temporaryDirectory(), 'd.sock'),
      UIPVS_AUTOSTART: value,
    });
    const { code, stderr } = await alone.finished;
    expect(code).toBe(2);
    expect(stderr).toContain('start one with `uipvsd`');
  });
});
