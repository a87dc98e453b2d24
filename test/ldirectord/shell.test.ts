import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createShell } from '../../src/ldirectord/shell.ts';
import { temporaryDirectory, until } from '../support/served.ts';

test('a stop never overtakes the start before it', async () => {
  const file = join(temporaryDirectory(), 'said');
  const run = createShell(() => {});
  run(`sleep 0.3; echo start >> ${file}`);
  run(`echo stop >> ${file}`);
  await until(() => existsSync(file) && readFileSync(file, 'utf8').includes('stop'), 'both ran');
  expect(readFileSync(file, 'utf8')).toBe('start\nstop\n');
});

test('what goes wrong is logged, and one that hangs does not keep the next', async () => {
  const file = join(temporaryDirectory(), 'said');
  const log: string[] = [];
  const run = createShell((line) => log.push(line), 300);
  run('exit 7');
  run('sleep 600 & wait');
  run(`touch ${file}`);
  await until(() => existsSync(file), 'the last one ran');
  expect(log).toEqual([
    'fallbackcommand "exit 7" ended with status 7',
    'fallbackcommand "sleep 600 & wait" was ended after 0.3 s',
  ]);
});
