/**
 * Where the fast path ends: with the daemon, whatever ends it, with a worker that is replaced, and with a connection that
 * is silent for too long; and where there is none, and who says so.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { EngineCounters } from '../../../src/model/commands.ts';
import { pcap } from '../../../src/packet-io/pcap.ts';
import { xdp } from '../../../src/packet-io/xdp.ts';
import { FastPathLab, fastPathSkipped, type Program, SERVER, SERVER_PORT, VIP } from '../support/fast-path-lab.ts';
import { compileSources, eventually, type Namespace } from '../support/namespace.ts';
import { destination, key, service } from '../support/specs.ts';
import { DATAGRAMS, ECHO, STREAM } from '../support/stream-programs.ts';

const reason = await fastPathSkipped();
const PORT = 80;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.skipIf(reason !== null)(`the fast path ends${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  let compiled: ReturnType<typeof compileSources>;
  const labs: FastPathLab[] = [];

  beforeAll(() => {
    compiled = compileSources();
  });
  afterEach(async () => {
    for (const lab of labs.splice(0)) await lab.close();
  });
  afterAll(() => compiled?.remove());

  async function createLab(): Promise<FastPathLab> {
    const lab = new FastPathLab(compiled.folder);
    labs.push(lab);
    await lab.server.program(ECHO, `${SERVER_PORT}`);
    return lab;
  }

  function stream(lab: FastPathLab, bytesMax = 0, turnMs = 2): Program {
    return lab.program(lab.client, STREAM, VIP[4], PORT, 16 * 1024, turnMs, bytesMax);
  }

  async function carries(lab: FastPathLab): Promise<void> {
    const endMs = performance.now() + 10_000;
    for (;;) {
      const { connections, packets } = await lab.fastPath();
      if (connections > 0 && packets > 100) return;
      if (performance.now() > endMs) throw new Error(`nothing is handed over: ${connections}, ${packets}`);
      await pause(50);
    }
  }

  test('with the daemon that is killed: nothing carries its packets any more', async () => {
    const lab = await createLab();
    await lab.startDaemon();
    await lab.serve(4, PORT, 'masquerade');
    stream(lab);
    await carries(lab);
    const held = programsIn(lab.director);
    // On both links, and on none of the host's own.
    expect(held).toEqual([{ pid: lab.daemonPid, links: 2 }]);
    const before = lab.counted('tcp').inPackets;
    await eventually(() => lab.counted('tcp').inPackets > before, 10_000);

    await lab.endDaemon('SIGKILL');
    expect(programsIn(lab.director)).toEqual([]);
    await pause(100);
    const last = lab.counted('tcp').inPackets;
    await pause(500);
    expect(lab.counted('tcp').inPackets).toBe(last);
  });

  test('with the daemon that ends by itself', async () => {
    const lab = await createLab();
    await lab.startDaemon();
    await lab.serve(4, PORT, 'masquerade');
    stream(lab);
    await carries(lab);
    await lab.endDaemon();
    expect(programsIn(lab.director)).toEqual([]);
    const last = lab.counted('tcp').inPackets;
    await pause(500);
    expect(lab.counted('tcp').inPackets).toBe(last);
  });

  for (const io of ['packet-ring', 'packet-mmsg']) {
    test(`with a worker of ${io} that was ended from outside: its successor takes its programs off`, async () => {
      const lab = await createLab();
      const plane = await lab.director.plane(compiled.folder);
      await plane.start({ io, ioOptions: { fastPath: true } });
      const serviceKey = key(VIP[4], PORT);
      await plane.execute({ name: 'addService', service: service(serviceKey) });
      await plane.execute({
        name: 'addDestination',
        service: serviceKey,
        destination: destination(SERVER[4], SERVER_PORT),
      });
      const packets = async (): Promise<number> => {
        const { fastPath } = (await plane.execute({ name: 'getCounters' })) as EngineCounters;
        return fastPath?.packets ?? -1;
      };
      const untilItCarries = async (): Promise<void> => {
        for (let i = 0; (await packets()) < 100; i++) {
          expect(i).toBeLessThan(200);
          await pause(50);
        }
      };
      stream(lab);
      await untilItCarries();
      expect(programsIn(lab.director)).toEqual([{ pid: plane.pid, links: 2 }]);
      await plane.strike(0);
      await plane.heard((event) => event.type === 'notice' && event.message === 'a new packet worker serves');
      expect(programsIn(lab.director)).toEqual([{ pid: plane.pid, links: 2 }]);
      expect(await packets()).toBe(0);
      // The new engine knows nothing of the connection, so nothing of it reaches the server.
      const last = lab.counted('tcp').inPackets;
      await pause(500);
      expect(lab.counted('tcp').inPackets).toBe(last);
      const second = stream(lab);
      await untilItCarries();
      second.say('end');
      const { sent, received } = await second.says('closed');
      expect(received).toBe(sent);
    });
  }

  test('for a connection that is silent for too long, when and as it would end without', async () => {
    const observed = await Promise.all(
      ['auto', 'off'].map(async (fastPath) => {
        const lab = await createLab();
        await lab.startDaemon('--fast-path', fastPath);
        // Shorter than the fast path keeps silent connections, and longer.
        await lab.plane.execute({
          name: 'setTimeouts',
          timeouts: { tcpSeconds: 6, tcpFinSeconds: 0, udpSeconds: 13 },
        });
        await lab.serve(4, PORT, 'masquerade');
        await lab.serve(4, PORT, 'masquerade', {}, 'udp');
        // Most of the three seconds that they talk nobody but the fast path sees them.
        const udp = lab.program(lab.client, DATAGRAMS, VIP[4], PORT, 200, 100, 1, 15);
        const tcp = stream(lab, 1 << 20, 45);
        await Promise.all([tcp.says('complete'), udp.says('over')]);
        if (fastPath === 'auto') expect(await lab.fastPath()).toMatchObject({ connections: 2 });
        return { lab, ...(await watchTheEnd(lab)) };
      }),
    );
    const [fast, slow] = observed as [(typeof observed)[0], (typeof observed)[0]];
    for (const protocol of ['tcp', 'udp'] as const) {
      expect(Math.abs(fast.lifeMs[protocol] - slow.lifeMs[protocol])).toBeLessThan(1_000);
      expect(fast.endsMs[protocol].length).toBeGreaterThan(4);
      const [usual] = slow.endsMs[protocol];
      // Told in whole seconds.
      for (const endMs of fast.endsMs[protocol]) expect(Math.abs(endMs - usual!)).toBeLessThan(2_000);
    }
    expect(slow.lifeMs.tcp).toBeGreaterThan(5_000);
    expect(slow.lifeMs.udp).toBeGreaterThan(12_000);
    expect(await fast.lab.fastPath()).toMatchObject({ connections: 0 });
  });

  test('or does not begin: `--fast-path off`, and everything that has none, say so', async () => {
    const lab = await createLab();
    const cases: [words: string[], why: string, refused: string | null][] = [
      [['--fast-path', 'off'], 'off', null],
      [['--io', 'xdp'], 'xdp has no fast path', await xdp.unavailable()],
      [['--io', 'pcap'], 'pcap has no fast path', await pcap.unavailable()],
    ];
    for (const [words, why, refused] of cases) {
      if (refused !== null) continue;
      await lab.startDaemon(...words);
      expect(programsIn(lab.director)).toEqual([]);
      expect(await lab.counters()).not.toHaveProperty('fastPath');
      const status = JSON.parse(lab.run('uipvs', 'status', '--json'));
      expect(status.daemon.settings.fastPath).toBe(why);
      expect(lab.run('uipvs', 'status')).toMatch(new RegExp(`^fastPath +${why}$`, 'm'));
      await lab.serve(4, PORT, 'masquerade');
      const program = stream(lab, 1 << 20);
      await program.says('complete');
      program.say('end');
      await program.says('closed');
      await lab.endDaemon();
    }
    const backEnds = JSON.parse(lab.run('uipvs', 'io', '--json')) as { name: string; fastPath: string }[];
    const said = Object.fromEntries(backEnds.map(({ name, fastPath }) => [name, fastPath]));
    expect(said).toMatchObject({ 'packet-ring': 'on', 'packet-mmsg': 'on' });
    expect([said['xdp'], said['pcap']]).toEqual([
      (await xdp.unavailable()) === null ? 'xdp has none' : 'the back end does not work here',
      (await pcap.unavailable()) === null ? 'pcap has none' : 'the back end does not work here',
    ]);
  });

  test('with several workers, of which each has its own, as with one', async () => {
    const lab = await createLab();
    await lab.startDaemon('--shards', '2');
    await lab.serve(4, PORT, 'masquerade');
    const program = stream(lab);
    await carries(lab);
    expect(programsIn(lab.director)).toEqual([{ pid: lab.daemonPid, links: 4 }]);
    expect(JSON.parse(lab.run('uipvs', 'status', '--json')).daemon.settings).toMatchObject({
      fastPath: 'on',
      shards: 2,
    });
    program.say('end');
    const { sent, received } = await program.says('closed');
    expect(received).toBe(sent);
    expect(await lab.fastPath()).toMatchObject({ connections: 0 });
    stream(lab);
    await carries(lab);
    await lab.endDaemon('SIGKILL');
    expect(programsIn(lab.director)).toEqual([]);
  });

  test('until then `uipvs io --watch` shows what it carries', async () => {
    const lab = await createLab();
    await lab.startDaemon();
    await lab.serve(4, PORT, 'masquerade');
    stream(lab);
    await carries(lab);
    const look = async (...words: string[]): Promise<string> => {
      const watching = lab.start('uipvs', 'io', '--watch', ...words);
      let said = '';
      watching.stdout?.on('data', (text) => (said += text));
      await eventually(() => (said.match(/packets\/s|"links"/g) ?? []).length >= 2, 15_000);
      watching.kill('SIGINT');
      await new Promise((resolve) => watching.once('close', resolve));
      return said;
    };
    const [first, second] = (await look('--json'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    for (const report of [first, second]) {
      expect(report).toMatchObject({ io: 'packet-ring', fastPath: 'on', fast: { connections: 1 } });
      expect(Object.keys(report.fast)).toEqual(['connections', 'packets', 'bytes', 'perSecond']);
    }
    expect(first.fast.perSecond).toBe(0);
    const { packets, perSecond } = second.fast;
    expect(packets).toBeGreaterThan(first.fast.packets);
    // The interval is shown in whole milliseconds.
    const average = (packets - first.fast.packets) / second.intervalSeconds;
    expect(Math.abs(perSecond - average)).toBeLessThan(1 + average / 1000);
    expect(await look()).toMatch(/^fast path: 1 connection, \d+ packets\/s, \d+ so far$/m);
    expect(lab.run('uipvs', 'status')).toMatch(
      /^fast path +1 connection now; so far \d+ packets, \d+ bytes in the kernel$/m,
    );
  });
});

/**
 * Looks every half a second at a TCP and a UDP connection, until both are gone.
 * @returns how long they were there, and when they were to end at each look (to the second), in ms from the first.
 */
