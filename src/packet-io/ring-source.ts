/**
 * The receiving half of the `packet-ring` back end. A batch's arena is one stretch of addresses under which the rings
 * of all links lie, so frames are rewritten and sent where the kernel has put them. Their slots go back to the kernel
 * when the next fill begins.
 *
 * Slots are as long as the link's MTU wants, so that a ring holds many of them in little memory. A super-frame is
 * longer: its slot only says that it waits in the socket's queue, and one recvmmsg(2) fetches all of a fill into the
 * batch's own memory. The order of the frames stays.
 */
import { Errno, type Libc, MSG_DONTWAIT, MSG_TRUNC } from '../native/libc.ts';
import { MessageVector } from '../native/message-vector.ts';
import { NativeReserve } from '../native/native-reserve.ts';
import { createPacketRing, type PacketRing, SLOT_BYTES_MIN } from '../native/packet-ring.ts';
import { openPacketSocket, VNET_HEADER_BYTES } from '../native/packet-socket.ts';
import { HEADROOM_BYTES, PacketBatch } from '../wire/packet-batch.ts';
import { OffloadHeaders } from './offload-headers.ts';
import { type FrameFilter, type Link, type LinkCounters, PacketIoError, type PacketIoOptions } from './packet-io.ts';
import type { Arena, LinkSource, Reception } from './packet-sockets.ts';

/** Addresses, not memory: what is not in use costs nothing. Offsets into it stay small integers everywhere. */
export const RESERVE_BYTES = 1024 * 1024 * 1024;
/** A burst of so many frames of the usual length is kept while we are at work elsewhere. They take 8 MiB. */
export const RING_SLOTS_DEFAULT = 4096;
/** Links with a larger MTU get slots of this length: loopback's frames are mostly short all the same. */
const SLOT_FRAME_BYTES_MAX = 9216;
/** Room behind a frame: payload may be rewritten to something longer. */
const SPARE_BYTES = 128;
const ETHERNET_HEADER_BYTES = 14;
/** The batch's own memory, for super-frames and for frames that are pushed: as in `mmsg-source.ts`. */
const OWN_SLOT_BYTES = 66 * 1024;
const OWN_FRAME_AT = VNET_HEADER_BYTES + HEADROOM_BYTES;
/** How finely the fill of a ring is looked at when there is more than was asked for. */
const PEAK_STEPS = 8;
/** Errors that say nothing about a frame, one after the other, before the rest of a fill is given up. */
const BAD_CALLS_MAX = 8;

export interface RingArena extends Arena {
  /** Where the batch's own slots begin. */
  readonly ownAt: number;
  /** Super-frames that are to be fetched from the socket's queue, and their places in the batch. */
  readonly fetch: MessageVector;
  readonly fetchPlace: Int32Array;
}

/** `reserve`: where rings and batches are laid. */
export function ringReception(
  libc: Libc,
  options: PacketIoOptions,
  reserve = new NativeReserve(libc, RESERVE_BYTES),
): Reception<RingArena> {
  const unused = new FinalizationRegistry<{ at: number; length: number }>(({ at, length }) => reserve.lift(at, length));
  return {
    asksBySystemCall: false,
    createArena(frames) {
      const length = frames * OWN_SLOT_BYTES;
      const at = reserve.layMemory(length);
      if (at < 0) throw new PacketIoError('the address space for batches is used up');
      const arena = createArena(libc, reserve, at, frames);
      unused.register(arena.batch, { at, length });
      return arena;
    },
    open: (link, counters, filter) => new RingSource(libc, reserve, link, options, counters, filter),
  };
}

function createArena(libc: Libc, memory: NativeReserve, ownAt: number, frames: number): RingArena {
  const batch = new PacketBatch(memory.bytes, frames);
  for (let i = 0; i < frames; i++) {
    batch.end[i] = useOwnSlot(batch, ownAt, i);
  }
  return {
    batch,
    memory,
    headers: new OffloadHeaders(batch, memory),
    ownAt,
    fetch: new MessageVector(libc, frames),
    fetchPlace: new Int32Array(frames),
  };
}

/** Points place `i` of the batch at its own memory and returns where a frame begins in it. */
function useOwnSlot(batch: PacketBatch, ownAt: number, i: number): number {
  const slotAt = ownAt + i * OWN_SLOT_BYTES;
  batch.floor[i] = slotAt + VNET_HEADER_BYTES;
  batch.ceiling[i] = slotAt + OWN_SLOT_BYTES;
  batch.start[i] = slotAt + OWN_FRAME_AT;
  return slotAt + OWN_FRAME_AT;
}

class RingSource implements LinkSource<RingArena> {
  readonly fd: number;
  readonly #libc: Libc;
  readonly #ring: PacketRing;
  readonly #linkIndex: number;
  readonly #counters: LinkCounters;
  #peak = 0;

