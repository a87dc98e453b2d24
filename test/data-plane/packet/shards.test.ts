/**
 * Two workers that share the traffic of one host, with real clients and servers: every connection is served, both of
 * its directions meet in one worker, and no worker reads a frame that is another's.
 *
 *     clients 10.1.0.0/16 -- c0 [director 10.1.0.254, 10.2.0.254] s0 -- servers 10.2.0.11, 10.2.0.12
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Command, EngineCounters, Page, ShardStatus } from '../../../src/model/commands.ts';
import type { ConnectionStatus } from '../../../src/model/connection-status.ts';
import type { ForwardingMethod } from '../../../src/model/forwarding.ts';
import type { PacketTrace } from '../../../src/model/packet-trace.ts';
import type { ServiceSpec, ServiceStatus } from '../../../src/model/service.ts';
import { frame } from '../../support/frames.ts';
import { compileSources, Namespace, type PlaneProcess, whySkipped } from '../support/namespace.ts';
import { destination, key, service } from '../support/specs.ts';

const reason = whySkipped();
const VIP = '10.1.0.100';
const VIP6 = 'fd01::100';
const NETWORKS = 4;
const CLIENTS_PER_NETWORK = 6;
const PATIENCE_MS = 120_000;

const clients = [...Array(NETWORKS * CLIENTS_PER_NETWORK).keys()].map((n) => {
  return { network: n % NETWORKS, host: 1 + Math.floor(n / NETWORKS) };
});
const CLIENTS4 = clients.map(({ network, host }) => `10.1.${1 + network}.${host}`);
const CLIENTS6 = clients.map(({ network, host }) => `fd01::${1 + network}:${host}`);

/** Who was asked by whom, as TCP and UDP servers say it, and an FTP server that opens and is opened data connections. */
const SERVERS = `
const net = require('node:net'), dgram = require('node:dgram');
const says = (socket) => (socket.localAddress + ' ' + socket.remoteAddress).replaceAll('::ffff:', '');
for (const address of process.argv.slice(1)) {
  net.createServer((s) => { s.on('error', () => {}); s.end(says(s)); }).listen(80, address);
  const udp = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
  udp.on('message', (data, from) => udp.send(data, from.port, from.address));
  udp.bind(53, address);
  net.createServer((s) => {
    s.on('error', () => {});
    s.write('220 ready\\r\\n');
    s.on('data', (line) => {
      const [word, rest = ''] = String(line).trim().split(' ');
      if (word === 'PASV') {
        const data = net.createServer((d) => { d.on('error', () => {}); d.end('listing of ' + address); data.close(); });
        data.listen(0, address, () => {
          const { port } = data.address();
          s.write('227 Entering Passive Mode (' + [...address.split('.'), port >> 8, port & 255].join(',') + ')\\r\\n');
        });
      } else if (word === 'PORT') {
        const [a, b, c, d, high, low] = rest.split(',').map(Number);
        const to = net.connect({ host: [a, b, c, d].join('.'), port: high * 256 + low, localAddress: address, localPort: 20 });
        to.on('error', (error) => s.write('425 ' + error.code + '\\r\\n'));
        to.on('connect', () => { to.end('listing of ' + address); s.write('200 done\\r\\n'); });
      } else s.end('221 bye\\r\\n');
    });
  }).listen(21, address);
}
setTimeout(() => console.log('listening'), 300);`;

/** Every client asks so often, several at once; answers by client, errors included. */
const ASK = (list: readonly string[], vip: string, times: number) => `
const net = require('node:net');
const ask = (localAddress) => new Promise((resolve) => {
  const socket = net.connect({ host: '${vip}', port: 80, localAddress });
  let said = '';
  socket.on('data', (data) => { said += data; });
  socket.on('close', () => resolve(said));
  socket.on('error', (error) => { said = error.code; });
  socket.setTimeout(8000, () => { said = 'silence'; socket.destroy(); });
});
(async () => {
  const answers = {};
  for (let time = 0; time < ${times}; time++) {
    await Promise.all(${JSON.stringify(list)}.map(async (client) => (answers[client] ??= []).push(await ask(client))));
  }
  console.log(JSON.stringify(answers));
})();`;

/** Datagrams of that size, which come back. */
const ECHO = (list: readonly string[], vip: string, bytes: number) => `
const dgram = require('node:dgram');
const ask = (address) => new Promise((resolve) => {
  const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
  const send = () => socket.send(Buffer.alloc(${bytes}, address), 53, '${vip}');
  const again = setInterval(send, 1000);
  const end = (word) => { clearInterval(again); clearTimeout(late); socket.close(); resolve(word); };
  const late = setTimeout(end, 8000, 'silence');
  socket.on('message', (data) => end(String(data.subarray(0, address.length)) === address ? data.length : 'somebody else’s'));
  socket.bind(0, address, send);
});
Promise.all(${JSON.stringify(list)}.map(ask)).then((answers) => { console.log(JSON.stringify(answers)); setTimeout(() => process.exit(), 50); });`;

