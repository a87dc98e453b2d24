/**
 * The generator of small packets: a packet socket and sendmmsg, 64 frames a call, as fast as it goes or at a given
 * rate. Words: seconds, packets a second (0: as many as go), source MAC, destination MAC, source, destination, first
 * source port, destination port, flows, side (`client`: the flows differ in the source port; `server`: in the
 * destination port). Prints a `{}` when it begins and what it sent, as JSON, at the end.
 */
import { getLibc, SOCK_CLOEXEC } from '../../../src/native/libc.ts';
import { MessageVector } from '../../../src/native/message-vector.ts';
import { NativeMemory } from '../../../src/native/native-memory.ts';
import { FRAME_BYTES, udpFrame } from './flood-frames.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOL_PACKET = 263;
const PACKET_QDISC_BYPASS = 20;
const BATCH = 64;
/** Pauses of a paced generator: short, so that its packets come in small bursts. */
const NAP_MS = 0.2;

const [seconds, rate, sourceMac, destinationMac, source, destination, sourcePort, destinationPort, flows, side] =
  process.argv.slice(2) as [string, string, string, string, string, string, string, string, string, string];
const libc = getLibc();
const fd = libc.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
libc.setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);
libc.bind(fd, linkAddress(libc.interfaceIndex('eth0')));

const memory = new NativeMemory(libc, BATCH * 64);
const messages = new MessageVector(libc, BATCH);
for (let i = 0; i < BATCH; i++) {
  const flow = i % Number(flows);
  const frame = udpFrame({
    sourceMac,
    destinationMac,
    source,
    destination,
    sourcePort: Number(sourcePort) + (side === 'client' ? flow : 0),
    destinationPort: Number(destinationPort) + (side === 'server' ? flow : 0),
  });
  memory.bytes.set(frame, i * 64);
  messages.set(i, memory.address + i * 64, FRAME_BYTES);
}

process.stdout.write('{}\n');
const begun = process.hrtime.bigint();
const endNs = Number(seconds) * 1e9;
let sent = 0;
let refused = 0;
if (Number(rate) === 0) flood();
else pace(Number(rate));
const elapsed = Number(process.hrtime.bigint() - begun) / 1e9;
process.stdout.write(`${JSON.stringify({ sent, refused, seconds: elapsed })}\n`);

function send(count: number): void {
  const done = libc.sendmmsg(fd, messages.address(0), count, 0);
  if (done > 0) sent += done;
  if (done < count) refused += count - Math.max(0, done);
}

function flood(): void {
  while (Number(process.hrtime.bigint() - begun) < endNs) {
    for (let i = 0; i < 8; i++) send(BATCH);
  }
}

function pace(packetsPerSecond: number): void {
  const nap = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    const elapsedNs = Number(process.hrtime.bigint() - begun);
    if (elapsedNs >= endNs) return;
    let due = Math.floor((elapsedNs / 1e9) * packetsPerSecond) - sent - refused;
    for (; due > 0; due -= BATCH) send(Math.min(BATCH, due));
    Atomics.wait(nap, 0, 0, NAP_MS);
  }
}

/** struct sockaddr_ll; protocol 0: nothing is received. */
function linkAddress(linkIndex: number): Uint8Array {
  const address = new DataView(new ArrayBuffer(20));
  address.setUint16(0, AF_PACKET, true);
  address.setInt32(4, linkIndex, true);
  return new Uint8Array(address.buffer);
}
