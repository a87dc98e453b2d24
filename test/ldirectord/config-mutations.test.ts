/** The recorded files, damaged at random: the reader answers with a configuration or a place in the file. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { systemEnvironment } from '../../src/ldirectord/config/environment.ts';
import { ConfigurationError, formatExcerpt } from '../../src/ldirectord/config/problem.ts';
import { parseConfiguration } from '../../src/ldirectord/config.ts';

const EXAMPLES = join(import.meta.dirname, 'examples');
const FILES: readonly Buffer[] = readdirSync(EXAMPLES)
  .filter((name) => name.endsWith('.cf'))
  .map((name) => readFileSync(join(EXAMPLES, name)));

/** Names are not looked up and no file is opened: what is read here may hold any. */
const environment = {
  ...systemEnvironment,
  resolveHost: async (name: string) => (/^[\d.]+$|:/.test(name) ? '192.0.2.1' : null),
  refusesAppend: () => null,
};

/** Reads, and holds the answer to its promise. */
async function read(text: string): Promise<'accepted' | 'refused'> {
  try {
    const { warnings } = await parseConfiguration(text, environment);
    for (const { line } of warnings) expect(line).toBeLessThanOrEqual(text.split('\n').length);
    return 'accepted';
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    const lines = text.split('\n');
    expect(error.line).toBeGreaterThanOrEqual(1);
    expect(error.line).toBeLessThanOrEqual(lines.length);
    expect(error.column).toBeGreaterThanOrEqual(1);
    expect(error.column).toBeLessThanOrEqual(lines[error.line - 1].length + 1);
    expect(formatExcerpt(error, text)).toMatch(/\^/);
    return 'refused';
  }
}

type Mutation = (bytes: Buffer, at: number) => Buffer;
const splice = (bytes: Buffer, at: number, length: number, inserted: Uint8Array) =>
  Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at + length)]);

const pieces = [
  '\0',
  '\r',
  '\n',
  '\t',
  '    ',
  '"',
  '#',
  '=',
  '->',
  ' l:1',
  '[::1]',
  'virtual=',
  'real=',
  '\u00a0',
  'ü',
];
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.constantFrom(...pieces).map(
    (piece): Mutation =>
      (bytes, at) =>
        splice(bytes, at, 0, Buffer.from(piece)),
  ),
  fc.integer({ min: 0, max: 255 }).map(
    (byte): Mutation =>
      (bytes, at) =>
        splice(bytes, at, 1, Buffer.from([byte])),
  ),
  fc.integer({ min: 1, max: 30 }).map(
    (length): Mutation =>
      (bytes, at) =>
        splice(bytes, at, length, Buffer.alloc(0)),
  ),
  fc.integer({ min: 1, max: 60 }).map(
    (length): Mutation =>
      (bytes, at) =>
        splice(bytes, at, 0, bytes.subarray(0, length)),
  ),
);

describe('a damaged file', () => {
  test('is read or refused with a place that is in it', async () => {
    const seen = { accepted: 0, refused: 0 };
    const mutations = fc.array(fc.tuple(mutation, fc.double({ min: 0, max: 1, noNaN: true })), {
      minLength: 1,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...FILES), mutations, async (file, changes) => {
        const damaged = changes.reduce(
          (bytes, [change, where]) => change(bytes, Math.floor(where * bytes.length)),
          file,
        );
        seen[await read(damaged.toString('utf8'))] += 1;
      }),
      { numRuns: 1_500 },
    );
    // Otherwise half of what is promised was not looked at.
    expect(seen.accepted).toBeGreaterThan(20);
    expect(seen.refused).toBeGreaterThan(20);
  });

  test('with CRLF everywhere, cut anywhere, or from another alphabet is no different', async () => {
    for (const file of FILES) {
      const text = file.toString('utf8');
      await read(text.replaceAll('\n', '\r\n'));
      await read(text.slice(0, text.length / 2));
      await read(file.toString('utf16le'));
      await read(Buffer.from([...file].map((byte) => byte ^ 0x80)).toString('utf8'));
    }
  });

  test('may have a megabyte', async () => {
    const block = (index: number) =>
      `virtual=10.${index >> 8}.${index & 255}.1:80\n\treal=10.0.0.2:80 masq\n\tscheduler=rr\n\tchecktype=connect\n`;
    const big = Array.from({ length: 14_000 }, (_, index) => block(index)).join('');
    expect(big.length).toBeGreaterThan(1_000_000);
    const everywhere = { ...environment, resolveHost: async (name: string) => name };
    expect((await parseConfiguration(big, everywhere)).virtuals).toHaveLength(14_000);
    const lines = FILES.map((file) => file.toString('utf8')).join('');
    await read(lines.repeat(Math.ceil(1_000_000 / lines.length)));
    await read('"'.repeat(1_000_000));
    await read('\n'.repeat(1_000_000));
  });

  test.each([
    ['quotes', `"${' "'.repeat(2_000)}`],
    ['blanks', ' '.repeat(4_000)],
    ['letters', 'a'.repeat(4_000)],
    ['digits', '1'.repeat(4_000)],
  ])('with the longest line of %s does not take for ever', async (_, long) => {
    for (const head of ['real=', 'real=10.0.0.2:80 masq ', 'request="', 'fallback=', 'checktype=', 'persistent=', '']) {
      await read(`virtual=10.0.0.1:80\n\t${head}${long}\n`);
      await read(`${head}${long}\n`);
    }
  });
});
