/** What the fast path carries is counted, listed and ended as if the engine had carried it. Real hosts, real traffic. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Family, FastPathLab, fastPathSkipped, SERVER_PORT, VIP } from '../support/fast-path-lab.ts';
import { compileSources } from '../support/namespace.ts';
import { ECHO, STREAM } from '../support/stream-programs.ts';

const reason = await fastPathSkipped();
const BYTES = 30 * 1024 * 1024;

/** A port of its own each: a destination that comes back finds its old connections. */
const WAYS = [
  { name: 'NAT', port: 80, method: 'masquerade', sourceNat: 'none' },
  { name: 'full NAT', port: 81, method: 'masquerade', sourceNat: 'masquerade' },
  { name: 'direct routing', port: SERVER_PORT, method: 'direct', sourceNat: 'none' },
] as const;

describe.skipIf(reason !== null)(`the fast path${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  let compiled: ReturnType<typeof compileSources>;
  let lab: FastPathLab;

  beforeAll(async () => {
    compiled = compileSources();
    lab = new FastPathLab(compiled.folder);
    await lab.startDaemon();
    await lab.server.program(ECHO, `${SERVER_PORT}`);
  });
  afterEach(() => lab.clear());
  afterAll(async () => {
    await lab?.close();
    compiled?.remove();
  });

  for (const { name, port, method, sourceNat } of WAYS) {
    for (const family of [4, 6] as Family[]) {
      test(`${name} over IPv${family}: 30 MB each way arrive whole, and are counted to the byte`, async () => {
        await lab.serve(family, port, method, { sourceNat });
        const before = lab.counted('tcp');
        const carriedBefore = (await lab.fastPath()).packets;
        const lostBefore = await lab.lostFrames();
        const stream = lab.program(lab.client, STREAM, VIP[family], port, 256 * 1024, 0, BYTES);
        const { clientPort } = await stream.says('connected');
        await stream.says('complete');
        expect(lab.connection(clientPort)).toMatchObject({ state: 'ESTABLISHED' });
        expect(lab.loads()).toEqual({ active: 1, inactive: 0 });
        expect(await lab.fastPath()).toMatchObject({ connections: 1 });

        stream.say('end');
        await stream.says('closed');
        expect(stream.last).toMatchObject({ sent: BYTES, received: BYTES });
        expect(lab.connection(clientPort)).toMatchObject({ state: method === 'direct' ? 'FIN_WAIT' : 'TIME_WAIT' });
        expect(lab.loads()).toEqual({ active: 0, inactive: 1 });
        const { connections, packets } = await lab.fastPath();
        expect(connections).toBe(0);

        const after = lab.counted('tcp');
        const replies = method === 'direct' ? 0 : 1;
        const counted = {
          connections: 1,
          inPackets: after.inPackets - before.inPackets,
          outPackets: replies * (after.outPackets - before.outPackets),
          inBytes: after.inBytes - before.inBytes,
          outBytes: replies * (after.outBytes - before.outBytes),
        };
        expect(await lab.lostFrames()).toBe(lostBefore);
        expect(await lab.statisticsOnce(counted.inPackets)).toEqual(counted);
        expect(counted.inBytes).toBeGreaterThan(BYTES);
        expect((packets - carriedBefore) / (counted.inPackets + counted.outPackets)).toBeGreaterThan(0.8);
      });
    }
  }
});
