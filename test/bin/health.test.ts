/** uldirectord, a daemon and `uipvs health`, as processes: what one finds out, the other shows. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { HeldHealthReport } from '../../src/model/health.ts';
import { buildForProcesses, type Finished, type Started, startProcess } from '../support/built.ts';
import { temporaryDirectory, uniqueLockName } from '../support/served.ts';

const folder = temporaryDirectory();
const environment = {
  UIPVS_SOCKET: join(folder, 'api.sock'),
  UIPVS_RUN_DIR: join(folder, 'run'),
  UIPVS_HA_DIR: folder,
};

let built: string;
let daemon: Started;
let server: Server;
beforeAll(async () => {
  mkdirSync(environment.UIPVS_RUN_DIR);
  built = buildForProcesses();
  daemon = startProcess(join(built, 'test/support/fake-uipvsd.js'), [], {
    ...environment,
    FAKE_LOCK: uniqueLockName(),
  });
  server = createServer((socket) => socket.on('error', () => {}).end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  await comesTrue(() => daemon.stdout().includes('ready'));
});
afterAll(async () => {
  server.close();
  daemon.child.kill('SIGTERM');
  await daemon.finished;
});

async function comesTrue(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 50));
}

const run = (name: string, ...words: string[]): Promise<Finished> =>
  startProcess(join(built, `src/bin/${name}.js`), words, environment).finished;

async function states(): Promise<string[]> {
  const [held] = JSON.parse((await run('uipvs', 'health', '--json')).stdout) as HeldHealthReport[];
  return held?.report.services.flatMap(({ servers }) => servers.map(({ state }) => state)) ?? [];
}

test('a server that dies is seen in the view and in the log of the daemon', { timeout: 90_000 }, async () => {
  const nobody = await run('uipvs', 'health');
  expect(nobody.code).toBe(1);
  expect(nobody.stdout).toContain('no program that checks real servers tells of their health');

  const { port } = server.address() as { port: number };
  const lines = [
    'checkinterval=1',
    'checktimeout=2',
    `logfile="${join(folder, 'health.log')}"`,
    'virtual=192.0.2.1:80',
    `\treal=127.0.0.1:${port} masq`,
    '\tchecktype=connect',
    '#',
  ];
  writeFileSync(join(folder, 'health.cf'), lines.map((line) => `${line}\n`).join(''));
  expect((await run('uldirectord', 'health.cf', 'start')).code).toBe(0);
  await comesTrue(async () => (await states())[0] === 'up');
  expect((await run('uipvs', 'health')).code).toBe(0);

  server.close();
  await comesTrue(async () => (await states())[0] === 'down');
  const { code, stdout } = await run('uipvs', 'health');
  expect(code).toBe(3);
  expect(stdout).toMatch(/tcp 192\.0\.2\.1:80 {2}0 of 1 up; connect every 1 s, timeout 2 s/);
  expect(stdout).toMatch(new RegExp(`127\\.0\\.0\\.1:${port} +down .* connection refused`));
  expect(stdout).toMatch(/last changes:\n.* down +connection refused\n.* up +answered/);
  const line = `real server 127.0.0.1:${port} of tcp 192.0.2.1:80 is down: connection refused`;
  await comesTrue(() => daemon.stderr().includes(line));

  expect((await run('uldirectord', 'health.cf', 'stop')).code).toBe(0);
  await comesTrue(async () => (await states()).length === 0);
});
