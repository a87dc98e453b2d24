/** The program as it is started by people: a daemon that stays behind, found again by its pid file. */
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Compiled } from '../health/compiled.ts';
import { compileProgram, Host } from './program-world.ts';

// Many processes, one after the other, on a machine that may have other things to do.
vi.setConfig({ testTimeout: 150_000 });

let compiled: Compiled;
let host: Host;
let folder: string;
const EXAMPLES = join(import.meta.dirname, 'examples');

beforeAll(() => {
  compiled = compileProgram('program');
});
afterAll(() => compiled.remove());

beforeEach(() => {
  host = new Host(compiled);
  folder = host.folder;
});
afterEach(() => host.remove());

const uldirectord = (...words: string[]) => host.run(...words);
const pidOf = (name: string) => host.pidOf(name);
const write = (lines: string, place?: string) => host.write(lines, place);
const until = (truth: () => boolean) => host.until(truth);
const log = () => host.log();
const commands = () => host.commands();
const SERVICE = 'virtual=192.0.2.1:80\n\treal=192.0.2.11:80 masq\n\tchecktype=on\n';

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
