import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { CHAPTERS, findChapter, languageOf, loadChapter } from '../../src/lessons/catalog.ts';
import { LANGUAGES, type Session } from '../../src/lessons/chapter.ts';
import { readChapter } from '../../src/lessons/read.ts';
import { runChapter, shellText, steps } from '../../src/lessons/run.ts';
import { differenceOf, readSession } from '../../src/lessons/session.ts';
import { formatBlock } from '../../src/lessons/terminal.ts';
import { WORDS } from '../../src/lessons/words.ts';
import { buildForProcesses } from '../support/built.ts';
import { temporaryDirectory } from '../support/served.ts';

const wrong = (what: string) => new Error(what);

describe('every chapter', () => {
  test.each(LANGUAGES)('is there in %s, and no other', (language) => {
    const files = readdirSync(join(import.meta.dirname, '../../src/lessons', language));
    expect(files.sort()).toEqual(CHAPTERS.map((name) => `${name}.md`).sort());
  });

  test.each(CHAPTERS)('%s types the same commands in both languages, and asks the same questions', (name) => {
    const [english, german] = LANGUAGES.map((language) => loadChapter(name, language));
    const typed = (chapter = english) =>
      [...steps(chapter!.blocks)].filter(({ kind }) => kind === 'session' || kind === 'file');
    expect(typed(german)).toEqual(typed(english));
    const shape = (chapter = english) => [...steps(chapter!.blocks)].map(({ kind }) => kind);
    expect(shape(german)).toEqual(shape(english));
    expect([german!.lab, german!.minutes]).toEqual([english!.lab, english!.minutes]);
    expect(shape(english)).toContain('question');
  });

  test.each(CHAPTERS)('%s shows something at each command, or nothing comes out', (name) => {
    const sessions = [...steps(loadChapter(name, 'en').blocks)].filter(({ kind }) => kind === 'session') as Session[];
    for (const { expected, text } of sessions.flatMap(({ commands }) => commands)) {
      expect(expected.length === 0 || expected.some((line) => line.replaceAll(/[\s.]/g, '') !== ''), text).toBe(true);
    }
  });

  test('is found by name and by number', () => {
    expect(findChapter('1')).toBe(CHAPTERS[0]);
    expect(findChapter(String(CHAPTERS.length))).toBe(CHAPTERS.at(-1));
    expect(findChapter('schedulers')).toBe('schedulers');
    for (const word of ['0', String(CHAPTERS.length + 1), 'nothing', '__proto__', ''])
      expect(findChapter(word)).toBeNull();
  });
});

describe('what is typed comes out as the chapter shows', () => {
  let programs = '';

  beforeAll(() => {
    const built = buildForProcesses();
    programs = join(built, 'programs');
    mkdirSync(programs);
    for (const name of ['uipvs', 'uldirectord', 'uipvsadm']) {
      const file = join(programs, name);
      writeFileSync(file, `#!/bin/sh\nexec '${process.execPath}' '${join(built, `src/bin/${name}.js`)}' "$@"\n`, {
        mode: 0o755,
      });
    }
    // Scripts of the old name find it too.
    symlinkSync(join(programs, 'uipvsadm'), join(programs, 'ipvsadm'));
  });

  const withoutLab = CHAPTERS.filter((name) => loadChapter(name, 'en').lab === null);
  test.each(withoutLab)(
    '%s',
    async (name) => {
      const environment = { ...process.env, PATH: `${programs}:${process.env['PATH']}`, NO_COLOR: '1' };
      const shell = { directory: temporaryDirectory(), environment, patienceMs: 120_000 };
      let count = 0;
      for await (const { command, difference, output } of runChapter(loadChapter(name, 'en'), shell)) {
        expect(difference, `${command.text}\n${output}`).toBeNull();
        count += 1;
      }
      expect(count).toBeGreaterThan(0);
    },
    300_000,
  );
});

describe('a session', () => {
  test('has commands at prompts, in the own shell and on hosts, and what comes out', () => {
    const text = 'client# curl -s \\\n  http://vip/\nrs1\n$ uipvs status\n\nfine\ndirector# true';
    expect(readSession(text, wrong)).toEqual([
      { host: 'client', text: 'curl -s \\\n  http://vip/', expected: ['rs1'] },
      { host: null, text: 'uipvs status', expected: ['', 'fine'] },
      { host: 'director', text: 'true', expected: [] },
    ]);
  });

  test('must begin with a prompt and end its last command', () => {
    expect(() => readSession('rs1\n$ true', wrong)).toThrow('which is no prompt');
    expect(() => readSession('$ true \\', wrong)).toThrow('ends with a backslash');
  });

  test('goes to a host of the lab whatever quotes it has', () => {
    const typed = `printf '%s\\n' "it's"`;
    const text = shellText({ host: 'rs1', text: typed, expected: [] }, 'nat');
    expect(text.startsWith('uipvs lab sh --name nat rs1 -- sh -c ')).toBe(true);
    const stand_in = text.replace('uipvs lab sh --name nat rs1 --', '');
    expect(execFileSync('sh', ['-c', stand_in], { encoding: 'utf8' })).toBe("it's\n");
  });
});

