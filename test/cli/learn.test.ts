import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { runLearn } from '../../src/cli/learn.ts';
import { CHAPTERS, chapterSource } from '../../src/lessons/catalog.ts';
import { temporaryDirectory } from '../support/served.ts';

async function run(words: string[], typed?: string) {
  let [stdout, stderr] = ['', ''];
  const input = new PassThrough();
  input.end(typed ?? '');
  const code = await runLearn(words, {
    terminal: typed === undefined ? null : { columns: 80, input },
    environment: { NO_COLOR: '1', PATH: process.env['PATH'] },
    directory: temporaryDirectory(),
    programs: join(import.meta.dirname, '../../dist/bin'),
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
  });
  return { code, stdout, stderr };
}

test('lists the chapters, in both languages', async () => {
  const { code, stdout } = await run([]);
  expect(code).toBe(0);
  expect(stdout).toContain('Understanding layer-4 load balancing\n===');
  for (const name of CHAPTERS) expect(stdout).toContain(` ${name} `);
  expect((await run(['--lang', 'de'])).stdout).toContain('Layer-4-Lastverteilung verstehen');
  const facts = JSON.parse((await run(['--json'])).stdout);
  expect(facts.map(({ name }: { name: string }) => name)).toEqual([...CHAPTERS]);
});

test('prints a chapter whole where nobody can be asked', async () => {
  const { code, stdout } = await run(['1']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/Question: .*\n[\s\S]*Answer: /);
  expect(stdout).toMatch(/\nNext chapter: uipvs learn \w+\n$/);
});

test('hides an answer until Enter, and leaves at q and at the end of the input', async () => {
  const both = await run(['basics'], '\n\n');
  expect(both.stdout.match(/Answer: /g)).toHaveLength(2);
  const one = await run(['basics'], '\nq\n');
  expect({ code: one.code, answers: one.stdout.match(/Answer: /g)?.length }).toEqual({ code: 0, answers: 1 });
  expect((await run(['basics'], '')).stdout).not.toContain('Answer: ');
});

test('types the commands when it is told to, and skips those that are not wanted', async () => {
  const { code, stdout } = await run(['basics', '--run'], 's\ns\nq\n');
  expect(code).toBe(0);
  expect(stdout).toContain('$ uldirectord shop.cf check\n[Enter: run it, s: skip, q: leave] ');
  expect(stdout).not.toContain('3 real servers, 0 warnings');
});

test('runs the commands with these very programs, installed or not, and says what differs', async () => {
  const { code, stdout } = await run(['basics', '--check']);
  expect(stdout).toContain('2 commands, 0 came out otherwise than the chapter shows');
  expect(code).toBe(0);
});

test('gives the source, the structure and the files', async () => {
  expect((await run(['basics', '--markdown'])).stdout).toBe(chapterSource('basics', 'en'));
  expect(JSON.parse((await run(['basics', '--json'])).stdout)).toMatchObject({
    name: 'basics',
    language: 'en',
    lab: null,
  });
  expect(await run(['basics', '--files'])).toEqual({ code: 0, stdout: 'shop.cf\n', stderr: '' });
});

test.each([
  [['nothing'], 'there is no chapter "nothing"; there are basics, '],
  [['99'], 'there is no chapter "99"'],
  [['--lang', 'fr'], "argument 'fr' is invalid"],
  [['basics', '--run'], '--run asks before each command and needs a terminal'],
  [['--jsn'], 'did you mean --json?'],
])('refuses %j', async (words, sentence) => {
  const { code, stdout, stderr } = await run(words);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(sentence);
  expect(stderr.trimEnd()).not.toContain('\n');
});
