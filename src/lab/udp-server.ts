/**
 * Answers every datagram with its own name and the address that it came from, started as a program of its own in one
 * namespace: `udp-server.js ADDRESS PORT NAME`. It answers from the address that it was asked at when it is bound to
 * that; it writes one line when it is ready, and ends when it is told to.
 */
import { createSocket } from 'node:dgram';

function main(): void {
  const [address = '', port, name] = process.argv.slice(2);
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('error', (error) => {
    process.stderr.write(`UDP server ${name}: ${error.message}\n`);
    process.exit(1);
  });
  socket.on('message', (_, client) => {
    socket.send(`Hello from ${name} to ${client.address}\n`, client.port, client.address);
  });
  socket.bind(Number(port), address, () => process.stdout.write('ready\n'));
}

main();
