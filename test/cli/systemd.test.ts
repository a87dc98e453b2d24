import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Cli } from '../../src/cli/cli.ts';
import { runUipvs } from '../../src/cli/run.ts';
import { UNIT_NAMES, type UnitPlaces, unitText } from '../../src/cli/systemd-units.ts';
import { temporaryDirectory } from '../support/served.ts';

const ANALYZE = '/usr/bin/systemd-analyze';
const UNITS = [...UNIT_NAMES];

let root: string;
let units: string;
let programs: string;
let notifiesItself: boolean;
beforeEach(() => {
  root = temporaryDirectory();
  units = join(root, 'units');
  programs = join(root, 'dist/bin');
  notifiesItself = true;
  mkdirSync(programs, { recursive: true });
  for (const name of ['uipvsd', 'uldirectord']) writeFileSync(join(programs, `${name}.js`), '', { mode: 0o755 });
});

async function systemd(...words: string[]) {
  let stdout = '';
  let stderr = '';
  const nobody = (): Promise<never> => Promise.reject(new Error('nobody asks for it here'));
  const cli: Cli = {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    terminal: null,
    pause: async () => false,
    installation: {
      programs,
      linkDirectory: root,
      alternatives: null,
      standardPath: [],
      notifiesItself: async () => notifiesItself,
    },
    connect: nobody,
    backEnds: nobody,
    guard: nobody,
  };
  const code = await runUipvs(['systemd', ...words], cli, []);
  return { code, stdout, stderr };
}

const install = (...words: string[]) => systemd('--install', '--directory', units, ...words);
const undo = (...words: string[]) => systemd('--undo', '--directory', units, ...words);

describe('the units', () => {
  const places: UnitPlaces = { node: '/usr/bin/node', programs: '/opt/u', configuration: null, notifiesItself: true };

  test('start our programs in the foreground, with the daemon before the director', () => {
    const uipvsd = unitText('uipvsd.service', places);
    expect(uipvsd).toContain('\nExecStart=/usr/bin/node /opt/u/uipvsd.js $UIPVSD_OPTIONS\n');
    const director = unitText('uldirectord.service', { ...places, configuration: '/etc/my file.cf' });
    expect(director).toContain(
      '\nExecStart=/usr/bin/node /opt/u/uldirectord.js --foreground "/etc/my file.cf" start\n',
    );
    expect(director).toContain('\nExecReload=/usr/bin/node /opt/u/uldirectord.js "/etc/my file.cf" reload\n');
    expect(director).toContain('\nAfter=uipvsd.service ');
    for (const text of [uipvsd, director]) {
      expect(text).toContain('\nType=notify\n');
      expect(text).toMatch(/^WatchdogSec=\d+$/m);
    }
  });

  test('leave only the powers that each needs', () => {
    const capabilities = (text: string) => /^CapabilityBoundingSet=(.*)$/m.exec(text)?.[1];
    expect(capabilities(unitText('uipvsd.service', places))).toBe(
      'CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_BPF',
    );
    expect(capabilities(unitText('uldirectord.service', places))).toBe('CAP_NET_RAW');
  });

  test('see programs below a home directory, and hide those directories otherwise', () => {
    expect(unitText('uipvsd.service', places)).toContain('\nProtectHome=yes\n');
    const mine = { ...places, programs: '/home/ann/uipvs/dist/bin' };
    expect(unitText('uipvsd.service', mine)).toContain('\nProtectHome=read-only\n');
    expect(unitText('uipvsd.service', { ...places, programs: '/tmp/x' })).toContain('\nPrivateTmp=no\n');
  });

  test('take the words of systemd-notify where the daemons cannot speak', () => {
    expect(unitText('uipvsd.service', places)).toContain('\nNotifyAccess=main\n');
    expect(unitText('uipvsd.service', { ...places, notifiesItself: false })).toContain('\nNotifyAccess=all\n');
  });

  test.each([
    ['/a b/node', '"/a b/node"'],
    ['/a%b/node', '/a%%b/node'],
    ['/a$b/node', '/a$$b/node'],
    ['/a"b/node', '"/a\\"b/node"'],
  ])('name the program %s so that systemd reads it', (node, written) => {
    expect(unitText('uipvsd.service', { ...places, node })).toContain(`ExecStart=${written} `);
  });
});

