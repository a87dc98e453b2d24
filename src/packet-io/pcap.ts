/**
 * libpcap through the package `cap`: portable and slow, for development and for systems without packet sockets
 * from JavaScript. Frames come without a virtio-net header, so what the kernel left undone is recognised in the
 * frames themselves and done here before they are sent. Optionally IPv4 leaves through the package `raw-socket`.
 */
import { type CaptureHandle, captureUnavailable, closeCapture, loadCapture } from '../native/cap.ts';
import { NativeUnavailableError } from '../native/ffi.ts';
import { linkEpoch, linkIsDown } from '../native/link-state.ts';
import { OWN_LOOPBACK_MAC } from '../native/packet-socket.ts';
import { FrameFlag, HEADROOM_BYTES, NO_LINK, PacketBatch } from '../wire/packet-batch.ts';
import { carriesTcp, ETHERNET_HEADER_BYTES, looksPartial, looksTruncated, payloadBytesMax } from '../wire/segment.ts';
import { createCounters, createLinkCounters } from './counters.ts';
import { FrameQueue } from './frame-queue.ts';
import {
  type Link,
  type LinkCounters,
  type PacketIo,
  type PacketIoCounters,
  PacketIoError,
  type PacketIoKind,
} from './packet-io.ts';
import { PcapSender } from './pcap-sender.ts';
import { SegmentSizes } from './segment-sizes.ts';

export const pcap: PacketIoKind = {
  name: 'pcap',
  summary: 'libpcap through the package cap; portable, slower, one process of its own',
  thread: 'main',
  unavailable: async () => captureUnavailable(),
  open: async () => new Pcap({ send: process.env['UIPVS_PCAP_SEND'] === 'raw' ? 'raw' : 'inject' }),
};

export interface PcapOptions {
  /** `inject`: libpcap sends whole frames. `raw`: the kernel routes and sends IPv4 packets; low rates only. */
  readonly send?: 'inject' | 'raw';
  /** Makes capture handles; those of the package `cap` unless something else is given. */
  readonly createHandle?: () => CaptureHandle;
}

/** What libpcap captures at most of one frame, and room for it. */
const FRAME_BYTES_MAX = 65535;
/** The kernel's ring for one link. Its slots may be 64 KB each: then this is a burst of 256 frames. */
const RING_BYTES = 16 * 1024 * 1024;
const QUEUE_FRAMES = 256;
const QUEUE_BYTES = 4 * 1024 * 1024;
/**
 * The package reads on while frames come, and the event loop stands still as long. After this time the link is
 * closed and opened again, which costs some frames and gives everyone else a turn.
 */
const DRAIN_MS_MAX = 500;
const DRAIN_CHECK_FRAMES = 64;
const LINK_WATCH_MS = 500;

interface CapturedLink {
  readonly link: Link;
  readonly buffer: Uint8Array;
  /** `null` while the link is down or being opened again. */
  handle: CaptureHandle | null;
  /** State of the link when it was opened; `null` when it was down or nothing is known about it. */
  epoch: string | null;
  /** Closed only to let the event loop run: to be opened again in its next turn. */
  paused: boolean;
  readonly counters: LinkCounters;
}

export class Pcap implements PacketIo {
  readonly counters: PacketIoCounters = createCounters();
  readonly #createHandle: () => CaptureHandle;
  readonly #captured = new Map<number, CapturedLink>();
  readonly #queue = new FrameQueue(QUEUE_FRAMES, QUEUE_BYTES);
  readonly #sender: PcapSender;
  readonly #segmentSizes = new SegmentSizes();
  readonly #watch: NodeJS.Timeout;
  #onReadable: (() => void) | null = null;
  #delivering = false;
  /** When the first frame since the event loop's last turn came; 0: none has. */
  #drainSinceMs = 0;
  #drainedFrames = 0;
  #closed = false;

