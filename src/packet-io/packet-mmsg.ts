/**
 * AF_PACKET sockets read with recvmmsg(2) and written with sendmmsg(2), one socket for each link. Frames are
 * rewritten where they were received and sent from there. The virtio-net header in front of each carries
 * unfinished checksums and super-frames from one link to the other, so no offload need be turned off.
 */
import { NativeUnavailableError } from '../native/ffi.ts';
import { Errno, getLibc, type Libc, MSG_DONTWAIT, POLLIN } from '../native/libc.ts';
import { NativeMemory } from '../native/native-memory.ts';
import { openPacketSocket, packetSocketsRefused, readPacketDrops, VNET_HEADER_BYTES } from '../native/packet-socket.ts';
import { FrameFlag, type PacketBatch } from '../wire/packet-batch.ts';
import { completeChecksum } from '../wire/segment.ts';
import { countTransmitError, createCounters } from './counters.ts';
import { clearHeader, MmsgArena } from './mmsg-arena.ts';
import { MmsgLink } from './mmsg-link.ts';
import { type Link, type PacketIo, type PacketIoCounters, PacketIoError, type PacketIoKind } from './packet-io.ts';

export const packetMmsg: PacketIoKind = {
  name: 'packet-mmsg',
  summary: 'packet sockets, many frames in one system call; needs CAP_NET_RAW and the package koffi',
  thread: 'any',
  async unavailable() {
    try {
      return packetSocketsRefused(getLibc());
    } catch (error) {
      if (error instanceof NativeUnavailableError) return error.message;
      throw error;
    }
  },
  async open() {
    try {
      return new PacketMmsg(getLibc());
    } catch (cause) {
      throw new PacketIoError(`packet-mmsg: ${(cause as Error).message}`, { cause });
    }
  },
};

/** Frames of other makers are copied here before they are sent. */
const SCRATCH_BYTES = 1024 * 1024;
/** From this many links on, one poll(2) that says which have frames costs less than asking each. */
const READINESS_POLL_LINKS = 4;
/** Fewest slots a link gets in its turn, so that with many links a system call still moves several frames. */
const SHARE_FRAMES_MIN = 8;
/** Frames the kernel cannot describe, one after the other, before the other links get their turn. */
const BAD_FRAMES_MAX = 8;
/** A lost wake-up must not hang the thread for ever. */
const WAIT_MS_MAX = 1000;
const DROPS_INTERVAL_MS = 1000;
const POLLFD_BYTES = 8;
const POLL_LINKS_MAX = 4096 / POLLFD_BYTES - 1;

