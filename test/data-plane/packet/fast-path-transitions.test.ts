/**
 * Flows go to the fast path and come back under traffic, again and again: every datagram arrives once, and is counted
 * once. Each change of the table takes all flows back; they are handed over again a few packets later.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Family, FastPathLab, fastPathSkipped, SERVER, SERVER_PORT, VIP } from '../support/fast-path-lab.ts';
import { compileSources } from '../support/namespace.ts';
import { destination, key } from '../support/specs.ts';
import { DATAGRAMS, ECHO } from '../support/stream-programs.ts';

const reason = await fastPathSkipped();

/** Datagrams of so many bytes, so many a turn of so many milliseconds, while the table changes so often. */
const RATES = [
  { count: 2_000, bytes: 100, perTurn: 2, turnMs: 2, changeMs: 50 },
  { count: 2_000, bytes: 1_200, perTurn: 1, turnMs: 1, changeMs: 50 },
  { count: 20_000, bytes: 64, perTurn: 20, turnMs: 1, changeMs: 50 },
  { count: 20_000, bytes: 64, perTurn: 20, turnMs: 1, changeMs: 3 },
] as const;

describe.skipIf(reason !== null)(`flows that come and go${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  let compiled: ReturnType<typeof compileSources>;
  let lab: FastPathLab;

  beforeAll(async () => {
    compiled = compileSources();
    lab = new FastPathLab(compiled.folder);
    await lab.startDaemon();
  });
  afterEach(() => lab.clear());
  afterAll(async () => {
    await lab?.close();
    compiled?.remove();
  });

  let port = 80;
  for (const family of [4, 6] as Family[]) {
    for (const { count, bytes, perTurn, turnMs, changeMs } of RATES) {
      const words = `${perTurn} datagrams of ${bytes} bytes every ${turnMs} ms, a change every ${changeMs} ms`;
      test(`IPv${family}: ${words}: each arrives once, and is counted once`, async () => {
        const server = lab.program(lab.server, ECHO, SERVER_PORT);
        await server.says('listening');
        port++;
        await lab.serve(family, port, 'masquerade', {}, 'udp');
        const before = lab.counted('udp');
        const carriedBefore = await lab.fastPath();
        const client = lab.program(lab.client, DATAGRAMS, VIP[family], port, count, bytes, perTurn, turnMs);
        await client.says('distinct');
        let changes = 0;
        let handedOver = 0;
        while (!('over' in client.last)) {
          const { connections } = await lab.fastPath();
          handedOver += connections;
          await lab.plane.execute({
            name: 'editDestination',
            service: key(VIP[family], port, 'udp'),
            destination: { ...destination(SERVER[family], SERVER_PORT), weight: 1 + (++changes % 9) },
          });
          await new Promise((resolve) => setTimeout(resolve, changeMs));
        }
        const carried = (await lab.fastPath()).packets - carriedBefore.packets;
        server.say('report');
        expect(client.last).toMatchObject({ distinct: count, doubled: 0, refused: 0, damaged: 0 });
        expect(await server.says('doubled')).toEqual({ distinct: count, doubled: 0 });
        const after = lab.counted('udp');
        const counted = {
          connections: 1,
          inPackets: after.inPackets - before.inPackets,
          outPackets: after.outPackets - before.outPackets,
          inBytes: after.inBytes - before.inBytes,
          outBytes: after.outBytes - before.outBytes,
        };
        expect(await lab.statisticsOnce(counted.inPackets)).toEqual(counted);
        expect(counted.inPackets).toBe(count);
        expect(handedOver).toBeGreaterThan(5);
        expect(carried).toBeGreaterThan(count / 4);
      });
    }
  }

  test('a link that is opened anew under traffic, again and again: much is lost then, but nothing comes twice', async () => {
    const server = lab.program(lab.server, ECHO, SERVER_PORT);
    await server.says('listening');
    port++;
    await lab.serve(4, port, 'masquerade', {}, 'udp');
    const before = (await lab.fastPath()).packets;
    const client = lab.program(lab.client, DATAGRAMS, VIP[4], port, 80_000, 64, 20, 1);
    await client.says('distinct');
    for (let mtu = 1_400; !('over' in client.last); mtu = 2_900 - mtu) {
      lab.director.run(`ip link set d0 mtu ${mtu}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    lab.director.run('ip link set d0 mtu 1500');
    server.say('report');
    expect(client.last).toMatchObject({ sent: 80_000, doubled: 0, damaged: 0 });
    expect(await server.says('doubled')).toMatchObject({ doubled: 0 });
    expect((await lab.fastPath()).packets - before).toBeGreaterThan(40_000);
  });
});
