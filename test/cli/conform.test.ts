/** `uipvs conform` as a program: words, exit codes, output. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runConform } from '../../src/cli/conform.ts';
import { TOLERANCES } from '../../src/conform/tolerances.ts';
import { PACKET, recordingOf, SET_UP } from '../conform/support.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'uipvs-conform-'));
  const write = (id: string, out: typeof PACKET.out): void => {
    const recording = recordingOf([...SET_UP, { ...PACKET, out: out! }], { id });
    writeFileSync(join(folder, `${id}.json`), JSON.stringify(recording));
  };
  write('pkt-right', PACKET.out);
  write('pkt-wrong', []);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function run(words: readonly string[], isTty = false) {
  let stdout = '';
  let stderr = '';
  const exitCode = await runConform(words, {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    isTty,
  });
  return { exitCode, stdout, stderr };
}

describe('uipvs conform', () => {
  test('counts what passed and failed, and shows the first difference of what failed', async () => {
    const { exitCode, stdout, stderr } = await run([folder]);
    expect(exitCode).toBe(1);
    expect(stderr).toBe('');
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toBe('pkt-wrong (packets): a connection by NAT');
    expect(stdout).toContain('    kernel  nothing\n');
    expect(lines.at(-2)).toMatch(/^packets +1 passed, +1 failed$/);
    expect(lines.at(-1)).toBe('1 passed, 1 failed');
  });

  test('ends with 0 when all passed', async () => {
    const { exitCode, stdout } = await run([join(folder, 'pkt-right.json'), '--verbose']);
    expect(exitCode).toBe(0);
    expect(stdout.split('\n')[0]).toMatch(/^pkt-right +passed$/);
    expect(stdout.endsWith('\n1 passed, 0 failed\n')).toBe(true);
  });

  test.each([
    ['right$', '1 passed, 0 failed'],
    ['packets', '1 passed, 1 failed'],
  ])('plays only what --filter %s names', async (filter, last) => {
    expect((await run([folder, '--filter', filter])).stdout.trimEnd().split('\n').at(-1)).toBe(last);
  });

  test('prints JSON when asked', async () => {
    const { exitCode, stdout } = await run([folder, '--json']);
    expect(exitCode).toBe(1);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ passed: 1, failed: 1, categories: { packets: { passed: 1, failed: 1 } } });
    expect(report.cases[1]).toMatchObject({ id: 'pkt-wrong', passed: false, failure: { step: 2 } });
  });

  test('shows its progress on a terminal and wipes it off', async () => {
    const { stderr } = await run([join(folder, 'pkt-right.json')], true);
    expect(stderr).toContain('0 passed, 0 failed: pkt-right');
    expect(stderr.endsWith('\r\u001b[K')).toBe(true);
  });

  test('lists every tolerance with its justification', async () => {
    const { exitCode, stdout } = await run(['--tolerances']);
    expect(exitCode).toBe(0);
    for (const [name, { allows, because }] of Object.entries(TOLERANCES)) {
      expect(stdout).toContain(`${name}\n  allows:  ${allows}\n  because: ${because}\n`);
    }
  });

  test.each([
    [['nowhere'], 'uipvs conform: nowhere: there is no such file or folder\n'],
    [['package.json'], 'uipvs conform: package.json: not a recording of format 1\n'],
    [['--filter', 'no-such-case'], 'uipvs conform: there is no such recording\n'],
    [['--filtr', 'x'], "uipvs conform: unknown option '--filtr'; did you mean --filter?\n"],
  ])('ends with 2 and a sentence for %j', async (words, sentence) => {
    const paths = words[0] === '--filter' ? [folder] : [];
    expect(await run([...words, ...paths])).toEqual({ exitCode: 2, stdout: '', stderr: sentence });
  });
});
