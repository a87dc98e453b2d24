/**
 * The far end of tunnels on a real server: `tunnel-server.js ipip|gue|gre ipv4|ipv6 GUE_PORT`. Takes IP packets out
 * of what arrives by raw sockets (GUE: a UDP socket) and gives them to this host's stack by another raw socket, as
 * a tunnel device of the kernel would. The inner packet is for an address of this host, so what is sent arrives
 * here, by `lo`. Writes one line when it is ready and ends when its standard input does; with `stay` behind the port
 * it does not.
 */
import { getLibc, type Libc, MSG_DONTWAIT, POLLIN, SOCK_CLOEXEC } from '../native/libc.ts';
import { NativeMemory } from '../native/native-memory.ts';
import { innerPacketAt, type TunnelForm } from './tunnel-packet.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const IPPROTO_IPIP = 4;
const IPPROTO_IPV6 = 41;
const IPPROTO_GRE = 47;
/** Packets bring their own IP header (raw(7)). */
const IPPROTO_RAW = 255;
const SOL_IPV6 = 41;
const IPV6_V6ONLY = 26;
const SOL_UDP = 17;
/** Tunnels may leave the checksum of the outer datagram out (RFC 6935). */
const UDP_NO_CHECK6_RX = 102;
const STANDARD_INPUT = 0;
const POLLFD_BYTES = 8;
const PACKET_BYTES_MAX = 65_536;
const WAIT_MS = 1000;
/** Before the packet in the memory: socket addresses and poll descriptors. */
const PACKET_AT = 4096;
const ADDRESS_AT = 1024;

interface Incoming {
  readonly fd: number;
  readonly form: TunnelForm;
}

function openIncoming(libc: Libc, tunnel: string, six: boolean, guePort: number): Incoming[] {
  const family = six ? AF_INET6 : AF_INET;
  if (tunnel === 'gue') {
    const fd = libc.socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (six) {
      libc.setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, 1);
      libc.setsockopt(fd, SOL_UDP, UDP_NO_CHECK6_RX, 1);
    }
    libc.bind(fd, socketAddress(six, guePort));
    return [{ fd, form: 'gue' }];
  }
  const protocols = tunnel === 'gre' ? [IPPROTO_GRE] : [IPPROTO_IPIP, IPPROTO_IPV6];
  const form = tunnel === 'gre' ? 'gre' : 'ip';
  return protocols.map((protocol) => ({ fd: libc.socket(family, SOCK_RAW | SOCK_CLOEXEC, protocol), form }));
}

/** struct sockaddr_in or sockaddr_in6 of any address. */
function socketAddress(six: boolean, port: number, address?: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(six ? 28 : 16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, six ? AF_INET6 : AF_INET, true);
  view.setUint16(2, port, false);
  if (address !== undefined) bytes.set(address, six ? 8 : 4);
  return bytes;
}

function main(): void {
  const [tunnel, family, guePort, stay] = process.argv.slice(2);
  const libc = getLibc();
  const outerSix = family === 'ipv6';
  const incoming = openIncoming(libc, tunnel, outerSix, Number(guePort));
  const outgoing = {
    4: libc.socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW),
    6: libc.socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW),
  };
  const memory = new NativeMemory(libc, PACKET_AT + PACKET_BYTES_MAX);
  const fds = [STANDARD_INPUT, ...incoming.map((each) => each.fd)];
  fds.forEach((fd, i) => {
    // poll(2) ignores descriptors below 0.
    memory.view.setInt32(i * POLLFD_BYTES, stay !== undefined && fd === STANDARD_INPUT ? -1 : fd, true);
    memory.view.setInt16(i * POLLFD_BYTES + 4, POLLIN, true);
  });
  const happened = (i: number) => memory.view.getInt16(i * POLLFD_BYTES + 6, true) !== 0;

  const deliver = (at: number, length: number) => {
    const six = memory.bytes[at] >>> 4 === 6;
    const destination = six ? memory.bytes.subarray(at + 24, at + 40) : memory.bytes.subarray(at + 16, at + 20);
    const to = socketAddress(six, 0, destination);
    memory.bytes.set(to, ADDRESS_AT);
    libc.sendto(outgoing[six ? 6 : 4], memory.address + at, length, 0, memory.address + ADDRESS_AT, to.length);
  };
  const receive = ({ fd, form }: Incoming) => {
    for (;;) {
      const received = libc.recv(fd, memory.address + PACKET_AT, PACKET_BYTES_MAX, MSG_DONTWAIT);
      if (received < 0) return;
      const packet = memory.bytes.subarray(PACKET_AT, PACKET_AT + received);
      const inner = innerPacketAt(packet, form, !outerSix);
      if (inner !== null) deliver(PACKET_AT + inner, received - inner);
    }
  };

  process.stdout.write('ready\n');
  for (;;) {
    if (libc.poll(memory.address, fds.length, WAIT_MS) <= 0) continue;
    // Nobody writes to it: it can only have ended.
    if (stay === undefined && happened(0)) return;
    incoming.forEach((each, i) => {
      if (happened(1 + i)) receive(each);
    });
  }
}

main();
