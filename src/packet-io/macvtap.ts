/**
 * Frames by a macvtap link, read and written like a file: nothing compiled, no package. All links share one tap; the
 * guard's rules steer into it what the engine is to see, and out of it by the right link what the engine sends
 * (`data-plane/packet/steering.ts`); a mark in each frame says which link is meant (`tap-marks.ts`). Each read and each
 * write is one frame with the virtio-net header in front, so super-frames and unfinished checksums pass whole.
 * Source: linux/if_tun.h, drivers/net/tap.c as documented in "Universal TUN/TAP device driver".
 */
import { closeSync, readFileSync, readSync, writeSync } from 'node:fs';
import { OWN_LOOPBACK_MAC, VNET_HEADER_BYTES } from '../native/packet-socket.ts';
import { readUint16, writeUint16 } from '../wire/bytes.ts';
import { FrameFlag, HEADROOM_BYTES, PacketBatch } from '../wire/packet-batch.ts';
import {
  carriesTcp,
  completeChecksum,
  ETHERNET_HEADER_BYTES,
  payloadBytesMax,
  segmentCount,
  writeSegment,
} from '../wire/segment.ts';
import { countTransmitError, createCounters, createLinkCounters } from './counters.ts';
import { clearHeader, OffloadHeaders } from './offload-headers.ts';
import {
  type Link,
  type LinkCounters,
  type PacketIo,
  type PacketIoCounters,
  PacketIoError,
  type PacketIoKind,
} from './packet-io.ts';
import { openTap, TAP_LINK_NAME, tapsUnavailable } from './tap-device.ts';
import { type Readiness, watchReadable } from './tap-events.ts';
import { FIRST_BYTES, kindOfMark, linkNumber, markOf, numberOfMark } from './tap-marks.ts';

export const macvtap: PacketIoKind = {
  name: 'macvtap',
  summary: 'a macvtap link, read and written like a file; nothing compiled; one process of its own',
  thread: 'main',
  tap: true,
  unavailable: async () => tapsUnavailable(),
  open: async () => new Macvtap(),
};

/** Headroom, header, and a frame of 64 KB with its Ethernet header. */
const SLOT_BYTES = 66 * 1024;
/** The header must stay in the slot when `start` sinks by the whole headroom; the IP header begins at a multiple of 4. */
const FLOOR = VNET_HEADER_BYTES;
const FRAME_AT = FLOOR + HEADROOM_BYTES;
const SOURCE_MAC_AT = 6;
const DROPS_LOOK_MS = 1_000;

interface TapArena {
  readonly batch: PacketBatch;
  readonly bytes: Uint8Array;
  readonly headers: OffloadHeaders;
}

interface Served {
  readonly link: Link;
  readonly counters: LinkCounters;
  /** First two bytes of its address. */
  readonly firstBytes: number;
  readonly mark: number;
}

export class Macvtap implements PacketIo {
  readonly counters: PacketIoCounters = createCounters();
  readonly #fd: number;
  readonly #byIndex = new Map<number, Served>();
  readonly #byNumber: (Served | null)[] = [];
  readonly #arenas = new WeakMap<PacketBatch, TapArena>();
  readonly #scratch = new Uint8Array(SLOT_BYTES);
  /** The frame that the event loop read, with its header. */
  readonly #first = new Uint8Array(SLOT_BYTES);
  #firstBytes = 0;
  #readiness: Readiness | null = null;
  #dropsBefore: number | null = null;
  #dropsLookedMs = Number.NEGATIVE_INFINITY;
  #closed = false;

  /** Throws a PacketIoError when there is no tap, or it cannot be opened. */
  constructor(open: () => number = openTap) {
    this.#fd = open();
  }