  constructor(
    libc: Libc,
    reserve: NativeReserve,
    link: Link,
    options: PacketIoOptions,
    counters: LinkCounters,
    filter: FrameFilter,
  ) {
    const { bypassQueue = false, ringSlots = RING_SLOTS_DEFAULT } = options;
    this.#libc = libc;
    this.#linkIndex = link.index;
    this.#counters = counters;
    const made: PacketRing[] = [];
    const prepare = (fd: number) => {
      const frameBytes = Math.min(SLOT_FRAME_BYTES_MAX, link.mtu + ETHERNET_HEADER_BYTES) + SPARE_BYTES;
      made.push(createPacketRing(libc, fd, { bytes: ringSlots * SLOT_BYTES_MIN, frameBytes }, reserve));
    };
    try {
      const { index: linkIndex, loopback } = link;
      this.fd = openPacketSocket(libc, { linkIndex, loopback, bypassQueue, filter, prepare });
      this.#ring = made[0] as PacketRing;
    } catch (error) {
      made[0]?.remove();
      throw error;
    }
  }

  receive(arena: RingArena, wanted: number): number {
    const { batch, headers } = arena;
    const ring = this.#ring;
    const first = batch.count;
    const end = first + wanted;
    let i = first;
    let toFetch = 0;
    while (i < end) {
      const slotAt = ring.take();
      if (slotAt < 0) break;
      const frameBytes = ring.frameBytes(slotAt);
      if (frameBytes < 0) {
        if (ring.isQueued(slotAt)) arena.fetchPlace[toFetch++] = i++;
        else this.#counters.receiveDrops++;
        continue;
      }
      const start = ring.frameAt(slotAt);
      batch.floor[i] = start - HEADROOM_BYTES;
      batch.ceiling[i] = ring.slotEnd(slotAt);
      headers.take(i, start, start + frameBytes, this.#linkIndex);
      i++;
    }
    batch.count = i;
    if (toFetch > 0) this.#fetch(arena, toFetch);
    if (i === end) this.#lookAtFill();
    return i - first;
  }

  /** Reads super-frames into their places. One that cannot be read becomes an empty frame, because places are taken. */
  #fetch(arena: RingArena, count: number): void {
    const { memory, fetch, fetchPlace } = arena;
    for (let n = 0; n < count; n++) {
      const bufferAt = useOwnSlot(arena.batch, arena.ownAt, fetchPlace[n] as number) - VNET_HEADER_BYTES;
      fetch.set(n, memory.address + bufferAt, OWN_SLOT_BYTES - HEADROOM_BYTES);
    }
    let bad = 0;
    for (let done = 0; done < count; ) {
      const fetched = this.#libc.recvmmsg(this.fd, fetch.address(done), count - done, MSG_DONTWAIT);
      if (fetched > 0) {
        for (let n = done; n < done + fetched; n++) this.#takeFetched(arena, n);
        done += fetched;
        continue;
      }
      const errno = this.#libc.errno();
      if (errno === Errno.EINVAL) {
        // Of a kind that the header cannot describe: the kernel has thrown it away.
        this.#takeNothing(arena, fetchPlace[done++] as number);
      } else if (errno === Errno.EAGAIN || ++bad === BAD_CALLS_MAX) {
        while (done < count) this.#takeNothing(arena, fetchPlace[done++] as number);
      }
      // Anything else told of the link (ENETDOWN) or of a signal, and is told once.
    }
  }

  #takeFetched(arena: RingArena, n: number): void {
    const { batch, headers, fetch, fetchPlace } = arena;
    const i = fetchPlace[n] as number;
    if ((fetch.flags(n) & MSG_TRUNC) !== 0) {
      this.#takeNothing(arena, i);
      return;
    }
    const start = batch.start[i] as number;
    headers.take(i, start, Math.max(start, start - VNET_HEADER_BYTES + fetch.length(n)), this.#linkIndex);
  }

  #takeNothing(arena: RingArena, i: number): void {
    const start = arena.batch.start[i] as number;
    arena.headers.take(i, start, start, this.#linkIndex);
    this.#counters.receiveDrops++;
  }

  #lookAtFill(): void {
    const step = Math.ceil(this.#ring.slots / PEAK_STEPS);
    let waiting = Math.max(this.#peak, step);
    while (this.#ring.holds(waiting)) {
      this.#peak = waiting;
      waiting += step;
    }
  }

  release(): void {
    this.#ring.release();
  }

  get readable(): boolean {
    return this.#ring.readable;
  }

  get ring(): LinkCounters['ring'] {
    const { waiting, slots } = this.#ring;
    this.#peak = Math.max(this.#peak, waiting);
    return { waiting, peak: this.#peak, slots };
  }

  close(): void {
    // As long as the ring is mapped the kernel keeps the socket alive and goes on filling it.
    this.#ring.remove();
    this.#libc.close(this.fd);
  }
}
