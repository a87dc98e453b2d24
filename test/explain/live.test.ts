/**
 * A daemon with real traffic, in network namespaces of this test: a rehearsal over the control API changes nothing
 * there, the next packet is told as it passed, and a trace shows it. Root only.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compileSources, Namespace, whySkipped } from '../data-plane/support/namespace.ts';

const reason = whySkipped();
const MINUTE = 60_000;
/** The machine may be busy. */
const PATIENCE = 3 * MINUTE;
const VIP = '10.7.0.100';
const PEER = '10.7.0.2';

describe.skipIf(reason !== null)(`a running daemon${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'uipvs-explain-live-'));
  const environment = { ...process.env, UIPVS_SOCKET: join(folder, 'daemon.sock'), NO_COLOR: '1' };
  let compiled: ReturnType<typeof compileSources>;
  let director: Namespace;
  let peer: Namespace;
  let daemon: ChildProcess;

  beforeAll(async () => {
    compiled = compileSources();
    director = new Namespace();
    peer = new Namespace();
    director.run(`ip link add d0 type veth peer name p0 netns ${peer.name} && ip addr add 10.7.0.1/24 dev d0 &&
      ip addr add ${VIP}/32 dev d0 && ip link set d0 up`);
    peer.run(`ip addr add ${PEER}/24 dev p0 && ip link set p0 up`);
    await peer.serve(8080, 'hello');
    const words = [...inside(director, 'uipvsd'), '--snat', 'masquerade', '--data-plane', 'packet'];
    daemon = spawn('ip', words, { env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    await new Promise((resolve, reject) => {
      daemon.stdout?.once('data', resolve);
      daemon.once('exit', (code) => reject(new Error(`uipvsd ended with ${code}`)));
    });
    for (const words of [`-A -t ${VIP}:80 -s wlc`, `-a -t ${VIP}:80 -r ${PEER}:8080 -m`]) {
      expect(run('uipvsadm', ...words.split(' '))).toMatchObject({ status: 0, stderr: '' });
    }
  }, PATIENCE);

  afterAll(async () => {
    daemon?.kill();
    if (daemon !== undefined) await new Promise((resolve) => daemon.once('close', resolve));
    director?.remove();
    peer?.remove();
    compiled?.remove();
    rmSync(folder, { recursive: true, force: true });
  }, PATIENCE);

  function inside(namespace: Namespace, program: string): string[] {
    return ['netns', 'exec', namespace.name, process.execPath, join(compiled.folder, `bin/${program}.js`)];
  }

  function run(program: string, ...words: readonly string[]) {
    return spawnSync('ip', [...inside(director, program), ...words], { env: environment, encoding: 'utf8' });
  }

  /** Starts a word, lets traffic pass as soon as it watches, and ends with it. */
  async function during(
    words: readonly string[],
    traffic: () => void,
  ): Promise<{ stdout: string; status: number | null }> {
    const child = spawn('ip', [...inside(director, 'uipvs'), ...words], { env: environment });
    let stdout = '';
    child.stdout.on('data', (data) => {
      stdout += data;
    });
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    let isOver = false;
    void ended.then(() => {
      isOver = true;
    });
    // It begins to watch some time after it is started.
    for (let i = 0; i < 60 && !isOver; i++) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      if (!isOver) traffic();
    }
    return { stdout, status: await ended };
  }

  function stateOf(): unknown {
    // Expiry times go on by themselves.
    const connections = JSON.parse(run('uipvs', 'connections', '--json').stdout) as { expiresSeconds: number }[];
    const counters = JSON.parse(run('uipvs', 'status', '--json').stdout) as { counters: unknown };
    return {
      listing: run('uipvsadm', '-Ln', '--stats', '--exact').stdout,
      loads: run('uipvsadm', '-Ln').stdout,
      connections: connections.map(({ expiresSeconds: _, ...rest }) => rest),
      drops: (counters.counters as { drops: unknown }).drops,
    };
  }

  /** What counters show follows the traffic by two seconds, and a connection ends after its last answer. */
  async function settled(): Promise<unknown> {
    let before = stateOf();
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      const now = stateOf();
      if (JSON.stringify(now) === JSON.stringify(before)) return now;
      before = now;
    }
  }

  test(
    'a rehearsal changes nothing there',
    async () => {
      expect(peer.connect(VIP, 80)).toBe('hello');
      const before = await settled();
      const first = run('uipvs', 'explain', `tcp ${PEER}:1999 > ${VIP}:80 S`);
      expect(first).toMatchObject({ status: 0, stderr: '' });
      expect(first.stdout).toContain(`Chosen: ${PEER}:8080.`);
      expect(first.stdout).toContain('Full NAT: the server will see 10.7.0.1:1999');
      expect(run('uipvs', 'explain', `tcp ${PEER}:1999 > ${VIP}:80 S`).stdout).toBe(first.stdout);
      const dropped = run('uipvs', 'explain', '--json', `tcp 127.0.0.1:999 > ${VIP}:80 S`);
      expect(JSON.parse(dropped.stdout)).toMatchObject({ verdict: expect.any(String), steps: expect.any(Array) });
      expect(stateOf()).toEqual(before);
    },
    PATIENCE,
  );

  test(
    'the next packet is told as it passed',
    async () => {
      const { stdout, status } = await during(['explain', '--next', `dst host ${VIP} and tcp port 80`, '--json'], () =>
        peer.connect(VIP, 80),
      );
      expect(status).toBe(0);
      const story = JSON.parse(stdout) as { verdict: string; outputs: { checksums: { agrees: boolean }[] }[] };
      expect(story).toMatchObject({ verdict: 'transmit', trace: { service: { key: { address: VIP } } } });
      const checksums = story.outputs[0]?.checksums ?? [];
      expect(checksums.length).toBeGreaterThan(1);
      expect(checksums.every(({ agrees }) => agrees)).toBe(true);
    },
    PATIENCE,
  );

  test(
    'a trace shows new connections with the choice',
    async () => {
      const words = ['trace', '--profile', 'new-connections', '--count', '2', 'tcp', 'port', '80'];
      const { stdout, status } = await during(words, () => peer.connect(VIP, 80));
      expect(status).toBe(0);
      expect(stdout.trim().split('\n')).toEqual([
        expect.stringMatching(/Flags \[S\], .* → 10\.7\.0\.2:8080 \(wlc \d+\) NONE → SYN_RECV$/),
        expect.stringMatching(/Flags \[S\], .* → 10\.7\.0\.2:8080 \(wlc \d+\) NONE → SYN_RECV$/),
      ]);
    },
    PATIENCE,
  );
});
