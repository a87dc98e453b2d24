/** One table, and the listings that the real ipvsadm 1.31 printed of it. */
import { describe, expect, test } from 'vitest';
import { formatEndpoint, formatServiceKey } from '../../src/model/service.ts';
import { readConnections, toRates, toStatistics } from './recorded-state.ts';
import { readExample, run } from './run.ts';
import { TestTable } from './table.ts';

type Counters = Readonly<Record<string, number>>;

const counters = JSON.parse(readExample('golden/counters.json')) as {
  services: Record<string, Counters>;
  real_servers: Record<string, Counters>;
};

function statusOf(values: Counters) {
  const pick = (...names: string[]) => names.map((name) => values[name] ?? 0);
  return {
    statistics: toStatistics(pick('conns', 'inpkts', 'outpkts', 'inbytes', 'outbytes')),
    rates: toRates(pick('cps', 'inpps', 'outpps', 'inbps', 'outbps')),
  };
}

async function createTable(): Promise<TestTable> {
  const table = new TestTable();
  expect(await run(table, ['-R'], { stdin: readExample('golden/table.rules') })).toEqual({
    exit: 0,
    stdout: '',
    stderr: '',
  });
  let counted = 0;
  for (const service of table.services) {
    const key = formatServiceKey(service.spec.key);
    const values = counters.services[key];
    if (values !== undefined) {
      Object.assign(service, statusOf(values));
      counted++;
    }
    for (const destination of service.destinations) {
      const { address, port } = destination.spec;
      const own = counters.real_servers[`${key} -> ${formatEndpoint(address, port)}`];
      if (own === undefined) continue;
      Object.assign(destination, statusOf(own), {
        activeConnections: own['active'] ?? 0,
        inactiveConnections: own['inactive'] ?? 0,
        persistentConnections: own['persistent'] ?? 0,
      });
      counted++;
    }
  }
  expect(counted).toBe(Object.keys(counters.services).length + Object.keys(counters.real_servers).length);
  table.connections = readConnections(readExample('golden/connections.proc.txt'));
  return table;
}

const index = JSON.parse(readExample('golden/index.json')) as { file: string; args: string[] }[];

describe('recorded listings of one table', () => {
  for (const { file, args } of index) {
    test(`ipvsadm ${args.join(' ')} prints ${file}`, async () => {
      const table = await createTable();
      expect(await run(table, args)).toEqual({ exit: 0, stderr: '', stdout: readExample(`golden/${file}`) });
    });
  }

  test('there are 16 of them', () => {
    expect(index.length).toBe(16);
  });

  test('pages of one service each print the same', async () => {
    const table = await createTable();
    table.pageSize = 1;
    expect((await run(table, ['-L', '-n'])).stdout).toBe(readExample('golden/list.txt'));
    expect((await run(table, ['-S', '-n'])).stdout).toBe(readExample('golden/save.txt'));
  });
});

describe('reading back', () => {
  test('what -S -n prints, -R reads, and -S -n prints again', async () => {
    const saved = (await run(await createTable(), ['-S', '-n'])).stdout;
    const copy = new TestTable();
    expect(await run(copy, ['-R'], { stdin: saved })).toEqual({ exit: 0, stdout: '', stderr: '' });
    expect((await run(copy, ['-S', '-n'])).stdout).toBe(saved);
  });
});
