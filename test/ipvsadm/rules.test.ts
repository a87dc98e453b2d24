/** Saved tables, good and bad, as `ipvsadm -R` and the script ipvsadm-restore took them. */
import { describe, expect, test } from 'vitest';
import { runIpvsadmRestore, runIpvsadmSave } from '../../src/ipvsadm/scripts.ts';
import { type Run, readExample, run, runProgram } from './run.ts';
import { TestTable } from './table.ts';

interface Outcome {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly after: readonly string[];
}
const index = JSON.parse(readExample('rules/index.json')) as {
  files: ({ file: string; about: string } & Record<'ipvsadm -R' | 'ipvsadm-restore', Outcome>)[];
};

async function createTable(): Promise<TestTable> {
  const table = new TestTable();
  await run(table, ['-A', '-t', '203.0.113.9:99', '-s', 'rr']);
  return table;
}

async function expectOutcome(table: TestTable, actual: Run, outcome: Outcome): Promise<void> {
  const { exit, stdout, stderr, after } = outcome;
  expect(actual).toEqual({ exit, stdout, stderr });
  expect((await run(table, ['-S', '-n'])).stdout).toBe(after.map((line) => `${line}\n`).join(''));
}

describe('saved tables', () => {
  for (const entry of index.files) {
    const text = readExample(`rules/${entry.file}`);
    test(`${entry.file}: ${entry.about}`, async () => {
      const table = await createTable();
      await expectOutcome(table, await run(table, ['-R'], { stdin: text }), entry['ipvsadm -R']);
    });
    test(`${entry.file} through ipvsadm-restore`, async () => {
      const table = await createTable();
      await expectOutcome(table, await runProgram(table, runIpvsadmRestore, { stdin: text }), entry['ipvsadm-restore']);
    });
    test(`${entry.file} a character at a time, one command at a time`, async () => {
      const table = await createTable();
      const slow = { execute: table.execute.bind(table), close: table.close.bind(table) };
      await expectOutcome(table, await run(slow, ['-R'], { pieces: [...text] }), entry['ipvsadm -R']);
      expect(table.batches).toBe(0);
    });
  }
});

describe('the small programs', () => {
  test('ipvsadm-save prints numbers with -n, and passes over words without a dash', async () => {
    const table = new TestTable();
    await run(table, ['-A', '-t', '10.0.0.100:80']);
    const save = (...words: string[]) => runProgram(table, (io) => runIpvsadmSave(words, io));
    expect(await save()).toEqual({ exit: 0, stdout: '-A -t www.example.com:http -s wlc\n', stderr: '' });
    expect(await save('now', '-n')).toEqual({ exit: 0, stdout: '-A -t 10.0.0.100:80 -s wlc\n', stderr: '' });
  });

  test('ipvsadm-save knows no other option', async () => {
    const { exit, stdout, stderr } = await runProgram(new TestTable(), (io) => runIpvsadmSave(['-x'], io));
    expect({ exit, stdout, lines: stderr.trimEnd().split('\n').length }).toEqual({ exit: 1, stdout: '', lines: 2 });
  });

  test('ipvsadm-restore of nothing leaves nothing', async () => {
    const table = await createTable();
    expect(await runProgram(table, runIpvsadmRestore)).toEqual({ exit: 0, stdout: '', stderr: '' });
    expect(table.services).toEqual([]);
  });
});
