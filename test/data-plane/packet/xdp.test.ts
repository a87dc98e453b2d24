/**
 * The back end `xdp` under a whole data plane: what is served goes past the host's stack, everything else does not, and
 * nothing stays behind. Needs network namespaces.
 */
import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { LinkCounters } from '../../../src/model/commands.ts';
import { xdp } from '../../../src/packet-io/xdp.ts';
import { compileSources, eventually, Namespace, type PlaneProcess, whySkipped } from '../support/namespace.ts';
import { destination, key, service } from '../support/specs.ts';

const VIP = '192.0.2.10';
const reason = whySkipped() ?? (await xdp.unavailable()) ?? withoutEthtool();

function withoutEthtool(): string | null {
  try {
    execFileSync('ethtool', ['--version'], { stdio: 'ignore' });
    return null;
  } catch {
    return 'needs ethtool';
  }
}

describe.skipIf(reason !== null)(`the back end xdp${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  let compiled: ReturnType<typeof compileSources>;
  let client: Namespace;
  let director: Namespace;
  let server: Namespace;
  let plane: PlaneProcess;
  let before: string;

  beforeAll(() => {
    compiled = compileSources();
  }, 60_000);
  afterAll(() => compiled?.remove());

  beforeEach(async () => {
    [client, director, server] = [new Namespace(), new Namespace(), new Namespace()];
    director.run(`
      sysctl -qw net.ipv6.conf.default.disable_ipv6=1
      ip link add d0 type veth peer name c0 netns ${client.name} && ip address add 10.0.0.254/24 dev d0 && ip link set d0 up
      ip link add d1 type veth peer name s0 netns ${server.name} && ip address add 10.0.1.254/24 dev d1 && ip link set d1 up
      ip address add ${VIP}/32 dev lo`);
    client.run('ip address add 10.0.0.1/24 dev c0 && ip link set c0 up && ip route add default via 10.0.0.254');
    server.run('ip address add 10.0.1.1/24 dev s0 && ip link set s0 up && ip route add default via 10.0.1.254');
    // Frames as a network card would bring them: with whole checksums.
    client.run('ethtool -K c0 tx off');
    server.run('ethtool -K s0 tx off');
    await server.serve(8080, 'served');
    await director.serve(22, 'host');
    await client.serve(9000, 'client');
    before = director.traces();
    plane = await director.plane(compiled.folder);
  });

  afterEach(async () => {
    for (const each of [client, director, server]) await each?.remove();
  });

  async function serve(): Promise<void> {
    await plane.execute({ name: 'addService', service: service(key(VIP, 80)) });
    await plane.execute({
      name: 'addDestination',
      service: key(VIP, 80),
      destination: destination('10.0.1.1', 8080),
    });
  }

  async function counters(link: string): Promise<LinkCounters> {
    const { links } = (await plane.execute({ name: 'getLinkCounters' })) as { links: LinkCounters[] };
    return links.find((each) => each.link === link) as LinkCounters;
  }

  /** Frames that went past the host's stack by that link, both ways together. */
  async function past(link: string): Promise<number> {
    const { xdp: counts } = await counters(link);
    if (counts === undefined || 'refused' in counts) throw new Error(`${link}: ${JSON.stringify(counts)}`);
    return counts.received + counts.transmitted;
  }

  for (const xdpMode of ['generic', 'native'] as const) {
    test(`${xdpMode}: connections to a service go past the host's stack, both ways`, async () => {
      await plane.start({ io: 'xdp', ioOptions: { xdpMode } });
      await serve();
      expect(client.connect(VIP, 80)).toBe('served');
      for (const link of ['d0', 'd1']) {
        const counts = await counters(link);
        expect(counts.xdp).toMatchObject({ mode: xdpMode });
        expect(counts.transmitErrors).toEqual({});
        // SYN, answer, acknowledgement, data, two ends: at least three each way.
        expect(await past(link)).toBeGreaterThanOrEqual(6);
      }
      expect(director.run('ip -o link show d0')).toMatch(xdpMode === 'generic' ? /xdpgeneric/ : /xdp\W/);
    });
  }

  test('what is not served stays with the stack: the host, its own connections to servers, pings', async () => {
    await plane.start({ io: 'xdp' });
    await serve();
    const quiet = [await past('d0'), await past('d1')];
    expect(client.connect('10.0.0.254', 22)).toBe('host');
    expect(client.connect(VIP, 22)).toBe('host');
    // From a port of the local port range: the answer comes from a real server's port.
    expect(director.connect('10.0.1.1', 8080)).toBe('served');
    client.run(`ping -c 1 -W 2 ${VIP}`);
    expect([await past('d0'), await past('d1')]).toEqual(quiet);
  });

  test('a service that is deleted is the stack’s again, one that is added is taken at once', async () => {
    await plane.start({ io: 'xdp' });
    await serve();
    expect(client.connect(VIP, 80)).toBe('served');
    await plane.execute({ name: 'deleteService', key: key(VIP, 80) });
    const quiet = await past('d0');
    expect(client.connect(VIP, 80)).toBe('ECONNREFUSED');
    expect(await past('d0')).toBe(quiet);
    await serve();
    expect(client.connect(VIP, 80)).toBe('served');
    expect(await past('d0')).toBeGreaterThan(quiet);
  });

  test('a link gets its program again after it was down, after a new MAC and after a new MTU', async () => {
    await plane.start({ io: 'xdp' });
    await serve();
    for (const change of ['address 02:00:00:00:aa:01', 'mtu 1400', 'mtu 1500']) {
      director.run(`ip link set d0 down; ip link set d0 ${change}; ip link set d0 up`);
      await eventually(() => client.connect(VIP, 80) === 'served', 20_000);
      await eventually(() => director.run('ip -o link show d0').includes('xdpgeneric'), 20_000);
      const quiet = await past('d0');
      expect(client.connect(VIP, 80)).toBe('served');
      expect(await past('d0')).toBeGreaterThan(quiet);
    }
  }, 90_000);

  test('a link on which another XDP program is at work is served all the same, and says so', async () => {
    const claim = `import('${compiled.folder}/packet-io/xdp.js').then(async ({ xdp }) => {
      const io = await xdp.open();
      io.attach({ index: ${director.run('cat /sys/class/net/d0/ifindex').trim()}, name: 'd0', mac: new Uint8Array(6), mtu: 1500, loopback: false });
      console.log('attached');
      setInterval(() => io.wait(100), 1);
    });`;
    await director.program(claim);
    await plane.start({ io: 'xdp' });
    await serve();
    expect(client.connect(VIP, 80)).toBe('served');
    expect((await counters('d0')).xdp).toEqual({
      refused: 'another XDP program or AF_XDP socket is at work there',
    });
    expect(await past('d1')).toBeGreaterThan(0);
  });

  test('the programs of a worker that was ended from outside are taken off by its successor', async () => {
    const index = director.run('cat /sys/class/net/d0/ifindex').trim();
    const said = director.evaluate(`
      const { Worker } = require('node:worker_threads');
      const { execFileSync } = require('node:child_process');
      const shown = () => execFileSync('ip', ['-o', 'link', 'show', 'd0']).includes('xdpgeneric');
      const open = "import('${compiled.folder}/packet-io/xdp.js').then(({ xdp }) => xdp.open())";
      const link = "{ index: ${index}, name: 'd0', mac: new Uint8Array(6), mtu: 1500, loopback: false }";
      const worker = new Worker(open + ".then((io) => { io.attach(" + link + "); require('node:worker_threads')" +
        ".parentPort.postMessage('attached'); while (true) io.wait(10); })", { eval: true });
      worker.once('message', async () => {
        await worker.terminate();
        const before = shown();
        const io = await eval(open);
        const between = shown();
        io.attach(eval('(' + link + ')'));
        const { xdp } = io.linkCounters()[0];
        console.log(JSON.stringify({ before, between, refused: 'refused' in xdp }));
        process.exit();
      });`);
    // The old socket still holds the queue, so the ring serves the link: slower, but nothing is lost.
    expect(JSON.parse(said)).toEqual({ before: true, between: false, refused: true });
  }, 30_000);

  test('after it was closed, and after kill -9, nothing is left', async () => {
    await plane.start({ io: 'xdp' });
    await serve();
    expect(director.traces()).toMatch(/xdp/);
    await plane.close();
    expect(director.traces()).toBe(before);

    plane = await director.plane(compiled.folder);
    await plane.start({ io: 'xdp' });
    await serve();
    await plane.kill();
    await eventually(() => director.traces() === before, 5_000);
    expect(client.connect('10.0.0.254', 22)).toBe('host');
  });
});
