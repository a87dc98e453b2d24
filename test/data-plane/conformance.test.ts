/** One suite for all data planes: what the kernel's own ipvsadm said, typed again over each of them. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PlaneReport } from '../../src/cli/conform-plane.ts';
import { networkOf } from '../../src/conform/environment.ts';
import { isPlayableAnywhere, playOnPlane } from '../../src/conform/planes/play.ts';
import { readRecordings, shippedRecordings } from '../../src/conform/recording-files.ts';
import { PACKET_ENGINE_CAPABILITIES } from '../../src/data-plane/capabilities.ts';
import { InProcessDataPlane } from '../../src/data-plane/in-process.ts';
import { Engine } from '../../src/engine/engine.ts';
import { compileSources, Namespace, whySkipped } from './support/namespace.ts';

const recordings = [...readRecordings([shippedRecordings()])].filter(isPlayableAnywhere);

test('there are recordings that can be played over any data plane', () => {
  expect(recordings.length).toBeGreaterThanOrEqual(60);
});

test('the engine in this process', async () => {
  const nowMs = () => performance.now();
  const engine = new Engine({ seed: 1, connectionsMax: 1_000, defaultSourceNat: 'none', nowMs: nowMs() });
  const plane = new InProcessDataPlane({ engine, capabilities: PACKET_ENGINE_CAPABILITIES, nowMs });
  const failures: string[] = [];
  for (const recording of recordings) {
    engine.setNetwork(networkOf(recording));
    const result = await playOnPlane(recording, plane);
    if (result.outcome !== 'passed') failures.push(`${recording.id}: ${JSON.stringify(result)}`);
  }
  expect(failures).toEqual([]);
});

/** As on the recorded machine. */
const LINKS = `ip link add c0 type veth peer name s0 && ip link set c0 up && ip link set s0 up &&
  ip addr add 10.0.0.1/24 dev c0 && ip addr add fd00::1/64 dev c0 nodad && ip addr add 10.1.0.1/24 dev s0`;
/** Sockets may listen on addresses that are none of this host's. */
const ALL_ADDRESSES = 'sysctl -qw net.ipv4.ip_nonlocal_bind=1 net.ipv6.ip_nonlocal_bind=1';

const reason = whySkipped();

describe.skipIf(reason !== null)(`in a network namespace${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  let compiled: ReturnType<typeof compileSources>;
  let folder: string;
  beforeAll(() => {
    compiled = compileSources();
    folder = mkdtempSync(join(tmpdir(), 'uipvs-conformance-'));
  });
  afterAll(() => {
    compiled?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The least that each must pass: a capability that is no longer declared does not go unnoticed. */
  test.each([
    ['packet', recordings.length, LINKS],
    ['proxy', 6, ALL_ADDRESSES],
  ])('%s', async (name, passedMin, setUp) => {
    const namespace = new Namespace();
    try {
      namespace.run(setUp);
      const environment = { ...process.env, UIPVS_SOCKET: join(folder, `${name}.sock`) };
      const program = (word: string) => join(compiled.folder, `bin/${word}.js`);
      const enter = ['netns', 'exec', namespace.name, process.execPath];
      const daemon = spawn('ip', [...enter, program('uipvsd'), '--data-plane', name], { env: environment });
      try {
        await new Promise((resolve, reject) => {
          daemon.stdout.once('data', resolve);
          daemon.once('exit', (code) => reject(new Error(`uipvsd ended with ${code}`)));
        });
        const words = [...enter, program('uipvs'), 'conform', '--running', '--json', shippedRecordings()];
        const { stdout } = spawnSync('ip', words, { env: environment, encoding: 'utf8', maxBuffer: 1 << 26 });
        const report = JSON.parse(stdout) as PlaneReport;
        console.log(`${name}: ${report.passed} passed, ${report.failed} failed, ${report.leftOut} left out`);
        expect(report.cases.filter(({ outcome }) => outcome === 'failed')).toEqual([]);
        expect(report.passed).toBeGreaterThanOrEqual(passedMin);
        expect(report.passed + report.leftOut).toBe(recordings.length);
      } finally {
        daemon.kill();
        await new Promise((resolve) => daemon.once('close', resolve));
      }
    } finally {
      namespace.remove();
    }
  });
});
