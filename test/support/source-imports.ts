/**
 * Who imports whom among our own source files. Reads text, not syntax trees: imports stand at the beginning of a
 * line (the formatter sees to that), and whatever is loaded late names its file in plain quotes.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';

export interface SourceFile {
  /** From the project's root, `src/wire/tcp.ts`. */
  readonly path: string;
  /** Own files it imports, at once or late. They need not exist. */
  readonly files: readonly string[];
  /** Those of `files` of which only types are taken, so that nothing is loaded. */
  readonly typesOnly: readonly string[];
  /** Own files it only names, to start them as a worker or a process: `new URL('./x.js', import.meta.url)`. */
  readonly starts: readonly string[];
  /** Modules of Node, without the prefix `node:`. */
  readonly node: readonly string[];
  /** Names of packages. */
  readonly packages: readonly string[];
}

const BLOCK_COMMENTS = /^[ \t]*\/\*[\s\S]*?\*\//gm;
const LINE_COMMENTS = /^[ \t]*\/\/.*$/gm;
const IMPORTS: readonly RegExp[] = [
  /^(?:import|export)\b[^'";]*?\bfrom\s*['"]([^'"]+)['"]/gm,
  /^import\s*['"]([^'"]+)['"]/gm,
  /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g,
  /\b(?:require|createRequire\(import\.meta\.url\))(?:\.resolve)?\(\s*['"]([^'"]+)['"]\s*\)/g,
];
const TYPE_IMPORTS = /^(?:import|export) type\b[^'";]*?\bfrom\s*['"](\.[^'"]+)['"]/gm;
const STARTS = /\bnew URL\(\s*['"](\.[^'"]+\.[jt]s)['"],\s*import\.meta\.url\s*\)/g;

/** Every TypeScript file under the given folders of `root`, sorted. Folders that are missing are left out. */
export function readSources(root: string, folders: readonly string[]): SourceFile[] {
  return folders
    .flatMap((folder) => listFiles(join(root, folder)))
    .map((path) => parseSource(relative(root, path), readFileSync(path, 'utf8')));
}

export function parseSource(path: string, text: string): SourceFile {
  const code = text.replaceAll(BLOCK_COMMENTS, '').replaceAll(LINE_COMMENTS, '');
  const found = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map((match) => match[1] as string);
  const specifiers = IMPORTS.flatMap((pattern) => found(code, pattern));
  const own = (names: readonly string[]) =>
    unique(names.filter((name) => name.startsWith('.')).map((name) => resolved(path, name)));
  const files = own(specifiers);
  const loaded = own(IMPORTS.flatMap((pattern) => found(code.replaceAll(TYPE_IMPORTS, ''), pattern)));
  const foreign = specifiers.filter((specifier) => !specifier.startsWith('.'));
  return {
    path,
    files,
    typesOnly: files.filter((file) => !loaded.includes(file)),
    starts: own(found(code, STARTS)),
    node: unique(foreign.filter((name) => name.startsWith('node:')).map((name) => name.slice('node:'.length))),
    packages: unique(foreign.filter((name) => !name.startsWith('node:')).map(packageName)),
  };
}

/** `@scope/name/file` and `name/file` without the file. */
function packageName(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function resolved(from: string, specifier: string): string {
  return normalize(join(dirname(from), specifier)).replace(/\.js$/, '.ts');
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)].sort();
}

function listFiles(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .sort()
      .map((name) => join(folder, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