  get links(): readonly Link[] {
    return [...this.#byIndex.values()].map(({ link }) => link);
  }

  linkCounters(): readonly LinkCounters[] {
    this.#lookForDrops(performance.now());
    return [...this.#byIndex.values()].map(({ counters }) => ({
      ...counters,
      transmitErrors: { ...counters.transmitErrors },
    }));
  }

  attach(link: Link): void {
    this.detach(link.index);
    const number = linkNumber(link.index);
    const other = this.#byNumber[number];
    if (other != null) {
      throw new PacketIoError(`cannot serve link ${link.name}: its mark is that of ${other.link.name}`);
    }
    const served: Served = {
      link,
      counters: createLinkCounters(link.name),
      firstBytes: readUint16(link.mac, 0),
      mark: markOf(number, 'own'),
    };
    this.#byIndex.set(link.index, served);
    this.#byNumber[number] = served;
  }

  detach(linkIndex: number): void {
    if (!this.#byIndex.delete(linkIndex)) return;
    this.#byNumber[linkNumber(linkIndex)] = null;
  }

  createBatch(frames: number): PacketBatch {
    const bytes = new Uint8Array(frames * SLOT_BYTES);
    const batch = new PacketBatch(bytes, frames);
    for (let i = 0; i < frames; i++) {
      batch.floor[i] = i * SLOT_BYTES + FLOOR;
      batch.ceiling[i] = (i + 1) * SLOT_BYTES;
      batch.start[i] = i * SLOT_BYTES + FRAME_AT;
      batch.end[i] = i * SLOT_BYTES + FRAME_AT;
    }
    const headers = new OffloadHeaders(batch, { bytes, view: new DataView(bytes.buffer) });
    this.#arenas.set(batch, { batch, bytes, headers });
    return batch;
  }

  receive(batch: PacketBatch): number {
    const arena = this.#arenas.get(batch);
    batch.count = 0;
    if (arena === undefined) return 0;
    arena.headers.forget();
    if (this.#firstBytes > 0) {
      const at = FRAME_AT - VNET_HEADER_BYTES;
      arena.bytes.set(this.#first.subarray(0, this.#firstBytes), at);
      this.#take(arena, this.#firstBytes);
      this.#firstBytes = 0;
    }
    while (batch.count < batch.capacity) {
      const at = batch.count * SLOT_BYTES + FRAME_AT - VNET_HEADER_BYTES;
      const length = this.#read(arena.bytes, at, (batch.count + 1) * SLOT_BYTES - at);
      if (length <= 0) break;
      this.#take(arena, length);
    }
    return batch.count;
  }

  /** Length with the header, or 0 when nothing waits. Throws a PacketIoError when the tap is gone. */
  #read(bytes: Uint8Array, at: number, room: number): number {
    try {
      return readSync(this.#fd, bytes, at, room, null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EAGAIN' || code === 'EINTR') return 0;
      throw new PacketIoError(`the tap ${TAP_LINK_NAME} cannot be read any more: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  /** Makes a frame of the batch of what was read; what came by no link of ours, or is too short, is forgotten. */
  #take({ batch, bytes, headers }: TapArena, length: number): void {
    const start = batch.count * SLOT_BYTES + FRAME_AT;
    const end = start - VNET_HEADER_BYTES + length;
    if (end - start < ETHERNET_HEADER_BYTES) return;
    const mark = readUint16(bytes, start);
    const number = numberOfMark(mark);
    const served = number === null ? null : (this.#byNumber[number] ?? null);
    if (served === null) return;
    const kind = kindOfMark(mark);
    writeUint16(bytes, start, kind === 'own' ? served.firstBytes : FIRST_BYTES[kind]);
    headers.take(batch.count, start, end, served.link.index);
    batch.count++;
    served.counters.received++;
    this.counters.received++;
  }

  transmit(batch: PacketBatch): number {
    const arena = this.#arenas.get(batch);
    let sent = 0;
    for (let i = 0; i < batch.count; i++) {
      const egress = batch.egress[i] as number;
      if (egress < 0) continue;
      const to = this.#byIndex.get(egress);
      if (to === undefined) countTransmitError(this.counters, 'detached');
      else if (arena === undefined ? this.#sendCopy(batch, i, to) : this.#sendInPlace(arena, i, to)) {
        to.counters.transmitted++;
        sent++;
      }
    }
    this.counters.transmitted += sent;
    return sent;
  }

  #sendInPlace({ batch, bytes, headers }: TapArena, i: number, to: Served): boolean {
    const start = batch.start[i] as number;
    const end = batch.end[i] as number;
    const segmentBytes = batch.segmentBytes[i] as number;
    if (segmentBytes > 0) {
      const fitting = payloadBytesMax(bytes, start, end, to.link.mtu);
      if (segmentBytes > fitting || !headers.keepsSegmentation(i)) {
        return this.#sendSegments(bytes, start, end, segmentBytes, fitting, to);
      }
    } else if (end - start > ETHERNET_HEADER_BYTES + to.link.mtu) return this.#refuse(to, 'EMSGSIZE');
    headers.write(i);
    return this.#write(bytes, start, end, to);
  }

  /** A frame in ordinary memory, from the engine or another back end; it is complete but perhaps for its checksum. */
  #sendCopy(batch: PacketBatch, i: number, to: Served): boolean {
    const start = batch.start[i] as number;
    const end = batch.end[i] as number;
    const segmentBytes = batch.segmentBytes[i] as number;
    if (segmentBytes > 0) {
      const fitting = payloadBytesMax(batch.bytes, start, end, to.link.mtu);
      return this.#sendSegments(batch.bytes, start, end, segmentBytes, fitting, to);
    }
    if (end - start > ETHERNET_HEADER_BYTES + to.link.mtu) return this.#refuse(to, 'EMSGSIZE');
    this.#scratch.set(batch.bytes.subarray(start, end), FRAME_AT);
    const frameEnd = FRAME_AT + end - start;
    if (((batch.flags[i] as number) & FrameFlag.PARTIAL_CHECKSUM) !== 0) {
      completeChecksum(this.#scratch, FRAME_AT, frameEnd);
    }
    clearHeader(this.#scratch, FRAME_AT - VNET_HEADER_BYTES);
    return this.#write(this.#scratch, FRAME_AT, frameEnd, to);
  }

  /** TCP may be cut anywhere; each segment of a UDP super-frame is a datagram of its own. */
  #sendSegments(bytes: Uint8Array, start: number, end: number, wanted: number, fitting: number, to: Served): boolean {
    const segmentBytes = carriesTcp(bytes, start, end) ? Math.min(wanted, fitting) : wanted;
    const count = segmentBytes > fitting ? 0 : segmentCount(bytes, start, end, segmentBytes);
    if (count === 0) return this.#refuse(to, 'super-frame');
    for (let index = 0; index < count; index++) {
      const length = writeSegment(bytes, start, end, segmentBytes, index, this.#scratch, FRAME_AT);
      clearHeader(this.#scratch, FRAME_AT - VNET_HEADER_BYTES);
      if (!this.#write(this.#scratch, FRAME_AT, FRAME_AT + length, to)) return false;
    }
    return true;
  }

  /** The mark takes the place of two bytes of the source address, which the rules put back. */
  #write(bytes: Uint8Array, start: number, end: number, to: Served): boolean {
    if (to.link.loopback) bytes.set(OWN_LOOPBACK_MAC, start + SOURCE_MAC_AT);
    writeUint16(bytes, start + SOURCE_MAC_AT, to.mark);
    try {
      writeSync(this.#fd, bytes, start - VNET_HEADER_BYTES, end - start + VNET_HEADER_BYTES, null);
      return true;
    } catch (error) {
      return this.#refuse(to, (error as NodeJS.ErrnoException).code ?? 'unknown');
    }
  }

  #refuse({ counters }: Served, reason: string): false {
    countTransmitError(counters, reason);
    countTransmitError(this.counters, reason);
    return false;
  }

  /** Frames come by the event loop; waiting would keep them away. */
  wait(_timeoutMs: number): void {}

  listen(onReadable: () => void): void {
    this.#readiness ??= watchReadable(this.#fd, this.#first, (length) => {
      this.#firstBytes = length;
      onReadable();
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#byIndex.clear();
    if (this.#readiness === null) closeSync(this.#fd);
    else this.#readiness.close();
  }

  /** The kernel counts what found no room in the tap's queue, for all links together. */
  #lookForDrops(nowMs: number): void {
    if (nowMs - this.#dropsLookedMs < DROPS_LOOK_MS) return;
    this.#dropsLookedMs = nowMs;
    const drops = readDrops();
    if (this.#dropsBefore !== null) this.counters.receiveDrops += Math.max(0, drops - this.#dropsBefore);
    this.#dropsBefore = drops;
  }
}

/** From /proc, which shows the network namespace of whoever reads it. Layout: proc_pid_net(5), `dev`. */
function readDrops(): number {
  const line = readFileSync('/proc/self/net/dev', 'latin1')
    .split('\n')
    .find((row) => row.trimStart().startsWith(`${TAP_LINK_NAME}:`));
  return Number(line?.split(':')[1]?.trim().split(/\s+/)[3] ?? 0);
}
