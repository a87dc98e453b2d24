import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parseArguments } from '../../src/ldirectord/arguments.ts';
import { parseConfiguration } from '../../src/ldirectord/config.ts';
import { formatLogLine, formatPlainLine, openLog } from '../../src/ldirectord/log.ts';
import { MaintenanceDirectory } from '../../src/ldirectord/maintenance.ts';
import { formatMonitorLine } from '../../src/ldirectord/monitor-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'uild-'));
afterAll(() => rmSync(folder, { recursive: true }));
const DATE = new Date(2026, 10, 3, 2, 50, 12);

describe('log lines', () => {
  test('have date, name and process, the day padded with a blank', () => {
    expect(formatLogLine(DATE, 'user.cf', 1234, 'Added virtual server: 192.0.2.1:80')).toBe(
      '[Tue Nov  3 02:50:12 2026|user.cf|1234] Added virtual server: 192.0.2.1:80',
    );
    expect(formatPlainLine(DATE, 'x')).toBe('[Tue Nov  3 02:50:12 2026] x');
  });

  test('go to a file that may be rotated in between', () => {
    const path = join(folder, 'a.log');
    const log = openLog(path, 'a.cf', { complain: () => {} });
    log('one');
    renameSync(path, `${path}.1`);
    log('two');
    expect(readFileSync(`${path}.1`, 'utf8')).toMatch(/^\[.*\|a\.cf\|\d+\] one\n$/);
    expect(readFileSync(path, 'utf8')).toMatch(/\] two\n$/);
  });

  test('that cannot be written are complained about once', () => {
    const complaints: string[] = [];
    const log = openLog(join(folder, 'missing/a.log'), 'a.cf', { complain: (text) => complaints.push(text) });
    log('one');
    log('two');
    expect(complaints).toHaveLength(1);
  });
});

describe('monitor file', () => {
  const line = async (lines: string, healthy: boolean, message: string) => {
    const { virtuals } = await parseConfiguration(`virtual=10.0.0.1:80\n\treal=192.168.1.13:80 masq\n${lines}`);
    return formatMonitorLine(DATE, 5756, virtuals[0], virtuals[0].real[0], { healthy, message });
  };

  test('says which check of whom came out how', async () => {
    const lines = '\tvirtualhost=www.example.com\n\trequest="index.html"\n\treceive="Test Page"\n';
    expect(await line(lines, false, '404 Not Found')).toBe(
      '[Tue Nov  3 02:50:12 2026] [5756] negotiate http tcp 192.168.1.13 80 www.example.com 1 masq /index.html Test Page ' +
        '[down] 404 Not Found',
    );
  });

  test('stays one line whatever a server answers', async () => {
    expect(await line('', false, 'a|b\r\n100%')).toMatch(/\[down\] a%7cb%0d%0a100%25$/);
    expect(await line('', true, '')).toMatch(/\[up\] -$/);
  });

  test('is silent about failed pings and checks that are none', async () => {
    expect(await line('\tchecktype=ping\n', false, 'no echo reply')).toBeNull();
    expect(await line('\tchecktype=ping\n', true, '')).not.toBeNull();
    expect(await line('\tchecktype=on\n', true, '')).toBeNull();
  });
});

describe('maintenance', () => {
  const server = {
    line: 1,
    address: '192.0.2.11',
    port: 80,
    forward: 'masq',
    weight: 1,
    request: null,
    receive: null,
    lowerThreshold: 0,
    upperThreshold: 0,
  } as const;

  test.each(['192.0.2.11', '192.0.2.11:80', 'web1.example.com', 'web1.example.com:80', 'web1', 'web1:80'])(
    'a file %s takes the server out of service',
    async (file) => {
      const own = mkdtempSync(join(folder, 'm-'));
      const directory = new MaintenanceDirectory(own, async () => 'web1.example.com');
      directory.holds(server);
      await new Promise((resolve) => setImmediate(resolve));
      expect(directory.holds(server)).toBe(false);
      writeFileSync(join(own, file), '');
      expect(directory.holds(server)).toBe(true);
      expect(directory.holds({ ...server, port: 81 })).toBe(!file.includes(':'));
    },
  );

  test('a directory that is not there holds nobody', () => {
    expect(existsSync(join(folder, 'none'))).toBe(false);
    expect(new MaintenanceDirectory(join(folder, 'none'), async () => null).holds(server)).toBe(false);
  });
});

describe('command line', () => {
  test.each([
    [['start'], { action: 'start', configuration: 'ldirectord.cf', name: 'ldirectord', debug: false }],
    [['user.cf', 'stop'], { action: 'stop', configuration: 'user.cf', name: 'user.cf' }],
    [['-d', '/tmp/a/user.cf', 'start', 'more'], { debug: true, configuration: '/tmp/a/user.cf', name: 'user.cf' }],
    [['--', 'x', 'force-reload'], { action: 'force-reload' }],
    [['--foreground', 'start'], { foreground: true }],
  ])('%j', (words, expected) => {
    expect(parseArguments(words)).toMatchObject(expected);
  });

  test.each([
    [[], 'usage'],
    [['walk'], 'usage'],
    [['-x', 'start'], 'usage'],
    [['--deb', 'start'], 'usage'],
    [['user.cf', 'status', 'start'], { action: 'status' }],
    [['-dv', 'start'], 'version'],
    [['-?'], 'help'],
  ])('%j', (words, expected) => {
    if (typeof expected === 'string') expect(parseArguments(words)).toBe(expected);
    else expect(parseArguments(words)).toMatchObject(expected);
  });
});
