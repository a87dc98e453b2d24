/**
 * A client, a director and a server in namespaces: client and director share one network, director and server another,
 * and a third leads from the server to the client for answers that do not pass the director.
 */
import { execFileSync } from 'node:child_process';
import { Namespace, type PlaneProcess } from './namespace.ts';

export const PREFIX = 'uil6';
export const CLIENT = '10.1.0.1';
export const CLIENT6 = 'fd00:1::1';
export const DIRECTOR = '10.1.0.254';
export const DIRECTOR6 = 'fd00:1::254';
/** The director has the first of each; the others nobody has. */
export const VIP = '10.1.0.100';
export const VIP6 = 'fd00:1::100';
export const FREE_VIP6 = 'fd00:1::101';
export const SERVER = '10.2.0.11';
export const SERVER6 = 'fd00:2::11';

export class LiveLab {
  readonly client = new Namespace(PREFIX);
  readonly director = new Namespace(PREFIX);
  readonly server = new Namespace(PREFIX);

  constructor() {
    const { client, director, server } = this;
    cable(client, 'a0', director, 'a0', 1, [1, 254]);
    cable(director, 'b0', server, 'b0', 2, [254, 11]);
    cable(client, 'c0', server, 'c0', 3, [1, 11]);
    director.run(`ip address add ${VIP}/32 dev a0; ip -6 address add ${VIP6}/128 dev a0 nodad`);
    // What the director answers from the servers' network goes back through it.
    client.run(
      'for f in all default a0 c0; do echo 0 > /proc/sys/net/ipv4/conf/$f/rp_filter; done; ip route add 10.2.0.0/24 via 10.1.0.254',
    );
    server.run('for f in all default b0 c0; do echo 0 > /proc/sys/net/ipv4/conf/$f/rp_filter; done');
    server.run('ip route add default via 10.2.0.254; ip -6 route add default via fd00:2::254');
    // Whoever answers as a virtual address (direct routing, tunnels) answers the client directly.
    server.run(`ip address add ${VIP}/32 dev lo; ip -6 address add ${VIP6}/128 dev lo nodad;
      ip -6 address add ${FREE_VIP6}/128 dev lo nodad
      ip rule add from ${VIP} lookup 100; ip route add default via 10.3.0.1 table 100
      for a in ${VIP6} ${FREE_VIP6}; do ip -6 rule add from $a lookup 100; done
      ip -6 route add default via fd00:3::1 table 100`);
  }

  async plane(compiledFolder: string, io: string): Promise<PlaneProcess> {
    const plane = await this.director.plane(compiledFolder);
    await plane.start({ io });
    // Back ends may lose the first frame after they opened a link.
    const address = (net: number, host: number) => `ping -c 1 -W 1 10.${net}.0.${host} || true`;
    this.client.run(address(1, 254));
    this.server.run(address(2, 254));
    return plane;
  }

  async remove(): Promise<void> {
    for (const namespace of [this.client, this.director, this.server]) await namespace.remove();
  }
}

/** A veth pair with addresses in 10.`net`.0.0/24 and fd00:`net`::/64, the numbers read as they stand. */
export function cable(
  a: Namespace,
  aLink: string,
  b: Namespace,
  bLink: string,
  net: number,
  hosts: readonly [number, number],
): void {
  const both = ['link', 'add', aLink, 'netns', a.name, 'type', 'veth', 'peer', 'name', bLink, 'netns', b.name];
  execFileSync('ip', both);
  const ends = [
    [a, aLink],
    [b, bLink],
  ] as const;
  ends.forEach(([namespace, link], i) => {
    namespace.run(`ip link set ${link} up; ip address add 10.${net}.0.${hosts[i]}/24 dev ${link}
      ip -6 address add fd00:${net}::${hosts[i]}/64 dev ${link} nodad`);
  });
}

/** A server program that sends every datagram back: on a port, and on two addresses if it is given them. */
export const UDP_ECHO = `
  const [port, address4 = '0.0.0.0', address6 = '::'] = process.argv.slice(1);
  for (const [type, address] of [['udp4', address4], ['udp6', address6]]) {
    const socket = require('node:dgram').createSocket({ type, ipv6Only: type === 'udp6' });
    socket.on('message', (data, from) => socket.send(data, from.port, from.address));
    socket.bind(Number(port), address, () => type === 'udp6' && console.log('ready'));
  }`;

/** Sends a datagram of so many bytes, again if need be, and says how many came back as they were, or `silence`. */
export function udpProbe(address: string, port: number, bytes: number): string {
  return `
    const data = Buffer.from(Array.from({ length: ${bytes} }, (_, i) => i % 251));
    const socket = require('node:dgram').createSocket('${address.includes(':') ? 'udp6' : 'udp4'}');
    socket.on('message', (back) => { console.log(back.equals(data) ? back.length : 'changed'); process.exit(); });
    const send = () => socket.send(data, ${port}, '${address}');
    send();
    setInterval(send, 700);
    setTimeout(() => { console.log('silence'); process.exit(); }, 2000);`;
}

/** A server program that tells how many bytes it received and their SHA-256. */
export const TCP_SINK = `
  net.createServer({ allowHalfOpen: true }, (socket) => {
    const hash = crypto.createHash('sha256');
    let bytes = 0;
    socket.on('data', (data) => { hash.update(data); bytes += data.length; });
    socket.on('end', () => socket.end(bytes + ' ' + hash.digest('hex')));
    socket.on('error', () => {});
  }).listen(Number(process.argv[1]), () => console.log('ready'));`;

/** Sends so many bytes and says what the sink says, whether it is right, and how long it took. */
export function tcpUpload(address: string, port: number, bytes: number): string {
  return `
    const data = crypto.randomBytes(${bytes});
    const begin = performance.now();
    const socket = net.connect(${port}, '${address}', () => socket.end(data));
    let said = '';
    socket.on('data', (text) => { said += text; });
    socket.on('error', (error) => { console.log(error.code); process.exit(); });
    socket.on('close', () => {
      const right = said === data.length + ' ' + crypto.createHash('sha256').update(data).digest('hex');
      console.log(JSON.stringify({ right, milliseconds: Math.round(performance.now() - begin) }));
      process.exit();
    });
    setTimeout(() => { console.log('silence'); process.exit(); }, 20000);`;
}
