/**
 * What the back ends on packet sockets share: one socket for each link, frames rewritten where they were received and
 * sent from there by sendmmsg(2). The virtio-net header in front of each carries unfinished checksums and super-frames
 * from one link to the other, so no offload need be turned off. They differ in how frames are received: `Reception`.
 */
import { type Libc, LibcError, POLLERR, POLLIN } from '../native/libc.ts';
import { NativeMemory, type SharedMemory } from '../native/native-memory.ts';
import { readPacketDrops, setPacketFilter, takeSocketError, VNET_HEADER_BYTES } from '../native/packet-socket.ts';
import type { FastPath } from '../wire/fast-path.ts';
import { FrameFlag, type PacketBatch } from '../wire/packet-batch.ts';
import { completeChecksum } from '../wire/segment.ts';
import { AdaptiveSpin } from './adaptive-spin.ts';
import type { Claims } from './claims.ts';
import { countTransmitError, createCounters, createLinkCounters } from './counters.ts';
import { FLOWS_MAX } from './fast-path/flow-table.ts';
import { KernelFastPath } from './fast-path/kernel-fast-path.ts';
import { ownerName, takeOffOrphans } from './fast-path/owner.ts';
import type { FrameSender } from './frame-sender.ts';
import { LinkSender } from './link-sender.ts';
import { clearHeader, type OffloadHeaders } from './offload-headers.ts';
import {
  type FrameFilter,
  type Link,
  type LinkCounters,
  type PacketIo,
  type PacketIoCounters,
  PacketIoError,
  type PacketIoOptions,
} from './packet-io.ts';

/** A batch and the memory it lies in. */
export interface Arena {
  readonly batch: PacketBatch;
  readonly memory: SharedMemory;
  readonly headers: OffloadHeaders;
}

/** The receiving half of one link. */
export interface LinkSource<A extends Arena> {
  readonly fd: number;
  /** Appends up to `wanted` frames to the batch and returns how many came. */
  receive(arena: A, wanted: number): number;
  /** Frames received before are not needed any more. */
  release(): void;
  /** Whether frames wait, as far as that can be seen without a system call. */
  readonly readable: boolean;
  readonly ring: LinkCounters['ring'];
  /** More descriptors that become readable when frames come. */
  readonly otherFds?: readonly number[];
  /** What is to be said about the link besides. */
  readonly xdp?: LinkCounters['xdp'];
  /** Frames lost since the last call, beyond those that the packet socket counts. */
  takeDrops?(): number;
  close(): void;
}

export interface Reception<A extends Arena> {
  /** Asking a link for frames costs a system call. */
  readonly asksBySystemCall: boolean;
  createArena(frames: number): A;
  /** Throws what says why the link cannot be opened; then nothing is left open. */
  open(link: Link, counters: LinkCounters, filter: FrameFilter): LinkSource<A>;
  /** Absent: frames leave by the packet socket alone. `own` is that way. */
  createSender?(source: LinkSource<A>, own: LinkSender, counters: SenderCounters): FrameSender;
  readonly claims?: Claims;
  /** After the last link. */
  close?(): void;
}

/** Whoever sends frames counts them in both: those of the link, and those of the whole back end. */
export interface SenderCounters {
  readonly link: LinkCounters;
  readonly totals: PacketIoCounters;
}

/** Frames of other makers are copied here before they are sent. */
const SCRATCH_BYTES = 1024 * 1024;
/** From this many links on, one poll(2) that says which have frames costs less than a system call to each. */
const READINESS_POLL_LINKS = 4;
/** Fewest slots a link gets in its turn, so that with many links a system call still moves several frames. */
const SHARE_FRAMES_MIN = 8;
/** A lost wake-up must not hang the thread for ever. */
const WAIT_MS_MAX = 1000;
const DROPS_INTERVAL_MS = 1000;
const POLLFD_BYTES = 8;
const POLL_FDS_MAX = 4096 / POLLFD_BYTES;
/** Looks between two looks at the clock, which costs more than they do. */
const LOOKS_PER_CLOCK = 8;

interface Attached<A extends Arena> {
  readonly link: Link;
  readonly source: LinkSource<A>;
  readonly sender: FrameSender;
  readonly counters: LinkCounters;
}

