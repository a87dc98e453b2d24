/** Invocations of the real ipvsadm 1.31: what it printed, its exit status, and the table afterwards. */
import { describe, expect, test } from 'vitest';
import { type ErrorCode, IpvsError } from '../../src/model/errors.ts';
import { type Run, readCompressedExample, run } from './run.ts';
import { TestTable } from './table.ts';

interface Case {
  readonly id: string;
  readonly group: string;
  readonly basis: 'client' | 'table';
  readonly note?: string;
  readonly setup?: readonly (readonly string[])[];
  readonly args: readonly string[];
  readonly stdin?: string;
  readonly stdout?: string;
  readonly stdout_first_line?: string;
  readonly stderr: string;
  readonly exit: number;
  /** As `-S -n` prints it. */
  readonly after?: readonly string[];
}

const cases = readCompressedExample<Case[]>('cases.json.gz');
const LINKS = [{ name: 'eth0', mtu: 1500, addrs: [] }];

async function prepare(setup: Case['setup']): Promise<TestTable> {
  const table = new TestTable(LINKS);
  // The table behind these invocations answered so for every interface and group.
  table.syncMaxLength = 1472;
  for (const words of setup ?? []) {
    const before = await run(table, words);
    expect(before, words.join(' ')).toEqual({ exit: 0, stdout: '', stderr: '' });
  }
  return table;
}

async function savedLines(table: TestTable): Promise<string[]> {
  const saved = await run(table, ['-S', '-n']);
  return saved.stdout.split('\n').filter((line) => line !== '');
}

function expectRun(actual: Run, wanted: Case): void {
  expect(actual.stderr).toBe(wanted.stderr);
  if (wanted.stdout !== undefined) expect(actual.stdout).toBe(wanted.stdout);
  else expect(actual.stdout.split('\n')[0]).toBe(wanted.stdout_first_line);
  expect(actual.exit).toBe(wanted.exit);
}

test('there are 761 recorded invocations', () => {
  expect(cases.length).toBe(761);
});

for (const group of new Set(cases.map((one) => one.group))) {
  if (group === 'errno') continue;
  describe(`recorded invocations: ${group}`, () => {
    for (const one of cases.filter((other) => other.group === group)) {
      test(`${one.id}: ipvsadm ${one.args.join(' ')}`, async () => {
        const table = await prepare(one.setup);
        const asked = table.asked.length;
        expectRun(await run(table, one.args, { stdin: one.stdin ?? '' }), one);
        // When the words alone decide, a mistake must not have reached the table.
        if (one.basis === 'client' && one.exit !== 0)
          expect(table.asked.slice(asked).map((c) => c.name)).toEqual(['info']);
        expect(await savedLines(table)).toEqual(one.after);
      });
    }
  });
}

describe('recorded invocations: answers of a table in trouble', () => {
  const byId = new Map(cases.map((one) => [one.id, one]));
  const refused: Record<string, [command: Parameters<TestTable['refusals']['set']>[0], code: string]> = {
    'errno-01': ['addService', 'EPERM'],
    'errno-02': ['addService', 'ENOMEM'],
    'errno-03': ['addService', 'EINVAL'],
    'errno-04': ['addService', 'ENOBUFS'],
    'errno-05': ['addService', 'EAFNOSUPPORT'],
    'errno-06': ['addService', 'EMSGSIZE'],
    'errno-07': ['addService', 'EOPNOTSUPP'],
    'errno-08': ['flush', 'EPERM'],
    'errno-09': ['listServices', 'ENOMEM'],
    'errno-11': ['listServices', 'EPERM'],
    'errno-12': ['getTimeouts', 'EPERM'],
    'errno-13': ['listSyncDaemons', 'EPERM'],
  };
  for (const [id, [command, code]] of Object.entries(refused)) {
    const one = byId.get(id)!;
    test(`${id}: ipvsadm ${one.args.join(' ')} when ${command} is refused with ${code}`, async () => {
      const table = await prepare(one.setup);
      table.refusals.set(command, code as ErrorCode);
      expectRun(await run(table, one.args), one);
    });
  }

  test('errno-10: a table that fails half-way through a listing has its headings printed', async () => {
    const one = byId.get('errno-10')!;
    const table = await prepare(one.setup);
    // Real servers come with their services here, so half-way is the second page.
    table.pageSize = 0;
    const execute = table.execute.bind(table);
    let pages = 0;
    table.execute = async (command) => {
      if (command.name === 'listServices' && pages++ > 0) throw new IpvsError('ENOMEM', '');
      return execute(command);
    };
    expectRun(await run(table, one.args), one);
  });

  for (const id of ['errno-16', 'errno-18']) {
    const one = byId.get(id)!;
    test(`${id}: ipvsadm ${one.args.join(' ')} without a data plane says so, and how to get one`, async () => {
      const unreachable = new IpvsError('ENOPROTOOPT', 'no uipvsd answers here; start one');
      const actual = await run(new TestTable(), one.args, { unreachable });
      const lines = actual.stderr.split('\n');
      expect(`${lines.slice(0, 2).join('\n')}\n`).toBe(one.stderr);
      expect(lines[2]).toBe('uipvs: no uipvsd answers here; start one');
      expect(lines.slice(3)).toEqual(['']);
      expect(actual).toMatchObject({ stdout: '', exit: one.exit });
    });
  }

  test('errno-14: ipvsadm -L as an ordinary user', async () => {
    const unreachable = new IpvsError('EPERM', 'not for you');
    expectRun(await run(new TestTable(), ['-L'], { unreachable }), byId.get('errno-14')!);
  });

  // The original refuses help as well; ours is more useful.
  for (const [id, code] of [
    ['errno-15', 'EPERM'],
    ['errno-17', 'ENOPROTOOPT'],
  ] as const) {
    test(`${id}: ipvsadm ${byId.get(id)!.args.join(' ')} works without a data plane (${code})`, async () => {
      const actual = await run(new TestTable(), byId.get(id)!.args, { unreachable: new IpvsError(code, '') });
      expect(actual).toMatchObject({ exit: 0, stderr: '' });
      expect(actual.stdout).toMatch(/^ipvsadm v1\.31 /);
    });
  }

  test('errno-19: a table that is too old is warned of, and listed', async () => {
    const table = new TestTable();
    table.version = '1.0.3';
    expectRun(await run(table, ['-L', '-n']), byId.get('errno-19')!);
  });

  test('every case of trouble is played', () => {
    const played = [
      ...Object.keys(refused),
      'errno-10',
      'errno-14',
      'errno-15',
      'errno-16',
      'errno-17',
      'errno-18',
      'errno-19',
    ];
    expect(played.sort()).toEqual(cases.filter((one) => one.group === 'errno').map((one) => one.id));
  });
});
