/**
 * Makes the packed sets of this folder again: node test/recordings/pack.mjs FOLDER
 *
 * FOLDER holds recordings as JSON files, `<category>/<id>.json`. Each category becomes `<category>.jsonl.br` here, in
 * the order of the file names; the README beside this file describes the form. Nothing is left out of a recording.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';

/** A recording tells of a director, not of the machine that somebody worked on. */
const MACHINE_PATH = /\/(?:home|root|work|tmp|Users|mnt)\//;

const folder = process.argv[2];
if (folder === undefined) {
  process.stderr.write('which folder? node test/recordings/pack.mjs FOLDER\n');
  process.exit(2);
}
for (const entry of readdirSync(folder, { withFileTypes: true })) {
  if (entry.isDirectory()) packCategory(entry.name);
}

function packCategory(category) {
  const names = readdirSync(join(folder, category)).filter((name) => name.endsWith('.json'));
  const lines = names.sort().map((name) => {
    const file = join(folder, category, name);
    const line = JSON.stringify(JSON.parse(readFileSync(file, 'utf8')));
    if (MACHINE_PATH.test(line)) throw new Error(`${file}: names a path of the machine it was made on`);
    return `${line}\n`;
  });
  const text = Buffer.from(lines.join(''));
  const packed = brotliCompressSync(text, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
      [constants.BROTLI_PARAM_SIZE_HINT]: text.length,
    },
  });
  if (!brotliDecompressSync(packed).equals(text)) throw new Error(`${category}: the packed set does not unpack`);
  const target = join(import.meta.dirname ?? new URL('.', import.meta.url).pathname, `${category}.jsonl.br`);
  writeFileSync(target, packed);
  process.stdout.write(`${category}: ${lines.length} recordings, ${text.length} bytes, packed ${packed.length}\n`);
}
