/** `uipvs compare` as it is typed: wrong words everywhere, real networks where there may be some. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCompare } from '../../src/cli/compare.ts';
import { compileSources, whySkipped } from '../data-plane/support/namespace.ts';

const LONG_MS = 300_000;

async function type(...words: string[]) {
  let stdout = '';
  let stderr = '';
  const exit = await runCompare(words, {
    stdout: (text) => void (stdout += text),
    stderr: (text) => void (stderr += text),
    dataPlanes: ['kernel', 'packet', 'proxy'],
  });
  return { exit, stdout, stderr };
}

describe('the words', () => {
  test.each([
    [[], /name two data planes/],
    [['packet'], /name two data planes/],
    [['packet', 'kernel', 'proxy'], /name two data planes/],
    [['packet', 'nosuch'], /no data plane "nosuch"; there is: kernel, packet, proxy/],
    [['packet', 'kernel', '--script', '/nosuch/file'], /\/nosuch\/file cannot be read/],
    [['--nosuch'], /--nosuch/],
  ])('%j are refused with 2', async (words, message) => {
    const { exit, stderr, stdout } = await type(...words);
    expect([exit, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
  });

  test('--help and --show-script only print', async () => {
    expect((await type('--help')).stdout).toMatch(/3 they differ/);
    expect((await type('--show-script')).stdout).toMatch(/^# Nothing there yet\nipvsadm -Ln\n/);
  });
});

const reason = whySkipped();

describe.skipIf(reason !== null)(`in networks of their own${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  let compiled: ReturnType<typeof compileSources>;
  let folder: string;
  beforeAll(() => {
    compiled = compileSources();
    folder = mkdtempSync(join(tmpdir(), 'uipvs-compare-'));
    const script = [
      'ipvsadm -A -t 192.168.1.120:80 -s rr',
      'ipvsadm -a -t 192.168.1.120:80 -r 192.168.1.11:80 -m',
      'ipvsadm -a -t 192.168.1.120:80 -r 192.168.1.12:80 -m',
      'tcp 192.168.1.120:80 3',
      'ipvsadm -a -t 192.168.1.120:80 -r 192.168.1.13:80 -g',
      'set conntrack=nonsense',
    ];
    writeFileSync(join(folder, 'script'), `${script.join('\n')}\n`);
  }, LONG_MS);
  afterAll(() => {
    compiled?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const run = (...words: string[]) =>
    spawnSync(
      process.execPath,
      [join(compiled.folder, 'bin/uipvs.js'), 'compare', ...words, '--script', join(folder, 'script')],
      { encoding: 'utf8', env: { ...process.env, UIPVS_LAB_PATIENCE: '10' } },
    );

  test(
    'the packet engine does what the packet engine does',
    () => {
      const { status, stdout, stderr } = run('packet', 'packet');
      expect(stderr).toBe('');
      expect(stdout).toBe('packet and packet: 6 steps, no difference\n');
      expect(status).toBe(0);
    },
    LONG_MS,
  );

  test(
    'what the proxy does otherwise is named, and nothing else',
    () => {
      const { status, stdout } = run('packet', 'proxy', '--json');
      expect(status).toBe(3);
      const { first, second, steps, differences } = JSON.parse(stdout);
      expect({ first, second, steps }).toEqual({ first: 'packet', second: 'proxy', steps: 6 });
      expect(differences.map(({ line }: { line: number }) => line)).toEqual([5]);
      expect(differences[0]).toMatchObject({
        step: 'ipvsadm -a -t 192.168.1.120:80 -r 192.168.1.13:80 -g',
        first: ['exit 0'],
        second: ['exit 255', expect.any(String)],
      });
    },
    LONG_MS,
  );

  test(
    'a data plane that does not work here is a failure with its reason, and nothing is left',
    () => {
      const { status, stderr } = run('packet', 'kernel');
      // Where the kernel has IPVS they do the same.
      if (status === 0) return;
      expect(status).toBe(1);
      expect(stderr).toMatch(/this kernel has no IPVS/);
    },
    LONG_MS,
  );
});
