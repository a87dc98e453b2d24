/** The packet data plane with its real engine on real links: what recordings prove in virtual time, once more live. */
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { DestinationSpec } from '../../../src/model/destination.ts';
import type { ServiceKey, SourceNat } from '../../../src/model/service.ts';
import {
  CLIENT,
  cable,
  DIRECTOR,
  FREE_VIP6,
  LiveLab,
  PREFIX,
  SERVER,
  SERVER6,
  TCP_SINK,
  tcpUpload,
  UDP_ECHO,
  udpProbe,
  VIP,
  VIP6,
} from '../support/live.ts';
import { compileSources, eventually, Namespace, type PlaneProcess, whySkipped } from '../support/namespace.ts';
import { destination, key, service } from '../support/specs.ts';

const reason = whySkipped();
const TUNNEL_END = fileURLToPath(new URL('../support/tunnel-end.mjs', import.meta.url));
const UPLOAD_BYTES = 5 * 1024 * 1024;

async function add(plane: PlaneProcess, of: ServiceKey, servers: readonly DestinationSpec[], sourceNat?: SourceNat) {
  const spec = service(of);
  await plane.execute({ name: 'addService', service: sourceNat === undefined ? spec : { ...spec, sourceNat } });
  for (const each of servers) await plane.execute({ name: 'addDestination', service: of, destination: each });
}

let compiled: ReturnType<typeof compileSources>;
beforeAll(() => {
  if (reason === null) compiled = compileSources();
});
afterAll(() => compiled?.remove());

