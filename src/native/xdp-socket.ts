/**
 * An AF_XDP socket for one receive queue of one link, in copy mode, and its four rings. All sockets share one stretch
 * of memory for frames (UMEM), cut into chunks; a chunk belongs to the kernel from when its address is put into the fill
 * or the send ring until it comes out of the receive or the completion ring.
 * Source: "AF_XDP" of the kernel documentation, linux/if_xdp.h.
 */
import { type Libc, LibcError, SOCK_CLOEXEC } from './libc.ts';
import type { NativeReserve } from './native-reserve.ts';

const AF_XDP = 44;
const SOCK_RAW = 3;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SOL_XDP = 283;
const MMAP_OFFSETS = 1;
const RX_RING = 2;
const TX_RING = 3;
const UMEM_REGISTER = 4;
const FILL_RING = 5;
const COMPLETION_RING = 6;
const STATISTICS = 7;
const SEND_BUDGET = 9;
const FLAG_SHARED_UMEM = 1;
const FLAG_COPY = 2;
/** Where in a socket's address space its rings lie. */
const RX_PAGE = 0;
const TX_PAGE = 0x8000_0000;
const FILL_PAGE = 0x1_0000_0000;
const COMPLETION_PAGE = 0x1_8000_0000;
const DESCRIPTOR_BYTES = 16;
const ADDRESS_BYTES = 8;
/** Frames under way to receivers that have not read them yet. */
const SEND_BUFFER_BYTES = 8 * 1024 * 1024;

/** The chunks: as long as the usual frame wants, with what the kernel keeps free in front (XDP_PACKET_HEADROOM). */
export const CHUNK_BYTES = 2048;
const CHUNK_SHIFT = 11;
/** More in front, so that a frame begins at a multiple of 64 less 14: its IP header is aligned. */
const EXTRA_HEADROOM_BYTES = 50;
export const FRAME_AT = 256 + EXTRA_HEADROOM_BYTES;

/** Powers of two. */
export interface RingSizes {
  readonly receive: number;
  readonly send: number;
}

/** Indexes count up without end, in 32 bits; a slot is the index without its upper bits. */
export class XdpRing {
  readonly entries: number;
  readonly #words: Int32Array;
  readonly #producerAt: number;
  readonly #consumerAt: number;
  readonly #slotsAt: number;
  readonly #slotWords: number;
  readonly #mask: number;

  /** Places are words of the reserve. */
  constructor(
    words: Int32Array,
    at: { producer: number; consumer: number; slots: number },
    entries: number,
    slotWords: number,
  ) {
    this.entries = entries;
    this.#words = words;
    this.#producerAt = at.producer;
    this.#consumerAt = at.consumer;
    this.#slotsAt = at.slots;
    this.#slotWords = slotWords;
    this.#mask = entries - 1;
  }

