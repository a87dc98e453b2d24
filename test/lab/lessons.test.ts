/** Every chapter that has a lab, as a learner goes through it: the lab is built, its commands are typed, and it goes. */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { chooseLab } from '../../src/lab/labs/index.ts';
import { CHAPTERS, loadChapter } from '../../src/lessons/catalog.ts';
import { runChapter } from '../../src/lessons/run.ts';
import { takenDown, typed } from './standing-support.ts';
import { LabHost, whyNoLab, withFolder } from './support.ts';

const LONG_MS = 300_000;
const PROGRAMS = join(import.meta.dirname, '../../dist/bin');
const WHY_NOT = process.getuid?.() === 0 ? null : 'needs root: these labs outlive the command';

let host: LabHost | null = null;
beforeEach(async () => {
  if (WHY_NOT === null) host = await LabHost.open();
});
afterEach(async () => {
  if (host !== null) await typed(host, 0, 'down', '--all');
  await host?.close();
  host = null;
});

const withLab = CHAPTERS.filter((name) => loadChapter(name, 'en').lab !== null);
test.for(withLab)('%s', { timeout: LONG_MS }, async (name, { skip }) => {
  const chapter = loadChapter(name, 'en');
  const why = WHY_NOT ?? whyNoLab('packet-ring', ['curl', ...(chooseLab(chapter.lab!).kind.programs ?? [])]);
  skip(why !== null, why ?? '');
  const before = host!.traces();
  const up = await typed(host!, 0, 'up', chapter.lab!);
  await withFolder(async (directory) => {
    const environment = {
      ...process.env,
      PATH: `${programsOn(host!, directory)}:${process.env['PATH']}`,
      NO_COLOR: '1',
    };
    for await (const { command, difference, output } of runChapter(chapter, {
      directory,
      environment,
      patienceMs: 120_000,
    })) {
      expect(difference, `${command.text}\n${output}`).toBeNull();
    }
  });
  await takenDown(host!, up, before);
});

/** A folder for the PATH: what is typed as `uipvs` runs on the host of the test. */
function programsOn(on: LabHost, folder: string): string {
  const words = on.inside(['sh', '-c', 'cd "$0" && exec "$@"', folder, process.execPath, join(PROGRAMS, 'uipvs.js')]);
  const file = join(folder, 'uipvs');
  writeFileSync(file, `#!/bin/sh\nexec ${words.map((word) => `'${word}'`).join(' ')} "$@"\n`);
  chmodSync(file, 0o755);
  return folder;
}
