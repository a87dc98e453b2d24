/** The memory in which frames lie, shared by the AF_XDP sockets of all links, so that a frame is sent from where it came. */
import { type Libc, LibcError } from '../../native/libc.ts';
import type { NativeReserve } from '../../native/native-reserve.ts';
import { CHUNK_BYTES, chunkOf, FRAME_AT, XdpSocket } from '../../native/xdp-socket.ts';
import { Chunks } from './chunks.ts';

/** 32 MiB, which the kernel keeps in memory while there is a socket. */
const CHUNKS = 16_384;
export const FRAME_MEMORY_BYTES = CHUNKS * CHUNK_BYTES;
const SEND_ENTRIES = 2048;
const RECEIVE_ENTRIES_MAX = 4096;
const RECEIVE_ENTRIES_MIN = 64;
/** A new socket gets at most this part of what is free, so that later ones get something as well. */
const SHARE = 3;

/** A socket, and the chunks that are in its hands. */
export class Port {
  readonly socket: XdpSocket;
  readonly #memory: FrameMemory;
  readonly #owner: number;
  /** How many chunks it is to have for frames to come, and how many it has. */
  readonly #quota: number;
  #lent = 0;
  /** Length of the frame that was taken last. */
  takenBytes = 0;
  #fillProducer = 0;
  #received = 0;
  /** Send ring: what is written, and what had been taken when we looked last. */
  #written = 0;
  #consumed = 0;
  #completed = 0;

  constructor(memory: FrameMemory, socket: XdpSocket, owner: number, quota: number) {
    this.#memory = memory;
    this.socket = socket;
    this.#owner = owner;
    this.#quota = quota;
    this.refill();
  }

