/**
 * Programs that hosts of a test run, as text: streams and datagrams whose content says where it belongs, so that what is
 * lost, doubled, changed or out of its place is seen.
 */

/** Words: port. Sends back what it gets, over TCP and UDP, IPv4 and IPv6; on `report` tells how often each datagram came. */
export const ECHO = `
const port = Number(process.argv[1]);
const say = (what) => console.log(JSON.stringify(what));
const seen = new Map();
const sockets = ['udp4', 'udp6'].map((type) => {
  const socket = require('node:dgram').createSocket({ type, ipv6Only: type === 'udp6', recvBufferSize: 8 << 20, sendBufferSize: 8 << 20 });
  socket.on('message', (data, from) => {
    const number = data.readUInt32BE(0);
    seen.set(number, (seen.get(number) ?? 0) + 1);
    socket.send(data, from.port, from.address);
  });
  return new Promise((resolve) => socket.bind(port, resolve));
});
const listening = ['0.0.0.0', '::'].map((host) => new Promise((resolve) =>
  require('node:net').createServer((socket) => { socket.on('error', () => {}); socket.pipe(socket); })
    .listen({ port, host, ipv6Only: host === '::' }, resolve)));
Promise.all([...sockets, ...listening]).then(() => say({ listening: true }));
process.stdin.on('data', () => {
  say({ distinct: seen.size, doubled: [...seen.values()].filter((times) => times > 1).length });
  seen.clear();
});`;

/**
 * Words: address, port, bytes a turn, milliseconds between turns (0: as fast as it goes), bytes at most (0: no end).
 * Sends a stream of random bytes and compares what comes back. Says \`received\` again and again, \`complete\` when all has
 * come back; on \`end\` it stops to send, waits for the rest, closes and says \`closed\` with what was sent and received.
 */
export const STREAM = `
const { createCipheriv } = require('node:crypto');
const [address, port, turnBytes, turnMs, bytesMax] = process.argv.slice(1).map((word, i) => i === 0 ? word : Number(word));
const random = () => createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16));
const [sending, expected] = [random(), random()];
const zeros = Buffer.alloc(1 << 20);
const say = (what) => console.log(JSON.stringify(what));
const socket = require('node:net').connect({ host: address, port });
let sent = 0, received = 0, ending = false;
const send = () => {
  if (ending) return;
  const bytes = bytesMax > 0 ? Math.min(turnBytes, bytesMax - sent) : turnBytes;
  if (bytes <= 0) return;
  sent += bytes;
  const goesOn = socket.write(sending.update(zeros.subarray(0, bytes)));
  if (turnMs > 0) setTimeout(() => socket.writableNeedDrain ? socket.once('drain', send) : send(), turnMs);
  else if (goesOn) setImmediate(send);
  else socket.once('drain', send);
};
const finish = () => { if (ending && received === sent) socket.end(); };
socket.on('connect', () => { say({ connected: true, clientPort: socket.localPort }); send(); });
socket.on('data', (data) => {
  if (!expected.update(zeros.length >= data.length ? zeros.subarray(0, data.length) : Buffer.alloc(data.length)).equals(data)) {
    say({ damaged: received });
    process.exit();
  }
  received += data.length;
  if (received === bytesMax) say({ complete: true, received });
  finish();
});
const ticking = setInterval(() => say({ received }), 50);
socket.on('error', (error) => { clearInterval(ticking); say({ error: error.code, sent, received }); process.exit(); });
socket.on('close', () => { clearInterval(ticking); say({ closed: true, sent, received }); process.exit(); });
process.stdin.on('data', () => { ending = true; finish(); });`;

/**
 * Words: address, port, count, bytes of each, how many a turn, milliseconds between turns. Sends numbered datagrams from
 * one socket and says, when all has come back or nothing came for a second, which were lost and how many came twice.
 */
export const DATAGRAMS = `
const [address, port, count, bytes, perTurn, turnMs] = process.argv.slice(1).map((word, i) => i === 0 ? word : Number(word));
const say = (what) => console.log(JSON.stringify(what));
const socket = require('node:dgram').createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 8 << 20, sendBufferSize: 8 << 20 });
const times = new Uint8Array(count);
let sent = 0, distinct = 0, doubled = 0, refused = 0, damaged = 0, lastMs = performance.now();
const text = (number) => { const data = Buffer.alloc(bytes, number & 255); data.writeUInt32BE(number); return data; };
socket.on('message', (data) => {
  lastMs = performance.now();
  const number = data.readUInt32BE(0);
  if (!data.equals(text(number))) damaged++;
  if (times[number]++ === 0) distinct++; else doubled++;
});
const turn = () => {
  for (let i = 0; i < perTurn && sent < count; i++) socket.send(text(sent++), (error) => { if (error) refused++; });
  if (sent < count) setTimeout(turn, turnMs);
};
socket.connect(port, address, turn);
const looking = setInterval(() => {
  const isOver = sent === count && (distinct === count || performance.now() - lastMs > 1000);
  if (!isOver) return say({ sent, distinct });
  clearInterval(looking);
  // Those that come twice may come late.
  setTimeout(() => {
    say({ over: true, sent, distinct, doubled, refused, damaged, missing: [...times.keys()].filter((n) => times[n] === 0).slice(0, 10) });
    process.exit();
  }, 200);
}, 50);`;
