/**
 * The receiving half of the `packet-ring` back end. A batch's arena is one stretch of addresses under which the rings
 * of all links lie, so frames are rewritten and sent where the kernel has put them. Their slots go back to the kernel
 * when the next fill begins.
 */
import type { Libc } from '../native/libc.ts';
import { NativeReserve } from '../native/native-reserve.ts';
import { createPacketRing, type PacketRing } from '../native/packet-ring.ts';
import { openPacketSocket, VNET_HEADER_BYTES } from '../native/packet-socket.ts';
import { HEADROOM_BYTES, PacketBatch } from '../wire/packet-batch.ts';
import { OffloadHeaders } from './offload-headers.ts';
import { type Link, type LinkCounters, PacketIoError, type PacketIoOptions } from './packet-io.ts';
import type { Arena, LinkSource, Reception } from './packet-sockets.ts';

/** Addresses, not memory: what is not in use costs nothing. Offsets into it stay small integers everywhere. */
const RESERVE_BYTES = 1024 * 1024 * 1024;
/** A burst of so many frames is kept while we are at work elsewhere. Some 17 MiB of the kernel's memory. */
const RING_SLOTS_DEFAULT = 255;
/** For frames that are pushed into a batch instead of received: as in `mmsg-source.ts`. */
const OWN_SLOT_BYTES = 66 * 1024;
const OWN_FRAME_AT = VNET_HEADER_BYTES + HEADROOM_BYTES;
/** How finely the fill of a ring is looked at when there is more than was asked for. */
const PEAK_STEPS = 8;

export function ringReception(libc: Libc, options: PacketIoOptions): Reception<Arena> {
  const reserve = new NativeReserve(libc, RESERVE_BYTES);
  const unused = new FinalizationRegistry<{ at: number; length: number }>(({ at, length }) => reserve.lift(at, length));
  return {
    asksBySystemCall: false,
    createArena(frames) {
      const length = frames * OWN_SLOT_BYTES;
      const at = reserve.layMemory(length);
      if (at < 0) throw new PacketIoError('the address space for batches is used up');
      const arena = createArena(reserve, at, frames);
      unused.register(arena.batch, { at, length });
      return arena;
    },
    open: (link, counters) => new RingSource(libc, reserve, link, options, counters),
  };
}

function createArena(memory: NativeReserve, at: number, frames: number): Arena {
  const batch = new PacketBatch(memory.bytes, frames);
  for (let i = 0; i < frames; i++) {
    const slotAt = at + i * OWN_SLOT_BYTES;
    batch.floor[i] = slotAt + VNET_HEADER_BYTES;
    batch.ceiling[i] = slotAt + OWN_SLOT_BYTES;
    batch.start[i] = slotAt + OWN_FRAME_AT;
    batch.end[i] = slotAt + OWN_FRAME_AT;
  }
  return { batch, memory, headers: new OffloadHeaders(batch, memory) };
}

class RingSource implements LinkSource<Arena> {
  readonly fd: number;
  readonly #libc: Libc;
  readonly #ring: PacketRing;
  readonly #linkIndex: number;
  readonly #counters: LinkCounters;
  #peak = 0;

  constructor(libc: Libc, reserve: NativeReserve, link: Link, options: PacketIoOptions, counters: LinkCounters) {
    const { bypassQueue = false, ringSlots = RING_SLOTS_DEFAULT } = options;
    this.#libc = libc;
    this.#linkIndex = link.index;
    this.#counters = counters;
    let ring: PacketRing | null = null;
    const prepare = (fd: number) => {
      ring = createPacketRing(libc, fd, ringSlots, reserve);
    };
    try {
      this.fd = openPacketSocket(libc, { linkIndex: link.index, loopback: link.loopback, bypassQueue, prepare });
      this.#ring = ring as unknown as PacketRing;
    } catch (error) {
      (ring as PacketRing | null)?.remove();
      throw error;
    }
  }

  receive({ batch, headers }: Arena, wanted: number): number {
    const ring = this.#ring;
    const first = batch.count;
    const end = first + wanted;
    let i = first;
    while (i < end) {
      const slotAt = ring.take();
      if (slotAt < 0) break;
      const frameBytes = ring.frameBytes(slotAt);
      if (frameBytes < 0) {
        this.#counters.receiveDrops++;
        continue;
      }
      const start = ring.frameAt(slotAt);
      batch.floor[i] = start - HEADROOM_BYTES;
      batch.ceiling[i] = ring.slotEnd(slotAt);
      headers.take(i, start, start + frameBytes, this.#linkIndex);
      i++;
    }
    batch.count = i;
    if (i === end) this.#lookAtFill();
    return i - first;
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
