/** The program as it is started by people: a daemon that stays behind, found again by its pid file. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Compiled, compileSources } from '../health/compiled.ts';

let compiled: Compiled;
let folder: string;
let program: string;
const EXAMPLES = join(import.meta.dirname, 'examples');

/** A table in a file, so that the test sees what the daemon does; `away` beside it: nobody answers. */
const ENTRY = `
import { appendFileSync, existsSync } from 'node:fs';
import { runLdirectord } from './ldirectord/program.js';
import { IpvsError } from './model/errors.js';
const folder = process.env.TEST_FOLDER;
const services = new Map();
const idOf = (key) => JSON.stringify(key);
const find = (key) => {
  const row = services.get(idOf(key));
  if (row === undefined) throw new IpvsError('ESRCH', 'no such service');
  return row;
};
const status = ({ spec, destinations }) => ({ spec, destinations: [...destinations.values()].map((spec) => ({ spec })) });
const connect = async () => {
  if (existsSync(folder + '/away')) throw new Error('nobody listens');
  return {
    async execute(command) {
      if (existsSync(folder + '/away')) throw new IpvsError('ENOPROTOOPT', 'nobody listens');
      if (command.name === 'info') return {};
      if (command.name === 'getService') return status(find(command.key));
      if (command.name === 'listServices') return { items: [...services.values()].map(status), next: null };
      appendFileSync(folder + '/commands', JSON.stringify(command) + '\\n');
      if (command.name === 'addService') services.set(idOf(command.service.key), { spec: command.service, destinations: new Map() });
      if (command.name === 'deleteService') services.delete(idOf(command.key));
      if (command.name === 'addDestination') find(command.service).destinations.set(command.destination.address, command.destination);
      return null;
    },
    watch: () => () => {},
    close: async () => {},
  };
};
const status_ = await runLdirectord(process.argv.slice(2), {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  stderrIsTerminal: false,
  connect,
  self: { command: process.execPath, words: [process.argv[1]] },
  environment: process.env,
});
process.exitCode = status_;
`;

