/** The guest's parts, without a guest: the archive, the words on the console, and machines that do not end well. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const { Archive } = await import('../../src/setup/guest/cpio.mjs' as string);
const { readMessage, writeMessage } = await import('../../src/setup/guest/protocol.mjs' as string);
const { runMachine } = await import('../../src/setup/guest/machine.mjs' as string);
const { countOutcomes } = await import('../../src/setup/guest/run.mjs' as string);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'uipvs-guest-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the archive', () => {
  test('has the form that cpio and the kernel read', () => {
    const archive = new Archive();
    archive.file('/a/b/hello', 'hello\n', 0o755);
    archive.link('/a/link', 'b/hello');
    archive.device('/dev/null', 1, 3);
    const bytes: Buffer = archive.bytes();
    expect(bytes.length % 4).toBe(0);
    expect(bytes.subarray(0, 6).toString()).toBe('070701');
    expect(bytes.includes('TRAILER!!!')).toBe(true);
    expect(archive.has('a/b')).toBe(true);
    const unpacked = spawnSync('cpio', ['-i', '--quiet'], { cwd: folder, input: bytes });
    // Only who has cpio can try it; the form above is checked everywhere.
    if (unpacked.error !== undefined) return;
    expect(readFileSync(join(folder, 'a/link'), 'utf8')).toBe('hello\n');
    expect(statSync(join(folder, 'a/b/hello')).mode & 0o777).toBe(0o755);
  });

  test('takes folders with their links as they are, without what is not wanted', () => {
    writeFileSync(join(folder, 'x'), '1');
    writeFileSync(join(folder, 'y'), '2');
    symlinkSync('x', join(folder, 'z'));
    const archive = new Archive();
    archive.copy(folder, '/t', (path: string) => !path.endsWith('/y'));
    expect(['t', 't/x', 't/y', 't/z'].map((path) => archive.has(path))).toEqual([true, true, false, true]);
  });
});

describe('a message on the console', () => {
  const step = { type: 'step', name: 'lab', outcome: 'failed', text: 'two\nlines "quoted"', seconds: 1.5 };

  test('comes as it was written, also behind what others print', () => {
    const [line] = writeMessage(step).trim().split('\n');
    expect(readMessage(line)).toEqual(step);
    expect(readMessage(`[ 1.0] noise ${line}`)).toEqual(step);
  });

  test.each(['', 'hello', '@@uipvs-guest ', '@@uipvs-guest {"type":"st', '@@uipvs-guest 5', '@@uipvs-guest {}'])(
    '%j is none',
    (line) => expect(readMessage(line)).toBe(null),
  );
});

describe('a machine', () => {
  const run = (script: string, more = {}) =>
    runMachine({
      image: '',
      fileSystem: Buffer.alloc(0),
      memoryMiB: 0,
      timeoutMs: 20_000,
      silenceMs: 15_000,
      emulator: ['sh', '-c', script],
      ...more,
    });
  const said = (message: object) => `printf '%s' '${writeMessage(message)}'`;
  const plan = said({ type: 'plan', names: ['one', 'two'] });
  const passed = (name: string) => said({ type: 'step', name, outcome: 'passed', text: '', seconds: 0 });
  const end = said({ type: 'end' });

  test('that does everything', async () => {
    const result = await run(`${plan}; ${passed('one')}; ${passed('two')}; ${end}`);
    expect(result.failure).toBe(null);
    expect(countOutcomes(result)).toEqual({ passed: 2, failed: 0, skipped: 0 });
  });

  test('that panics is a failure with its last lines', async () => {
    const result = await run(`${plan}; ${passed('one')}; echo 'Kernel panic - not syncing: no init'; echo Call Trace`);
    expect(result.failure).toMatch(/panicked: Kernel panic/);
    expect(result.console.at(-1)).toBe('Call Trace');
    expect(countOutcomes(result)).toEqual({ passed: 1, failed: 1, skipped: 0 });
  });

  test('that ends early, or leaves a step out, is a failure', async () => {
    expect(countOutcomes(await run(`${plan}; ${passed('one')}`)).failed).toBe(1);
    expect(countOutcomes(await run(`${plan}; ${passed('one')}; ${end}`))).toEqual({ passed: 1, failed: 1, skipped: 0 });
    expect(countOutcomes(await run(end)).failed).toBe(1);
  });

  test('that hangs is ended, whether it goes on to talk or not', async () => {
    expect((await run('echo x; exec sleep 60', { silenceMs: 500 })).failure).toMatch(/said nothing for 0.5 seconds/);
    const chatty = await run('while :; do echo x; sleep 0.1; done', { timeoutMs: 1_000 });
    expect(chatty.failure).toMatch(/did not end within 1 seconds/);
  });

  test('that cannot be started says so', async () => {
    expect((await run('', { emulator: [join(folder, 'nothing')] })).failure).toMatch(/cannot be started/);
  });
});
