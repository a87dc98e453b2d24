/**
 * The far end of tunnels on a real server, for kernels without tunnel devices: takes IPv4 packets out of IPIP, GRE and
 * GUE (port 5555) and gives them to this host's stack. argv: the folder with the compiled sources.
 */
import { pathToFileURL } from 'node:url';

const compiled = (path) => import(pathToFileURL(`${process.argv.at(-1)}/${path}`).href);
const { getLibc, MSG_DONTWAIT, POLLIN } = await compiled('native/libc.js');
const { NativeMemory } = await compiled('native/native-memory.js');

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const IPPROTO_RAW = 255;
const PACKET_AT = 4096;

const libc = getLibc();
const memory = new NativeMemory(libc, PACKET_AT + 65_536);
const address = (port, bytes = [0, 0, 0, 0]) =>
  Uint8Array.of(AF_INET, 0, port >> 8, port & 255, ...bytes, 0, 0, 0, 0, 0, 0, 0, 0);

/** Each socket with where the inner packet begins in what it receives. */
const ipHeaderBytes = (packet) => (packet[0] & 15) * 4;
const ends = [
  { fd: libc.socket(AF_INET, SOCK_RAW, 4), innerAt: ipHeaderBytes },
  {
    fd: libc.socket(AF_INET, SOCK_RAW, 47),
    innerAt: (packet) => ipHeaderBytes(packet) + ((packet[ipHeaderBytes(packet)] & 0x80) !== 0 ? 8 : 4),
  },
  { fd: libc.socket(AF_INET, SOCK_DGRAM, 0), innerAt: (packet) => 4 + (packet[0] & 0x1f) * 4 },
];
libc.bind(ends[2].fd, address(5555));
for (const { fd } of ends) libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, 16 * 1024 * 1024);
const out = libc.socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
[0, ...ends.map(({ fd }) => fd)].forEach((fd, i) => {
  memory.view.setInt32(i * 8, fd, true);
  memory.view.setInt16(i * 8 + 4, POLLIN, true);
});
process.stdout.write('ready\n');
for (;;) {
  if (libc.poll(memory.address, 1 + ends.length, 1000) <= 0) continue;
  // Standard input ends with whoever started this.
  if (memory.view.getInt16(6, true) !== 0) process.exit();
  for (const { fd, innerAt } of ends) {
    for (;;) {
      const received = libc.recv(fd, memory.address + PACKET_AT, 65_536, MSG_DONTWAIT);
      if (received < 0) break;
      const packet = memory.bytes.subarray(PACKET_AT, PACKET_AT + received);
      const at = innerAt(packet);
      const to = address(0, packet.subarray(at + 16, at + 20));
      memory.bytes.set(to, 1024);
      libc.sendto(out, memory.address + PACKET_AT + at, received - at, 0, memory.address + 1024, to.length);
    }
  }
}
