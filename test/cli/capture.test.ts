/** `uipvs capture` and `uipvs watch` as they are typed, over a daemon that has prepared records. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Cli } from '../../src/cli/cli.ts';
import { runUipvs } from '../../src/cli/run.ts';
import { Taps } from '../../src/data-plane/packet/tap.ts';
import { TRANSMIT } from '../../src/engine/verdict.ts';
import type { Command } from '../../src/model/commands.ts';
import { IpvsError } from '../../src/model/errors.ts';
import { PacketBatch } from '../../src/wire/packet-batch.ts';
import { readCapture } from '../support/captures.ts';
import { frame } from '../support/frames.ts';

const VIP = '192.0.2.1';
const SERVER = '10.0.0.11';
const CLIENT = '198.51.100.7';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'uipvs-capture-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Each reading finds one more request and its answer. */
class FakeDaemon {
  readonly taps = new Taps({ nowUs: () => 1_000_000 + this.readings * 1000 });
  readings = 0;
  closed = false;
  refusal: IpvsError | null = null;
  readonly wishes: Command[] = [];

  async execute(command: Command): Promise<unknown> {
    this.wishes.push(command);
    if (command.name === 'listServices') return { items: [], next: null };
    if (command.name !== 'readCapture') throw new Error(command.name);
    if (this.refusal !== null) throw this.refusal;
    const links = [{ index: 1, name: 'eth0' }];
    if (this.taps.active) this.#pass(this.readings++);
    return { ...this.taps.read(command, 0), links };
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  #pass(number: number): void {
    const batch = PacketBatch.allocate(2, 200);
    const port = 1000 + number;
    batch.push(frame().ipv4(CLIENT, VIP).tcp(port, 80, { syn: true, seq: 1 }), 1);
    batch.push(frame().ipv4(SERVER, CLIENT).tcp(80, port, { syn: true, ack: 2, seq: 1 }), 1);
    this.taps.came(batch);
    batch.verdict.fill(TRANSMIT);
    batch.egress.fill(1);
    batch.bytes.set(frame().ipv4(CLIENT, SERVER).tcp(port, 80, { syn: true, seq: 1 }), batch.start[0]);
    batch.bytes.set(frame().ipv4(VIP, CLIENT).tcp(80, port, { syn: true, ack: 2, seq: 1 }), batch.start[1]);
    this.taps.decided(batch);
  }
}

async function uipvs(daemon: FakeDaemon, ...words: string[]) {
  let stdout = '';
  let stderr = '';
  const bytes: Uint8Array[] = [];
  const nobody = (): Promise<never> => Promise.reject(new Error('nobody asks for it here'));
  const cli: Cli = {
    stdout: (text) => {
      stdout += text;
    },
    stderr: (text) => {
      stderr += text;
    },
    stdoutBytes: async (piece) => void bytes.push(piece),
    terminal: null,
    // Time to stop after three pauses, as with Ctrl-C.
    pause: async () => daemon.readings < 4,
    installation: { programs: '/nowhere', linkDirectory: '/nowhere', alternatives: null, standardPath: [] },
    connect: async () => daemon as unknown as Awaited<ReturnType<Cli['connect']>>,
    backEnds: nobody,
    guard: nobody,
  };
  return { code: await runUipvs(words, cli, []), stdout, stderr, bytes: Buffer.concat(bytes) };
}

