/**
 * A server that says who it is, by TCP and UDP: `probe-server ADDRESS PORT NAME`. To every line it answers its name; it
 * waits for the client to close first, so that both sides see the same order of packets every time.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const [address = '', port = '', name = ''] = process.argv.slice(2);

const server = createServer((socket) => {
  socket.on('error', () => {});
  socket.on('data', () => socket.write(`${name}\n`));
});
const datagrams = createSocket(address.includes(':') ? 'udp6' : 'udp4');
datagrams.on('message', (_, from) => datagrams.send(`${name}\n`, from.port, from.address));

datagrams.bind(Number(port), address, () => {
  server.listen(Number(port), address, () => process.stdout.write('ready\n'));
});
// Whoever started it went away.
process.stdin.on('end', () => process.exit(0)).resume();
