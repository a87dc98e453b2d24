/** Order, names, numbers and long output. */
import { describe, expect, test } from 'vitest';
import type { NameService } from '../../src/ipvsadm/io.ts';
import { runIpvsadm } from '../../src/ipvsadm/ipvsadm.ts';
import { createSystemNames } from '../../src/ipvsadm/names.ts';
import { programName } from '../../src/ipvsadm/node-io.ts';
import { formatCounter, formatPlain } from '../../src/ipvsadm/number-format.ts';
import { parseServicesFile } from '../../src/ipvsadm/services-file.ts';
import { mergeSort } from '../../src/ipvsadm/sort.ts';
import type { Command } from '../../src/model/commands.ts';
import { type ErrorCode, IpvsError } from '../../src/model/errors.ts';
import { createFileNames, run, TEST_NAMES } from './run.ts';
import { TestTable } from './table.ts';

async function filled(lines: string): Promise<TestTable> {
  const table = new TestTable();
  expect(await run(table, ['-R'], { stdin: lines })).toEqual({ exit: 0, stdout: '', stderr: '' });
  return table;
}

describe('order', () => {
  test('private networks come as administrators are used to see them', async () => {
    const servers = ['10.0.0.1', '192.168.1.1', '172.16.0.1', '10.0.0.2'];
    const lines = servers.map((server) => `-a -t 10.9.9.9:80 -r ${server} -m`);
    const table = await filled(`-A -t 10.9.9.9:80\n${lines.join('\n')}\n`);
    const { stdout } = await run(table, ['-Ln']);
    const listed = [...stdout.matchAll(/-> (\d\S+):80/g)].map((match) => match[1]);
    expect(listed).toEqual(['172.16.0.1', '192.168.1.1', '10.0.0.1', '10.0.0.2']);
  });

  test('IPv6 addresses are compared 32 bits at a time, the wrong way round too', async () => {
    const table = await filled('-A -t [2001:db8::]:80\n-A -t [2001:db8:aaaa::]:80\n-A -t [2001:db7::]:80\n');
    const { stdout } = await run(table, ['-S', '-n']);
    expect([...stdout.matchAll(/\[(\S+)\]/g)].map((match) => match[1])).toEqual([
      '2001:db7::',
      '2001:db8:aaaa::',
      '2001:db8::',
    ]);
  });

  test('an order that is not transitive is sorted as glibc does it', () => {
    // Stone, scissors, paper: each beats the next.
    const beats = (a: number, b: number) => [0, -1, 1][(b - a + 3) % 3]!;
    expect(mergeSort([0, 1, 2], beats)).toEqual([0, 1, 2]);
    expect(mergeSort([2, 0, 1], beats)).toEqual([2, 0, 1]);
    expect(mergeSort([1, 0, 2], beats)).toEqual([1, 2, 0]);
  });

  test('without sorting, real servers come newest first', async () => {
    const table = await filled('-A -f 1\n-a -f 1 -r 10.0.0.1\n-a -f 1 -r 10.0.0.2\n');
    const { stdout } = await run(table, ['-L', '-n', '--nosort', '-f', '1']);
    expect([...stdout.matchAll(/-> (\d\S+):0/g)].map((match) => match[1])).toEqual(['10.0.0.2', '10.0.0.1']);
  });
});

describe('numbers', () => {
  test.each([
    [0, '        0'],
    [99_999_999, ' 99999999'],
    [100_000_000, '  100000K'],
    [999_999_999, '  999999K'],
    [1_000_000_000, '    1000M'],
    [99_999_999_999, '   99999M'],
    [100_000_000_000, '     100G'],
    [99_999_999_999_999, '   99999G'],
    [100_000_000_000_000, '     100T'],
    [2 ** 63, ' 9223372T'],
  ])('%d is shown as %j', (value, text) => expect(formatCounter(value)).toBe(text));

  test('exact ones are as long as they have to be', () => {
    expect([5, 99_999_999, 100_000_000].map(formatPlain)).toEqual(['        5', ' 99999999', ' 100000000']);
  });
});