describe('what comes out', () => {
  const agrees = (expected: string, actual: string) => differenceOf(expected.split('\n'), actual.split('\n'));

  test.each([
    ['a\nb', 'a\nb\n'],
    ['a   1', 'a 1'],
    ['a\n...\nd', 'a\nb\nc\nd'],
    ['a\n...\nb', 'a\nb'],
    ['...\nb\n...\nd', 'a\nb\nb\nc\nd'],
    ['in ... ms', 'in 12.5 ms'],
    ['...', ''],
    ['$1 (x) [y] a.b', '$1 (x) [y] a.b'],
  ])('%j stands for %j', (expected, actual) => {
    expect(agrees(expected, actual)).toBeNull();
  });

  test.each([
    ['a\nb', 'a\nc', 'expected "b", found "c"'],
    ['a\nb', 'a', 'expected "b", found no further line'],
    ['a', 'a\nb', 'a line that the lesson does not show: "b"'],
    ['a.c', 'abc', 'expected "a.c", found "abc"'],
    ['a\n...\nz', 'a\nb', 'expected "z", found no further line'],
    ['a\n...\nb', 'x\na\nb', 'expected "a", found "x"'],
  ])('%j does not stand for %j', (expected, actual, sentence) => {
    expect(agrees(expected, actual)).toBe(sentence);
  });
});

describe('a file of Markdown', () => {
  const head = '<!-- lab: nat, minutes: 3 -->\n# Title\n\n';

  test('is refused when it is no chapter', () => {
    expect(() => readChapter('x', 'en', '# Title')).toThrow('chapter en/x: it must begin with <!-- lab');
    expect(() => readChapter('x', 'en', '<!-- lab: nat, minutes: 3 -->\ntext')).toThrow(
      'the first line must be its title',
    );
    expect(() => readChapter('x', 'en', `${head}<b>bold</b>`)).toThrow('the only HTML');
    expect(() => readChapter('x', 'en', `${head}> quoted`)).toThrow('"blockquote"');
  });

  test('gives an answer with empty lines and code in it', () => {
    const markdown = `${head}<details><summary>Why\n?</summary>\n\nBecause.\n\n\`\`\`console\n$ a\n\nb\n\`\`\`\n\n</details>\n\nAfter.`;
    expect(readChapter('x', 'en', markdown).blocks).toEqual([
      {
        kind: 'question',
        text: 'Why ?',
        answer: [
          { kind: 'paragraph', text: 'Because.' },
          { kind: 'session', commands: [{ host: null, text: 'a', expected: ['', 'b'] }] },
        ],
      },
      { kind: 'paragraph', text: 'After.' },
    ]);
  });
});

describe('on a terminal', () => {
  const plain = { width: 20, colors: false };

  test('text is broken, code is not', () => {
    expect(formatBlock({ kind: 'paragraph', text: 'one two three **four** five' }, plain, WORDS.en)).toBe(
      'one two three four\nfive\n',
    );
    expect(formatBlock({ kind: 'code', text: 'a very long line of code\n\nb' }, plain, WORDS.en)).toBe(
      '    a very long line of code\n\n    b\n',
    );
    expect(formatBlock({ kind: 'list', ordered: false, items: ['one two three four five'] }, plain, WORDS.en)).toBe(
      '- one two three four\n  five\n',
    );
  });

  test('colours take no width', () => {
    const text = formatBlock(
      { kind: 'paragraph', text: '`one` **two** three *four* five' },
      { width: 18, colors: true },
      WORDS.en,
    );
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for.
    expect(text.replaceAll(/\x1b\[\d+m/g, '')).toBe('one two three four\nfive\n');
  });

  test('a table has columns', () => {
    const rows = [
      ['', 'a'],
      ['long', '`b`'],
    ];
    expect(formatBlock({ kind: 'table', rows }, plain, WORDS.en)).toBe('      a\n----  ---\nlong  `b`\n');
  });
});

test('German is for those who set it', () => {
  expect(languageOf({ LANG: 'de_AT.UTF-8' })).toBe('de');
  expect(languageOf({ LANG: 'de_DE', LC_ALL: 'C' })).toBe('en');
  expect(languageOf({ LC_MESSAGES: 'de', LANG: 'fr_FR' })).toBe('de');
  expect(languageOf({ LANG: 'den_XX' })).toBe('en');
  expect(languageOf({})).toBe('en');
});