  get producer(): number {
    return Atomics.load(this.#words, this.#producerAt);
  }

  set producer(index: number) {
    Atomics.store(this.#words, this.#producerAt, index);
  }

  get consumer(): number {
    return Atomics.load(this.#words, this.#consumerAt);
  }

  set consumer(index: number) {
    Atomics.store(this.#words, this.#consumerAt, index);
  }

  /** Where slot `index` begins, as a word of the reserve. */
  slotAt(index: number): number {
    return this.#slotsAt + (index & this.#mask) * this.#slotWords;
  }
}

export interface XdpCounts {
  /** Frames lost because the socket had no chunk for them, or no place in the ring. */
  readonly drops: number;
}

export class XdpSocket {
  readonly fd: number;
  readonly receive: XdpRing;
  readonly send: XdpRing;
  readonly fill: XdpRing;
  readonly completion: XdpRing;
  readonly #libc: Libc;
  readonly #reserve: NativeReserve;
  readonly #laid: { at: number; length: number }[] = [];
  #closed = false;

  /**
   * Opens and binds it. `umem`: registers that memory, or shares that of a socket that is bound. Throws a LibcError, or
   * an Error when the reserve is full; then nothing is left.
   */
  constructor(
    libc: Libc,
    reserve: NativeReserve,
    place: { readonly linkIndex: number; readonly queue: number },
    umem: { readonly at: number; readonly length: number } | { readonly sharedWith: number },
    sizes: RingSizes,
  ) {
    this.#libc = libc;
    this.#reserve = reserve;
    this.fd = createXdpSocket(libc);
    try {
      const { fd } = this;
      if ('at' in umem)
        libc.setsockopt(fd, SOL_XDP, UMEM_REGISTER, registration(reserve.address + umem.at, umem.length));
      const own = [sizes.receive, sizes.send];
      libc.setsockopt(fd, SOL_XDP, FILL_RING, own[0] as number);
      libc.setsockopt(fd, SOL_XDP, COMPLETION_RING, own[1] as number);
      libc.setsockopt(fd, SOL_XDP, RX_RING, own[0] as number);
      libc.setsockopt(fd, SOL_XDP, TX_RING, own[1] as number);
      widenBuffer(libc, fd);
      const offsets = libc.getsockopt(fd, SOL_XDP, MMAP_OFFSETS, 128);
      this.receive = this.#layRing(offsets, 0, RX_PAGE, sizes.receive, DESCRIPTOR_BYTES);
      this.send = this.#layRing(offsets, 1, TX_PAGE, sizes.send, DESCRIPTOR_BYTES);
      this.fill = this.#layRing(offsets, 2, FILL_PAGE, sizes.receive, ADDRESS_BYTES);
      this.completion = this.#layRing(offsets, 3, COMPLETION_PAGE, sizes.send, ADDRESS_BYTES);
      const shared = 'sharedWith' in umem ? umem.sharedWith : null;
      libc.bind(fd, socketAddress(place.linkIndex, place.queue, shared));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  counts(): XdpCounts {
    const numbers = this.#libc.getsockopt(this.fd, SOL_XDP, STATISTICS, 48);
    const view = new DataView(numbers.buffer, numbers.byteOffset, numbers.byteLength);
    // rx_dropped and, where the kernel is new enough to tell it apart, rx_ring_full.
    const ringFull = numbers.byteLength >= 32 ? view.getBigUint64(24, true) : 0n;
    return { drops: Number(view.getBigUint64(0, true) + ringFull) };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { at, length } of this.#laid) this.#reserve.lift(at, length);
    this.#libc.close(this.fd);
  }

  /** `struct xdp_ring_offset` is four 64-bit numbers: producer, consumer, slots, flags. */
  #layRing(offsets: Uint8Array, which: number, page: number, entries: number, slotBytes: number): XdpRing {
    const view = new DataView(offsets.buffer, offsets.byteOffset, offsets.byteLength);
    const [producer, consumer, slots] = [0, 8, 16].map((at) => Number(view.getBigUint64(which * 32 + at, true))) as [
      number,
      number,
      number,
    ];
    const length = slots + entries * slotBytes;
    const at = this.#reserve.layRing(this.fd, length, page);
    if (at < 0) throw new Error('there is no room for another ring; serve fewer links (--link)');
    this.#laid.push({ at, length });
    const place = { producer: (at + producer) >> 2, consumer: (at + consumer) >> 2, slots: (at + slots) >> 2 };
    return new XdpRing(new Int32Array(this.#reserve.buffer), place, entries, slotBytes / 4);
  }
}

/** Chunk in which a byte of the UMEM lies. */
export function chunkOf(umemOffset: number): number {
  return umemOffset >> CHUNK_SHIFT;
}

/** Not bound yet. Throws a LibcError, or an Error with the way out. */
export function createXdpSocket(libc: Libc): number {
  try {
    return libc.socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  } catch (cause) {
    if (!(cause instanceof LibcError)) throw cause;
    if (cause.code === 'EPERM' || cause.code === 'EACCES') {
      throw new Error('the right CAP_NET_RAW is missing; run as root ("sudo uipvsd")', { cause });
    }
    if (cause.code === 'EAFNOSUPPORT') {
      throw new Error('this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS)', { cause });
    }
    throw cause;
  }
}

/** Registers `length` bytes at `address` with a socket that has no rings yet. Throws a LibcError: ENOBUFS, EPERM. */
export function registerUmem(libc: Libc, fd: number, address: number, length: number): void {
  libc.setsockopt(fd, SOL_XDP, UMEM_REGISTER, registration(address, length));
}

/** struct xdp_umem_reg, as every kernel with AF_XDP takes it. */
function registration(address: number, length: number): Uint8Array {
  const request = new DataView(new ArrayBuffer(24));
  request.setBigUint64(0, BigInt(address), true);
  request.setBigUint64(8, BigInt(length), true);
  request.setUint32(16, CHUNK_BYTES, true);
  request.setUint32(20, EXTRA_HEADROOM_BYTES, true);
  return new Uint8Array(request.buffer);
}

/** struct sockaddr_xdp */
function socketAddress(linkIndex: number, queue: number, sharedWith: number | null): Uint8Array {
  const address = new DataView(new ArrayBuffer(16));
  address.setUint16(0, AF_XDP, true);
  address.setUint16(2, sharedWith === null ? FLAG_COPY : FLAG_SHARED_UMEM, true);
  address.setUint32(4, linkIndex, true);
  address.setUint32(8, queue, true);
  address.setUint32(12, sharedWith ?? 0, true);
  return new Uint8Array(address.buffer);
}

/** What makes sending wait less, where it can be had. */
function widenBuffer(libc: Libc, fd: number): void {
  const wishes = [
    () => libc.setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES),
    // Frames one system call sends; 32 on older kernels.
    () => libc.setsockopt(fd, SOL_XDP, SEND_BUDGET, 256),
  ];
  for (const wish of wishes) {
    try {
      wish();
    } catch (error) {
      if (!(error instanceof LibcError)) throw error;
    }
  }
}
