/**
 * One AF_PACKET socket for one link: raw Ethernet frames in and out, each with the ten-byte virtio-net header
 * that says what checksum and segmentation offloads have left undone. Source: packet(7), linux/virtio_net.h,
 * "Linux Socket Filtering" of the kernel documentation.
 */
import { type Libc, LibcError, SOCK_CLOEXEC } from './libc.ts';
import { NativeMemory } from './native-memory.ts';

/** Length of the virtio-net header before every frame. */
export const VNET_HEADER_BYTES = 10;
/** `flags` at 0. */
export const VNET_NEEDS_CHECKSUM = 1;

/**
 * Source MAC of what we send on the loopback link, which would hand our own frames back to us otherwise: the
 * filter knows them by it. Nobody answers to a source MAC there.
 */
export const OWN_LOOPBACK_MAC = Uint8Array.of(0x02, 0x75, 0x69, 0x70, 0x76, 0x73);

const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETH_P_ALL = 3;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_ATTACH_FILTER = 26;
const SO_ATTACH_BPF = 50;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_MR_ALLMULTI = 2;
const PACKET_STATISTICS = 6;
const PACKET_VNET_HDR = 15;
const PACKET_QDISC_BYPASS = 20;
const PACKET_IGNORE_OUTGOING = 23;
/** Counts the kernel's own bookkeeping too: about twenty thousand small frames. */
const RECEIVE_BUFFER_BYTES = 16 * 1024 * 1024;
/** Some dozens of super-frames on their way through a network card. */
const SEND_BUFFER_BYTES = 8 * 1024 * 1024;

/** Opcodes of classic BPF, and where its view of frame metadata begins. */
const LOAD_WORD = 0x20;
const LOAD_HALF = 0x28;
const JUMP_EQUAL = 0x15;
const RETURN = 0x06;
const METADATA_AT = 0xfffff000;
const VLAN_TAG_PRESENT_AT = METADATA_AT + 48;
const SOURCE_MAC_AT = 6;
const WHOLE_FRAME = 0x40000;

export type FilterInstruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

/** Keeps every frame but those of a VLAN, whose tag is in metadata only and would be lost. */
const FILTER: readonly FilterInstruction[] = [
  [LOAD_WORD, 0, 0, VLAN_TAG_PRESENT_AT],
  [JUMP_EQUAL, 1, 0, 0],
  [RETURN, 0, 0, 0],
  [RETURN, 0, 0, WHOLE_FRAME],
];
/** The same, and not what we sent ourselves. */
const LOOPBACK_FILTER: readonly FilterInstruction[] = [
  [LOAD_WORD, 0, 0, VLAN_TAG_PRESENT_AT],
  [JUMP_EQUAL, 0, 4, 0],
  [LOAD_WORD, 0, 0, SOURCE_MAC_AT],
  [JUMP_EQUAL, 0, 3, 0x02756970],
  [LOAD_HALF, 0, 0, SOURCE_MAC_AT + 4],
  [JUMP_EQUAL, 0, 1, 0x7673],
  [RETURN, 0, 0, 0],
  [RETURN, 0, 0, WHOLE_FRAME],
];

export interface PacketSocketOptions {
  readonly linkIndex: number;
  readonly loopback: boolean;
  /** Frames go straight to the card: no queueing discipline, no traffic control. */
  readonly bypassQueue?: boolean;
  /** Instructions that choose among the frames the filter keeps; `null`: all of them. */
  readonly filter?: readonly FilterInstruction[] | null;
  /** Called when all is set but the socket is not bound yet: the moment to make a ring. */
  readonly prepare?: (fd: number) => void;
}

/**
 * Opens and binds the socket and returns its descriptor. The order matters: nothing is received before the
 * filter stands. Throws a LibcError, or an Error with the way out when rights are missing, or what `prepare` throws.
 */
