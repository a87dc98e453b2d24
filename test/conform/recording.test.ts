import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CATEGORIES, parseRecording } from '../../src/conform/recording.ts';
import { readRecordings, shippedRecordings } from '../../src/conform/recording-files.ts';
import { PACKET, recordingOf, SET_UP } from './support.ts';

const recording = recordingOf([...SET_UP, PACKET]);

describe('a recording is refused with its place', () => {
  const withStep = (step: object) => JSON.stringify({ ...recording, steps: [...SET_UP, step] });

  test.each([
    ['{', /^x\.json: this is not JSON: /],
    ['[]', /^x\.json: not a recording of format 1$/],
    [JSON.stringify({ ...recording, format: 2 }), /^x\.json: not a recording of format 1$/],
    [JSON.stringify({ ...recording, id: 7 }), /^x\.json: "id" must be a text$/],
    [JSON.stringify({ ...recording, env: { sysctl: {} } }), /^x\.json: env\.ifaces: there must be a list$/],
    [withStep({ ...PACKET, do: 'dance' }), /^x\.json: step 2: "do" must be one of cmd, packet, /],
    [withStep({ ...PACKET, hex: '4g' }), /^x\.json: step 2: "hex" must be the bytes of a packet/],
    [withStep({ ...PACKET, t: 'now' }), /^x\.json: step 2: "t" must be a number of seconds$/],
    [withStep({ ...PACKET, out: [{ dev: 'c0', hex: '45' }] }), /^x\.json: step 2: out 0: "to" must be a text$/],
    [withStep({ t: 1, do: 'cmd', argv: [], stdout: '', stderr: '', exit: 0 }), /^x\.json: step 2: "argv" must be /],
    [withStep({ t: 1, do: 'wait', seconds: -1 }), /^x\.json: step 2: "seconds" must be a number of seconds$/],
    [withStep({ t: 1, do: 'file', path: '/x' }), /^x\.json: step 2: "text" must be a text or null$/],
  ])('%#', (text, message) => {
    expect(() => parseRecording(text, 'x.json')).toThrow(message);
  });
});

describe('recordings are found', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'uipvs-conform-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const idsIn = (...paths: string[]): string[] => [...readRecordings(paths)].map(({ id }) => id);
  const line = (id: string): string => `${JSON.stringify({ ...recording, id })}\n`;

  test('in folders, in every form, by name', () => {
    writeFileSync(join(folder, 'd.json'), line('d'));
    writeFileSync(join(folder, 'c.jsonl'), line('c1') + line('c2'));
    writeFileSync(join(folder, 'b.jsonl.gz'), gzipSync(line('b')));
    writeFileSync(join(folder, 'a.jsonl.br'), brotliCompressSync(line('a')));
    writeFileSync(join(folder, 'index.json'), '[]');
    writeFileSync(join(folder, 'README.md'), 'not a recording');
    expect(idsIn(folder)).toEqual(['a', 'b', 'c1', 'c2', 'd']);
    expect(idsIn(join(folder, 'd.json'), join(folder, 'c.jsonl'))).toEqual(['d', 'c1', 'c2']);
  });

  test('or missed, with the place', () => {
    expect(() => idsIn(join(folder, 'nowhere'))).toThrow(/nowhere: there is no such file or folder$/);
    expect(() => idsIn(folder)).toThrow(/: there is no recording in this folder$/);
    writeFileSync(join(folder, 'x.jsonl'), `${line('x')}{}\n`);
    expect(() => idsIn(folder)).toThrow(/x\.jsonl, line 2: not a recording of format 1$/);
    writeFileSync(join(folder, 'a.jsonl.br'), 'torn');
    expect(() => idsIn(folder)).toThrow(/a\.jsonl\.br: it cannot be read: /);
  });

  test('in the checkout, of every category', () => {
    const counts = new Map<string, number>();
    for (const { category } of readRecordings([shippedRecordings()])) {
      counts.set(category, (counts.get(category) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual([...CATEGORIES].sort());
    expect([...counts.values()].reduce((sum, count) => sum + count, 0)).toBe(623);
  });
});
