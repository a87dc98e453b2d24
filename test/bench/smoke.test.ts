/** The whole benchmark, as short as it goes: built, run in namespaces of its own, and nothing left behind. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BenchResults } from '../../bench/peers/results.ts';
import { hasProgram } from '../../src/lab/host.ts';

const ROOT = join(import.meta.dirname, '../..');
const BUILT = join(ROOT, 'dist/.bench-smoke');
const PROGRAMS = ['ip', 'nft', 'ss', 'ab', 'iperf3', 'nginx', 'taskset'];
const missing = PROGRAMS.filter((name) => !hasProgram(name));
const why = process.getuid?.() !== 0 ? 'needs root' : missing.length > 0 ? `needs ${missing.join(', ')}` : '';
/** Compiling everything takes a while beside other tests. */
const TIMEOUT_MS = 120_000;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'uipvs-bench-smoke-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  rmSync(BUILT, { recursive: true, force: true });
});

test.skipIf(why !== '')(
  `one measurement of two peers gives figures, pictures and an empty machine${why === '' ? '' : ` (${why})`}`,
  () => {
    const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
    const built = run([compiler, '-p', join(ROOT, 'tsconfig.bench.json'), '--outDir', BUILT], ROOT);
    expect(built.output).toBe('');
    copyFileSync(join(ROOT, 'package.json'), join(BUILT, 'package.json'));
    const words = ['--quick', '--rounds', '1', '--only', 'ab-20', '--peers', 'direct,nft', '--json'];
    const { status, output, stdout, pid } = run([join(BUILT, 'bench/peers.bench.js'), ...words], folder);
    expect(status, output).toBe(0);
    const results = JSON.parse(stdout) as BenchResults;
    for (const name of ['direct', 'nft']) {
      const peer = results.peers.find((each) => each.name === name);
      expect(peer?.absent).toBeNull();
      expect(peer?.failures).toEqual({});
      expect(peer?.figures['ab-20']?.median).toBeGreaterThan(0);
    }
    expect(results.goals.every(({ met }) => met === null)).toBe(true);
    expect(readdirSync(join(folder, 'bench/results')).toSorted()).toEqual(['part-requests.svg', 'part.json']);
    expect(readFileSync(join(folder, 'bench/results/part-requests.svg'), 'utf8')).toMatch(/^<svg .*nft.*<\/svg>\s*$/s);
    expect(labsOf(pid)).toEqual([]);
  },
  TIMEOUT_MS,
);

function run(words: readonly string[], cwd: string) {
  const { status, stdout, stderr, pid } = spawnSync(process.execPath, words, {
    cwd,
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
  });
  return { status, stdout, pid, output: `${stdout}${stderr}` };
}

/** Folders of labs that this process made; each would stand for namespaces as well. */
function labsOf(pid: number): string[] {
  return readdirSync('/tmp').filter((name) => {
    if (!name.startsWith('uipvs-lab-')) return false;
    try {
      return JSON.parse(readFileSync(join('/tmp', name, 'owner.json'), 'utf8')).pid === pid;
    } catch {
      // Another lab is just coming or going.
      return false;
    }
  });
}
