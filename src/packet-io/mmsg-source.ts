/**
 * The receiving half of the `packet-mmsg` back end. A slot of a batch holds headroom, the virtio-net header and the
 * frame directly behind it, so one buffer serves recvmmsg(2) and, rewritten, sendmmsg(2).
 */
import { Errno, type Libc, MSG_DONTWAIT, MSG_TRUNC } from '../native/libc.ts';
import { MessageVector } from '../native/message-vector.ts';
import { NativeMemory } from '../native/native-memory.ts';
import { openPacketSocket, VNET_HEADER_BYTES } from '../native/packet-socket.ts';
import { HEADROOM_BYTES, PacketBatch } from '../wire/packet-batch.ts';
import { OffloadHeaders } from './offload-headers.ts';
import type { FrameFilter, Link, LinkCounters, PacketIoOptions } from './packet-io.ts';
import type { Arena, LinkSource, Reception } from './packet-sockets.ts';

/** Headroom, header, and a frame of 64 KB with its Ethernet header; pages no frame reaches are never touched. */
const SLOT_BYTES = 66 * 1024;
/**
 * The header of a frame must stay in the slot when `start` sinks by the whole headroom. The frame then begins
 * at 2 modulo 4, which puts the IP header at a multiple of four.
 */
const FLOOR = VNET_HEADER_BYTES;
const FRAME_AT = FLOOR + HEADROOM_BYTES;
/** Frames the kernel cannot describe, one after the other, before the other links get their turn. */
const BAD_FRAMES_MAX = 8;

interface MmsgArena extends Arena {
  readonly incoming: MessageVector;
}

export function mmsgReception(libc: Libc, options: PacketIoOptions): Reception<MmsgArena> {
  return {
    asksBySystemCall: true,
    createArena: (frames) => createArena(libc, frames),
    open: (link, counters, filter) => new MmsgSource(libc, link, options, counters, filter),
  };
}

function createArena(libc: Libc, frames: number): MmsgArena {
  const memory = new NativeMemory(libc, frames * SLOT_BYTES);
  const incoming = new MessageVector(libc, frames);
  const batch = new PacketBatch(memory.bytes, frames);
  for (let i = 0; i < frames; i++) {
    const slotAt = i * SLOT_BYTES;
    batch.floor[i] = slotAt + FLOOR;
    batch.ceiling[i] = slotAt + SLOT_BYTES;
    batch.start[i] = slotAt + FRAME_AT;
    batch.end[i] = slotAt + FRAME_AT;
    const bufferAt = slotAt + FRAME_AT - VNET_HEADER_BYTES;
    incoming.set(i, memory.address + bufferAt, (i + 1) * SLOT_BYTES - bufferAt);
  }
  return { batch, memory, headers: new OffloadHeaders(batch, memory), incoming };
}

class MmsgSource implements LinkSource<MmsgArena> {
  readonly fd: number;
  readonly #libc: Libc;
  readonly #linkIndex: number;
  readonly #counters: LinkCounters;

  constructor(
    libc: Libc,
    link: Link,
    { bypassQueue = false }: PacketIoOptions,
    counters: LinkCounters,
    filter: FrameFilter,
  ) {
    this.#libc = libc;
    this.#linkIndex = link.index;
    this.#counters = counters;
    this.fd = openPacketSocket(libc, { linkIndex: link.index, loopback: link.loopback, bypassQueue, filter });
  }

  receive(arena: MmsgArena, wanted: number): number {
    const { batch } = arena;
    for (let bad = 0; bad < BAD_FRAMES_MAX; bad++) {
      const received = this.#libc.recvmmsg(this.fd, arena.incoming.address(batch.count), wanted, MSG_DONTWAIT);
      if (received > 0) {
        for (let i = batch.count; i < batch.count + received; i++) this.#take(arena, i);
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

  /** A frame that was longer than its slot becomes an empty one, because slots cannot be skipped. */
  #take({ incoming, headers }: MmsgArena, i: number): void {
    const start = i * SLOT_BYTES + FRAME_AT;
    const whole = (incoming.flags(i) & MSG_TRUNC) === 0;
    const end = whole ? Math.max(start, start - VNET_HEADER_BYTES + incoming.length(i)) : start;
    headers.take(i, start, end, this.#linkIndex);
    if (!whole) this.#counters.receiveDrops++;
  }

  release(): void {}

  get readable(): boolean {
    return true;
  }

  get ring(): null {
    return null;
  }

  close(): void {
    this.#libc.close(this.fd);
  }
}
