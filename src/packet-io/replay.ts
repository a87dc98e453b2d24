/**
 * A capture file in, a capture file out. The times of the packets are the time: `timeMs` stands still until
 * `wait` moves it to the next packet, so that a whole day is played in seconds and always in the same way:
 *
 *     while (io.nextTimeMs < Infinity) {
 *       io.receive(batch); engine.process(batch, io.timeMs); io.transmit(batch);
 *       engine.advance(io.timeMs); io.transmit(engine.outbox);
 *       io.wait(engine.nextDeadlineMs() - io.timeMs);
 *     }
 */
import { statSync } from 'node:fs';
import { type CapturedPacket, CaptureFileError, type CaptureInterface } from '../wire/capture-format.ts';
import { PacketBatch } from '../wire/packet-batch.ts';
import { CaptureFileReader } from './capture-file-reader.ts';
import { type Link, type PacketIo, type PacketIoCounters, PacketIoError } from './packet-io.ts';
import { padCutFrame } from './replay-cut.ts';
import { ethernetFrameOf, type NoFrame } from './replay-frame.ts';
import { ReplayOutput } from './replay-output.ts';

export interface ReplayOptions {
  /** pcap or pcapng; its packets are received. Packets that a pcapng file calls outbound are passed over. */
  readonly input: string;
  /** Transmitted frames go here; absent: nowhere. */
  readonly output?: string;
  /** Of the output; default `pcapng`. A `pcap` file does not say which link a frame left by. */
  readonly outputFormat?: 'pcap' | 'pcapng';
  /** The links, in the order of the file's interfaces. Those that are missing get made-up ones. */
  readonly links?: readonly Link[];
}

/** Longest frame handed over; longer ones are counted as drops. */
const FRAME_BYTES_MAX = 65_536 + 128;
const NS_PER_MS = 1_000_000n;
/** A packet so much later than the one before it has no time that one could believe: a year. */
const GAP_NS_MAX = 366n * 86_400_000n * NS_PER_MS;

/** Why a packet of the file was not received. */
export type PassedOver = NoFrame | 'outbound' | 'too-long' | 'detached';

export class ReplayIo implements PacketIo {
  readonly counters: PacketIoCounters = { received: 0, transmitted: 0, receiveDrops: 0, transmitErrors: {} };
  readonly #input: CaptureFileReader;
  readonly #output: ReplayOutput | null;
  readonly #givenLinks: readonly Link[];
  /** By the number of the file's interface; stays when the link is detached. */
  readonly #interfaceLinks: Link[] = [];
  readonly #attached = new Map<number, Link>();
  #startNs: bigint | null = null;
  #timeMs = 0;
  #next: CapturedPacket | null = null;
  #nextTimeMs = 0;
  #nextNumber = 0;
  #failure: Error | null = null;
  /** Packets that were not received, by reason. */
  readonly passedOver: Partial<Record<PassedOver, number>> = {};
  /** About the frames of the last fill, slot by slot. */
  #lastBatch: PacketBatch | null = null;
  #slotNs = new BigInt64Array(0);
  #slotMs = new Float64Array(0);
  #slotNumbers = new Float64Array(0);
  #slotCapturedBytes = new Int32Array(0);
  #lastNs = 0n;

