/** Words: how options are cut out of a command line, and what people type for addresses and numbers. */
import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  formatIpv6,
  parseDottedIpv4,
  parseEndpoint,
  parseIpv6,
  parseLenientIpv4,
  parseMulticastGroup,
  parseNumber,
} from '../../src/ipvsadm/addresses.ts';
import { parseArguments } from '../../src/ipvsadm/arguments.ts';
import type { Request } from '../../src/ipvsadm/request.ts';
import { OptionScanner } from '../../src/ipvsadm/scanner.ts';
import { run, TEST_NAMES } from './run.ts';
import { TestTable } from './table.ts';

function scan(...words: string[]): { options: string[]; leftOver: string[] } {
  const scanner = new OptionScanner(words);
  const options: string[] = [];
  for (let option = scanner.next(); option !== null; option = scanner.next()) {
    const name = option.kind.long ?? option.kind.short;
    options.push(option.value === null ? `${name}` : `${name}=${option.value}`);
  }
  return { options, leftOver: scanner.leftOver };
}

function understand(text: string): Promise<Request> {
  return parseArguments(text.split(' '), { programName: 'ipvsadm', names: TEST_NAMES });
}

describe('cutting words into options', () => {
  test('letters may be bundled, the last one with its value', () => {
    expect(scan('-Lnc')).toEqual({ options: ['list', 'numeric', 'connection'], leftOver: [] });
    expect(scan('-af5', '-mw', '3')).toEqual({
      options: ['add-server', 'fwmark-service=5', 'masquerading', 'weight=3'],
      leftOver: [],
    });
  });

  test('an equals sign may stand before a value', () => {
    expect(scan('-s=rr', '-t=[::1]:80', '--pe=sip').options).toEqual([
      'scheduler=rr',
      'tcp-service=[::1]:80',
      'pe=sip',
    ]);
  });

  test('a value is the next word whatever it looks like, except for -p', () => {
    expect(scan('-A', '-t', '-s', '-p', '-o').options).toEqual(['add-service', 'tcp-service=-s', 'persistent', 'ops']);
    expect(scan('-p', '60', '-p').options).toEqual(['persistent=60', 'persistent']);
  });

  test('a lone dash and everything behind -- is left over', () => {
    expect(scan('-L', '-', 'x', '--', '-n')).toEqual({ options: ['list'], leftOver: ['-', 'x', '-n'] });
  });

  test.each([
    ['--nume', 'unknown option'],
    ['--', null],
    ['-L=', 'option does not take an argument'],
    ['--list=', 'option does not take an argument'],
    ['-Ls', 'missing argument'],
    ['-Lé', 'unknown option'],
    ['--=', 'unknown option'],
  ])('%s: %s', (word, reason) => {
    const attempt = () => scan(word);
    if (reason === null) expect(attempt()).toEqual({ options: [], leftOver: [] });
    else expect(attempt).toThrow(`${word}: ${reason}`);
  });
});

describe('what a command line becomes', () => {
  test('a service with everything set', async () => {
    const words = '-A -u 10.0.0.53:domain -s sh -b sh-port -p 300 -M 255.255.255.0 --pe sip -o';
    expect(await understand(words)).toEqual({
      kind: 'change',
      word: 'add-service',
      command: {
        name: 'addService',
        service: {
          key: { protocol: 'udp', address: '10.0.0.53', port: 53 },
          scheduler: 'sh',
          schedulerFlags: [2],
          persistenceTimeoutSeconds: 300,
          netmask: '255.255.255.0',
          persistenceEngine: 'sip',
          onePacket: true,
        },
      },
    });
  });

  test('a tunnelled real server of the other family behind a mark', async () => {
    const words = '-e -f 7 -r [2001:DB8:0::5]:80 -i --tun-type gue --tun-port 6080 --tun-remcsum -w 5 -x 9 -y 8';
    expect(await understand(words)).toEqual({
      kind: 'change',
      word: 'edit-server',
      command: {
        name: 'editDestination',
        service: { mark: 7, family: 'ipv4' },
        destination: {
          address: '2001:db8::5',
          port: 80,
          method: 'tunnel',
          weight: 5,
          upperThreshold: 9,
          lowerThreshold: 8,
          tunnel: { type: 'gue', port: 6080, checksum: 'remote' },
        },
      },
    });
  });

  test('a sync daemon with its defaults', async () => {
    expect(await understand('--start-daemon backup')).toMatchObject({
      command: {
        name: 'startSyncDaemon',
        daemon: { role: 'backup', interface: 'eth0', syncId: 0, maxLength: 0, group: '224.0.0.81', port: 8848, ttl: 1 },
      },
    });
  });

  test('stray words before the command are found at the end', async () => {
    expect(await run(new TestTable(), ['foo', '-L'])).toEqual({
      exit: 2,
      stdout: '',
      stderr: 'unexpected argument foo\n',
    });
    expect((await run(new TestTable(), ['foo', '-L', '-Z'])).stderr).toBe("invalid option `-Z'\n");
  });

  test('a list of no scheduler flag is a wrong one, not a crash', async () => {
    await expect(understand('-A -t 10.0.0.1:80 -b ,')).rejects.toThrow("invalid scheduler flag `,'");
  });
});