export class PacketSockets<A extends Arena> implements PacketIo {
  /** Another thread ends `wait` with `wakeEventFd(wakeFd)` (native/wake.ts). */
  readonly wakeFd: number;
  readonly #name: string;
  readonly #libc: Libc;
  readonly #reception: Reception<A>;
  readonly #spin: AdaptiveSpin;
  readonly #totals: PacketIoCounters = createCounters();
  #links: Attached<A>[] = [];
  readonly #byIndex = new Map<number, Attached<A>>();
  readonly #arenas = new WeakMap<PacketBatch, A>();
  /** The one that was filled last. */
  #filled: A | null = null;
  readonly #scratch: NativeMemory;
  /** struct pollfd of the wake-up, then of every link's packet socket, then of whatever else links listen to. */
  readonly #pollFds: NativeMemory;
  #pollCount = 0;
  /** The link whose turn is first in the next `receive`. */
  #first = 0;
  #dropsReadAtMs = 0;
  #framesSinceWait = 0;
  #closed = false;
  #filter: FrameFilter = null;
  #fastPath: KernelFastPath | null;

  /** `name`: that of the back end, for errors. */
  constructor(name: string, libc: Libc, reception: Reception<A>, options: PacketIoOptions) {
    const { spinUs = 0, fastPath = false, shard = 0 } = options;
    this.#name = name;
    this.#libc = libc;
    this.#reception = reception;
    this.#spin = new AdaptiveSpin(spinUs);
    this.#scratch = new NativeMemory(libc, SCRATCH_BYTES);
    this.#pollFds = new NativeMemory(libc, 4096);
    this.wakeFd = libc.eventfd();
    this.#fastPath = fastPath ? openFastPath(libc, shard) : null;
    this.#listPollFds();
  }

  get links(): readonly Link[] {
    return this.#links.map((each) => each.link);
  }

  get claims(): Claims | undefined {
    return this.#reception.claims;
  }

