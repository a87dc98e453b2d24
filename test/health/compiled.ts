/** The sources as JavaScript in a temporary folder, for tests that start processes of their own. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Compiled {
  readonly folder: string;
  remove(): void;
}

/** `name` becomes part of the folder's path. */
export function compileSources(name: string): Compiled {
  const root = join(import.meta.dirname, '../..');
  const folder = mkdtempSync(join(tmpdir(), `uild-${name}-`));
  execFileSync('npx', ['tsc', '-p', 'tsconfig.json', '--outDir', folder], { cwd: root, stdio: 'ignore' });
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return { folder: join(folder, 'src'), remove: () => rmSync(folder, { recursive: true, force: true }) };
}