const FTP = (list: readonly string[], mode: 'PASV' | 'PORT') => `
const net = require('node:net');
const fetch = (client) => new Promise((resolve) => {
  const control = net.connect({ host: '${VIP}', port: 21, localAddress: client });
  const end = (word) => { control.destroy(); resolve(word); };
  control.setTimeout(8000, () => end('silence'));
  control.on('error', (error) => end(error.code));
  let text = '';
  control.on('data', (data) => {
    text += data;
    if (text.startsWith('220')) {
      text = '';
      if ('${mode}' === 'PASV') return control.write('PASV\\r\\n');
      const server = net.createServer((d) => { d.on('data', (listing) => { server.close(); end(String(listing)); }); });
      server.listen(0, client, () => {
        const { port } = server.address();
        control.write('PORT ' + [...client.split('.'), port >> 8, port & 255].join(',') + '\\r\\n');
      });
    }
    const passive = /\\((\\d+),(\\d+),(\\d+),(\\d+),(\\d+),(\\d+)\\)/.exec(text);
    if (passive === null) return;
    const [a, b, c, d, high, low] = passive.slice(1).map(Number);
    const host = [a, b, c, d].join('.');
    const socket = net.connect({ host, port: high * 256 + low, localAddress: client });
    socket.on('data', (listing) => end(host + ' ' + listing));
    socket.on('error', (error) => end(error.code));
  });
});
Promise.all(${JSON.stringify(list)}.map(fetch)).then((answers) => { console.log(JSON.stringify(answers)); setTimeout(() => process.exit(), 50); });`;

