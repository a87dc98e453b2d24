import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { applyStartSettings } from '../../src/cli/start-settings.ts';
import { readSystemFiles, settingsOf } from '../../src/cli/sysctl-files.ts';
import { FakeDataPlane } from '../support/fake-data-plane.ts';

const one = (text: string) => settingsOf([{ path: '/etc/sysctl.conf', text }]);

describe('lines of a file', () => {
  test.each([
    ['net.ipv4.vs.conntrack=1', '1'],
    ['  net.ipv4.vs.conntrack  =  1  ', '1'],
    ['net/ipv4/vs/conntrack = 1', '1'],
    ['-net.ipv4.vs.conntrack = 1', '1'],
    ['net.ipv4.vs.conntrack = 0x1', '0x1'],
  ])('%s', (line, value) => {
    expect(one(line)).toEqual({
      settings: [{ setting: 'conntrack', value, place: '/etc/sysctl.conf:1' }],
      complaints: [],
    });
  });

  test('comments, other settings and what is no line are passed over', () => {
    const text =
      '# net.ipv4.vs.conntrack=1\n; net.ipv4.vs.conntrack=1\nnet.ipv4.ip_forward=1\n\nnonsense\nnet.ipv4.vs.conntrack\n';
    expect(one(text)).toEqual({ settings: [], complaints: [] });
  });

  test('an unknown setting is named with its place', () => {
    expect(one('\nnet.ipv4.vs.contrack=1').complaints).toEqual([
      '/etc/sysctl.conf:2: there is no setting net.ipv4.vs.contrack',
    ]);
  });

  test('the last line wins, in its place', () => {
    const { settings } = one('net.ipv4.vs.conntrack=1\nnet.ipv4.vs.sync_ports=2\nnet.ipv4.vs.conntrack=0');
    expect(settings.map(({ setting, value }) => [setting, value])).toEqual([
      ['sync_ports', '2'],
      ['conntrack', '0'],
    ]);
  });
});

describe('all files of a host', () => {
  let root = '';
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'uisysctl-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const conntrack = () => {
    const found = readSystemFiles(root).settings.find(({ setting }) => setting === 'conntrack');
    return found === undefined ? null : `${found.value} ${found.place}`;
  };

  test('without any there are no settings', () => {
    expect(readSystemFiles(root)).toEqual({ settings: [], complaints: [] });
  });

  test('files count by their names, whatever folder they lie in; /etc/sysctl.conf is the last', () => {
    write('usr/lib/sysctl.d/90-late.conf', 'net.ipv4.vs.conntrack=3');
    write('etc/sysctl.d/10-early.conf', 'net.ipv4.vs.conntrack=2');
    write('etc/sysctl.d/99-other.txt', 'net.ipv4.vs.conntrack=9');
    expect(conntrack()).toBe('3 /usr/lib/sysctl.d/90-late.conf:1');
    write('etc/sysctl.conf', 'net.ipv4.vs.conntrack=4');
    expect(conntrack()).toBe('4 /etc/sysctl.conf:1');
  });

  test('a file hides those of its name in later folders, also when it is a link to nothing', () => {
    write('lib/sysctl.d/lvs.conf', 'net.ipv4.vs.conntrack=1');
    write('usr/lib/sysctl.d/lvs.conf', 'net.ipv4.vs.conntrack=2');
    write('run/sysctl.d/lvs.conf', 'net.ipv4.vs.conntrack=3');
    expect(conntrack()).toBe('3 /run/sysctl.d/lvs.conf:1');
    mkdirSync(join(root, 'etc/sysctl.d'), { recursive: true });
    symlinkSync('/dev/null', join(root, 'etc/sysctl.d/lvs.conf'));
    expect(conntrack()).toBeNull();
  });

  test('Debian’s link 99-sysctl.conf is /etc/sysctl.conf, and read once', () => {
    write('etc/sysctl.conf', 'net.ipv4.vs.contrack=1');
    mkdirSync(join(root, 'etc/sysctl.d'), { recursive: true });
    symlinkSync('../sysctl.conf', join(root, 'etc/sysctl.d/99-sysctl.conf'));
    expect(readSystemFiles(root).complaints).toHaveLength(1);
  });
});

describe('what a daemon starts with', () => {
  const start = async (typed: readonly string[], text: string) => {
    const said: string[] = [];
    const plane = new FakeDataPlane();
    const line = (message: string) => said.push(message);
    const logger = { debug: line, info: line, warn: line, error: line };
    const applied = await applyStartSettings(plane, typed, logger, one(text));
    const { value } = await plane.execute<'getSetting'>({ name: 'getSetting', setting: 'conntrack' });
    return { applied, said, value };
  };

  test('files, and the words of the command line above them', async () => {
    expect(await start([], 'net.ipv4.vs.conntrack=1')).toEqual({
      applied: ['conntrack=1 (/etc/sysctl.conf:1)'],
      said: ['net.ipv4.vs.conntrack = 1, as /etc/sysctl.conf:1 says'],
      value: '1',
    });
    expect((await start(['net.ipv4.vs.conntrack=0'], 'net.ipv4.vs.conntrack=1')).value).toBe('0');
  });

  test('a bad line of a file is told and passed over; a bad word on the command line ends it', async () => {
    const { applied, said } = await start([], 'net.ipv4.vs.conntrack=yes');
    expect(applied).toEqual([]);
    expect(said).toEqual(['/etc/sysctl.conf:1: conntrack must be a whole number, not "yes"']);
    await expect(start(['contrack=1'], '')).rejects.toThrow(/did you mean net.ipv4.vs.conntrack\?/);
    await expect(start(['conntrack'], '')).rejects.toThrow('--sysctl conntrack must be of the form name=value');
  });
});