  /** Throws PacketIoError when a file cannot be opened, CaptureFileError when the input is no capture file. */
  constructor(options: ReplayOptions) {
    if (options.output !== undefined && isSameFile(options.input, options.output)) {
      throw new PacketIoError(`cannot write ${options.output}: it is the file that is read`);
    }
    this.#givenLinks = options.links ?? [];
    this.#input = new CaptureFileReader(options.input);
    try {
      this.#readAhead();
      if (this.#failure !== null) throw this.#failure;
      this.#output = options.output === undefined ? null : new ReplayOutput(options.output, options.outputFormat);
    } catch (error) {
      this.#input.close();
      throw error;
    }
  }

  /** Grows when the file describes further interfaces between its packets. */
  get links(): readonly Link[] {
    return [...this.#attached.values()];
  }

  /** Virtual time: milliseconds since the first packet. Never runs backwards. */
  get timeMs(): number {
    return this.#timeMs;
  }

  /** When the next packet is due, in the milliseconds of `timeMs`; Infinity when there is none. */
  get nextTimeMs(): number {
    return this.#next === null && this.#failure === null ? Number.POSITIVE_INFINITY : this.#nextTimeMs;
  }

  /** Nanoseconds since 1970 at which `timeMs` is 0; 0 for a file without packets. */
  get startNs(): bigint {
    return this.#startNs ?? 0n;
  }

  /** Nanoseconds since 1970 at this moment: `timeMs`, or the time of the last packet when that is in the same millisecond. */
  get nowNs(): bigint {
    const ns = this.startNs + BigInt(Math.floor(this.#timeMs)) * NS_PER_MS;
    return ns > this.#lastNs ? ns : this.#lastNs;
  }

  /** Of a frame of the last fill: when it was captured, in nanoseconds since 1970. */
  timeNsOf(slot: number): bigint {
    return this.#slotNs[slot] as bigint;
  }

  /** Of a frame of the last fill: which packet of the file it is, counted from 1. */
  numberOf(slot: number): number {
    return this.#slotNumbers[slot] as number;
  }

  /** Of a frame of the last fill: so many of its bytes were in the file; the rest the capture had cut off. */
  capturedBytesOf(slot: number): number {
    return this.#slotCapturedBytes[slot] as number;
  }

  /** Bytes of the file that were read so far. */
  get bytesRead(): number {
    return this.#input.bytesRead;
  }

  /** Packets of the file that were read so far. */
  get packetsRead(): number {
    return this.#input.packets;
  }

  attach(link: Link): void {
    this.#attached.set(link.index, link);
  }

  /** Packets that the file has for the link are counted as drops from now on. */
  detach(linkIndex: number): void {
    this.#attached.delete(linkIndex);
  }

  createBatch(frames: number): PacketBatch {
    return PacketBatch.allocate(frames, FRAME_BYTES_MAX);
  }

  /** Packets that are due at `timeMs`. Throws CaptureFileError where the file is damaged, after the packets before. */
  receive(batch: PacketBatch): number {
    batch.clear();
    this.#makeSlots(batch);
    while (this.#next !== null && this.#nextTimeMs <= this.#timeMs && batch.count < batch.capacity) {
      this.#take(batch, this.#next);
      this.#readAhead();
    }
    this.counters.received += batch.count;
    if (batch.count === 0 && this.#next === null && this.#failure !== null) throw this.#failure;
    return batch.count;
  }

  #take(batch: PacketBatch, packet: CapturedPacket): void {
    const link = this.#interfaceLinks[packet.interfaceIndex] as Link;
    if (!this.#attached.has(link.index)) {
      this.#passOver('detached');
      return;
    }
    const { linkType } = this.#input.interfaces[packet.interfaceIndex] as CaptureInterface;
    const frame = ethernetFrameOf(packet.data, linkType, link.mac);
    if (typeof frame === 'string') {
      this.#passOver(frame);
      return;
    }
    const slot = batch.push(padCutFrame(frame, packet.originalBytes - packet.data.length), link.index);
    if (slot < 0) {
      this.#passOver('too-long');
      return;
    }
    this.#slotNs[slot] = packet.timestampNs;
    this.#slotMs[slot] = this.#nextTimeMs;
    this.#slotNumbers[slot] = this.#nextNumber;
    this.#slotCapturedBytes[slot] = frame.length;
    if (packet.timestampNs > this.#lastNs) this.#lastNs = packet.timestampNs;
  }

  #passOver(reason: PassedOver): void {
    this.passedOver[reason] = (this.passedOver[reason] ?? 0) + 1;
    if (reason !== 'outbound') this.counters.receiveDrops++;
  }

  #makeSlots(batch: PacketBatch): void {
    this.#lastBatch = batch;
    if (this.#slotNs.length >= batch.capacity) return;
    this.#slotNs = new BigInt64Array(batch.capacity);
    this.#slotMs = new Float64Array(batch.capacity);
    this.#slotNumbers = new Float64Array(batch.capacity);
    this.#slotCapturedBytes = new Int32Array(batch.capacity);
  }

  transmit(batch: PacketBatch): number {
    let sent = 0;
    for (let slot = 0; slot < batch.count; slot++) {
      const linkIndex = batch.egress[slot] as number;
      if (linkIndex < 0) continue; // NO_LINK, TO_HOST: not for a link.
      const link = this.#attached.get(linkIndex);
      if (link === undefined) {
        this.counters.transmitErrors['ENODEV'] = (this.counters.transmitErrors['ENODEV'] ?? 0) + 1;
        continue;
      }
      // What comes and goes in the same millisecond keeps the whole resolution of the file.
      const isFresh = batch === this.#lastBatch && this.#slotMs[slot] === this.#timeMs;
      const timeNs = isFresh ? this.timeNsOf(slot) : this.nowNs;
      this.#output?.frame(link, batch.bytes.subarray(batch.start[slot], batch.end[slot]), timeNs);
      sent++;
    }
    this.counters.transmitted += sent;
    return sent;
  }

  /** Moves the time on by `timeoutMs`, but not beyond the next packet. */
  wait(timeoutMs: number): void {
    const target = Math.min(this.#timeMs + Math.max(0, timeoutMs), this.nextTimeMs);
    if (Number.isFinite(target)) this.#timeMs = Math.max(this.#timeMs, target);
  }

  close(): void {
    this.#input.close();
    this.#output?.close();
  }

  /** Fetches the next packet to be received. What is wrong with the file is told when its turn comes. */
  #readAhead(): void {
    try {
      do {
        this.#next = this.#input.next();
        if (this.#next?.direction === 'outbound') this.#passOver('outbound');
      } while (this.#next?.direction === 'outbound');
    } catch (error) {
      this.#next = null;
      this.#failure = error as Error;
    }
    this.#describeLinks();
    if (this.#next === null) return;
    this.#nextNumber = this.#input.packets;
    this.#startNs ??= this.#next.timestampNs;
    if (this.#next.timestampNs - (this.#lastNs === 0n ? this.#startNs : this.#lastNs) > GAP_NS_MAX) {
      const problem = 'its time is more than a year after that of the packet before it';
      this.#failure = new CaptureFileError(this.#input.bytesRead, problem, this.#nextNumber);
      this.#next = null;
      return;
    }
    const timeMs = Number((this.#next.timestampNs - this.#startNs) / NS_PER_MS);
    // Times that run backwards are not followed: the packet comes with the one before it.
    this.#nextTimeMs = Math.max(this.#nextTimeMs, timeMs);
  }

  #describeLinks(): void {
    const { interfaces } = this.#input;
    for (let i = this.#interfaceLinks.length; i < interfaces.length; i++) {
      const link = this.#givenLinks[i] ?? madeUpLink(i, interfaces[i] as CaptureInterface);
      this.#interfaceLinks.push(link);
      this.attach(link);
    }
  }
}

/** What the file does not say about interface `i`: index, MTU, often the name and the address. */
function madeUpLink(i: number, described: CaptureInterface): Link {
  const mac = described.mac ?? Uint8Array.of(2, 0, 0, 0, i >>> 8, i & 0xff);
  return { index: i + 1, name: described.name ?? `replay${i}`, mac, mtu: 65_535, loopback: false };
}

function isSameFile(one: string, other: string): boolean {
  const first = statSync(one, { throwIfNoEntry: false });
  const second = statSync(other, { throwIfNoEntry: false });
  return first !== undefined && second !== undefined && first.dev === second.dev && first.ino === second.ino;
}