describe('uipvs capture', () => {
  test('writes until it is stopped, what is left in the balancer included', async () => {
    const daemon = new FakeDaemon();
    const file = join(folder, 'out.pcapng');
    const { code, stderr } = await uipvs(daemon, 'capture', '-w', file, 'tcp', 'port', '80');
    expect(code).toBe(0);
    expect(stderr).toMatch(/^capturing to .*out\.pcapng; Ctrl-C ends it\ncame 10, left 10 in \d/);
    const { interfaces, packets } = readCapture(readFileSync(file));
    expect(interfaces.map(({ name }) => name)).toEqual(['uipvs-in', 'uipvs-out']);
    expect(packets).toHaveLength(20);
    expect(packets[1]?.comments[0]).toMatch(/^dst 192\.0\.2\.1 → 10\.0\.0\.11, checksum /);
    expect(daemon.wishes[0]).toMatchObject({ filter: 'tcp port 80', all: false });
    expect([daemon.closed, daemon.taps.active]).toEqual([true, false]);
  });

  test('ends after so many packets, and says what came as JSON', async () => {
    const daemon = new FakeDaemon();
    const file = join(folder, 'out.pcapng');
    const { stdout } = await uipvs(daemon, 'capture', '-w', file, '-c', '3', '-s', '64', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ file, came: 3, left: 3, lost: 0, interruptions: 0 });
    const { packets } = readCapture(readFileSync(file));
    expect(packets).toHaveLength(6);
    expect(daemon.wishes[0]).toMatchObject({ snapBytes: 64 });
  });

  test('writes into a pipe', async () => {
    const { bytes, stdout } = await uipvs(new FakeDaemon(), 'capture', '-w', '-', '-c', '2');
    expect(readCapture(bytes).packets).toHaveLength(4);
    expect(stdout).toBe('');
  });

  test.each([
    [['capture'], 2, 'say with -w which file to write'],
    [['capture', '-w', '-', '--json'], 2, '-w - needs standard output for itself'],
    [['capture', '-w', 'NEW', 'host', 'nowhere'], 2, 'the filter is not understood: "nowhere" is no address'],
    [['capture', '-w', 'OLD'], 1, 'is there already; --force writes over it'],
    [['capture', '-w', '/nowhere/x.pcapng'], 1, 'cannot write /nowhere/x.pcapng: ENOENT'],
    [['capture', '-w', 'NEW', '-c', '0'], 2, 'It must be a whole number from 1'],
    [['watch'], 2, 'type the command behind --'],
    [['watch', '--filter', 'bogus', '--', 'true'], 2, '"bogus" is not understood'],
    [['watch', '--', '/nowhere/program'], 127, '/nowhere/program cannot be run: there is no such program'],
    [['watch', '--', '/tmp'], 126, '/tmp cannot be run: '],
  ] as const)('%j is answered with %i and a sentence', async (words, code, sentence) => {
    const old = join(folder, 'old');
    writeFileSync(old, 'old');
    const typed = words.map((word) => ({ OLD: old, NEW: join(folder, 'new') })[word as string] ?? (word as string));
    const answer = await uipvs(new FakeDaemon(), ...typed);
    expect(answer.code).toBe(code);
    expect(answer.stderr).toContain(sentence);
    expect(readFileSync(old, 'utf8')).toBe('old');
  });

  test('what a data plane without packets refuses is said, and no file is made', async () => {
    const daemon = new FakeDaemon();
    daemon.refusal = new IpvsError('EOPNOTSUPP', 'the proxy cannot capture packets');
    const { code, stderr } = await uipvs(daemon, 'capture', '-w', join(folder, 'out'));
    expect([code, stderr]).toEqual([1, 'uipvs: the proxy cannot capture packets\n']);
    expect(() => readFileSync(join(folder, 'out'))).toThrow(/ENOENT/);
  });
});

describe('uipvs watch', () => {
  test('gives the exit code of the command, and a verdict', async () => {
    const { code, stdout } = await uipvs(new FakeDaemon(), 'watch', '--', 'sh', '-c', 'sleep 0.2; exit 7');
    expect(code).toBe(7);
    expect(stdout).toMatch(/^10\.0\.0\.11:80 +\d+ +100 +0 +\d+ /m);
    expect(stdout).toMatch(/^The command ended with exit code 7\.$/m);
    expect(stdout).toMatch(/whose client did not go on \(half open\)/);
  });

  test('says with --json the same as data', async () => {
    const { code, stdout } = await uipvs(new FakeDaemon(), 'watch', '--json', '--', 'true');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      command: ['true'],
      exitCode: 0,
      lost: 0,
      servers: [{ server: '10.0.0.11:80' }],
    });
  });

  test('a command that a signal ended has the code that a shell gives it', async () => {
    expect((await uipvs(new FakeDaemon(), 'watch', '--', 'sh', '-c', 'kill -TERM $$')).code).toBe(143);
  });

  test('nothing is run when the balancer cannot be looked at', async () => {
    const daemon = new FakeDaemon();
    daemon.refusal = new IpvsError('EOPNOTSUPP', 'the proxy cannot capture packets');
    const made = join(folder, 'made');
    expect((await uipvs(daemon, 'watch', '--', 'touch', made)).code).toBe(1);
    expect(() => readFileSync(made)).toThrow(/ENOENT/);
  });
});
