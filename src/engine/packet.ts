/**
 * The packet in hand: one object per engine, reloaded for each frame. Nothing may keep it; whoever needs a fact
 * later copies the number.
 */
import type { Endpoints } from '../wire/endpoints.ts';
import { FrameFlag, type PacketBatch } from '../wire/packet-batch.ts';
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
  /** The mark comes from a rule of ours: what carries it counts as sent to this host. */
  markedByRule = false;
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
  /** IPv4 with options. */
  hasOptions = false;
  /** IPsec: looked up as if it was the key exchange (UDP port 500), but there are no ports in it. */
  ipsec = false;
  /** TCP only. */
  tcpFlags = 0;
  /**
   * The flags that the state machine sees: for IPv6 those right behind the fixed header, even if that is an extension
   * header, as in the kernel. -1: nothing is there.
   */
  stateFlags = 0;
  /** IPv6 fragments: where the fragment header is, and the field that names it. */
  fragmentAt = 0;
  fragmentFieldAt = 0;
  /** Total length of the largest fragment that this packet was put together from, 0: it came whole. */
  largestFragmentBytes = 0;
  /** Bytes of the pieces it came in: the first with its IP header, the others without; and what a tunnel put before. */
  readonly pieces: number[] = [];
  firstPieceGrowth = 0;
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
    this.markedByRule = false;
    this.partialChecksum = ((batch.flags[slot] as number) & FrameFlag.PARTIAL_CHECKSUM) !== 0;
    this.segmentBytes = batch.segmentBytes[slot] as number;
    this.protocol = 0;
    this.sourcePort = 0;
    this.destinationPort = 0;
    this.tcpFlags = 0;
    this.ipsec = false;
    this.hasOptions = false;
    this.stateFlags = 0;
    this.largestFragmentBytes = 0;
    this.firstPieceGrowth = 0;
    this.headerBytes = 0;
    this.reason = REASON.none;
  }

  /** Bytes of the IP packet, header included. */
  get ipBytes(): number {
    return this.end - this.ipAt;
  }

  /**
   * Bytes of the largest IP packet this frame becomes on the wire: a super-frame counts by its segments, a packet
   * that came in fragments by the largest of them when it is IPv6.
   */
  get wireBytes(): number {
    if (this.ipv6 && this.largestFragmentBytes !== 0) return this.largestFragmentBytes;
    return this.segmentBytes === 0 ? this.end - this.ipAt : this.headerBytes + this.segmentBytes;
  }
}