  /** Frames that wait to be received. */
  get waiting(): number {
    return (this.socket.receive.producer - this.#received) | 0;
  }

  /** Takes the next frame, of which there must be one, and returns where it begins in the reserve. */
  take(): number {
    const { words, at, chunks } = this.#memory;
    const slot = this.socket.receive.slotAt(this.#received);
    this.#received = (this.#received + 1) | 0;
    this.#lent--;
    const offset = words[slot] as number;
    this.takenBytes = words[slot + 2] as number;
    chunks.hold(chunkOf(offset));
    return at + offset;
  }

  /** After the last `take` of a turn. */
  endTaking(): void {
    this.socket.receive.consumer = this.#received;
  }

  /** Takes back the chunks of frames that were sent. */
  reclaim(): void {
    const { completion } = this.socket;
    const until = completion.producer;
    if (until === this.#completed) return;
    const { words, chunks } = this.#memory;
    for (; this.#completed !== until; this.#completed = (this.#completed + 1) | 0) {
      chunks.sent(chunkOf(words[completion.slotAt(this.#completed)] as number));
    }
    completion.consumer = until;
  }

  /** Gives the kernel chunks for frames to come, as many as it should have. */
  refill(): void {
    const { fill } = this.socket;
    const { words, chunks } = this.#memory;
    if (this.#lent >= this.#quota) return;
    while (this.#lent < this.#quota) {
      const chunk = chunks.lend(this.#owner);
      if (chunk < 0) break;
      const slot = fill.slotAt(this.#fillProducer);
      words[slot] = chunk * CHUNK_BYTES;
      words[slot + 1] = 0;
      this.#fillProducer = (this.#fillProducer + 1) | 0;
      this.#lent++;
    }
    fill.producer = this.#fillProducer;
  }

  /** Writes a held frame into the send ring. False: it is not one of ours, or the ring is full. */
  write(start: number, length: number): boolean {
    const { send } = this.socket;
    const { words, at, chunks, bytes } = this.#memory;
    const offset = start - at;
    if (offset < 0 || offset >= bytes) return false;
    if (((this.#written - this.#consumed) | 0) >= send.entries && this.pending >= send.entries) return false;
    if (!chunks.send(chunkOf(offset), this.#owner)) return false;
    const slot = send.slotAt(this.#written);
    words[slot] = offset;
    words[slot + 1] = 0;
    words[slot + 2] = length;
    words[slot + 3] = 0;
    this.#written = (this.#written + 1) | 0;
    return true;
  }

  /** Makes known what was written. */
  publish(): void {
    this.socket.send.producer = this.#written;
  }

  /** Frames that the kernel has not taken out of the send ring yet. */
  get pending(): number {
    this.#consumed = this.socket.send.consumer;
    return (this.#written - this.#consumed) | 0;
  }

  /** Whether the kernel has left frames in the send ring when it was asked last. */
  get isBehind(): boolean {
    return this.#consumed !== this.#written;
  }

  /** Takes back what the kernel has not taken. Only while it has not looked at them: it would send them all the same. */
  withdraw(): number {
    const { send } = this.socket;
    const { words, chunks } = this.#memory;
    const taken = send.consumer;
    const count = (this.#written - taken) | 0;
    for (let i = 0; i < count; i++) chunks.sent(chunkOf(words[send.slotAt(taken + i)] as number));
    this.#written = taken;
    this.#consumed = taken;
    send.producer = taken;
    return count;
  }

  close(): void {
    this.socket.close();
    this.#memory.forget(this, this.#owner);
  }
}

export class FrameMemory {
  readonly bytes = FRAME_MEMORY_BYTES;
  readonly words: Int32Array;
  chunks = new Chunks(CHUNKS);
  readonly #libc: Libc;
  readonly #reserve: NativeReserve;
  readonly #ports = new Map<number, Port>();
  #at = -1;

  constructor(libc: Libc, reserve: NativeReserve) {
    this.#libc = libc;
    this.#reserve = reserve;
    this.words = new Int32Array(reserve.buffer);
  }

  /** Where it begins in the reserve. */
  get at(): number {
    return this.#at;
  }

  /** Whether the byte of the reserve lies in it. */
  holds(start: number): boolean {
    return this.#at >= 0 && start >= this.#at && start < this.#at + this.bytes;
  }

  /** Longest frame a chunk takes when `spareBytes` behind it are to stay free. */
  frameBytesMax(spareBytes: number): number {
    return CHUNK_BYTES - FRAME_AT - spareBytes;
  }

  /** One past the last byte of the chunk in which that byte of the reserve lies. */
  chunkEnd(start: number): number {
    return this.#at + (chunkOf(start - this.#at) + 1) * CHUNK_BYTES;
  }

  /** Opens a socket for a queue. Throws a LibcError, or an Error when there is no room. */
  openPort(linkIndex: number, queue: number, receiveEntriesWanted: number): Port {
    if (this.#at < 0) {
      const at = this.#reserve.layMemory(this.bytes);
      if (at < 0) throw new Error('the address space for frames is used up; serve fewer links (--link)');
      this.#at = at;
      this.chunks = new Chunks(CHUNKS);
    }
    try {
      const room = Math.min(receiveEntriesWanted, RECEIVE_ENTRIES_MAX, Math.floor(this.chunks.freeCount / SHARE));
      const receive = Math.max(RECEIVE_ENTRIES_MIN, 2 ** Math.floor(Math.log2(Math.max(1, room))));
      const socket = this.#openSocket(linkIndex, queue, { receive, send: SEND_ENTRIES });
      const owner = this.#freeOwner();
      const port = new Port(this, socket, owner, receive);
      this.#ports.set(owner, port);
      return port;
    } catch (error) {
      this.#liftWhenUnused();
      throw error;
    }
  }

  #openSocket(linkIndex: number, queue: number, sizes: { receive: number; send: number }): XdpSocket {
    const place = { linkIndex, queue };
    for (const { socket } of this.#ports.values()) {
      try {
        return new XdpSocket(this.#libc, this.#reserve, place, { sharedWith: socket.fd }, sizes);
      } catch (error) {
        // The link of that socket is gone: it shares nothing any more, and another may.
        if (!(error instanceof LibcError) || error.code !== 'EBADF') throw error;
      }
    }
    return new XdpSocket(this.#libc, this.#reserve, place, { at: this.#at, length: this.bytes }, sizes);
  }

  #freeOwner(): number {
    for (let owner = 0; ; owner++) if (!this.#ports.has(owner)) return owner;
  }

  /** For `Port.close`. */
  forget(port: Port, owner: number): void {
    if (this.#ports.get(owner) !== port) return;
    this.#ports.delete(owner);
    this.chunks.forget(owner);
    this.#liftWhenUnused();
  }

  /** Frames of the current fill read zeros then. */
  #liftWhenUnused(): void {
    if (this.#ports.size > 0 || this.#at < 0) return;
    this.#reserve.lift(this.#at, this.bytes);
    this.#at = -1;
    this.chunks = new Chunks(CHUNKS);
  }
}