describe('names', () => {
  const long = createFileNames(
    `192.0.2.1 a-very-long-name-of-a-host.example.com\n2001:db8::1 another-very-long-name-of-a-host.example.com`,
    'http 80/tcp\n',
  );
  const lines = [
    '-A -t 192.0.2.1:80',
    '-a -t 192.0.2.1:80 -r 192.0.2.1 -m',
    '-A -t [2001:db8::1]:80',
    '-a -t [2001:db8::1]:80 -r [2001:db8::1]:80 -m',
  ];

  test('long ones are cut for IPv4 and push the rest for IPv6', async () => {
    const { stdout } = await run(await filled(lines.join('\n')), ['-L'], { names: long });
    expect(stdout.split('\n').slice(3)).toEqual([
      'TCP  a-very-long-name-of-a-host.e wlc',
      '  -> a-very-long-name-of-a-host.e Masq    1      0          0         ',
      'TCP  [another-very-long-name-of-a-host.example.com]:http wlc',
      '  -> [another-very-long-name-of-a-host.example.com]:http Masq    1      0          0         ',
      '',
    ]);
  });

  test('nobody is asked for them with -n', async () => {
    const mute: NameService = {
      findAddress: () => Promise.reject(new Error('asked')),
      findHost: () => Promise.reject(new Error('asked')),
      findPort: () => null,
      findService: () => {
        throw new Error('asked');
      },
    };
    const table = await filled(lines.join('\n'));
    for (const words of [['-Ln'], ['-S', '-n'], ['-Lnc'], ['-L', '--timeout']]) {
      expect((await run(table, words, { names: mute })).exit).toBe(0);
    }
  });

  test('each address is looked up once', async () => {
    const asked: string[] = [];
    const counting: NameService = {
      ...TEST_NAMES,
      findHost: async (address) => {
        asked.push(address);
        return null;
      },
    };
    await run(await filled(lines.join('\n')), ['-L'], { names: counting });
    expect(asked.sort()).toEqual(['192.0.2.1', '2001:db8::1']);
  });

  test('connections have them, too', async () => {
    const table = new TestTable();
    table.connections = [
      {
        protocol: 'TCP',
        client: { address: '10.1.0.11', port: 40_000 },
        virtual: { address: '10.0.0.100', port: 80 },
        destination: { address: '127.0.0.1', port: 8080 },
        state: 'ESTABLISHED',
        expiresSeconds: 3_661,
        template: false,
        origin: 'LOCAL',
      },
    ];
    const { stdout } = await run(table, ['-L', '-c']);
    expect(stdout.split('\n')[2]).toBe(
      'TCP 61:01  ESTABLISHED rs1.example.com:40000 www.example.com:http localhost:http-alt',
    );
  });

  test('a services file has names, aliases and comments', () => {
    const names = parseServicesFile('# x\nhttp 80/tcp www # web\n\nbroken\nalso 80/tcp\ndomain\t53/udp\n');
    expect(names.findPort('www', 'tcp')).toBe(80);
    expect(names.findPort('http', 'udp')).toBeNull();
    expect(names.findService(80, 'tcp')).toBe('http');
    expect(names.findService(53, 'udp')).toBe('domain');
    expect(names.findService(53, 'sctp')).toBeNull();
  });

  test('the host knows itself', async () => {
    const names = createSystemNames();
    expect(await names.findAddress('localhost')).toBe('127.0.0.1');
    expect(await names.findHost('127.0.0.1')).toBe('localhost');
  });
});

describe('refusals', () => {
  test.each([
    ['ERANGE', 'Numerical result out of range\n'],
    ['EIO', 'Input/output error\nuipvs: the engine stopped\n'],
    ['EOPNOTSUPP', 'Operation not supported with IPv6\nuipvs: the engine stopped\n'],
    ['ENOPROTOOPT', 'Protocol not available\n'],
  ] as [ErrorCode, string][])('%s', async (code, stderr) => {
    const table = new TestTable();
    const execute = table.execute.bind(table);
    table.execute = async (command) => {
      if (command.name === 'flush') throw new IpvsError(code, 'the engine stopped');
      return execute(command);
    };
    expect(await run(table, ['-C'])).toEqual({ exit: 255, stdout: '', stderr });
  });

  test('the table is closed whatever happens', async () => {
    for (const words of [['-L'], ['-A'], ['nonsense'], ['-D', '-f', '1']]) {
      const table = new TestTable();
      await run(table, words);
      expect(table.closed).toBe(true);
    }
  });

  test('mistakes of our own are not swallowed', async () => {
    const table = new TestTable();
    table.execute = async () => {
      throw new TypeError('bug');
    };
    await expect(run(table, ['-L'])).rejects.toThrow('bug');
  });
});