describe('addresses and numbers', () => {
  test.each([
    ['1.2.3.4', 0x01020304],
    ['192.0.2', 0xc0000002],
    ['127.1', 0x7f000001],
    ['0x7f000001', 0x7f000001],
    ['0177.0.0.01', 0x7f000001],
    ['4294967295', 0xffffffff],
    ['10.0.0.1 and more', 0x0a000001],
  ])('%s is an IPv4 address', (text, word) => expect(parseLenientIpv4(text)).toBe(word));

  test.each([
    '',
    '1.2.3.4.5',
    '256.1.1.1',
    '1.2.65536',
    '4294967296',
    '08',
    '0x',
    '1..2',
    '1.2.3.',
    '-1',
    'a',
    ' 1.2.3.4',
  ])('%j is no IPv4 address', (text) => expect(parseLenientIpv4(text)).toBeNull());

  test('IPv6 text is read and written as the system does it', () => {
    expect(parseIpv6('2001:DB8:0:0:1::1')).toEqual([0x2001, 0xdb8, 0, 0, 1, 0, 0, 1]);
    expect(formatIpv6(parseIpv6('::ffff:1.2.3.4')!)).toBe('::ffff:1.2.3.4');
    expect(formatIpv6(parseIpv6('1:0:0:2:0:0:0:3')!)).toBe('1:0:0:2::3');
    expect(formatIpv6(parseIpv6('1:0:2:3:4:5:6:7')!)).toBe('1:0:2:3:4:5:6:7');
    expect(formatIpv6([0, 0, 0, 0, 0, 0, 0, 0])).toBe('::');
    expect(formatIpv6([1, 0, 0, 0, 0, 0, 0, 0])).toBe('1::');
  });

  test('any IPv6 address survives writing and reading', () => {
    const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }));
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        const text = formatIpv6(groups);
        expect(isIP(text)).toBe(6);
        expect(parseIpv6(text)).toEqual(groups);
      }),
    );
  });

  test('what Node takes for an IP address, and nothing else, is one', () => {
    const letters = fc.constantFrom(...'0123456789abcf:::....%g'.split(''));
    fc.assert(
      fc.property(fc.string({ unit: letters, maxLength: 24 }), (text) => {
        fc.pre(!text.includes('%'));
        expect(parseIpv6(text) !== null).toBe(isIP(text) === 6);
        expect(parseDottedIpv4(text) !== null).toBe(isIP(text) === 4);
      }),
      { numRuns: 5_000 },
    );
  });

  test.each([
    ['localhost:http', { family: 'ipv4', address: '127.0.0.1', port: 80 }],
    ['[127.0.0.1]:80', { family: 'ipv4', address: '127.0.0.1', port: null }],
    ['2001:db8::7:80', { family: 'ipv6', address: '2001:db8::7:80', port: null }],
    ['[::1]:http', { family: 'ipv6', address: '::1', port: 80 }],
    ['10.0.0.1:+010', { family: 'ipv4', address: '10.0.0.1', port: 10 }],
    ['[fe80::1%lo]:80', null],
    ['[::1]:', null],
    ['[::1]80', null],
    ['ip6-localhost:80', null],
    ['', null],
  ])('%s', async (text, endpoint) => expect(await parseEndpoint(text, 'tcp', TEST_NAMES)).toEqual(endpoint));

  test('numbers are whole decimal words', () => {
    expect(['7', '+7', ' 7', '007', '-0'].map((text) => parseNumber(text, 0, 9))).toEqual([7, 7, 7, 7, 0]);
    for (const text of ['', '7 ', '0x7', '7k', '1.5', '--7', '-1', '10']) expect(parseNumber(text, 0, 9)).toBeNull();
  });

  test('groups are multicast addresses', () => {
    expect(parseMulticastGroup('239.1.2.3')).toBe('239.1.2.3');
    expect(parseMulticastGroup('FF02::0:81')).toBe('ff02::81');
    for (const text of ['240.0.0.1', '10.0.0.1', '224.1', 'fe80::1', 'x:'])
      expect(parseMulticastGroup(text)).toBeNull();
  });
});
