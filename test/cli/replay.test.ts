/** `uipvs replay` as it is typed. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Cli } from '../../src/cli/cli.ts';
import { runUipvs } from '../../src/cli/run.ts';
import { IpvsError } from '../../src/model/errors.ts';
import { readCapture } from '../support/captures.ts';
import { webCapture } from '../support/web-capture.ts';

const CONFIG = `virtual=192.168.1.120:80
        real=192.168.1.11:80 masq
        real=192.168.1.12:80 masq
        real=192.168.1.13:80 masq
        scheduler=rr
        protocol=tcp
        checktype=ping
`;

let folder: string;
let input: string;
let config: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'uipvs-replay-'));
  input = join(folder, 'in.pcap');
  config = join(folder, 'ldirectord.cf');
  writeFileSync(input, Buffer.concat([...webCapture({ connections: 100 })]));
  writeFileSync(config, CONFIG);
});
afterEach(() => rmSync(folder, { recursive: true }));

async function uipvs(...words: string[]) {
  let stdout = '';
  let stderr = '';
  const bytes: Uint8Array[] = [];
  const nobody = (): Promise<never> => Promise.reject(new IpvsError('ENOPROTOOPT', 'no daemon answers'));
  const cli: Cli = {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    stdoutBytes: async (piece) => void bytes.push(piece),
    terminal: null,
    progressTerminal: false,
    pause: async () => false,
    installation: { programs: '/nowhere', linkDirectory: '/nowhere', alternatives: null, standardPath: [] },
    connect: nobody,
    backEnds: nobody,
    guard: nobody,
  };
  return { code: await runUipvs(words, cli, []), stdout, stderr, bytes: Buffer.concat(bytes) };
}

test('the summary tells the distribution and the sum of the output', async () => {
  const { code, stdout, stderr } = await uipvs('replay', input, '--config', config);
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^packets 1000 in 0\.006 s of capture time; sent 1000; took /);
  expect(stdout).toMatch(/-> 192\.168\.1\.13:80 +34 +204 +136 .* 34\.0 %/);
  expect(stdout).toMatch(/sha256 [0-9a-f]{64} {2}\(296936 bytes\)\n$/);
});

test('--json has the same, and -w the file', async () => {
  const out = join(folder, 'out.pcapng');
  const { code, stdout } = await uipvs('replay', input, '--config', config, '--json', '-w', out);
  expect(code).toBe(0);
  const report = JSON.parse(stdout) as { packets: number; output: { bytes: number } };
  expect(report).toMatchObject({ packets: 1000, sent: 1000, counters: { drops: {} } });
  expect(readFileSync(out)).toHaveLength(report.output.bytes);
  const again = await uipvs('replay', input, '--config', config, '-w', out);
  expect(again).toMatchObject({ code: 1, stderr: `uipvs replay: ${out} is there already; --force writes over it\n` });
  expect((await uipvs('replay', input, '--config', config, '-w', out, '--force')).code).toBe(0);
});

test('-w - is for a program that reads along; the summary goes to standard error', async () => {
  const { bytes, stdout, stderr } = await uipvs('replay', input, '--config', config, '-w', '-');
  expect(readCapture(bytes).packets).toHaveLength(2000);
  expect([stdout, stderr.slice(0, 12)]).toEqual(['', 'packets 1000']);
});

test('--explain tells the story of each packet', async () => {
  const { stdout } = await uipvs('replay', input, '--config', config, '--explain');
  expect(stdout.match(/^#\d+ \+0\.\d{9}\nTCP \S+ > \S+/gm)).toHaveLength(1000);
  expect(stdout).toMatch(
    /^#1 \+0\.000000000\nTCP 10\.0\.0\.1:20000 > 192\.168\.1\.120:80.*\nsent to 192\.168\.1\.13:80 by replay0\n/,
  );
});

test('--explain --brief has a line for each packet', async () => {
  const { stdout } = await uipvs('replay', input, '--config', config, '--explain', '--brief');
  expect(stdout.match(/^#\d+ \+.* \| (dst|src) .*$/gm)).toHaveLength(1000);
});

test.each([
  [[], 2, 'type one capture file'],
  [['-'], 2, 'must be a file, not standard input'],
  [['IN', '-w', '-', '--json'], 2, '-w - needs standard output for itself'],
  [['IN', '-w', 'IN', '--force', '--config', 'CF'], 2, 'it is the file that is read'],
  [['IN'], 1, 'there is no table: name a file with --config, or start uipvsd'],
  [['IN', '--config', 'IN'], 2, 'what kind of file this is cannot be told'],
  [['CF', '--config', 'CF'], 1, 'expected a pcap or pcapng file'],
  [['IN', '--config', 'CF', '--seed', 'x'], 2, 'It must be a whole number'],
] as const)('%j is answered with %i and a sentence', async (words, code, sentence) => {
  const typed = words.map((word) => ({ IN: input, CF: config })[word as string] ?? (word as string));
  const answer = await uipvs('replay', ...typed);
  expect(answer.code).toBe(code);
  expect(answer.stderr).toContain(sentence);
  expect(existsSync(input)).toBe(true);
});
