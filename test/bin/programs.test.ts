import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nodeComplaint } from '../../src/bin/start.ts';
import { uipvsVersion } from '../../src/control/version.ts';
import { buildForProcesses, type Finished, type Started, startProcess } from '../support/built.ts';
import { temporaryDirectory, uniqueLockName, until } from '../support/served.ts';

let built: string;
let daemon: Started;
const socket = join(temporaryDirectory(), 'api.sock');
const environment = { UIPVS_SOCKET: socket };

beforeAll(async () => {
  built = buildForProcesses();
  daemon = startProcess(join(built, 'test/support/fake-uipvsd.js'), ['--log-level', 'silent'], {
    ...environment,
    FAKE_LOCK: uniqueLockName(),
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

/** As typed into a shell; resolves to the exit codes of the pipe's parts. */
function pipe(command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const script = `${command} > /dev/null; echo "\${PIPESTATUS[@]}"`;
    execFile('bash', ['-c', script], { env: { ...process.env, ...environment } }, (error, stdout, stderr) => {
      if (error) reject(error);
      else resolve(stdout.trim() + stderr);
    });
  });
}

function runAsNobody(name: string, ...words: string[]): Promise<{ code: number; stderr: string }> {
  execFileSync('chmod', ['-R', 'a+rX', built]);
  const command = ['--reuid', '65534', '--clear-groups', process.execPath, program(name), ...words];
  return new Promise((resolve) => {
    execFile('setpriv', command, { env: { ...process.env, ...environment } }, (error, _, stderr) => {
      resolve({ code: Number(error?.code ?? 0), stderr });
    });
  });
}

describe('every program', () => {
  const names = ['uipvs', 'uipvsd', 'uipvsadm', 'uipvsadm-save', 'uipvsadm-restore', 'uldirectord'];

  test.each(names)('%s begins as a script of node', (name) => {
    expect(readFileSync(program(name), 'utf8').split('\n')[0]).toBe('#!/usr/bin/env node');
  });

  test.each(names)('%s refuses an old Node with one sentence, before it loads anything', (name) => {
    const preload = join(built, 'old-node.cjs');
    writeFileSync(
      preload,
      "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.4' } });",
    );
    let failure: { status?: number; stderr?: string } = {};
    try {
      execFileSync(process.execPath, ['-r', preload, program(name)], { encoding: 'utf8', stdio: 'pipe' });
    } catch (error) {
      failure = error as typeof failure;
    }
    expect(failure.status).toBe(1);
    expect(failure.stderr).toBe(`${name}: needs Node 20.19 or newer, and this is Node 18.20.4\n`);
  });

  test.each([
    ['20.18.3', false],
    ['20.19.0', true],
    ['20.20.1', true],
    ['21.0.0', true],
    ['24.1.0', true],
    ['9.9.9', false],
  ])('Node %s is new enough: %s', (version, enough) => {
    expect(nodeComplaint(version) === null).toBe(enough);
  });
});

describe('uipvs', () => {
  test('prints the version of the package', async () => {
    expect(await run('uipvs', '--version')).toEqual({
      code: 0,
      signal: null,
      stdout: `${uipvsVersion()}\n`,
      stderr: '',
    });
  });

  test('reaches the daemon and ends by itself', async () => {
    const { code, stdout, stderr } = await run('uipvs', 'status', '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout).daemon.pid).toBe(daemon.child.pid);
  });

  test('ends with 2 on a mistake and 1 without a daemon', async () => {
    expect((await run('uipvs', 'sevices')).code).toBe(2);
    const alone = startProcess(program('uipvs'), ['status'], { UIPVS_SOCKET: `${socket}.none` });
    expect(await alone.finished).toMatchObject({
      code: 1,
      stdout: '',
      stderr: `uipvs: no uipvsd answers on ${socket}.none; start one with \`uipvsd\`\n`,
    });
  });

  test('prints all of a long list into a pipe', async () => {
    const { code, stdout } = await run('uipvs', 'connections', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toHaveLength(20_000);
  });

  test('ends quietly when the reader has had enough', async () => {
    expect(await pipe(`${process.execPath} ${program('uipvs')} connections | head -n 1`)).toBe('141 0');
  });

  test('ends with 130 at Ctrl-C', async () => {
    const mute = join(temporaryDirectory(), 'mute.sock');
    let connected = false;
    const listener = createServer((client) => {
      connected = true;
      client.on('error', () => {});
    }).listen(mute);
    const waiting = startProcess(program('uipvs'), ['status'], { UIPVS_SOCKET: mute });
    await until(() => connected, 'the connection');
    waiting.child.kill('SIGINT');
    expect(await waiting.finished).toMatchObject({ code: 130, stdout: '', stderr: '' });
    listener.close();
  });
});

test('a client program does not load the HTTP of Node', async () => {
  const probe = join(built, 'src/bin/probe.js');
  writeFileSync(
    probe,
    `import { connectDataPlane } from '../control/client.js';
     const dataPlane = await connectDataPlane();
     await dataPlane.execute({ name: 'info' });
     await dataPlane.close();
     const heavy = /^NativeModule (_http_\\w+|https?|http2|crypto|tls|worker_threads)$/;
     console.log(JSON.stringify(process.moduleLoadList.filter((name) => heavy.test(name))));`,
  );
  expect(await startProcess(probe, [], environment).finished).toMatchObject({ code: 0, stdout: '[]\n', stderr: '' });
});

describe('uipvsd', () => {
  test('explains itself', async () => {
    const { code, stdout } = await run('uipvsd', '--help');
    expect(code).toBe(0);
    expect(stdout).toContain('Usage: uipvsd');
  });

  test('refuses wrong values with one sentence', async () => {
    const { code, stdout, stderr } = await run('uipvsd', '--io', 'carrier-pigeon');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  test.runIf(process.getuid?.() === 0)('says what to type without privileges', async () => {
    expect(await runAsNobody('uipvsd', '--link', 'eth0')).toEqual({
      code: 1,
      stderr: 'uipvsd: needs root, or CAP_NET_ADMIN and CAP_NET_RAW; type `sudo uipvsd --link eth0`\n',
    });
  });
});

test.runIf(process.getuid?.() === 0)('nobody but the owner of the socket is let in', async () => {
  chmodSync(dirname(socket), 0o755);
  expect(await runAsNobody('uipvs', 'status')).toEqual({
    code: 1,
    stderr: `uipvs: you may not open ${socket}; the daemon's user may, mostly root\n`,
  });
});