describe('much of everything', () => {
  test('a thousand services with ten real servers each go through in a few round trips', async () => {
    const lines: string[] = [];
    for (let service = 0; service < 1_000; service++) {
      const key = `-t 10.${service >> 8}.${service & 255}.1:80`;
      lines.push(`-A ${key} -s rr`);
      for (let server = 1; server <= 10; server++) lines.push(`-a ${key} -r 192.168.0.${server}:80 -m -w 1`);
    }
    const text = `${lines.join('\n')}\n`;
    const table = new TestTable();
    expect(await run(table, ['-R'], { stdin: text })).toEqual({ exit: 0, stdout: '', stderr: '' });
    expect(table.batches).toBe(11);
    expect((await run(table, ['-S', '-n'])).stdout).toBe(text);
  });

  test('messages of a run keep the order of the lines', async () => {
    const stdin = '-D -f 1\n-A -f 1 --x\n-A -f 1\n-A -f 1\n-L -f 2\n-e -f 1 -r 10.0.0.1\n-A -f 1 -w 1\n-C\n';
    const table = new TestTable();
    expect(await run(table, ['-R'], { stdin })).toEqual({
      exit: 2,
      stdout: '',
      stderr: [
        'No such service',
        '--x: unknown option',
        'Service already exists',
        'No such service',
        'No such destination',
        "Illegal 'weight' option with the 'add-service' command",
        '',
      ].join('\n'),
    });
    expect(table.services.length).toBe(1);
  });

  test('a run whose data plane goes away ends, and says so once', async () => {
    const table = new TestTable();
    table.executeAll = () => Promise.reject(new IpvsError('ENOPROTOOPT', 'gone'));
    expect(await run(table, ['-R'], { stdin: '-A -f 1\n-A -f 2\n-A -f 3\n' })).toEqual({
      exit: 255,
      stdout: '',
      stderr: 'Protocol not available\n',
    });
  });

  test('help ends a run', async () => {
    const { stdout, exit } = await run(new TestTable(), ['-R'], { stdin: '-h\n-L -n\n' });
    expect(exit).toBe(0);
    expect(stdout).toMatch(/^ipvsadm v1\.31 /);
    expect(stdout).not.toMatch(/IP Virtual Server version/);
  });

  test('a million connections are printed page by page', async () => {
    const row = {
      protocol: 'UDP',
      virtual: { address: '10.0.0.1', port: 53 },
      destination: { address: '10.1.0.1', port: 53 },
      state: 'UDP',
      expiresSeconds: 299,
      template: false,
      origin: 'LOCAL' as const,
    };
    const table = new TestTable();
    const pageRows = 4_096;
    const pages = 245;
    const execute = table.execute.bind(table);
    table.execute = (async (command: Command) => {
      if (command.name !== 'listConnections') return execute(command);
      const page = Number(command.cursor ?? 0);
      const items = Array.from({ length: pageRows }, (_, index) => ({
        ...row,
        client: { address: `10.2.${page & 255}.${index & 255}`, port: 1_024 + (index >> 8) },
      }));
      return { items, next: page + 1 < pages ? String(page + 1) : null };
    }) as TestTable['execute'];
    let lines = 0;
    let largest = 0;
    const exit = await runIpvsadm(['-Lnc'], {
      programName: 'ipvsadm',
      names: TEST_NAMES,
      stdin: async function* () {},
      stdout: (text) => {
        lines += text.split('\n').length - 1;
        largest = Math.max(largest, text.length);
      },
      stderr: () => {},
      connect: async () => table,
    });
    expect({ exit, lines }).toEqual({ exit: 0, lines: pageRows * pages + 2 });
    expect(largest).toBeLessThan(1 << 20);
  });
});

test('the program is called by the last part of its path', () => {
  expect(['/usr/sbin/ipvsadm', '/x/dist/bin/uipvsadm.js', ''].map(programName)).toEqual([
    'ipvsadm',
    'uipvsadm',
    'ipvsadm',
  ]);
});
