/**
 * The network changes under traffic: one TCP connection from a client through the real engine to a server, which must
 * go on whatever happens to the links, addresses, routes and MACs in between. Nothing is restarted.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { packetMmsg } from '../../../src/packet-io/packet-mmsg.ts';
import { packetRing } from '../../../src/packet-io/packet-ring.ts';
import { xdp } from '../../../src/packet-io/xdp.ts';
import { compileSources, eventually, Namespace, type PlaneProcess, whySkipped } from '../support/namespace.ts';
import { destination, key, service } from '../support/specs.ts';

const VIP = '192.0.2.10';
/** TCP waits longer after each loss; a connection that was cut off for some seconds needs as many again. */
const PATIENCE_MS = 30_000;

/** Asks again and again over one connection, with `bytes` bytes, and counts the answers on standard output. */
const TALKER = (port: number, bytes: number) => `
const socket = require('node:net').connect(${port}, '${VIP}');
let answers = 0;
let missing = 0;
const ask = () => { missing = ${bytes}; socket.write(Buffer.alloc(${bytes}, 120)); };
socket.on('connect', ask);
socket.on('data', (data) => {
  missing -= data.length;
  if (missing > 0) return;
  console.log(++answers);
  setTimeout(ask, 20);
});
socket.on('error', (error) => { console.log('ended: ' + error.code); process.exit(); });
socket.on('close', () => { console.log('ended: closed'); process.exit(); });`;

const ECHO = (address: string) => `
require('node:net').createServer((socket) => { socket.on('error', () => {}); socket.pipe(socket); })
  .listen(7, '${address}', () => console.log('listening'));`;