async function watchTheEnd(lab: FastPathLab) {
  const beginMs = performance.now();
  const endsMs: Record<'tcp' | 'udp', number[]> = { tcp: [], udp: [] };
  const lifeMs = { tcp: 0, udp: 0 };
  for (let nextMs = beginMs; ; nextMs += 500) {
    const { items } = await lab.plane.execute<'listConnections'>({ name: 'listConnections' });
    for (const { protocol: name, expiresSeconds } of items) {
      const protocol = name === 'TCP' ? 'tcp' : 'udp';
      lifeMs[protocol] = performance.now() - beginMs;
      endsMs[protocol].push(lifeMs[protocol] + expiresSeconds * 1000);
    }
    if (items.length === 0) return { endsMs, lifeMs };
    await pause(nextMs + 500 - performance.now());
  }
}

/** Processes that hold programs on the way in of links (tcx), of those in that namespace. Source: proc(5). */
function programsIn({ name }: Namespace): { pid: number; links: number }[] {
  const wanted = `net:[${statSync(`/run/netns/${name}`).ino}]`;
  const found: { pid: number; links: number }[] = [];
  for (const pid of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    try {
      if (readlinkSync(`/proc/${pid}/ns/net`) !== wanted) continue;
      const links = readdirSync(`/proc/${pid}/fdinfo`).filter((fd) =>
        /^link_type:\s*tcx$/m.test(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1')),
      ).length;
      if (links > 0) found.push({ pid: Number(pid), links });
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}