  /** Throws a PacketIoError when a package is missing or this is not the main thread. */
  constructor(options: PcapOptions = {}) {
    try {
      this.#createHandle = options.createHandle ?? loadCapture();
      this.#sender = new PcapSender(this.counters, options.send === 'raw');
    } catch (cause) {
      if (!(cause instanceof NativeUnavailableError)) throw cause;
      throw new PacketIoError(`pcap: ${cause.message}`, { cause });
    }
    this.#watch = setInterval(() => this.#reopenChanged(), LINK_WATCH_MS);
    this.#watch.unref();
  }

  get links(): readonly Link[] {
    return [...this.#captured.values()].map((each) => each.link);
  }

  /** What libpcap lost before it told us is not known. */
  linkCounters(): readonly LinkCounters[] {
    return [...this.#captured.values()].map(({ counters }) => ({
      ...counters,
      transmitErrors: { ...counters.transmitErrors },
    }));
  }

  attach(link: Link): void {
    this.detach(link.index);
    const buffer = new Uint8Array(FRAME_BYTES_MAX + 1);
    const counters = createLinkCounters(link.name);
    const captured: CapturedLink = { link, buffer, handle: null, epoch: null, paused: false, counters };
    // libpcap refuses a link that is down; the watch opens it when it comes up.
    if (!linkIsDown(link.name)) this.#open(captured);
    this.#captured.set(link.index, captured);
  }

  detach(linkIndex: number): void {
    const captured = this.#captured.get(linkIndex);
    if (captured === undefined) return;
    this.#captured.delete(linkIndex);
    this.#release(captured);
  }

  createBatch(frames: number): PacketBatch {
    return PacketBatch.allocate(frames, FRAME_BYTES_MAX);
  }

  receive(batch: PacketBatch): number {
    batch.count = 0;
    while (batch.count < batch.capacity && this.#queue.count > 0) {
      const slot = batch.count;
      const start = (batch.floor[slot] as number) + HEADROOM_BYTES;
      const length = this.#queue.peek(batch.bytes, start, (batch.ceiling[slot] as number) - start);
      const linkIndex = this.#queue.shift();
      const captured = this.#captured.get(linkIndex);
      if (length < 0 || captured === undefined) {
        this.counters.receiveDrops++;
        continue;
      }
      batch.start[slot] = start;
      batch.end[slot] = start + length;
      batch.ingress[slot] = linkIndex;
      batch.egress[slot] = NO_LINK;
      batch.mark[slot] = 0;
      batch.flags[slot] = looksPartial(batch.bytes, start, start + length) ? FrameFlag.PARTIAL_CHECKSUM : 0;
      batch.segmentBytes[slot] = this.#segmentBytesOf(batch.bytes, start, start + length, captured.link.mtu);
      captured.counters.received++;
      batch.count++;
    }
    this.counters.received += batch.count;
    return batch.count;
  }

  /**
   * Segment size of a super-frame: what its receiver announced, otherwise full segments of the link. UDP datagrams
   * cannot be told apart: 0, and such a frame is not sent.
   */
  #segmentBytesOf(bytes: Uint8Array, start: number, end: number, mtu: number): number {
    if (end - start <= ETHERNET_HEADER_BYTES + mtu || !carriesTcp(bytes, start, end)) return 0;
    const fitting = payloadBytesMax(bytes, start, end, mtu);
    return Math.min(fitting, this.#segmentSizes.find(bytes, start, end) || fitting);
  }

  transmit(batch: PacketBatch): number {
    let sent = 0;
    for (let i = 0; i < batch.count; i++) {
      const egress = batch.egress[i] as number;
      if (egress < 0) continue;
      const to = this.#captured.get(egress);
      this.#segmentSizes.learn(batch.bytes, batch.start[i] as number, batch.end[i] as number);
      if (this.#sender.send(batch, i, to ?? null)) sent++;
    }
    this.counters.transmitted += sent;
    return sent;
  }

  /** Frames come by the event loop; waiting would keep them away. */
  wait(_timeoutMs: number): void {}

  listen(onReadable: () => void): void {
    this.#onReadable = onReadable;
    if (this.#queue.count > 0) this.#beginTurn();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#watch);
    for (const index of [...this.#captured.keys()]) this.detach(index);
    this.#sender.close();
  }

  #open(captured: CapturedLink): void {
    const { link, buffer } = captured;
    const handle = this.#createHandle();
    captured.epoch = linkEpoch(link.name);
    try {
      const linkType = handle.open(link.name, captureFilter(link), RING_BYTES, buffer);
      if (linkType !== 'ETHERNET') {
        closeCapture(handle);
        throw new Error(`its frames are ${linkType}, only Ethernet is served`);
      }
    } catch (cause) {
      throw new PacketIoError(`cannot serve link ${link.name}: ${(cause as Error).message}`, { cause });
    }
    captured.handle = handle;
    handle.on('packet', (length, truncated) => this.#take(captured, length, truncated));
  }

  #release(captured: CapturedLink): void {
    if (captured.handle !== null) closeCapture(captured.handle);
    captured.handle = null;
  }

  /** One captured frame lies in the link's buffer, until this returns. */
  #take(captured: CapturedLink, length: number, truncated: boolean): void {
    if (captured.handle === null) return;
    this.#beginTurn();
    if (truncated || looksTruncated(captured.buffer, 0, length)) {
      this.#countDrop(captured);
      return;
    }
    // The event loop may be standing still because more frames come: then the work is done from here.
    if (!this.#queue.push(captured.buffer, length, captured.link.index)) {
      this.#deliver();
      if (!this.#queue.push(captured.buffer, length, captured.link.index)) this.#countDrop(captured);
    }
    if (++this.#drainedFrames % DRAIN_CHECK_FRAMES !== 0) return;
    if (performance.now() - this.#drainSinceMs <= DRAIN_MS_MAX) return;
    this.#release(captured);
    captured.paused = true;
  }

  #countDrop({ counters }: CapturedLink): void {
    counters.receiveDrops++;
    this.counters.receiveDrops++;
  }

  /** The first frame since the event loop's last turn asks for the next one. */
  #beginTurn(): void {
    if (this.#drainSinceMs !== 0) return;
    this.#drainSinceMs = performance.now();
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#drainSinceMs = 0;
    if (this.#closed) return;
    for (const each of this.#captured.values()) if (each.paused) this.#reopen(each);
    this.#deliver();
    if (this.#queue.count > 0 && this.#onReadable !== null) this.#beginTurn();
  }

  #deliver(): void {
    if (this.#onReadable === null || this.#delivering || this.#queue.count === 0) return;
    this.#delivering = true;
    try {
      this.#onReadable();
    } finally {
      this.#delivering = false;
    }
  }

  /** A capture is deaf after its link has been down; it is opened again when the link is back. */
  #reopenChanged(): void {
    for (const each of this.#captured.values()) {
      const epoch = linkEpoch(each.link.name);
      if (epoch === each.epoch || each.paused) continue;
      this.#release(each);
      if (epoch === null) each.epoch = null;
      else this.#reopen(each);
    }
  }

  #reopen(captured: CapturedLink): void {
    captured.paused = false;
    try {
      this.#open(captured);
    } catch {
      // Gone again in the meantime; the watch tries once more.
      captured.epoch = null;
    }
  }
}

/**
 * Neither what this host sends nor what belongs to a VLAN. The loopback link hands every frame back, so there
 * our own are known by their source. `vlan` comes last: it moves the offsets of what follows.
 * libpcap judges the first frame after the filter was set by itself, where it knows no `inbound`, and throws it
 * away: a link loses one frame each time it is opened. Without `inbound` it would hear its own frames instead.
 */
function captureFilter(link: Link): string {
  const own = [...OWN_LOOPBACK_MAC].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
  return link.loopback ? `inbound and not ether src ${own} and not vlan` : 'inbound and not vlan';
}