describe('uipvs systemd', () => {
  test('prints them, one or both, and the example of sysctl', async () => {
    const both = await systemd();
    expect(both).toMatchObject({ code: 0, stderr: '' });
    for (const name of UNITS) expect(both.stdout).toContain(`# ${name}\n[Unit]\n`);
    const { stdout } = await systemd('uldirectord');
    expect(stdout).toMatch(/^\[Unit\]\nDescription=uipvs: checks/);
    expect((await systemd('sysctl')).stdout).toContain('\nnet.ipv4.ip_forward = 1\n');
    expect((await systemd('sysctl')).stdout).not.toContain('[Unit]');
    expect(existsSync(units)).toBe(false);
  });

  test('--install writes them once, --undo removes them', async () => {
    const { code, stdout, stderr } = await install();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(
      `write ${units}/uipvsd.service\nwrite ${units}/uldirectord.service\n` +
        'now type: systemctl daemon-reload && systemctl enable --now uipvsd uldirectord\n',
    );
    expect(readdirSync(units).sort()).toEqual(UNITS);
    expect((await install()).stdout.match(/ is up to date$/gm)).toHaveLength(2);
    // A newer one takes the place of an older one of ours.
    expect((await install('--configuration', '/etc/other.cf')).stdout).toContain(`write ${units}/uldirectord.service`);
    expect(readFileSync(join(units, 'uldirectord.service'), 'utf8')).toContain('/etc/other.cf start');
    expect((await undo()).code).toBe(0);
    expect(readdirSync(units)).toEqual([]);
    expect((await undo()).stdout.match(/^there is no /gm)).toHaveLength(2);
  });

  test('leaves a file of somebody else alone, and then changes nothing', async () => {
    mkdirSync(units);
    writeFileSync(join(units, 'uldirectord.service'), '[Unit]\n');
    const refused = await install();
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(`${units}/uldirectord.service was written or changed by somebody else`);
    expect(readdirSync(units)).toEqual(['uldirectord.service']);
    expect((await undo()).code).toBe(1);
    expect((await undo('uipvsd')).code).toBe(0);
    expect(readdirSync(units)).toEqual(['uldirectord.service']);
  });

  test('leaves a file of ours alone that was changed since', async () => {
    await install('uipvsd');
    appendFileSync(join(units, 'uipvsd.service'), '# mine\n');
    expect((await install()).code).toBe(1);
    expect((await undo()).code).toBe(1);
    expect(readFileSync(join(units, 'uipvsd.service'), 'utf8')).toContain('# mine');
  });

  test('--dry-run changes nothing', async () => {
    expect((await install('--dry-run')).stdout).toBe(
      `would write ${units}/uipvsd.service\nwould write ${units}/uldirectord.service\n`,
    );
    expect(existsSync(units)).toBe(false);
  });

  test.each([
    [['nothing'], 'there is no unit nothing'],
    [['--install', '--undo'], 'not both'],
    [['--install', 'sysctl'], 'sysctl is an example'],
  ])('%j is not understood', async (words, sentence) => {
    const { code, stderr } = await systemd(...words);
    expect(code).toBe(2);
    expect(stderr).toContain(sentence);
  });
});

describe.skipIf(!existsSync(ANALYZE))('systemd itself (needs systemd-analyze)', () => {
  test('finds nothing wrong with them', async () => {
    await install();
    for (const name of UNITS) {
      // Pages may be installed or not; warnings about units of this host are none of ours.
      const { stderr } = spawnSync(ANALYZE, ['verify', '--man=no', join(units, name)], { encoding: 'utf8' });
      expect(stderr.split('\n').filter((line) => line.includes(root) || line.startsWith(name))).toEqual([]);
    }
  });

  test('would notice a setting that there is none of', async () => {
    await install('uipvsd');
    appendFileSync(join(units, 'uipvsd.service'), '[Service]\nProtectEverything=yes\n');
    const words = ['verify', '--man=no', join(units, 'uipvsd.service')];
    expect(spawnSync(ANALYZE, words, { encoding: 'utf8' }).stderr).toContain('ProtectEverything');
  });

  test('rates how much of the host each can reach as low', async () => {
    mkdirSync(units);
    for (const name of UNITS) {
      const text = unitText(name, { node: '/bin/sh', programs: '/opt', configuration: null, notifiesItself: true });
      writeFileSync(join(units, name), text);
      const words = ['security', '--offline=true', '--threshold=30', '--no-pager', join(units, name)];
      // It ends with 1 when the exposure is above 3.0 of 10.
      expect(execFileSync(ANALYZE, words, { encoding: 'utf8' })).toMatch(/Overall exposure level for .*: [012]\.\d OK/);
    }
  });
});
