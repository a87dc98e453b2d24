/**
 * What happens to a connection while the fast path carries it: the network changes, its server goes, somebody looks at
 * its packets. It goes on, or ends, as it would without a fast path. One stream there and back the whole time.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { CapturePage } from '../../../src/model/commands.ts';
import { readTapRecords } from '../../../src/wire/tap-record.ts';
import { FastPathLab, fastPathSkipped, type Program, SERVER, SERVER_PORT, VIP } from '../support/fast-path-lab.ts';
import { compileSources, eventually } from '../support/namespace.ts';
import { destination, key } from '../support/specs.ts';
import { ECHO, STREAM } from '../support/stream-programs.ts';

const reason = await fastPathSkipped();
const TURN_BYTES = 16 * 1024;
const TURN_MS = 2;
/** TCP waits longer after each loss; a connection that was cut off for some seconds needs as many again. */
const PATIENCE_MS = 20_000;
const MORE_BYTES = 20 * TURN_BYTES;
const SYNC_PORT = 8848;

describe.skipIf(reason !== null)(
  `a connection on the fast path${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let compiled: ReturnType<typeof compileSources>;
    let lab: FastPathLab;
    let port = 80;

    beforeAll(async () => {
      compiled = compileSources();
      lab = new FastPathLab(compiled.folder);
      await lab.startDaemon();
      await lab.server.program(ECHO, `${SERVER_PORT}`);
    });
    beforeEach(async () => {
      // A destination that comes back finds its old connections, so each test has its own.
      port++;
      await lab.serve(4, port, 'masquerade');
    });
    afterEach(() => lab.clear());
    afterAll(async () => {
      await lab?.close();
      compiled?.remove();
    });

    const service = () => key(VIP[4], port);
    const addServer = () =>
      lab.plane.execute({
        name: 'addDestination',
        service: service(),
        destination: destination(SERVER[4], SERVER_PORT),
      });
    const deleteServer = () =>
      lab.plane.execute({
        name: 'deleteDestination',
        service: service(),
        destination: { address: SERVER[4], port: SERVER_PORT },
      });
    const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
    const received = ({ last }: Program): number => Number(last['received'] ?? 0);

    /** Resolves when much more has come back, by the fast path. */
    async function goesOnFast(stream: Program): Promise<void> {
      const endMs = performance.now() + PATIENCE_MS;
      const before = received(stream);
      await stream.until((line) => Number(line['received'] ?? 0) >= before + MORE_BYTES, PATIENCE_MS);
      for (let look = await lab.fastPath(); ; ) {
        await pause(100);
        const now = await lab.fastPath();
        if (now.connections === 1 && now.packets > look.packets + 20) return;
        look = now;
        if (performance.now() > endMs) throw new Error(`it does not go by the fast path: ${JSON.stringify(now)}`);
      }
    }

    /** Resolves when the engine has everything again. */
    async function isBack(): Promise<void> {
      const endMs = performance.now() + PATIENCE_MS;
      while ((await lab.fastPath()).connections > 0) {
        if (performance.now() > endMs) throw new Error('it stays with the fast path');
        await pause(20);
      }
    }

    async function begin(): Promise<Program> {
      const stream = lab.program(lab.client, STREAM, VIP[4], port, TURN_BYTES, TURN_MS, 0);
      await goesOnFast(stream);
      return stream;
    }

    /** Everything that was sent has come back, and both ends closed. */
    async function endsWhole(stream: Program): Promise<void> {
      stream.say('end');
      const { sent, received: back } = await stream.says('closed', PATIENCE_MS);
      expect(back).toBe(sent);
    }

    test('the server has another MAC, and says so', async () => {
      const stream = await begin();
      lab.server.run('sysctl -qw net.ipv4.conf.all.arp_notify=1 && ip link set s0 address 02:00:00:00:aa:01');
      lab.server.run('ip route replace default via 10.0.1.254');
      await goesOnFast(stream);
      await endsWhole(stream);
    });

    test('the server has another MAC, which is seen when it asks for ours', async () => {
      const stream = await begin();
      lab.server.run('sysctl -qw net.ipv4.conf.all.arp_notify=0 && ip link set s0 address 02:00:00:00:aa:02');
      lab.server.run('ip route replace default via 10.0.1.254 && ping -c 1 -W 1 10.0.1.254');
      await goesOnFast(stream);
      await endsWhole(stream);
    });

    test('the link to the server has another MAC', async () => {
      const stream = await begin();
      lab.director.run('sysctl -qw net.ipv4.conf.all.arp_notify=1 && ip link set d1 address 02:00:00:00:aa:03');
      await goesOnFast(stream);
      await endsWhole(stream);
    });

    test('the route to the server leads another way', async () => {
      lab.director.run(`ip link add d2 type veth peer name s2 netns ${lab.server.name}
      ip address add 10.0.4.254/24 dev d2 && ip link set d2 up`);
      lab.server.run('ip address add 10.0.4.1/24 dev s2 && ip link set s2 up');
      const stream = await begin();
      const bytesOf = (link: string) => Number(lab.server.run(`cat /sys/class/net/${link}/statistics/rx_bytes`));
      expect(bytesOf('s2')).toBeLessThan(10_000);
      lab.director.run(`ip route add ${SERVER[4]}/32 via 10.0.4.1`);
      await eventually(() => bytesOf('s2') > MORE_BYTES, PATIENCE_MS);
      const [byOld, byNew] = [bytesOf('s0'), bytesOf('s2')];
      await goesOnFast(stream);
      expect(bytesOf('s2')).toBeGreaterThan(byNew + MORE_BYTES);
      expect(bytesOf('s0')).toBeLessThan(byOld + 10_000);
      lab.director.run('ip link delete d2');
      await goesOnFast(stream);
      await endsWhole(stream);
    });

    test('the way out takes only shorter packets: the client is told, and sends shorter ones', async () => {
      const stream = await begin();
      lab.server.run('ip link set s0 mtu 1400');
      lab.director.run('ip link set d1 mtu 1400');
      try {
        await eventually(() => lab.client.run(`ip route get ${VIP[4]}`).includes('mtu 1400'), PATIENCE_MS);
        await goesOnFast(stream);
        await endsWhole(stream);
      } finally {
        lab.director.run('ip link set d1 mtu 1500');
        lab.server.run('ip link set s0 mtu 1500');
        lab.client.run('ip route flush cache');
      }
    });

    for (const link of ['d0', 'd1']) {
      test(`the director’s link ${link} goes down and comes back`, async () => {
        const stream = await begin();
        lab.director.run(`ip link set ${link} down`);
        try {
          await isBack();
        } finally {
          lab.director.run(`ip link set ${link} up`);
        }
        await goesOnFast(stream);
        await endsWhole(stream);
      });
    }

    test('the server is deleted and comes back: nothing passes meanwhile', async () => {
      const stream = await begin();
      await deleteServer();
      expect((await lab.fastPath()).connections).toBe(0);
      await pause(100);
      const [before, carriedBefore] = [received(stream), (await lab.fastPath()).packets];
      await pause(600);
      expect([received(stream), (await lab.fastPath()).packets]).toEqual([before, carriedBefore]);
      expect(stream.last).not.toHaveProperty('error');
      await addServer();
      await goesOnFast(stream);
      await endsWhole(stream);
    });

    test('the server is deleted, and connections to such servers are to end (expire_nodest_conn)', async () => {
      lab.run('uipvs', 'sysctl', 'expire_nodest_conn=1');
      try {
        const stream = await begin();
        expect(lab.run('uipvsadm', '-Lnc')).toMatch(new RegExp(`ESTABLISHED .*:${port} `));
        await deleteServer();
        expect((await lab.fastPath()).connections).toBe(0);
        await pause(300);
        expect(lab.run('uipvsadm', '-Lnc')).not.toContain(`:${port} `);
        const before = received(stream);
        await pause(300);
        expect(received(stream)).toBe(before);
      } finally {
        lab.run('uipvs', 'sysctl', 'expire_nodest_conn=0');
      }
    });

    test('a capture sees its packets both ways, and lets it go again', async () => {
      const stream = await begin();
      const read = (stop: boolean): Promise<CapturePage> =>
        lab.plane.execute<'readCapture'>({ name: 'readCapture', id: 'look', filter: `tcp port ${port}`, stop });
      const ways = new Map<string, number>();
      let links: CapturePage['links'] = [];
      const take = (page: CapturePage) => {
        links = page.links;
        for (const { ingress, egress, came, left } of readTapRecords(Buffer.from(page.records, 'base64'))) {
          expect([came, left]).not.toContain(null);
          const [from, to] = [ingress, egress].map((index) => links.find((link) => link.index === index)?.name);
          ways.set(`${from} to ${to}`, (ways.get(`${from} to ${to}`) ?? 0) + 1);
        }
        return page;
      };
      take(await read(false));
      const carriedBefore = (await lab.fastPath()).packets;
      for (let i = 0; i < 10; i++) {
        await pause(100);
        while (take(await read(false)).more);
        const { connections, packets } = await lab.fastPath();
        expect([connections, packets]).toEqual([0, carriedBefore]);
      }
      while (take(await read(true)).more);
      expect([...ways.keys()].sort()).toEqual(['d0 to d1', 'd1 to d0']);
      // A turn there and back every two milliseconds, and acknowledgements.
      for (const packets of ways.values()) expect(packets).toBeGreaterThan(100);
      await goesOnFast(stream);
      await endsWhole(stream);
    });

    test('a trace sees its packets both ways, and lets it go again', async () => {
      const stream = await begin();
      const read = (limit: number) =>
        lab.plane.execute<'readTrace'>({ name: 'readTrace', id: 'look', filter: `tcp port ${port}`, limit });
      await read(50);
      const carriedBefore = (await lab.fastPath()).packets;
      const links = new Set<string>();
      for (let i = 0; i < 10; i++) {
        await pause(100);
        const { traces } = await read(50);
        expect(traces.length).toBeGreaterThan(10);
        for (const { link } of traces) links.add(link);
        const { connections, packets } = await lab.fastPath();
        expect([connections, packets]).toEqual([0, carriedBefore]);
      }
      await read(0);
      expect([...links].sort()).toEqual(['d0', 'd1']);
      await goesOnFast(stream);
      await endsWhole(stream);
    });

    test('a backup is told of it as soon as there is to be one, and as long', async () => {
      lab.client.run(`nft -f - <<'END'
      table inet sync {
        counter messages { }
        chain came { type filter hook prerouting priority -300; udp dport ${SYNC_PORT} counter name messages; }
      }
END`);
      const messages = () => Number(/packets (\d+)/.exec(lab.client.run('nft list counter inet sync messages'))?.[1]);
      const stream = await begin();
      await pause(300);
      expect(messages()).toBe(0);
      lab.run('uipvsadm', '--start-daemon', 'master', '--mcast-interface', 'd0');
      const carriedBefore = (await lab.fastPath()).packets;
      let heard = 0;
      for (let i = 0; i < 3; i++) {
        // What is to be sent is gathered for some seconds.
        await eventually(() => messages() > heard, PATIENCE_MS);
        heard = messages();
      }
      expect(await lab.fastPath()).toMatchObject({ connections: 0, packets: carriedBefore });
      lab.run('uipvsadm', '--stop-daemon', 'master');
      await goesOnFast(stream);
      await endsWhole(stream);
    });
  },
);