export function openPacketSocket(libc: Libc, options: PacketSocketOptions): number {
  const { linkIndex, loopback, bypassQueue = false, filter = null, prepare } = options;
  const fd = createPacketSocket(libc);
  try {
    setPacketFilter(libc, fd, loopback, filter);
    libc.setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
    libc.setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
    setBuffer(libc, fd, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
    setBuffer(libc, fd, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER_BYTES);
    if (bypassQueue) libc.setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);
    prepare?.(fd);
    libc.bind(fd, linkAddress(linkIndex));
    // Who looks for the MAC of an IPv6 address asks a group that depends on it; the card must let those through.
    if (!loopback) libc.setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership(linkIndex, PACKET_MR_ALLMULTI));
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** Frames the kernel has dropped for want of buffer space since the last call. */
export function readPacketDrops(libc: Libc, fd: number): number {
  const statistics = libc.getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, 8);
  return new DataView(statistics.buffer, statistics.byteOffset).getUint32(4, true);
}

/**
 * Takes the error that waits on the socket, which may be one that nobody has asked for: a link that went down. Until
 * it is taken poll(2) reports it at once, again and again.
 */
export function takeSocketError(libc: Libc, fd: number): void {
  libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, 4);
}

/** `null` when packet sockets may be opened, otherwise one sentence with the way out. */
export function packetSocketsRefused(libc: Libc): string | null {
  try {
    libc.close(createPacketSocket(libc));
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Neither bound nor hearing anything yet. Throws as `openPacketSocket`. */
export function createPacketSocket(libc: Libc): number {
  try {
    return libc.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  } catch (cause) {
    if (!(cause instanceof LibcError)) throw cause;
    if (cause.code === 'EPERM' || cause.code === 'EACCES') {
      throw new Error(
        'the right CAP_NET_RAW is missing; run as root ("sudo uipvsd"), or give the service ' +
          'AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN, or the container --cap-add=NET_RAW --cap-add=NET_ADMIN',
        { cause },
      );
    }
    if (cause.code === 'EAFNOSUPPORT') {
      throw new Error('this kernel has no packet sockets; load them with "modprobe af_packet"', { cause });
    }
    throw cause;
  }
}

/** Replaces the filter of an open socket at once: no frame is judged by half of each. Throws a LibcError. */
export function setPacketFilter(
  libc: Libc,
  fd: number,
  loopback: boolean,
  filter: readonly FilterInstruction[] | null,
): void {
  const always = loopback ? LOOPBACK_FILTER : FILTER;
  // What was the end is where the choice begins.
  attachFilter(libc, fd, filter === null ? always : [...always.slice(0, -1), ...filter]);
}

function attachFilter(libc: Libc, fd: number, filter: readonly FilterInstruction[]): void {
  const program = new NativeMemory(libc, 8 * filter.length);
  filter.forEach(([code, ifTrue, ifFalse, value], i) => {
    program.view.setUint16(i * 8, code, true);
    program.view.setUint8(i * 8 + 2, ifTrue);
    program.view.setUint8(i * 8 + 3, ifFalse);
    program.view.setUint32(i * 8 + 4, value, true);
  });
  // struct sock_fprog: number of instructions, then their address.
  const descriptor = new DataView(new ArrayBuffer(16));
  descriptor.setUint16(0, filter.length, true);
  descriptor.setBigUint64(8, BigInt(program.address), true);
  libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, new Uint8Array(descriptor.buffer));
}

/** The same with a program that was loaded by bpf(2), of type "socket filter". Throws a LibcError. */
export function setPacketProgram(libc: Libc, fd: number, program: number): void {
  libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, program);
}

/** More than the system's limit needs CAP_NET_ADMIN; without it the limit has to do. */
function setBuffer(libc: Libc, fd: number, forced: number, limited: number, bytes: number): void {
  try {
    libc.setsockopt(fd, SOL_SOCKET, forced, bytes);
  } catch {
    libc.setsockopt(fd, SOL_SOCKET, limited, bytes);
  }
}

/** struct packet_mreq without an address. */
function membership(linkIndex: number, type: number): Uint8Array {
  const request = new DataView(new ArrayBuffer(16));
  request.setInt32(0, linkIndex, true);
  request.setUint16(4, type, true);
  return new Uint8Array(request.buffer);
}

/** struct sockaddr_ll: every protocol, one interface. */
function linkAddress(linkIndex: number): Uint8Array {
  const address = new DataView(new ArrayBuffer(20));
  address.setUint16(0, AF_PACKET, true);
  address.setUint16(2, ETH_P_ALL, false);
  address.setInt32(4, linkIndex, true);
  return new Uint8Array(address.buffer);
}
