/**
 * The examples that the room shows are what the command prints. After a change that is meant:
 * UIPVS_WRITE_EXAMPLES=1 npx vitest run test/explain/examples.test.ts
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DIRECTOR, EXAMPLES } from './examples.ts';
import { runExplain } from './run-explain.ts';

const FOLDER = join(import.meta.dirname, '../../src/explain/examples');
const WRITE = process.env['UIPVS_WRITE_EXAMPLES'] !== undefined;

test.each(EXAMPLES)('$name', async ({ name, packets, exitCode }) => {
  const config = join(FOLDER, 'director.yaml');
  const { stdout, stderr, exit } = await runExplain('--config', config, '--director', DIRECTOR, '--markdown', packets);
  // One service of the file has no server on purpose.
  expect(stderr).toMatch(/^[^\n]+: warning: tcp 192\.168\.1\.126:80: every server has weight 0[^\n]*\n$/);
  expect(exit).toBe(exitCode ?? 0);
  const text = `<!-- uipvs explain --config director.yaml --director ${DIRECTOR} --markdown '${packets}' -->\n\n${stdout}`;
  const path = join(FOLDER, `${name}.md`);
  if (WRITE) writeFileSync(path, text);
  expect(readFileSync(path, 'utf8')).toBe(text);
});

test('no example is left over', () => {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.md'));
  expect(files.sort()).toEqual(EXAMPLES.map(({ name }) => `${name}.md`).sort());
});