  get counters(): PacketIoCounters {
    const nowMs = performance.now();
    if (nowMs - this.#dropsReadAtMs >= DROPS_INTERVAL_MS) {
      this.#dropsReadAtMs = nowMs;
      for (const each of this.#links) this.#readDrops(each);
    }
    return this.#totals;
  }

  linkCounters(): readonly LinkCounters[] {
    for (const each of this.#links) this.#readDrops(each);
    return this.#links.map(({ counters, source }) => ({
      ...counters,
      transmitErrors: { ...counters.transmitErrors },
      ring: source.ring,
      ...(source.xdp === undefined ? {} : { xdp: source.xdp }),
    }));
  }

  attach(link: Link): void {
    this.detach(link.index);
    const counters = createLinkCounters(link.name);
    let source: LinkSource<A>;
    try {
      source = this.#open(link, counters);
    } catch (cause) {
      throw new PacketIoError(`cannot serve link ${link.name}: ${(cause as Error).message}`, { cause });
    }
    if (this.#pollCount + 1 + (source.otherFds?.length ?? 0) > POLL_FDS_MAX) {
      source.close();
      throw new PacketIoError(`cannot serve link ${link.name}: there are too many links`);
    }
    const own = new LinkSender(this.#libc, link, source.fd, counters, this.#totals);
    const sender = this.#reception.createSender?.(source, own, { link: counters, totals: this.#totals }) ?? own;
    const attached = { link, source, sender, counters };
    this.#links.push(attached);
    this.#byIndex.set(link.index, attached);
    this.#listPollFds();
    this.#serveFlows(attached);
  }

  get fastPath(): FastPath | null {
    return this.#fastPath?.flows ?? null;
  }

  /** False: a link without is no error, all its frames that are chosen come to the engine. */
  #serveFlows({ link, source }: Attached<A>): boolean {
    if (this.#fastPath === null || link.loopback || link.toHost === true) return false;
    return this.#fastPath.serve(link.index, source.fd, this.#filter);
  }

  #open(link: Link, counters: LinkCounters): LinkSource<A> {
    try {
      return this.#reception.open(link, counters, this.#filter);
    } catch (error) {
      if (this.#filter === null || !(error instanceof LibcError) || error.code !== 'ENOMEM') throw error;
      this.#setFilters(null);
      return this.#reception.open(link, counters, null);
    }
  }

  detach(linkIndex: number): void {
    const attached = this.#byIndex.get(linkIndex);
    if (attached === undefined) return;
    this.#readDrops(attached);
    this.#emptyFramesOf(linkIndex);
    // In this order: a filter without the program behind it would keep frames from the engine, and leave a note for later.
    attached.source.close();
    this.#fastPath?.leave(linkIndex);
    this.#byIndex.delete(linkIndex);
    this.#links = this.#links.filter((each) => each !== attached);
    this.#first = 0;
    this.#listPollFds();
  }

  /** A link may take the memory of its frames with it. */
  #emptyFramesOf(linkIndex: number): void {
    const batch = this.#filled?.batch;
    if (batch === undefined) return;
    for (let i = 0; i < batch.count; i++) {
      if (batch.ingress[i] === linkIndex) batch.end[i] = batch.start[i] as number;
    }
  }

  filter(program: FrameFilter): void {
    try {
      this.#setFilters(program);
    } catch (error) {
      if (program === null || !(error instanceof LibcError)) throw error;
      this.#setFilters(null);
    }
  }

  get filters(): boolean {
    return this.#filter !== null;
  }

  /** Throws a LibcError; then some links have the filter, and the others the one before. */
  #setFilters(program: FrameFilter): void {
    this.#filter = program;
    for (const attached of this.#links) {
      if (this.#serveFlows(attached)) continue;
      const { source, link } = attached;
      setPacketFilter(this.#libc, source.fd, link.loopback, program);
      // Not before: what its filter has left to the program the engine must hear again first.
      this.#fastPath?.leave(link.index);
    }
  }

  createBatch(frames: number): PacketBatch {
    const arena = this.#reception.createArena(frames);
    this.#arenas.set(arena.batch, arena);
    return arena.batch;
  }

  receive(batch: PacketBatch): number {
    const arena = this.#arenas.get(batch);
    if (arena === undefined) throw new PacketIoError(`${this.#name} fills only batches that it has created`);
    batch.count = 0;
    arena.headers.forget();
    this.#filled = arena;
    const links = this.#links;
    for (const each of links) each.source.release();
    const askFirst = this.#reception.asksBySystemCall && links.length >= READINESS_POLL_LINKS;
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
      if (this.#receiveFrom(links[place] as Attached<A>, arena, wanted) === wanted) hungry++;
    }
    for (let i = 0; i < links.length && hungry > 0 && batch.count < batch.capacity; i++) {
      const place = (this.#first + i) % links.length;
      if (askFirst && !this.#readable(place)) continue;
      this.#receiveFrom(links[place] as Attached<A>, arena, batch.capacity - batch.count);
    }
    if (links.length > 0) this.#first = (this.#first + (served < links.length ? served : 1)) % links.length;
    this.#framesSinceWait += batch.count;
    return batch.count;
  }

  #receiveFrom({ source, counters }: Attached<A>, arena: A, wanted: number): number {
    const drops = counters.receiveDrops;
    const received = source.receive(arena, wanted);
    counters.received += received;
    this.#totals.received += received;
    this.#totals.receiveDrops += counters.receiveDrops - drops;
    return received;
  }

  transmit(batch: PacketBatch): number {
    const arena = this.#arenas.get(batch);
    const { egress, start, end, segmentBytes } = batch;
    let sent = 0;
    let scratchAt = 0;
    for (let i = 0; i < batch.count; i++) {
      if ((egress[i] as number) < 0) continue;
      const to = this.#byIndex.get(egress[i] as number)?.sender;
      const frameStart = start[i] as number;
      const length = (end[i] as number) - frameStart;
      // No length: the link it came by went away with it.
      if (to === undefined || length === 0) {
        countTransmitError(this.#totals, 'detached');
        continue;
      }
      const superBytes = segmentBytes[i] as number;
      if (arena !== undefined) {
        if (superBytes > 0 && !(arena.headers.keepsSegmentation(i) && to.takesSegments(batch, i))) {
          sent += to.sendSegmented(arena.memory, frameStart, end[i] as number, superBytes);
          continue;
        }
        arena.headers.write(i);
        sent += to.queue(arena.memory, frameStart, end[i] as number, superBytes);
        continue;
      }
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
    clearHeader(this.#scratch.bytes, scratchAt);
    this.#scratch.bytes.set(batch.bytes.subarray(batch.start[i], batch.end[i]), frameAt);
    if (((batch.flags[i] as number) & FrameFlag.PARTIAL_CHECKSUM) !== 0) {
      completeChecksum(this.#scratch.bytes, frameAt, frameAt + length);
    }
    return frameAt;
  }

  #flush(): number {
    let sent = 0;
    for (const each of this.#links) sent += each.sender.flush();
    return sent;
  }

  wait(timeoutMs: number): void {
    const wantedMs = Math.min(WAIT_MS_MAX, Math.max(0, Math.ceil(timeoutMs)));
    if (!this.#spin.active || wantedMs === 0) {
      this.#sleep(wantedMs);
      return;
    }
    const beginMs = performance.now();
    const windowUs = this.#spin.windowAfter(this.#framesSinceWait);
    this.#framesSinceWait = 0;
    if (windowUs > 0 && this.#look(beginMs + windowUs / 1000)) return;
    const came = this.#sleep(wantedMs);
    this.#spin.slept((performance.now() - beginMs) * 1000, came);
  }

  /** Looks for frames until the given time. False: none came. */
  #look(untilMs: number): boolean {
    const links = this.#links;
    const bySystemCall = this.#reception.asksBySystemCall;
    do {
      for (let look = 0; look < LOOKS_PER_CLOCK; look++) {
        if (bySystemCall) {
          // The wake-up is taken by the sleep that follows.
          if (this.#poll(0) > 0) return this.#pollFds.view.getInt16(6, true) === 0;
          continue;
        }
        for (let i = 0; i < links.length; i++) if ((links[i] as Attached<A>).source.readable) return true;
      }
    } while (performance.now() < untilMs);
    return false;
  }

  /** True: something came, or somebody woke us. */
  #sleep(timeoutMs: number): boolean {
    if (this.#poll(timeoutMs) <= 0) return false;
    const woken = this.#pollFds.view.getInt16(6, true) !== 0;
    // Reading the counter sets it back to zero; the value does not matter.
    if (woken) this.#libc.read(this.wakeFd, this.#scratch.address, 8);
    for (let place = 0; place < this.#links.length; place++) {
      const reported = this.#pollFds.view.getInt16((1 + place) * POLLFD_BYTES + 6, true);
      if ((reported & POLLERR) !== 0) takeSocketError(this.#libc, (this.#links[place] as Attached<A>).source.fd);
    }
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const each of this.links) this.detach(each.index);
    this.#fastPath?.close();
    this.#fastPath = null;
    this.#reception.close?.();
    this.#libc.close(this.wakeFd);
  }

  #poll(timeoutMs: number): number {
    return this.#libc.poll(this.#pollFds.address, this.#pollCount, timeoutMs);
  }

  #readable(place: number): boolean {
    return this.#pollFds.view.getInt16((1 + place) * POLLFD_BYTES + 6, true) !== 0;
  }

  #listPollFds(): void {
    const others = this.#links.flatMap((each) => each.source.otherFds ?? []);
    const fds = [this.wakeFd, ...this.#links.map((each) => each.source.fd), ...others];
    this.#pollCount = fds.length;
    fds.forEach((fd, i) => {
      this.#pollFds.view.setInt32(i * POLLFD_BYTES, fd, true);
      this.#pollFds.view.setInt16(i * POLLFD_BYTES + 4, POLLIN, true);
      this.#pollFds.view.setInt16(i * POLLFD_BYTES + 6, 0, true);
    });
  }

  #readDrops({ source, counters }: Attached<A>): void {
    try {
      const drops = readPacketDrops(this.#libc, source.fd) + (source.takeDrops?.() ?? 0);
      counters.receiveDrops += drops;
      this.#totals.receiveDrops += drops;
    } catch {
      // A link that has gone has nothing left to report.
    }
  }
}

/** `null` where the kernel has none; `fastPathRefused` says why. */
function openFastPath(libc: Libc, shard: number): KernelFastPath | null {
  takeOffOrphans(libc, shard);
  try {
    return new KernelFastPath(libc, FLOWS_MAX, ownerName(shard));
  } catch {
    return null;
  }
}