describe.skipIf(reason !== null).each(['packet-mmsg', 'pcap'])(`live by %s`, (io) => {
  let lab: LiveLab;
  let plane: PlaneProcess;

  beforeEach(async () => {
    lab = new LiveLab();
    plane = await lab.plane(compiled.folder, io);
  });
  afterEach(() => lab.remove());

  const upload = (address: string, port: number) => {
    const said = lab.client.evaluate(tcpUpload(address, port, UPLOAD_BYTES));
    console.log(`${io}: ${UPLOAD_BYTES} bytes to ${address}: ${said}`);
    return said;
  };

  test('IPv6: NAT, full NAT and direct routing, to addresses of the host and to one that nobody has', async () => {
    await lab.server.serve(8080, 'server');
    await lab.server.serve(80, 'direct');
    for (const vip of [VIP6, FREE_VIP6]) {
      await add(plane, key(vip, 81), [destination(SERVER6, 8080)]);
      await add(plane, key(vip, 82), [destination(SERVER6, 8080)], 'masquerade');
      await add(plane, key(vip, 80), [destination(SERVER6, 80, 'direct')]);
      expect(lab.client.connect(vip, 81)).toBe('server');
      expect(lab.client.connect(vip, 82)).toBe('server');
      expect(lab.client.connect(vip, 80)).toBe('direct');
    }
    expect(lab.client.connect(VIP6, 83)).toBe('ECONNREFUSED');
  });

  test('servers on the director itself: [::1], its own address and 127.0.0.1', async () => {
    await lab.director.serve(8081, 'fallback');
    await add(plane, key(VIP6, 80), [destination('::1', 8081)]);
    await add(plane, key(FREE_VIP6, 80), [destination('fd00:2::254', 8081)]);
    await add(plane, key(VIP, 80), [destination('127.0.0.1', 8081)]);
    for (const vip of [VIP6, FREE_VIP6, VIP]) expect(lab.client.connect(vip, 80)).toBe('fallback');
  });

  test('datagrams of 4000 bytes pass NAT both ways, in fragments', async () => {
    await lab.server.program(UDP_ECHO, '7000');
    // Bound to its addresses, or it would answer from the one that the host link has.
    await lab.director.program(UDP_ECHO, '7001', '127.0.0.1', '::1');
    await add(plane, key(VIP, 7, 'udp'), [destination(SERVER, 7000)]);
    await add(plane, key(VIP6, 7, 'udp'), [destination(SERVER6, 7000)]);
    await add(plane, key(VIP, 8, 'udp'), [destination('127.0.0.1', 7001)]);
    await add(plane, key(VIP6, 8, 'udp'), [destination('::1', 7001)]);
    for (const port of [7, 8]) {
      expect(lab.client.evaluate(udpProbe(VIP, port, 4000))).toBe('4000');
      expect(lab.client.evaluate(udpProbe(VIP6, port, 4000))).toBe('4000');
    }
  });

  test('fragments that are not ours reach the host: once when they are held back, untouched when they are not', async () => {
    await lab.director.program(UDP_ECHO, '7001');
    await lab.server.program(UDP_ECHO, '7000');
    for (const [vip, server] of [
      [VIP, SERVER],
      [VIP6, SERVER6],
    ] as const) {
      await add(plane, key(vip, 80), [destination(server, 80)]);
      // To a service's address, to another of the host, and from a server's address to the host itself.
      expect(lab.client.evaluate(udpProbe(vip, 7001, 4000))).toBe('4000');
      expect(lab.director.evaluate(udpProbe(server, 7000, 4000))).toBe('4000');
      expect(lab.client.run(`ping -c 2 -i 0.2 -W 1 -s 4000 ${vip}`)).toMatch(/2 received, 0% packet loss/);
    }
    const ping = lab.client.run(`ping -c 2 -i 0.2 -W 1 -s 4000 ${DIRECTOR}`);
    expect(ping).toMatch(/2 received, 0% packet loss/);
    expect(ping).not.toMatch(/DUP/);
  });

  test.each([
    ['ipip', 0, 'none'],
    ['gre', 0, 'full'],
    ['gue', 5555, 'none'],
  ] as const)('5 MB through a tunnel, %s, with the links’ default offloads', async (type, port, checksum) => {
    await lab.server.program(`import('${TUNNEL_END}')`, compiled.folder);
    await lab.server.program(TCP_SINK, '80');
    await add(plane, key(VIP, 80), [destination(SERVER, 80, 'tunnel', { type, port, checksum })]);
    expect(JSON.parse(upload(VIP, 80))).toMatchObject({ right: true });
  });

  test('5 MB by NAT, both families', async () => {
    await lab.server.program(TCP_SINK, '80');
    await add(plane, key(VIP, 80), [destination(SERVER, 80)]);
    await add(plane, key(VIP6, 80), [destination(SERVER6, 80)]);
    for (const vip of [VIP, VIP6]) expect(JSON.parse(upload(vip, 80))).toMatchObject({ right: true });
  });

  test('services by mark take what rules mark, and nothing else', async () => {
    await lab.server.serve(8080, 'server');
    await lab.server.serve(80, 'direct');
    await lab.director.serve(85, 'director');
    const four = { mark: 5, family: 'ipv4' } as const;
    const six = { mark: 5, family: 'ipv6' } as const;
    await add(plane, four, [destination(SERVER, 8080)]);
    await add(plane, six, [destination(SERVER6, 8080)]);
    expect(lab.client.connect(VIP, 81)).toBe('ECONNREFUSED');
    const rules = [
      { family: 'ipv4', mark: 5, protocol: 'tcp', destination: VIP, portMin: 81, portMax: 84 },
      { family: 'ipv6', mark: 5, protocol: 'tcp', destination: `${VIP6}/128`, link: 'a0', portMin: 81 },
    ] as const;
    for (const rule of rules) await plane.execute({ name: 'addMarkRule', rule });
    await expect(plane.execute({ name: 'addMarkRule', rule: { ...rules[0], mark: 6 } })).rejects.toMatchObject({
      code: 'EEXIST',
    });
    expect(lab.client.connect(VIP, 81)).toBe('server');
    expect(lab.client.connect(VIP, 84)).toBe('server');
    expect(lab.client.connect(VIP, 85)).toBe('director');
    expect(lab.client.connect(VIP6, 81)).toBe('server');
    expect(lab.client.connect(VIP6, 82)).toBe('ECONNREFUSED');
    await plane.execute({ name: 'deleteMarkRule', rule: rules[0] });
    expect(lab.client.connect(VIP, 81)).toBe('ECONNREFUSED');
    expect(await plane.execute({ name: 'listMarkRules' })).toMatchObject({ rules: [{ family: 'ipv6', mark: 5 }] });
  });

  test('connections of a master appear on its backup', async () => {
    const backup = new Namespace(PREFIX);
    try {
      cable(lab.director, 'd0', backup, 'd0', 4, [1, 2]);
      const other = await backup.plane(compiled.folder);
      await other.start({ io });
      const served = (links: readonly string[]) => links.includes('d0');
      await plane.heard((event) => event.type === 'links-changed' && served(event.links));
      const daemon = { interface: 'd0', syncId: 3, maxLength: 0, group: '', port: 0, ttl: 0 };
      await lab.server.serve(8080, 'server');
      const services = [
        [key(VIP, 80), SERVER],
        [key(VIP6, 80), SERVER6],
      ] as const;
      for (const each of [plane, other]) {
        for (const [of, server] of services) await add(each, of, [destination(server, 8080)]);
        await each.execute({ name: 'setSetting', setting: 'sync_threshold', value: '1 2' });
      }
      await other.execute({ name: 'startSyncDaemon', daemon: { ...daemon, role: 'backup' } });
      expect(backup.run('ip maddress show dev d0')).toMatch(/inet\s+224\.0\.0\.81/);
      await plane.execute({ name: 'startSyncDaemon', daemon: { ...daemon, role: 'master' } });
      for (const [of] of services) expect(lab.client.connect(of.address, 80)).toBe('server');
      type Rows = { items: { client: { address: string } }[] };
      let rows: unknown[] = [];
      const look = async () => {
        rows = ((await other.execute({ name: 'listConnections' })) as Rows).items;
      };
      const timer = setInterval(() => void look(), 100);
      await eventually(() => rows.length >= 2, 8000).finally(() => clearInterval(timer));
      expect(JSON.stringify(rows)).toContain(CLIENT);
      await other.execute({ name: 'stopSyncDaemon', role: 'backup' });
      expect(backup.run('ip maddress show dev d0')).not.toMatch(/224\.0\.0\.81/);
    } finally {
      await backup.remove();
    }
  });
});