export class PacketMmsg implements PacketIo {
  /** Another thread ends `wait` with `wakeEventFd(wakeFd)` (native/wake.ts). */
  readonly wakeFd: number;
  readonly #libc: Libc;
  readonly #counters: PacketIoCounters = createCounters();
  #links: MmsgLink[] = [];
  readonly #byIndex = new Map<number, MmsgLink>();
  readonly #arenas = new WeakMap<PacketBatch, MmsgArena>();
  readonly #scratch: NativeMemory;
  /** struct pollfd of the wake-up, then of every link. */
  readonly #pollFds: NativeMemory;
  /** The link whose turn is first in the next `receive`. */
  #first = 0;
  #dropsReadAtMs = 0;
  #closed = false;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#scratch = new NativeMemory(libc, SCRATCH_BYTES);
    this.#pollFds = new NativeMemory(libc, 4096);
    this.wakeFd = libc.eventfd();
    this.#listPollFds();
  }

  get links(): readonly Link[] {
    return this.#links.map((each) => each.link);
  }

  get counters(): PacketIoCounters {
    const nowMs = performance.now();
    if (nowMs - this.#dropsReadAtMs >= DROPS_INTERVAL_MS) {
      this.#dropsReadAtMs = nowMs;
      for (const each of this.#links) this.#readDrops(each);
    }
    return this.#counters;
  }

  attach(link: Link): void {
    this.detach(link.index);
    if (this.#links.length >= POLL_LINKS_MAX) throw new PacketIoError(`more than ${POLL_LINKS_MAX} links`);
    let fd: number;
    try {
      fd = openPacketSocket(this.#libc, link.index, link.loopback);
    } catch (cause) {
      throw new PacketIoError(`cannot serve link ${link.name}: ${(cause as Error).message}`, { cause });
    }
    const attached = new MmsgLink(this.#libc, link, fd, this.#counters);
    this.#links.push(attached);
    this.#byIndex.set(link.index, attached);
    this.#listPollFds();
  }

  detach(linkIndex: number): void {
    const attached = this.#byIndex.get(linkIndex);
    if (attached === undefined) return;
    this.#readDrops(attached);
    this.#libc.close(attached.fd);
    this.#byIndex.delete(linkIndex);
    this.#links = this.#links.filter((each) => each !== attached);
    this.#first = 0;
    this.#listPollFds();
  }

  createBatch(frames: number): PacketBatch {
    const arena = new MmsgArena(this.#libc, frames);
    this.#arenas.set(arena.batch, arena);
    return arena.batch;
  }

  receive(batch: PacketBatch): number {
    const arena = this.#arenas.get(batch);
    if (arena === undefined) throw new PacketIoError('packet-mmsg fills only batches that it has created');
    batch.count = 0;
    arena.taken = 0;
    const links = this.#links;
    const askFirst = links.length >= READINESS_POLL_LINKS;
    if (askFirst && this.#poll(0) <= 0) return 0;
    const share = Math.max(SHARE_FRAMES_MIN, Math.ceil(batch.capacity / Math.max(1, links.length)));

    // Every link gets its share first; what is left goes to those that had more. The link after the last one
    // served begins next time, so that a flood on one link takes no turn from the others.
    let served = 0;
    let hungry = 0;
    for (; served < links.length && batch.count < batch.capacity; served++) {
      const place = (this.#first + served) % links.length;
      if (askFirst && !this.#readable(place)) continue;
      const wanted = Math.min(share, batch.capacity - batch.count);
      if (this.#receiveFrom(links[place] as MmsgLink, arena, wanted) === wanted) hungry++;
    }
    for (let i = 0; i < links.length && hungry > 0 && batch.count < batch.capacity; i++) {
      const place = (this.#first + i) % links.length;
      if (askFirst && !this.#readable(place)) continue;
      this.#receiveFrom(links[place] as MmsgLink, arena, batch.capacity - batch.count);
    }
    if (links.length > 0) this.#first = (this.#first + (served < links.length ? served : 1)) % links.length;
    this.#counters.received += batch.count;
    return batch.count;
  }

  /** Appends up to `wanted` frames of one link to the batch and returns how many came. */
  #receiveFrom(from: MmsgLink, arena: MmsgArena, wanted: number): number {
    const { batch } = arena;
    for (let bad = 0; bad < BAD_FRAMES_MAX; bad++) {
      const received = this.#libc.recvmmsg(from.fd, arena.incoming.address(batch.count), wanted, MSG_DONTWAIT);
      if (received > 0) {
        for (let i = batch.count; i < batch.count + received; i++) {
          if (!arena.take(i, from.link.index)) this.#counters.receiveDrops++;
        }
        batch.count += received;
        return received;
      }
      const errno = this.#libc.errno();
      if (errno === Errno.EINTR) continue;
      // EINVAL: a super-frame of a kind that the header cannot describe; the kernel has thrown it away.
      // The others say that nothing has come, or that the link has gone down; sending says so as well.
      if (errno !== Errno.EINVAL) return 0;
      this.#counters.receiveDrops++;
    }
    return 0;
  }

  transmit(batch: PacketBatch): number {
    const arena = this.#arenas.get(batch);
    const { egress, start, end, segmentBytes } = batch;
    let sent = 0;
    let scratchAt = 0;
    for (let i = 0; i < batch.count; i++) {
      if ((egress[i] as number) < 0) continue;
      const to = this.#byIndex.get(egress[i] as number);
      if (to === undefined) {
        countTransmitError(this.#counters, 'detached');
        continue;
      }
      const superBytes = segmentBytes[i] as number;
      if (arena !== undefined) {
        const frameStart = start[i] as number;
        if (superBytes > 0 && !arena.keepsSegmentation(i)) {
          sent += to.sendSegmented(arena.memory, frameStart, end[i] as number, superBytes);
          continue;
        }
        arena.writeHeader(i);
        sent += to.queue(arena.memory, frameStart, end[i] as number, superBytes);
        continue;
      }
      const length = (end[i] as number) - (start[i] as number);
      if (scratchAt + VNET_HEADER_BYTES + length > SCRATCH_BYTES) {
        sent += this.#flush();
        scratchAt = 0;
      }
      const frameAt = this.#copy(batch, i, scratchAt);
      if (superBytes > 0) sent += to.sendSegmented(this.#scratch, frameAt, frameAt + length, superBytes);
      else sent += to.queue(this.#scratch, frameAt, frameAt + length, 0);
      scratchAt = frameAt + length;
    }
    return sent + this.#flush();
  }

  /** Copies a frame that lies in ordinary memory, with a finished checksum, and returns where it begins. */
  #copy(batch: PacketBatch, i: number, scratchAt: number): number {
    const frameAt = scratchAt + VNET_HEADER_BYTES;
    const length = (batch.end[i] as number) - (batch.start[i] as number);
    clearHeader(this.#scratch, scratchAt);
    this.#scratch.bytes.set(batch.bytes.subarray(batch.start[i], batch.end[i]), frameAt);
    if (((batch.flags[i] as number) & FrameFlag.PARTIAL_CHECKSUM) !== 0) {
      completeChecksum(this.#scratch.bytes, frameAt, frameAt + length);
    }
    return frameAt;
  }

  #flush(): number {
    let sent = 0;
    for (const each of this.#links) sent += each.flush();
    return sent;
  }

  wait(timeoutMs: number): void {
    if (this.#poll(Math.min(WAIT_MS_MAX, Math.max(0, Math.ceil(timeoutMs)))) <= 0) return;
    const woken = this.#pollFds.view.getInt16(6, true) !== 0;
    // Reading the counter sets it back to zero; the value does not matter.
    if (woken) this.#libc.read(this.wakeFd, this.#scratch.address, 8);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const each of this.links) this.detach(each.index);
    this.#libc.close(this.wakeFd);
  }

  #poll(timeoutMs: number): number {
    return this.#libc.poll(this.#pollFds.address, 1 + this.#links.length, timeoutMs);
  }

  #readable(place: number): boolean {
    return this.#pollFds.view.getInt16((1 + place) * POLLFD_BYTES + 6, true) !== 0;
  }

  #listPollFds(): void {
    const fds = [this.wakeFd, ...this.#links.map((each) => each.fd)];
    fds.forEach((fd, i) => {
      this.#pollFds.view.setInt32(i * POLLFD_BYTES, fd, true);
      this.#pollFds.view.setInt16(i * POLLFD_BYTES + 4, POLLIN, true);
      this.#pollFds.view.setInt16(i * POLLFD_BYTES + 6, 0, true);
    });
  }

  #readDrops(attached: MmsgLink): void {
    try {
      this.#counters.receiveDrops += readPacketDrops(this.#libc, attached.fd);
    } catch {
      // A link that has gone has nothing left to report.
    }
  }
}