for (const kind of [packetRing, packetMmsg, xdp]) {
  const reason = whySkipped() ?? (await kind.unavailable());
  describe.skipIf(reason !== null)(
    `${kind.name}: under traffic${reason === null ? '' : ` (skipped: ${reason})`}`,
    () => {
      let compiled: ReturnType<typeof compileSources>;
      let client: Namespace;
      let director: Namespace;
      let server: Namespace;
      let plane: PlaneProcess;
      const talkers: ChildProcess[] = [];

      beforeAll(() => {
        compiled = compileSources();
      }, 60_000);
      afterAll(() => compiled?.remove());

      beforeEach(async () => {
        [client, director, server] = [new Namespace(), new Namespace(), new Namespace()];
        director.run(
          `ip link add d0 type veth peer name c0 netns ${client.name} && ip address add 10.0.0.254/24 dev d0 && ip link set d0 up`,
        );
        client.run(
          'ip address add 10.0.0.1/24 dev c0 && ip link set c0 up && ip route add default via 10.0.0.254 && sysctl -qw net.ipv4.conf.all.arp_notify=1',
        );
        layServerCable();
        // With it the director may tell the client what is too long; an address of nobody says nothing.
        director.run(`ip address add ${VIP}/32 dev lo`);
        await server.program(ECHO('0.0.0.0'));
        plane = await director.plane(compiled.folder);
        await plane.start({ io: kind.name });
        await serve(80, '10.0.1.1');
      });

      afterEach(async () => {
        for (const talker of talkers.splice(0)) talker.kill('SIGKILL');
        await plane?.close();
        for (const each of [client, director, server]) await each?.remove();
      });

      function layServerCable(): void {
        director.run(
          `ip link add d1 type veth peer name s0 netns ${server.name} && ip address add 10.0.1.254/24 dev d1 && ip link set d1 up`,
        );
        server.run('ip address add 10.0.1.1/24 dev s0 && ip link set s0 up && ip route add default via 10.0.1.254');
      }

      async function serve(port: number, address: string): Promise<void> {
        await plane.execute({ name: 'addService', service: service(key(VIP, port)) });
        await plane.execute({
          name: 'addDestination',
          service: key(VIP, port),
          destination: destination(address, 7),
        });
      }

      /** Whether a new connection is made and answered. */
      function answers(port: number): boolean {
        const said = client.evaluate(`
          const socket = require('node:net').connect(${port}, '${VIP}');
          const say = (word) => { console.log(word); process.exit(); };
          socket.on('connect', () => socket.write('x'));
          socket.on('data', () => say('yes'));
          socket.on('error', (error) => say(error.code));
          setTimeout(say, 1000, 'silence');`);
        return said === 'yes';
      }

      /** A conversation under way. */
      function talk(port = 80, bytes = 6_000) {
        const child = spawn('ip', ['netns', 'exec', client.name, process.execPath, '-e', TALKER(port, bytes)], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        talkers.push(child);
        let said = '';
        child.stdout.on('data', (text) => (said += text));
        const last = () => said.trimEnd().split('\n').at(-1) ?? '';
        return {
          /** Resolves when ten more answers have come. */
          goesOn: async () => {
            const before = Number(last());
            await eventually(() => last().startsWith('ended') || Number(last()) >= before + 10, PATIENCE_MS);
            expect(last()).toMatch(/^\d+$/);
          },
          last,
        };
      }

      for (const link of ['d0', 'd1']) {
        test(`${link} goes down and comes back`, async () => {
          const talking = talk();
          await talking.goesOn();
          director.run(`ip link set ${link} down`);
          await plane.heard((event) => event.type === 'links-changed' && !event.links.includes(link));
          director.run(`ip link set ${link} up`);
          await talking.goesOn();
        }, 60_000);
      }

      test('a link is deleted and created again, with another index and another MAC', async () => {
        const talking = talk();
        await talking.goesOn();
        director.run('ip link delete d1');
        await plane.heard((event) => event.type === 'links-changed' && !event.links.includes('d1'));
        layServerCable();
        await talking.goesOn();
      }, 60_000);

      test('the MTU of a link becomes smaller and larger', async () => {
        const talking = talk(80, 40_000);
        await talking.goesOn();
        for (const mtu of [1_400, 9_000, 1_500]) {
          director.run(`ip link set d1 mtu ${mtu}`);
          server.run(`ip link set s0 mtu ${mtu}`);
          await talking.goesOn();
        }
      }, 120_000);

      test('the MAC of the server changes, and that of the link it is reached by', async () => {
        const talking = talk();
        await talking.goesOn();
        server.run('sysctl -qw net.ipv4.conf.all.arp_notify=1 && ip link set s0 address 02:00:00:00:aa:01');
        await talking.goesOn();
        director.run('sysctl -qw net.ipv4.conf.all.arp_notify=1 && ip link set d1 address 02:00:00:00:aa:02');
        await talking.goesOn();
        client.run('ip link set c0 address 02:00:00:00:aa:03');
        await talking.goesOn();
      }, 120_000);

      test('an address is added, and with it the way to a server', async () => {
        await serve(81, '10.0.2.1');
        expect(answers(81)).toBe(false);
        server.run('ip address add 10.0.2.1/24 dev s0');
        director.run('ip address add 10.0.2.254/24 dev d1');
        await eventually(() => answers(81), PATIENCE_MS);
        await talk(81).goesOn();
      }, 60_000);

      test('a route changes, and connections go the new way', async () => {
        const other = new Namespace();
        try {
          director.run(
            `ip link add d2 type veth peer name o0 netns ${other.name} && ip address add 10.0.3.254/24 dev d2 && ip link set d2 up`,
          );
          other.run('ip address add 10.0.3.1/24 dev o0 && ip link set o0 up && ip route add default via 10.0.3.254');
          for (const each of [server, other]) each.run('ip address add 10.9.0.1/32 dev lo');
          await other.program(ECHO('0.0.0.0'));
          director.run('ip route add 10.9.0.1/32 via 10.0.1.1');
          await plane.heard((event) => event.type === 'links-changed' && event.links.includes('d2'));
          await serve(82, '10.9.0.1');
          await eventually(() => answers(82), PATIENCE_MS);
          await talk(82).goesOn();
          const carried = (space: Namespace, link: string) =>
            Number(space.run(`cat /sys/class/net/${link}/statistics/rx_packets`));
          director.run('ip route replace 10.9.0.1/32 via 10.0.3.1');
          // A new conversation is between the client and the other server from its first packet on.
          await eventually(() => {
            const before = carried(other, 'o0');
            answers(82);
            return carried(other, 'o0') > before + 2;
          }, PATIENCE_MS);
          await talk(82).goesOn();
        } finally {
          await other.remove();
        }
      }, 90_000);
    },
  );
}
