/**
 * The packet in hand: one object per engine, reloaded for each frame. Nothing may keep it; whoever needs a fact
 * later copies the number.
 */
import { FrameFlag, type PacketBatch } from '../wire/packet-batch.ts';
import type { Endpoints } from './connection-table.ts';
import { REASON } from './verdict.ts';

export class Packet implements Endpoints {
  batch!: PacketBatch;
  bytes: Uint8Array = new Uint8Array(0);
  slot = 0;
  /** Offsets into `bytes`: the Ethernet header, the IP header, what follows it, and one past the IP packet. */
  start = 0;
  ipAt = 0;
  transportAt = 0;
  end = 0;
  ingress = 0;
  mark = 0;
  partialChecksum = false;
  segmentBytes = 0;

  etherType = 0;
  ipv6 = false;
  protocol = 0;
  source0 = 0;
  source1 = 0;
  source2 = 0;
  source3 = 0;
  sourcePort = 0;
  destination0 = 0;
  destination1 = 0;
  destination2 = 0;
  destination3 = 0;
  destinationPort = 0;
  /** TCP only. */
  tcpFlags = 0;
  /** Headers of IP and transport together, in bytes: what every segment of a super-frame repeats. */
  headerBytes = 0;

  /** Why the verdict is what it is: a number of `REASON`. */
  reason = 0;

  load(batch: PacketBatch, slot: number): void {
    this.batch = batch;
    this.bytes = batch.bytes;
    this.slot = slot;
    this.start = batch.start[slot] as number;
    this.end = batch.end[slot] as number;
    this.ingress = batch.ingress[slot] as number;
    this.mark = batch.mark[slot] as number;
    this.partialChecksum = ((batch.flags[slot] as number) & FrameFlag.PARTIAL_CHECKSUM) !== 0;
    this.segmentBytes = batch.segmentBytes[slot] as number;
    this.protocol = 0;
    this.sourcePort = 0;
    this.destinationPort = 0;
    this.tcpFlags = 0;
    this.headerBytes = 0;
    this.reason = REASON.none;
  }

  /** Bytes of the IP packet, header included. */
  get ipBytes(): number {
    return this.end - this.ipAt;
  }

  /** Bytes of the largest IP packet this frame becomes on the wire: a super-frame counts by its segments. */
  get wireBytes(): number {
    return this.segmentBytes === 0 ? this.end - this.ipAt : this.headerBytes + this.segmentBytes;
  }
}
