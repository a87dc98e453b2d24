/** From src/ and native-free/ to dist/: TypeScript's compiler, the programs in dist/bin made executable, manual pages, completions. */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { installCompiler } from './packages.mjs';
import { run, say } from './terminal.mjs';

/** Holds the fingerprint of the sources that dist/ was built from. */
const STAMP = 'dist/.built';
/** Where the compiler writes before the files take their places. */
const EMITTED = 'dist/.emitted';
/** The rooms of src/ lie at the top of dist/, and native-free/ beside them. */
const SOURCES = [
  { from: 'src', to: 'dist' },
  { from: 'native-free', to: 'dist/native-free' },
];
/** The same step in imports between the two: from a program in bin/ to native-free/, and back to the rooms. */
const IMPORTS = {
  src: (text) => text.replaceAll(/(['"])\.\.\/((?:\.\.\/)+native-free\/)/g, '$1$2'),
  'native-free': (text) => text.replaceAll(/(['"](?:\.\.\/)+)src\//g, '$1'),
};
/** Chapters of `uipvs learn`, which it reads as they are. */
const TEXTS = 'src/lessons';
/** What the built `uipvs` writes itself: the word that does, and where to. */
const DOCUMENTS = { man: 'dist/man', completion: 'dist/completions' };

/**
 * Every file below a folder whose name ends so; paths relative to it.
 * @param {string} folder @param {string} ending @returns {string[]}
 */
function filesBelow(folder, ending) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)));
}

/** @param {string} root */
function fingerprint(root) {
  const hash = createHash('sha256');
  const files = SOURCES.flatMap(({ from }) => filesBelow(join(root, from), '.ts').map((file) => join(from, file)));
  files.push(...filesBelow(join(root, TEXTS), '.md').map((file) => join(TEXTS, file)));
  for (const file of [...files.sort(), 'tsconfig.json', 'package-lock.json']) {
    const { mtimeMs, size } = statSync(join(root, file));
    hash.update(`${file} ${mtimeMs} ${size}\n`);
  }
  return hash.digest('hex');
}

/** @param {string} root */
export function buildIsCurrent(root) {
  const stamp = join(root, STAMP);
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === fingerprint(root);
}

/** What was built from sources that are gone must not answer in their place. */
function removeOrphans(root) {
  for (const file of filesBelow(join(root, 'dist'), '.js')) {
    if (file.startsWith('.bench')) continue;
    const stem = file.slice(0, -'.js'.length);
    const source = stem.startsWith('native-free/') ? stem : join('src', stem);
    if (existsSync(join(root, `${source}.ts`))) continue;
    for (const ending of ['.js', '.d.ts']) rmSync(join(root, 'dist', stem + ending), { force: true });
  }
}

/** @param {string} root */
function putInPlace(root) {
  for (const { from, to } of SOURCES) {
    const emitted = join(root, EMITTED, from);
    for (const file of filesBelow(emitted, '.js').concat(filesBelow(emitted, '.d.ts'))) {
      const target = join(root, to, file);
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, IMPORTS[from](readFileSync(join(emitted, file), 'utf8')));
    }
  }
  rmSync(join(root, EMITTED), { recursive: true, force: true });
  for (const file of filesBelow(join(root, TEXTS), '.md')) {
    const target = join(root, 'dist/lessons', file);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(root, TEXTS, file), target);
  }
}

/**
 * Builds, whatever is there already.
 * @param {string} root
 * @returns {Promise<boolean>} false when the compiler found mistakes; it has shown them then.
 */
export async function build(root) {
  const before = fingerprint(root);
  rmSync(join(root, STAMP), { force: true });
  removeOrphans(root);
  await installCompiler(root);
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const { code, output } = await run(process.execPath, [compiler, '-p', 'tsconfig.json'], { cwd: root });
  if (output.trim() !== '') process.stderr.write(output);
  if (code !== 0) {
    say('the build failed.');
    return false;
  }
  putInPlace(root);
  for (const file of filesBelow(join(root, 'dist/bin'), '.js')) chmodSync(join(root, 'dist/bin', file), 0o755);
  for (const [word, folder] of Object.entries(DOCUMENTS)) {
    const words = [join(root, 'dist/bin/uipvs.js'), word, '--write', join(root, folder)];
    const written = await run(process.execPath, words, { cwd: root });
    if (written.code !== 0) {
      process.stderr.write(written.output);
      say(`the build failed: \`uipvs ${word}\` could not write ${folder}.`);
      return false;
    }
  }
  writeFileSync(join(root, STAMP), before);
  return true;
}