describe.skipIf(reason !== null)(
  `two shards${reason === null ? '' : ` (skipped: ${reason})`}`,
  { timeout: PATIENCE_MS },
  () => {
    let compiled: ReturnType<typeof compileSources>;
    let director: Namespace;
    let outside: Namespace;
    let inside: Namespace;
    let plane: PlaneProcess;

    beforeAll(() => {
      compiled = compileSources();
    }, PATIENCE_MS);
    afterAll(() => compiled?.remove());

    beforeEach(async () => {
      director = new Namespace();
      outside = new Namespace();
      inside = new Namespace();
      director.run(`
      ip link add c0 type veth peer name eth0 netns ${outside.name}; ip link add s0 type veth peer name eth0 netns ${inside.name}
      ip link set c0 up; ip link set s0 up
      ip address add 10.1.0.254/16 dev c0; ip address add 10.2.0.254/16 dev s0
      ip address add fd01::fe/64 dev c0 nodad; ip address add fd02::fe/64 dev s0 nodad
      ip address add ${VIP}/32 dev c0; ip address add ${VIP6}/128 dev c0 nodad`);
      outside.run(`
      ip link set eth0 up
      ${CLIENTS4.map((address) => `ip address add ${address}/16 dev eth0`).join('\n')}
      ${CLIENTS6.map((address) => `ip address add ${address}/64 dev eth0 nodad`).join('\n')}`);
      inside.run(`
      ip link set eth0 up; ip address add 10.2.0.11/16 dev eth0; ip address add 10.2.0.12/16 dev eth0
      ip address add fd02::11/64 dev eth0 nodad; ip address add fd02::12/64 dev eth0 nodad
      ip route add default via 10.2.0.254; ip -6 route add default via fd02::fe`);
      await inside.program(SERVERS, '10.2.0.11', '10.2.0.12', 'fd02::11', 'fd02::12');
    }, PATIENCE_MS);

    afterEach(async () => {
      await Promise.all([inside, outside, director].map((namespace) => namespace?.remove()));
    }, PATIENCE_MS);

    async function start(options: object = {}): Promise<void> {
      plane = await director.plane(compiled.folder);
      await plane.start({ io: 'packet-ring', shards: 2, ...options });
    }

    const execute = (command: Command) => plane.execute(command);

    async function add(spec: ServiceSpec, servers: readonly string[], method: ForwardingMethod = 'masquerade') {
      await execute({ name: 'addService', service: { ...spec, scheduler: 'rr' } });
      const port = 'port' in spec.key ? spec.key.port : 0;
      for (const address of servers) {
        await execute({ name: 'addDestination', service: spec.key, destination: destination(address, port, method) });
      }
    }

    /** Both shards had work, and nothing that was the other's. */
    async function expectCleanSplit(): Promise<readonly ShardStatus[]> {
      const { shards = [], drops } = (await execute({ name: 'getCounters' })) as EngineCounters;
      expect(shards.map(({ shard, foreign, steering }) => ({ shard, foreign, steering }))).toEqual([
        { shard: 0, foreign: 0, steering: 'kernel' },
        { shard: 1, foreign: 0, steering: 'kernel' },
      ]);
      expect(drops['other-shard'] ?? 0).toBe(0);
      expect(drops['stray-reply'] ?? 0).toBe(0);
      return shards;
    }

    const ask = (list: readonly string[], vip: string, times: number): Record<string, string[]> =>
      JSON.parse(outside.evaluate(ASK(list, vip, times)));

    async function connections(): Promise<ConnectionStatus[]> {
      const all: ConnectionStatus[] = [];
      for (let cursor: string | null = null; ; ) {
        const page = (await execute({
          name: 'listConnections',
          limit: 5,
          ...(cursor === null ? {} : { cursor }),
        })) as Page<ConnectionStatus>;
        all.push(...page.items);
        cursor = page.next;
        if (cursor === null) return all;
      }
    }

    test.each([
      ['packet-ring', CLIENTS4, VIP, ['10.2.0.11', '10.2.0.12']],
      ['packet-ring', CLIENTS6, VIP6, ['fd02::11', 'fd02::12']],
      ['packet-mmsg', CLIENTS4, VIP, ['10.2.0.11', '10.2.0.12']],
    ] as const)('NAT by %s: every client is served, and listings know of all', async (io, list, vip, servers) => {
      await start({ io });
      await add(service(key(vip, 80)), servers);
      const answers = ask(list, vip, 5);
      for (const [client, said] of Object.entries(answers)) {
        for (const each of said) expect(servers.map((server) => `${server} ${client}`)).toContain(each);
      }
      const shards = await expectCleanSplit();
      for (const { connections: count } of shards) expect(count).toBeGreaterThan(0);
      const rows = await connections();
      expect(rows).toHaveLength(5 * list.length);
      expect(rows.length).toBe(shards[0]!.connections + shards[1]!.connections);
      const status = (await execute({ name: 'getService', key: key(vip, 80) })) as ServiceStatus;
      const counted = status.destinations.map((each) => each.activeConnections + each.inactiveConnections);
      expect(counted[0]! + counted[1]!).toBe(rows.length);
      // What would become of a packet says the shard that would get it, with its connection.
      if (io === 'packet-ring' && vip === VIP) {
        for (const { client } of rows.slice(0, 4)) {
          const syn = frame().ipv4(client.address, VIP).tcp(client.port, 80, { ack: true });
          const packet = Buffer.from(syn.subarray(14)).toString('hex');
          const trace = (await execute({ name: 'rehearse', packet })) as PacketTrace;
          expect(trace.connection).toMatchObject({ direction: 'inbound', isNew: false });
        }
      }
      // Each shard takes turns by itself, so each may be ahead by one.
      expect(Math.abs(counted[0]! - counted[1]!)).toBeLessThanOrEqual(2);
      await new Promise((resolve) => setTimeout(resolve, 4_500));
      const { items } = (await execute({ name: 'listServices' })) as Page<ServiceStatus>;
      expect(items).toHaveLength(1);
      expect(items[0]!.statistics.connections).toBe(rows.length);
      const { statistics } = (await execute({ name: 'getTotals' })) as { statistics: { connections: number } };
      expect(statistics.connections).toBe(rows.length);
    });

    test.each([
      ['of this host', CLIENTS4, VIP, ['10.2.0.11', '10.2.0.12'], '10.2.0.254'],
      ['of this host, IPv6', CLIENTS6, VIP6, ['fd02::11', 'fd02::12'], 'fd02::fe'],
      ['of the service itself', CLIENTS4, VIP, ['10.2.0.11', '10.2.0.12'], VIP],
    ] as const)(
      'full NAT with an address %s: answers come to the shard that asked',
      async (_what, list, vip, servers, source) => {
        inside.run('ip route del default; ip -6 route del default; ip route add 10.1.0.100/32 via 10.2.0.254');
        await start({ sourceNat: source === VIP ? VIP : 'masquerade' });
        await add(service(key(vip, 80)), servers);
        await add(service(key(vip, 53, 'udp')), servers);
        const answers = ask(list, vip, 5);
        for (const said of Object.values(answers)) {
          for (const each of said) expect(servers.map((server) => `${server} ${source}`)).toContain(each);
        }
        // Answers in pieces carry no port but in the first: every shard keeps them, one knows whose they are.
        const echoed = JSON.parse(outside.evaluate(ECHO(list, vip, 4_000)));
        expect(echoed).toEqual(list.map(() => 4_000));
        const shards = await expectCleanSplit();
        for (const { connections: count } of shards) expect(count).toBeGreaterThan(0);
        const locals = (await connections()).map((row) => row.local?.port ?? 0);
        expect(new Set(locals.map((port) => port % 2)).size).toBe(2);
      },
    );

    test('direct routing: one direction is seen', async () => {
      await start();
      inside.run(`ip address add ${VIP}/32 dev lo; sysctl -qw net.ipv4.conf.all.arp_ignore=1`);
      // The servers answer by another way: over the director as a router.
      director.run(
        'sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.s0.accept_local=1 net.ipv4.conf.s0.rp_filter=0; ip address del 10.1.0.100/32 dev c0',
      );
      await inside.program(`
        const server = require('net').createServer((socket) => socket.end('dr ' + socket.remoteAddress));
        server.listen(80, '${VIP}', () => console.log('ready'));`);
      await add(service(key(VIP, 80)), ['10.2.0.11', '10.2.0.12'], 'direct');
      const answers = ask(CLIENTS4, VIP, 3);
      for (const [client, said] of Object.entries(answers)) expect(said).toEqual([1, 2, 3].map(() => `dr ${client}`));
      await expectCleanSplit();
    });

    test.each(['PASV', 'PORT'] as const)(
      'FTP: data connections (%s) are in the shard of their control connection',
      async (mode) => {
        await start();
        await add(service(key(VIP, 21)), ['10.2.0.11', '10.2.0.12']);
        const answers: string[] = JSON.parse(outside.evaluate(FTP(CLIENTS4, mode)));
        for (const said of answers)
          expect(said).toMatch(mode === 'PASV' ? /^10\.1\.0\.100 listing of 10\.2\.0\.1[12]$/ : /^listing of/);
        await expectCleanSplit();
      },
    );

    test('persistence: the clients of one network stay together, and networks are shared out', async () => {
      await start();
      const spec = { ...service(key(VIP, 80)), persistenceTimeoutSeconds: 300, netmask: '255.255.255.0' };
      await add(spec, ['10.2.0.11', '10.2.0.12']);
      const answers = ask(CLIENTS4, VIP, 3);
      for (let network = 1; network <= NETWORKS; network++) {
        const ofNetwork = Object.entries(answers).filter(([client]) => client.startsWith(`10.1.${network}.`));
        expect(ofNetwork).toHaveLength(CLIENTS_PER_NETWORK);
        expect(new Set(ofNetwork.flatMap(([, said]) => said.map((each) => each.split(' ')[0]))).size).toBe(1);
      }
      expect((await connections()).filter(({ template }) => template)).toHaveLength(NETWORKS);
      await expectCleanSplit();
    });

    test('fragments of one datagram meet in one shard', async () => {
      await start();
      await add(service(key(VIP, 53, 'udp')), ['10.2.0.11', '10.2.0.12']);
      const answers = JSON.parse(outside.evaluate(ECHO(CLIENTS4, VIP, 5_000)));
      expect(answers).toEqual(CLIENTS4.map(() => 5_000));
      await expectCleanSplit();
    });

    test('one answer to each ARP question, and a worker that died is replaced and the loss is told', async () => {
      director.run(`ip address del ${VIP}/32 dev c0`);
      await start();
      await add(service(key(VIP, 80)), ['10.2.0.11', '10.2.0.12']);
      // Both workers hear the question.
      outside.run(
        `nft 'table arp t { chain i { type filter hook input priority 0; arp operation reply arp saddr ip ${VIP} counter; }; }'`,
      );
      for (let question = 0; question < 3; question++)
        outside.run(`ip neigh flush dev eth0; ping -c 1 -W 1 ${VIP} || true`);
      expect(outside.run('nft list table arp t')).toMatch(/counter packets 3 /);
      await plane.strike(0);
      await plane.heard(({ type, ...rest }) => {
        return (
          type === 'notice' &&
          'message' in rest &&
          /a new packet worker of shard [01] \(of 2\) serves/.test(rest.message)
        );
      });
      const told = plane.events.flatMap((event) => (event.type === 'notice' ? [event.message] : []));
      expect(told).toContainEqual(
        expect.stringMatching(
          /^the packet worker of shard [01] \(of 2\) ended and is being replaced, its connections are lost: /,
        ),
      );
      const answers = ask(CLIENTS4, VIP, 2);
      for (const said of Object.values(answers)) for (const each of said) expect(each).toMatch(/^10\.2\.0\.1[12] /);
      const { shards = [] } = (await execute({ name: 'getCounters' })) as EngineCounters;
      expect(shards.map(({ replaced }) => replaced).sort()).toEqual([0, 1]);
      expect(shards.map(({ foreign }) => foreign)).toEqual([0, 0]);
    });
  },
);
