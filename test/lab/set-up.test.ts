import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

/** The set-up is plain JavaScript without types, since it runs before anything is installed. */
const load = (name: string) => import(new URL(`../../src/setup/${name}.mjs`, import.meta.url).href);
const { nodeProblem } = await load('node-version');
const { installPackages, packagesAreCurrent } = await load('packages');
const { buildIsCurrent } = await load('build');
const { installLine, missingPackages } = await load('system-tools');

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'uipvs-set-up-'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function write(file: string, content: unknown): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), typeof content === 'string' ? content : JSON.stringify(content));
}

test('Node from 20.19 on will do, and an older one is told in a sentence', () => {
  for (const version of ['20.19.0', '20.20.2', '22.0.0', '24.1.0', '26.0.0-nightly']) {
    expect(nodeProblem(version), version).toBeNull();
  }
  for (const version of ['20.18.3', '18.20.0', '4.0.0'])
    expect(nodeProblem(version)).toContain(`this is Node ${version}`);
});

describe('npm packages', () => {
  const lock = (packages: object) => ({ lockfileVersion: 3, packages: { '': { name: 'uipvs' }, ...packages } });
  const current = (wanted: object, installed: object) => {
    write('package-lock.json', lock(wanted));
    write('node_modules/.package-lock.json', lock(installed));
    return packagesAreCurrent(root);
  };

  test('are missing when npm left no note', () => {
    write('package-lock.json', lock({}));
    expect(packagesAreCurrent(root)).toBe(false);
  });

  test('are current when all versions agree, whatever the times of the files', () => {
    expect(current({ 'node_modules/a': { version: '1.0.0' } }, { 'node_modules/a': { version: '1.0.0' } })).toBe(true);
  });

  test('are stale when one is missing or of another version', () => {
    expect(current({ 'node_modules/a': { version: '1.0.0' } }, {})).toBe(false);
    expect(current({ 'node_modules/a': { version: '1.0.1' } }, { 'node_modules/a': { version: '1.0.0' } })).toBe(false);
  });

  test('an optional one may be missing, but not be of another version', () => {
    const optional = { 'node_modules/cap': { version: '0.2.1', optional: true } };
    expect(current(optional, {})).toBe(true);
    expect(current(optional, { 'node_modules/cap': { version: '0.2.0' } })).toBe(false);
  });

  test('are never installed through a link, which would empty the folder it leads to', async () => {
    mkdirSync(join(root, 'elsewhere'));
    symlinkSync(join(root, 'elsewhere'), join(root, 'node_modules'));
    await expect(installPackages(root)).rejects.toThrow('node_modules is a link');
  });
});

test('built files are stale once a source is touched, added or removed', async () => {
  const { build } = await load('build');
  write('src/a.ts', 'export const a = 1;\n');
  write('tsconfig.json', '{}');
  write('package-lock.json', '{}');
  // A compiler that succeeds: what it writes does not matter here.
  write('node_modules/typescript/bin/tsc', '');
  // And a program that writes its manual pages and completions without a word.
  write('src/bin/uipvs.ts', '');
  write('dist/bin/uipvs.js', '');
  expect(buildIsCurrent(root)).toBe(false);
  expect(await build(root)).toBe(true);
  expect(buildIsCurrent(root)).toBe(true);
  utimesSync(join(root, 'src/a.ts'), new Date(0), new Date(1000));
  expect(buildIsCurrent(root)).toBe(false);
  await build(root);
  write('src/b.ts', '');
  expect(buildIsCurrent(root)).toBe(false);
  await build(root);
  rmSync(join(root, 'src/b.ts'));
  expect(buildIsCurrent(root)).toBe(false);
});

test('only packages whose programs are missing are named', () => {
  const tools = [
    { package: 'there', present: () => true },
    { package: 'missing', present: () => false },
  ];
  expect(missingPackages(tools)).toEqual(['missing']);
  expect(installLine(['a', 'b'])).toBe('sudo apt-get install -y a b');
});
