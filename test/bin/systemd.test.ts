/**
 * The units under a real systemd: one that is process 1 of namespaces of its own and knows no units but ours. Whatever
 * it mounts, starts and sets is gone with it. Root only.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UNIT_NAMES, unitText } from '../../src/cli/systemd-units.ts';
import { nativeCallsWork } from '../../src/native/ffi.ts';
import { buildForProcesses } from '../support/built.ts';
import { temporaryDirectory } from '../support/served.ts';

const SYSTEMD = '/lib/systemd/systemd';
const WAIT = { timeout: 60_000, interval: 200 };
/** Seconds without a sign of life, so that the test need not wait for the thirty of the unit. */
const WATCHDOG_SECONDS = 3;

const directory = temporaryDirectory();
const units = join(directory, 'units');
const configuration = join(directory, 'user.cf');
const FILE = 'logfile="/run/log"\nvirtual=192.0.2.1:80\n\treal=127.0.0.1:1 masq\n\tchecktype=on\n';

/** Mounts what systemd wants to find; only then it is process 1. */
const BOOT = `mount --make-rprivate / && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/cache || exit 9
mkdir -p /run/lock
umount -R /sys/fs/cgroup; mount -t tmpfs tmpfs /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 9
ip link set lo up
export container=uipvs SYSTEMD_UNIT_PATH=${units}
exec ${SYSTEMD} --system --unit=try.target --show-status=no`;

let built = '';
let outer: ChildProcess;
let pid = 0;

const supported =
  process.getuid?.() === 0 &&
  existsSync(SYSTEMD) &&
  nativeCallsWork() &&
  spawnSync('unshare', ['-m', 'sh', '-c', 'mount --make-rprivate / && mount -t cgroup2 cgroup2 /mnt']).status === 0;

function inside(command: string): { code: number | null; stdout: string } {
  const words = ['-t', String(pid), '-m', '-p', '-n', '-C', '-u', '-i', 'sh', '-c', command];
  const { status, stdout } = spawnSync('nsenter', words, { encoding: 'utf8' });
  return { code: status, stdout };
}
const show = (unit: string, property: string) => inside(`systemctl show -P ${property} ${unit}`).stdout.trim();
const table = () => inside(`${process.execPath} ${built}/src/bin/uipvsadm.js -Ln`).stdout;

describe.skipIf(!supported)('under systemd (needs root, systemd, cgroup2 and koffi)', () => {
  beforeAll(async () => {
    built = buildForProcesses();
    mkdirSync(units);
    writeFileSync(configuration, FILE);
    const places = { node: process.execPath, programs: join(built, 'src/bin'), configuration, notifiesItself: true };
    for (const name of UNIT_NAMES) {
      const text = unitText(name, places).replace(/^WatchdogSec=\d+$/m, `WatchdogSec=${WATCHDOG_SECONDS}`);
      writeFileSync(join(units, name), text);
    }
    for (const name of ['sysinit', 'basic', 'shutdown', 'network', 'network-online', 'multi-user', 'umount']) {
      writeFileSync(join(units, `${name}.target`), '[Unit]\nDefaultDependencies=no\n');
    }
    writeFileSync(
      join(units, 'try.target'),
      '[Unit]\nDefaultDependencies=no\nWants=uipvsd.service uldirectord.service\n',
    );
    const namespaces = [
      '--fork',
      '--pid',
      '--kill-child',
      '--mount',
      '--mount-proc',
      '--net',
      '--ipc',
      '--uts',
      '--cgroup',
    ];
    outer = spawn('unshare', [...namespaces, 'sh', '-c', BOOT], { stdio: 'ignore' });
    await until(() => (pid = childOf(outer.pid!)) > 0);
    await until(() => show('uldirectord', 'ActiveState') === 'active');
  }, 180_000);
  afterAll(() => {
    outer?.kill('SIGKILL');
  });

  test('both are ready, and say what they do', () => {
    expect(show('uipvsd', 'ActiveState')).toBe('active');
    expect(show('uipvsd', 'StatusText')).toBe('packet-mmsg, links lo');
    expect(show('uldirectord', 'StatusText')).toBe('1 virtual service with 1 real server');
    expect(table()).toMatch(/127\.0\.0\.1:1 +Masq +1 /);
  });

  test('a reload takes over a good file, and fails with a broken one, whose forerunner stays', {
    timeout: 90_000,
  }, async () => {
    writeFileSync(configuration, FILE.replace('masq', 'masq 7'));
    expect(inside('systemctl reload uldirectord').code).toBe(0);
    await expect.poll(table, WAIT).toMatch(/127\.0\.0\.1:1 +Masq +7 /);
    writeFileSync(configuration, `${FILE}cheese=1\n`);
    expect(inside('systemctl reload uldirectord').code).not.toBe(0);
    expect(show('uldirectord', 'ActiveState')).toBe('active');
    expect(table()).toMatch(/127\.0\.0\.1:1 +Masq +7 /);
    writeFileSync(configuration, FILE);
  });

  test.each(['uipvsd', 'uldirectord'])('a %s that hangs is started again', { timeout: 150_000 }, async (unit) => {
    const before = Number(show(unit, 'NRestarts'));
    inside(`kill -STOP ${show(unit, 'MainPID')}`);
    await expect.poll(() => Number(show(unit, 'NRestarts')), WAIT).toBeGreaterThan(before);
    await expect.poll(() => show(unit, 'ActiveState'), WAIT).toBe('active');
    // Whoever was started again, the table is filled again; the director that went on has the file of before in mind.
    await expect.poll(table, WAIT).toMatch(/127\.0\.0\.1:1 +Masq +[17] /);
  });

  test('what they set up is gone when they are stopped', { timeout: 90_000 }, () => {
    expect(inside('systemctl stop uldirectord uipvsd').code).toBe(0);
    for (const unit of ['uipvsd', 'uldirectord']) {
      expect(show(unit, 'ActiveState')).toBe('inactive');
      expect(show(unit, 'Result')).toBe('success');
    }
    expect(inside('ls /run/uipvs; ls -d /run/ldirectord*; nft list ruleset').stdout).toBe('');
    expect(inside('ip -o link | wc -l').stdout.trim()).toBe('1');
  });
});

async function until(truth: () => boolean): Promise<void> {
  const endMs = Date.now() + WAIT.timeout;
  while (!truth()) {
    if (Date.now() > endMs) throw new Error(`waited in vain: ${inside('systemctl --no-pager -l status').stdout}`);
    await new Promise((resolve) => setTimeout(resolve, WAIT.interval));
  }
}

/** The systemd that this `unshare` has become the parent of, or 0. */
function childOf(parent: number): number {
  const child = Number(
    execFileSync('cat', [`/proc/${parent}/task/${parent}/children`], { encoding: 'utf8' }).split(' ')[0],
  );
  if (!(child > 0)) return 0;
  return readFileSync(`/proc/${child}/cmdline`, 'utf8').startsWith(SYSTEMD) ? child : 0;
}
