/** Programs and Perl functions of the operator as checks: what they say, and what the original makes of it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { CheckResult } from '../../src/health/checker.ts';
import { CHECKERS } from '../../src/health/checkers/index.ts';
import { describeWith } from './real/server.ts';

const WORDS = ['[2001:db8::1]', '80', '[2001:db8::11]', '8080'];
/** More than a busy machine needs to start Perl. */
const LONG_MS = 15_000;

const folder = mkdtempSync(join(tmpdir(), 'uipvs-external-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;

async function check(kind: 'external' | 'external-perl', command: string, timeoutMs = LONG_MS): Promise<CheckResult> {
  const target = { address: '', port: 0, timeoutMs, command, arguments: WORDS };
  return CHECKERS[kind].create().check(target, new AbortController().signal);
}

function written(text: string): string {
  const path = join(folder, `probe${files++}`);
  writeFileSync(path, text, { mode: 0o755 });
  return path;
}

const program = (text: string): Promise<CheckResult> => check('external', written(`#!/bin/sh\n${text}\n`));
const perl = (text: string): Promise<CheckResult> => check('external-perl', written(text));

describe('external', () => {
  test('what a failing program says on standard error is the reason, its first line', async () => {
    expect(await program('echo "no disk" >&2; echo more >&2; exit 3')).toEqual({
      healthy: false,
      message: 'status 3: no disk',
    });
    expect(await program('exit 3')).toEqual({ healthy: false, message: 'status 3' });
    expect(await program('echo fine >&2')).toEqual({ healthy: true, message: '' });
  });

  test('however much a program says, it ends', async () => {
    const result = await program('head -c 3000000 /dev/zero | tr "\\0" x >&2; exit 1');
    expect(result.message).toMatch(/^status 1: x{80}\.\.\.$/);
  });

  test.each([
    ['healthy', 0],
    ['not healthy', 1],
  ])('a program that leaves another one running is %s at once', async (_, status) => {
    const mark = join(folder, `pid${status}`);
    const result = await program(`sleep 600 & echo $! > ${mark}; exit ${status}`);
    process.kill(Number(readFileSync(mark, 'utf8')));
    expect(result).toEqual(status === 0 ? { healthy: true, message: '' } : { healthy: false, message: 'status 1' });
  });

  test('a program that does not end is given up', async () => {
    expect(await check('external', written('#!/bin/sh\nsleep 600\n'), 200)).toEqual({
      healthy: false,
      message: 'the program did not end within 200 ms',
    });
  });
});

describeWith('external-perl', { programs: ['perl'] }, () => {
  test.each([
    ['exit with 0', 'exit 0;'],
    ['exit with nothing', 'exit;'],
    ['its last line', '0;'],
    ['a return', 'return 1; exit 7;'],
    ['nothing at all', ''],
    ['a comment without a line end', 'exit 0 if @_ == 4; exit 1; # done'],
    [
      'a whole program',
      '#!/usr/bin/perl -w\nuse strict;\nmy $n = try();\nexit $n;\nsub try { return 0 }\n__END__\n} not Perl',
    ],
    ['documentation', 'exit 0;\n\n=pod\n\nnot Perl }\n\n=cut\n'],
    ['a caught failure', 'eval { die "oh" }; exit 0;'],
  ])('success is %s', async (_, text) => {
    expect(await perl(text)).toEqual({ healthy: true, message: '' });
  });

  test.each([
    ['exit 3;', /^status 3$/],
    ['exit 256;', /^status 1$/],
    ['exit -1;', /^status 255$/],
    ['eval { exit 4 }; exit 0;', /^status 4$/],
    ['die "no luck\\n";', /^status 255: no luck$/],
    ['\n\ndie "no luck";', /^status 255: no luck at .+probe\d+ line 3\.$/],
    ['my $x = ;', /^status 255: syntax error at .+probe\d+ line 1/],
    ['kill 9, $$;', /^killed by SIGKILL$/],
  ])('%j is a failure', async (text, reason) => {
    const { healthy, message } = await perl(text);
    expect(healthy).toBe(false);
    expect(message).toMatch(reason);
  });

  test('it is called with service and server', async () => {
    const wanted = WORDS.map((word) => `'${word}'`).join(', ');
    const text = `my @wanted = (${wanted}); exit("@ARGV" eq "@wanted" && "@_" eq "@wanted" ? 0 : 1);`;
    expect(await perl(text)).toEqual({ healthy: true, message: '' });
  });

  test('a file that is not there and one that does not end are said', async () => {
    expect(await check('external-perl', join(folder, 'nothing'))).toEqual({
      healthy: false,
      message: expect.stringMatching(/^status 127: cannot open .+nothing: No such file or directory$/),
    });
    expect(await check('external-perl', written('1 while 1;'), 300)).toEqual({
      healthy: false,
      message: 'the program did not end within 300 ms',
    });
  });
});