beforeAll(() => {
  compiled = compileSources('program');
  writeFileSync(join(compiled.folder, 'uldirectord.js'), ENTRY);
}, 120_000);
afterAll(() => compiled.remove());

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'uild-'));
  for (const each of ['run', 'ha.d', 'ha.d/conf']) mkdirSync(join(folder, each));
  program = join(compiled.folder, 'uldirectord.js');
});
afterEach(() => {
  const pid = pidOf('user.cf');
  if (pid !== null) process.kill(pid, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

function uldirectord(...words: string[]) {
  const env = {
    ...process.env,
    TEST_FOLDER: folder,
    UIPVS_RUN_DIR: join(folder, 'run'),
    UIPVS_HA_DIR: join(folder, 'ha.d'),
  };
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...words], {
    env,
    encoding: 'utf8',
    cwd: folder,
  });
  return { status, stdout, stderr };
}

function pidOf(name: string): number | null {
  const path = join(folder, 'run', `ldirectord.${name}.pid`);
  return existsSync(path) ? Number(readFileSync(path, 'utf8')) : null;
}

function write(lines: string, place = 'ha.d/user.cf'): string {
  const path = join(folder, place);
  writeFileSync(path, `logfile="${join(folder, 'log')}"\n${lines}`);
  return path;
}

const log = () => (existsSync(join(folder, 'log')) ? readFileSync(join(folder, 'log'), 'utf8') : '');
const commands = () => (existsSync(join(folder, 'commands')) ? readFileSync(join(folder, 'commands'), 'utf8') : '');
const SERVICE = 'virtual=192.0.2.1:80\n\treal=192.0.2.11:80 masq\n\tchecktype=on\n';

async function until(truth: () => boolean): Promise<void> {
  const endMs = Date.now() + 10_000;
  while (!truth()) {
    if (Date.now() > endMs) throw new Error(`waited in vain; the log says:\n${log()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('a day of the daemon', () => {
  test('start, status, reload, a broken file, stop', async () => {
    const path = write(SERVICE);
    expect(uldirectord('user.cf', 'status')).toEqual({
      status: 3,
      stdout: `ldirectord is stopped for ${path}\n`,
      stderr: '',
    });
    expect(uldirectord('user.cf', 'reload').status).toBe(1);

    expect(uldirectord('user.cf', 'start')).toEqual({ status: 0, stdout: '', stderr: '' });
    // Start has waited: the table is there.
    expect(commands()).toContain('"address":"192.0.2.11"');
    const pid = pidOf('user.cf')!;
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toContain('ldirectord');
    expect(uldirectord('user.cf', 'status')).toEqual({
      status: 0,
      stdout: '',
      stderr: `ldirectord for ${path} is running with pid: ${pid}\n`,
    });
    expect(uldirectord('user.cf', 'start').status).toBe(0);
    expect(pidOf('user.cf')).toBe(pid);

    write(SERVICE.replace('masq', 'masq 5').concat('\treal=192.0.2.12:80 masq\n'));
    expect(uldirectord('user.cf', 'reload').status).toBe(0);
    await until(() => log().includes('Added real server: 192.0.2.12:80'));
    expect(log()).toContain('Reloading Linux Director Daemon config on signal');

    write(`${SERVICE}\tchecktyp=ping\n`);
    const broken = uldirectord('user.cf', 'reload');
    expect(broken.status).toBe(2);
    expect(broken.stderr).toMatch(/^Error \[\d+\] reading file .*user\.cf at line 5: Unknown command/);
    process.kill(pid, 'SIGHUP');
    await until(() => log().includes('the one before stays in force'));
    expect(log()).toMatch(/Error \[\d+\] reading file .*user\.cf at line 5: Unknown command/);
    expect(uldirectord('user.cf', 'status').status).toBe(0);
    expect(uldirectord('user.cf', 'restart').status).toBe(2);
    expect(pidOf('user.cf')).toBe(pid);

    // Unlike the original, a broken file does not make the daemon immortal.
    expect(uldirectord('user.cf', 'stop').status).toBe(0);
    await until(() => pidOf('user.cf') === null);
    expect(commands().trim().split('\n').at(-1)).toContain('deleteService');
    const lines = log().trim().split('\n');
    expect(lines.at(-1)).toMatch(
      /^\[\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\|user\.cf\|\d+\] Linux Director Daemon terminated on signal: TERM$/,
    );
    expect(lines[0]).toContain('] Invoking ldirectord invoked as: uldirectord user.cf start ');
    expect(uldirectord('user.cf', 'stop').status).toBe(0);
    expect(uldirectord('user.cf', 'try-restart').status).toBe(2);
  });

  test('restart leaves another process with the same services', async () => {
    write(SERVICE);
    uldirectord('user.cf', 'start');
    const pid = pidOf('user.cf');
    expect(uldirectord('user.cf', 'restart').status).toBe(0);
    expect(pidOf('user.cf')).not.toBeNull();
    expect(pidOf('user.cf')).not.toBe(pid);
    uldirectord('user.cf', 'stop');
    await until(() => pidOf('user.cf') === null);
  });

  test('without a data plane start says so, and the daemon applies everything when one comes', async () => {
    write(SERVICE);
    writeFileSync(join(folder, 'away'), '');
    const started = uldirectord('user.cf', 'start');
    expect(started.status).toBe(0);
    expect(started.stderr).toContain('No data plane answers yet');
    expect(log()).toContain('The data plane does not answer (nobody listens)');
    rmSync(join(folder, 'away'));
    await until(() => commands().includes('addDestination'));
    uldirectord('user.cf', 'stop');
    await until(() => pidOf('user.cf') === null);
  });

  test('autoreload takes over a changed file', async () => {
    const head = 'checkinterval=1\nautoreload=yes\n';
    write(head + SERVICE);
    uldirectord('user.cf', 'start');
    write(head + SERVICE.replace('192.0.2.11', '192.0.2.19'));
    await until(() => log().includes('Added real server: 192.0.2.19:80'));
    expect(log()).toContain('has changed on disk');
    expect(log()).toContain(' - reread new configuration');
    uldirectord('user.cf', 'stop');
    await until(() => pidOf('user.cf') === null);
  });
});

describe('files', () => {
  test('a file that is nowhere is said', () => {
    expect(uldirectord('none.cf', 'start')).toEqual({
      status: 1,
      stdout: '',
      stderr: 'Config file none.cf not found\n',
    });
  });

  test('the first of three places counts', () => {
    for (const [place, name] of [
      ['user.cf', 'here'],
      ['ha.d/conf/user.cf', 'conf'],
      ['ha.d/user.cf', 'ha.d'],
    ]) {
      write(`${name}\n`, place);
      expect(uldirectord('user.cf', 'start').stderr).toContain(`reading file ${join(folder, place)} at line 2`);
    }
  });

  test('a stale pid file is told from a running daemon', () => {
    const path = write(SERVICE);
    const pidFile = join(folder, 'run/ldirectord.user.cf.pid');
    // A process that exists but is something else.
    writeFileSync(pidFile, '1\n');
    expect(uldirectord('user.cf', 'status')).toEqual({
      status: 1,
      stdout: `ldirectord is stopped for ${path}\n`,
      stderr: `ldirectord stale pid file ${pidFile} for ${path}\n`,
    });
    rmSync(pidFile);
  });

  test('refused examples end with the recorded status and text', () => {
    for (const name of ['60-duplicate-virtual', '50-blank-line-in-block', '89-crlf-yes-no']) {
      const path = join(folder, 'ha.d', `${name}.cf`);
      copyFileSync(join(EXAMPLES, `${name}.cf`), path);
      const recorded = JSON.parse(readFileSync(join(EXAMPLES, `${name}.json`), 'utf8'));
      const { status, stderr } = uldirectord(`${name}.cf`, 'start');
      expect(status).toBe(recorded.exit_status);
      expect(stderr.replace(/\[\d+\]/, '[<pid>]').replace(path, '<path>')).toBe(recorded.stderr);
    }
  });

  test('wrong words give the usage and 255', () => {
    expect(uldirectord().status).toBe(255);
    expect(uldirectord('-f', 'start').stderr).toContain('Usage: uldirectord');
    expect(uldirectord('--version').stdout).toContain('Linux Director v1.186-ha');
  });
});
