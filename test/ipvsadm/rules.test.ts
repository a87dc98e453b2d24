/** Saved tables, good and bad, as `ipvsadm -R` and the script ipvsadm-restore took them. */
import { describe, expect, test } from 'vitest';
import { readExample, run } from './run.ts';
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

async function expectOutcome(table: TestTable, text: string, outcome: Outcome): Promise<void> {
  const { exit, stdout, stderr, after } = outcome;
  expect(await run(table, ['-R'], { stdin: text })).toEqual({ exit, stdout, stderr });
  expect((await run(table, ['-S', '-n'])).stdout).toBe(after.map((line) => `${line}\n`).join(''));
}

describe('saved tables', () => {
  for (const entry of index.files) {
    const text = readExample(`rules/${entry.file}`);
    test(`${entry.file}: ${entry.about}`, async () => {
      await expectOutcome(await createTable(), text, entry['ipvsadm -R']);
    });
    test(`${entry.file} through ipvsadm-restore`, async () => {
      // The script clears the table and leaves out comment lines.
      const table = await createTable();
      expect((await run(table, ['-C'])).exit).toBe(0);
      const lines = text.split('\n').filter((line) => !line.startsWith('#'));
      await expectOutcome(table, lines.join('\n'), entry['ipvsadm-restore']);
    });
    test(`${entry.file} a character at a time, one command at a time`, async () => {
      const { exit, stdout, stderr, after } = entry['ipvsadm -R'];
      const table = await createTable();
      const slow = {
        execute: table.execute.bind(table),
        close: table.close.bind(table),
      };
      expect(await run(slow, ['-R'], { pieces: [...text] })).toEqual({ exit, stdout, stderr });
      expect(table.batches).toBe(0);
      expect((await run(table, ['-S', '-n'])).stdout).toBe(after.map((line) => `${line}\n`).join(''));
    });
  }
});
