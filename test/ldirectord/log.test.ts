import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { sendDatagram } from '../../src/bin/datagram.ts';
import { parseArguments } from '../../src/ldirectord/arguments.ts';
import { parseConfiguration } from '../../src/ldirectord/config.ts';
import { formatLogLine, formatPlainLine, formatSyslog, openLog } from '../../src/ldirectord/log.ts';
import { MaintenanceDirectory } from '../../src/ldirectord/maintenance.ts';
import { formatMonitorLine } from '../../src/ldirectord/monitor-file.ts';
import { nativeCallsWork } from '../../src/native/ffi.ts';
import { DatagramReceiver } from '../support/datagram-receiver.ts';

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

describe('syslog', () => {
  test('gets datagrams as syslog(3) writes them', () => {
    const sent: string[] = [];
    const sendDatagram = (path: string, text: string): boolean => sent.push(`${path} ${text}`) > 0;
    const complain = (text: string) => expect.fail(text);
    openLog('local3', 'a.cf', { complain, sendDatagram, syslogSocket: '/dev/log' })('Added virtual\nserver');
    expect(sent[0]).toMatch(/^\/dev\/log <158>\w{3} [ \d]\d \d\d:\d\d:\d\d ldirectord\[\d+\]: Added virtual server$/);
  });

  test.each([
    ['kern', 6],
    ['daemon', 30],
    ['authpriv', 86],
    ['local7', 190],
    ['nonsense', 30],
  ])('facility %s at level info is number %i', (facility, number) => {
    const sent: string[] = [];
    const places = { complain: () => {}, sendDatagram: (_: string, text: string) => sent.push(text) > 0 };
    openLog(facility, 'a.cf', places)('x');
    expect(sent[0]).toMatch(new RegExp(`^<${number}>`));
    expect(formatSyslog(DATE, 'daemon', 'x')).toBe(`<30>Nov  3 02:50:12 ldirectord[${process.pid}]: x`);
  });

  test.skipIf(!nativeCallsWork())('listens at a real socket, and may go away for a while (needs koffi)', () => {
    const complaints: string[] = [];
    const socket = join(folder, 'syslog');
    const places = { complain: (text: string) => complaints.push(text), sendDatagram, syslogSocket: socket };
    const log = openLog('local0', 'a.cf', places);
    log('lost');
    log('lost too');
    expect(complaints).toEqual([expect.stringContaining('unable to log to syslog')]);
    const receiver = new DatagramReceiver(socket);
    log('heard');
    expect(receiver.received()).toEqual([expect.stringMatching(/^<134>.*: heard$/)]);
    receiver.close();
    log('lost again');
    expect(complaints).toHaveLength(2);
  });

  test('is reached through logger where no datagram can be sent', async () => {
    const logger = join(folder, 'logger');
    writeFileSync(logger, `#!/bin/sh\necho "$@" > ${folder}/logged; cat >> ${folder}/logged\n`, { mode: 0o755 });
    vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`);
    const log = openLog('local3', 'a.cf', { complain: () => {}, sendDatagram: () => false });
    log('one');
    log('two');
    log.close();
    const logged = () => (existsSync(join(folder, 'logged')) ? readFileSync(join(folder, 'logged'), 'utf8') : '');
    await expect.poll(logged, { timeout: 10_000 }).toBe(`-p local3.info -t ldirectord[${process.pid}]\none\ntwo\n`);
    vi.unstubAllEnvs();
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
      let nowMs = 0;
      const directory = new MaintenanceDirectory(
        own,
        () => nowMs,
        async () => 'web1.example.com',
      );
      directory.holds(server);
      await new Promise((resolve) => setImmediate(resolve));
      expect(directory.holds(server)).toBe(false);
      writeFileSync(join(own, file), '');
      // It is not read for every server again.
      expect(directory.holds(server)).toBe(false);
      nowMs += 500;
      expect(directory.holds(server)).toBe(true);
      expect(directory.holds({ ...server, port: 81 })).toBe(!file.includes(':'));
    },
  );

  test('a directory that is not there holds nobody', () => {
    expect(existsSync(join(folder, 'none'))).toBe(false);
    expect(
      new MaintenanceDirectory(
        join(folder, 'none'),
        () => 0,
        async () => null,
      ).holds(server),
    ).toBe(false);
  });
});

describe('command line', () => {
  test.each([
    [['start'], { action: 'start', configuration: 'ldirectord.cf', name: 'ldirectord', debug: false }],
    [['user.cf', 'stop'], { action: 'stop', configuration: 'user.cf', name: 'user.cf' }],
    [['-d', '/tmp/a/user.cf', 'start', 'more'], { debug: true, configuration: '/tmp/a/user.cf', name: 'user.cf' }],
    [['--', 'x', 'force-reload'], { action: 'force-reload' }],
    [['--foreground', 'start'], { foreground: true }],
    [['check'], { action: 'check', configuration: 'ldirectord.cf', json: false }],
    [['user.cf', 'check', '--json'], { action: 'check', configuration: 'user.cf', json: true }],
    [['--json', 'user.cf', 'check'], { action: 'check', configuration: 'user.cf', json: true }],
    [['check', 'user.cf'], { action: 'check', configuration: 'user.cf' }],
    [['check', 'start'], { action: 'start', configuration: 'check' }],
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
