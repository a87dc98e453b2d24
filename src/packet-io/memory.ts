/**
 * Frames in memory: a test plays the cable, puts frames in and takes out what was sent. No clock, no waiting.
 * Behaves like a kernel socket where that can be seen: bounded queues, refusals with the errno's name.
 */
import { FrameFlag, PacketBatch } from '../wire/packet-batch.ts';
import type { Link, PacketIo, PacketIoCounters } from './packet-io.ts';

const QUEUE_FRAMES_DEFAULT = 1_024;
/** A 64 KiB super-frame with its headers. */
const FRAME_BYTES_DEFAULT = 65_536 + 128;
const ETHERNET_HEADER_BYTES = 14;
const VLAN_TAG_BYTES = 4;

export interface FrameFacts {
  /** Firewall mark. */
  readonly mark?: number;
  /** The transport checksum field holds the pseudo-header's sum only. */
  readonly partialChecksum?: boolean;
  /** Payload bytes of each segment, when the frame stands for many. */
  readonly segmentBytes?: number;
}

/** A frame that was transmitted, as the link would have got it. */
export interface TransmittedFrame {
  readonly bytes: Uint8Array;
  readonly partialChecksum: boolean;
  readonly segmentBytes: number;
}

export interface MemoryIoOptions {
  /** Frames that may wait to be received, over all links, and frames that may wait on one link to be taken. */
  readonly queueFrames?: number;
  /** Longest frame that `receive` hands over; longer ones are dropped. */
  readonly frameBytes?: number;
}

interface WaitingFrame {
  readonly linkIndex: number;
  readonly bytes: Uint8Array;
  readonly facts: FrameFacts;
}

export class MemoryIo implements PacketIo {
  readonly counters: PacketIoCounters = { received: 0, transmitted: 0, receiveDrops: 0, transmitErrors: {} };
  readonly #links = new Map<number, Link>();
  readonly #queueFrames: number;
  readonly #frameBytes: number;
  readonly #sent = new Map<number, TransmittedFrame[]>();
  #waiting: WaitingFrame[] = [];

  constructor(links: readonly Link[] = [], options: MemoryIoOptions = {}) {
    this.#queueFrames = options.queueFrames ?? QUEUE_FRAMES_DEFAULT;
    this.#frameBytes = options.frameBytes ?? FRAME_BYTES_DEFAULT;
    for (const link of links) this.attach(link);
  }

  get links(): readonly Link[] {
    return [...this.#links.values()];
  }

  /** A link that is attached already begins anew. */
  attach(link: Link): void {
    this.detach(link.index);
    this.#links.set(link.index, link);
    this.#sent.set(link.index, []);
  }

  /** What waited on the link is lost, in both directions. */
  detach(linkIndex: number): void {
    this.#links.delete(linkIndex);
    this.#sent.delete(linkIndex);
    this.#waiting = this.#waiting.filter((frame) => frame.linkIndex !== linkIndex);
  }

  createBatch(frames: number): PacketBatch {
    return PacketBatch.allocate(frames, this.#frameBytes);
  }

  /** A copy of `frame` comes in by the link. False, and counted, when it is lost: no such link, or the queue is full. */
  inject(linkIndex: number, frame: Uint8Array, facts: FrameFacts = {}): boolean {
    if (!this.#links.has(linkIndex) || this.#waiting.length >= this.#queueFrames) {
      this.counters.receiveDrops++;
      return false;
    }
    this.#waiting.push({ linkIndex, bytes: frame.slice(), facts });
    return true;
  }

  /** Takes what was transmitted on the link, oldest first. */
  take(linkIndex: number): Uint8Array[] {
    return this.takeTransmitted(linkIndex).map((frame) => frame.bytes);
  }

  /** The same with what is beside the bytes. */
  takeTransmitted(linkIndex: number): TransmittedFrame[] {
    return this.#sent.get(linkIndex)?.splice(0) ?? [];
  }

  receive(batch: PacketBatch): number {
    batch.clear();
    let taken = 0;
    for (const { linkIndex, bytes, facts } of this.#waiting) {
      if (batch.count === batch.capacity) break;
      taken++;
      const slot = batch.push(bytes, linkIndex, facts.mark ?? 0);
      if (slot < 0) {
        this.counters.receiveDrops++; // Longer than a slot.
        continue;
      }
      batch.flags[slot] = facts.partialChecksum === true ? FrameFlag.PARTIAL_CHECKSUM : 0;
      batch.segmentBytes[slot] = facts.segmentBytes ?? 0;
    }
    this.#waiting.splice(0, taken);
    this.counters.received += batch.count;
    return batch.count;
  }

  transmit(batch: PacketBatch): number {
    let sent = 0;
    for (let slot = 0; slot < batch.count; slot++) {
      const linkIndex = batch.egress[slot] as number;
      if (linkIndex < 0) continue; // NO_LINK, TO_HOST: not for a link.
      const refusal = this.#refusal(batch, slot, linkIndex);
      if (refusal !== null) {
        this.counters.transmitErrors[refusal] = (this.counters.transmitErrors[refusal] ?? 0) + 1;
        continue;
      }
      this.#sent.get(linkIndex)?.push({
        bytes: batch.frame(slot),
        partialChecksum: ((batch.flags[slot] as number) & FrameFlag.PARTIAL_CHECKSUM) !== 0,
        segmentBytes: batch.segmentBytes[slot] as number,
      });
      sent++;
    }
    this.counters.transmitted += sent;
    return sent;
  }

  /** Nothing comes by waiting: whoever injects frames is the same thread. */
  wait(_timeoutMs: number): void {}

  close(): void {
    for (const link of this.links) this.detach(link.index);
  }

  /** The errno's name with which a kernel would refuse the frame, or `null`. */
  #refusal(batch: PacketBatch, slot: number, linkIndex: number): string | null {
    const link = this.#links.get(linkIndex);
    if (link === undefined) return 'ENODEV';
    const start = batch.start[slot] as number;
    const isTagged = batch.bytes[start + 12] === 0x81 && batch.bytes[start + 13] === 0;
    const frameBytesMax = link.mtu + ETHERNET_HEADER_BYTES + (isTagged ? VLAN_TAG_BYTES : 0);
    const isTooLong = (batch.end[slot] as number) - start > frameBytesMax;
    if (isTooLong && batch.segmentBytes[slot] === 0) return 'EMSGSIZE';
    return (this.#sent.get(linkIndex)?.length ?? 0) >= this.#queueFrames ? 'ENOBUFS' : null;
  }
}
