/**
 * Where recordings lie: single files (`<id>.json`), folders of them at any depth, and packed sets, one recording a
 * line (`<category>.jsonl`, or compressed as `.jsonl.br` or `.jsonl.gz`). test/recordings/README.md describes the sets.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { parseRecording, type Recording, RecordingError } from './recording.ts';

const UNPACK: readonly (readonly [ending: string, unpack: (bytes: Buffer) => Buffer])[] = [
  ['.jsonl', (bytes) => bytes],
  ['.jsonl.gz', (bytes) => gunzipSync(bytes)],
  ['.jsonl.br', (bytes) => brotliDecompressSync(bytes)],
];
/** A table of contents that lies beside recordings, and is none. */
const CONTENTS_FILE = 'index.json';

/** The recordings that belong to the project, in a checkout: beside `src/` as well as beside `dist/`. */
export function shippedRecordings(): string {
  const folder = fileURLToPath(new URL('../../test/recordings/', import.meta.url));
  if (existsSync(folder)) return folder;
  throw new RecordingError(
    'the recordings are part of the checkout, not of the installed package: name a folder or a file of recordings',
  );
}

/** All recordings below `paths`, folders in the order of their names, one at a time. Throws a RecordingError. */
export function* readRecordings(paths: readonly string[]): Generator<Recording> {
  for (const path of paths) {
    const files = [...recordingFilesIn(path)];
    if (files.length === 0) throw new RecordingError(`${path}: there is no recording in this folder`);
    for (const file of files) yield* readFile(file);
  }
}

function* recordingFilesIn(path: string): Generator<string> {
  const kind = attempt(path, () => statSync(path));
  if (!kind.isDirectory()) {
    yield path;
    return;
  }
  const entries = attempt(path, () => readdirSync(path, { withFileTypes: true }));
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const inside = join(path, entry.name);
    if (entry.isDirectory()) yield* recordingFilesIn(inside);
    else if (isRecordingFile(entry.name) && entry.name !== CONTENTS_FILE) yield inside;
  }
}

function isRecordingFile(name: string): boolean {
  return name.endsWith('.json') || UNPACK.some(([ending]) => name.endsWith(ending));
}

function* readFile(file: string): Generator<Recording> {
  const bytes = attempt(file, () => readFileSync(file));
  const unpack = UNPACK.find(([ending]) => file.endsWith(ending))?.[1];
  if (unpack === undefined) {
    yield parseRecording(bytes.toString('utf8'), file);
    return;
  }
  const lines = attempt(file, () => unpack(bytes))
    .toString('utf8')
    .split('\n');
  for (const [index, line] of lines.entries()) {
    if (line !== '') yield parseRecording(line, `${file}, line ${index + 1}`);
  }
}

/** What the file system or the decompressor throws becomes a sentence that names the file. */
function attempt<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new RecordingError(`${path}: ${reasonOf(cause as NodeJS.ErrnoException)}`, { cause });
  }
}

function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return 'there is no such file or folder';
  if (error.code === 'EACCES') return 'it may not be read';
  return `it cannot be read: ${error.message}`;
}
