/**
 * Asks for an address by ARP and listens to everybody who answers: `arp-client.js LINK SOURCE ADDRESS`, a program of its
 * own in one namespace. The host's own neighbour table takes no notice of more than one answer; here each counts. Prints
 * the MAC addresses of those who answered as a JSON list. Source of the format: RFC 826.
 */
import { readFileSync } from 'node:fs';
import { getLibc, MSG_DONTWAIT, POLLIN, SOCK_CLOEXEC } from '../native/libc.ts';
import { NativeMemory } from '../native/native-memory.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETHERTYPE_ARP = 0x0806;
const REQUEST = 1;
const REPLY = 2;
const FRAME_BYTES = 42;
const BUFFER_BYTES = 2048;
const FRAME_AT = 64;
/** Questions, and how long answers to each are waited for. */
const ROUNDS = 3;
const ROUND_MS = 500;

function main(): void {
  const [link = '', source = '', address = ''] = process.argv.slice(2);
  const libc = getLibc();
  const [sender, target] = [libc.parseAddress(source), libc.parseAddress(address)];
  if (sender?.length !== 4 || target?.length !== 4) throw new Error('ARP is for IPv4 addresses');
  const own = readFileSync(`/sys/class/net/${link}/address`, 'utf8').trim();
  const fd = libc.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, swapped(ETHERTYPE_ARP));
  libc.bind(fd, linkAddress(libc.interfaceIndex(link)));
  const memory = new NativeMemory(libc, FRAME_AT + BUFFER_BYTES);
  const frame = question(own, sender, target);
  const answered = new Set<string>();
  for (let round = 0; round < ROUNDS; round += 1) {
    memory.bytes.set(frame, FRAME_AT);
    if (libc.write(fd, memory.address + FRAME_AT, FRAME_BYTES) < 0) throw new Error(`ARP: ${libc.errnoText()}`);
    const untilMs = performance.now() + ROUND_MS;
    for (let leftMs = ROUND_MS; leftMs > 0; leftMs = Math.ceil(untilMs - performance.now())) {
      memory.view.setInt32(0, fd, true);
      memory.view.setInt16(4, POLLIN, true);
      if (libc.poll(memory.address, 1, leftMs) <= 0) continue;
      const length = libc.recv(fd, memory.address + FRAME_AT, BUFFER_BYTES, MSG_DONTWAIT);
      if (length < FRAME_BYTES) continue;
      const mac = answerFrom(memory.bytes.subarray(FRAME_AT, FRAME_AT + length), target);
      if (mac !== null && mac !== own) answered.add(mac);
    }
  }
  process.stdout.write(`${JSON.stringify([...answered])}\n`);
}

/** MAC address of who answers for `target` in this frame, or `null` when it is something else. */
function answerFrom(frame: Uint8Array, target: Uint8Array): string | null {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint16(12) !== ETHERTYPE_ARP || view.getUint16(20) !== REPLY) return null;
  if (!target.every((byte, index) => frame[28 + index] === byte)) return null;
  return [...frame.subarray(22, 28)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function question(own: string, sender: Uint8Array, target: Uint8Array): Uint8Array {
  const frame = new Uint8Array(FRAME_BYTES);
  const view = new DataView(frame.buffer);
  const mac = own.split(':').map((part) => Number.parseInt(part, 16));
  frame.fill(0xff, 0, 6);
  frame.set(mac, 6);
  view.setUint16(12, ETHERTYPE_ARP);
  // Ethernet, IPv4, and the lengths of their addresses.
  frame.set([0, 1, 8, 0, 6, 4], 14);
  view.setUint16(20, REQUEST);
  frame.set(mac, 22);
  frame.set(sender, 28);
  frame.set(target, 38);
  return frame;
}

/** struct sockaddr_ll; packet(7). */
function linkAddress(interfaceIndex: number): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, ETHERTYPE_ARP, false);
  view.setInt32(4, interfaceIndex, true);
  return bytes;
}

/** socket(2) wants the protocol of packet sockets in network order. */
function swapped(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

main();
