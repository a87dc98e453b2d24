/** The sending half of one link on a packet socket: a queue of frames for one sendmmsg(2). */
import { Errno, errnoName, type Libc, MSG_DONTWAIT } from '../native/libc.ts';
import { MessageVector } from '../native/message-vector.ts';
import { NativeMemory, type SharedMemory } from '../native/native-memory.ts';
import { OWN_LOOPBACK_MAC, VNET_HEADER_BYTES } from '../native/packet-socket.ts';
import type { PacketBatch } from '../wire/packet-batch.ts';
import { carriesTcp, completeChecksum, payloadBytesMax, segmentCount, writeSegment } from '../wire/segment.ts';
import { countTransmitError } from './counters.ts';
import type { FrameSender } from './frame-sender.ts';
import { clearHeader } from './offload-headers.ts';
import type { Link, LinkCounters, PacketIoCounters } from './packet-io.ts';

const QUEUE_FRAMES = 64;
const SOURCE_MAC_AT = 6;
/** Room for the segments of one sendmmsg(2), headers included. */
const SEGMENT_MEMORY_BYTES = 256 * 1024;
const SEGMENT_HEADERS_BYTES_MAX = 160;

export class LinkSender implements FrameSender {
  readonly link: Link;
  readonly fd: number;
  readonly #libc: Libc;
  readonly #counters: LinkCounters;
  /** Those of the whole back end. */
  readonly #totals: PacketIoCounters;
  readonly #queue: MessageVector;
  #queued = 0;
  /** Whose memory the queued frames lie in, where, and how large their segments are (0: not a super-frame). */
  #memory: SharedMemory | null = null;
  readonly #start = new Int32Array(QUEUE_FRAMES);
  readonly #end = new Int32Array(QUEUE_FRAMES);
  readonly #segmentBytes = new Uint16Array(QUEUE_FRAMES);
  #segments: { memory: NativeMemory; vector: MessageVector } | null = null;

  constructor(libc: Libc, link: Link, fd: number, counters: LinkCounters, totals: PacketIoCounters) {
    this.link = link;
    this.fd = fd;
    this.#libc = libc;
    this.#counters = counters;
    this.#totals = totals;
    this.#queue = new MessageVector(libc, QUEUE_FRAMES);
  }

  takesSegments({ bytes, start, end, segmentBytes }: PacketBatch, i: number): boolean {
    const wanted = segmentBytes[i] as number;
    if (wanted + SEGMENT_HEADERS_BYTES_MAX <= this.link.mtu) return true;
    return wanted <= payloadBytesMax(bytes, start[i] as number, end[i] as number, this.link.mtu);
  }

  queue(memory: SharedMemory, start: number, end: number, segmentBytes: number): number {
    const sent = this.#queued === QUEUE_FRAMES || this.#memory !== memory ? this.flush() : 0;
    if (this.link.loopback) memory.bytes.set(OWN_LOOPBACK_MAC, start + SOURCE_MAC_AT);
    const i = this.#queued++;
    this.#memory = memory;
    this.#start[i] = start;
    this.#end[i] = end;
    this.#segmentBytes[i] = segmentBytes;
    this.#queue.set(i, memory.address + start - VNET_HEADER_BYTES, end - start + VNET_HEADER_BYTES);
    return sent;
  }

  flush(): number {
    const queued = this.#queued;
    this.#queued = 0;
    let sent = 0;
    for (let i = 0; i < queued; ) {
      const accepted = this.#libc.sendmmsg(this.fd, this.#queue.address(i), queued - i, MSG_DONTWAIT);
      if (accepted > 0) {
        sent += accepted;
        i += accepted;
        continue;
      }
      // The first frame failed. What the link cannot finish or cut up is done here; one bad frame stops no other.
      const errno = this.#libc.errno();
      if (errno === Errno.EINTR) continue;
      if (errno === Errno.EAGAIN) {
        // The socket's memory is full of frames that have not left: the others would fare no better.
        this.#countError(errnoName(errno), queued - i);
        break;
      }
      const retry = errno === Errno.EMSGSIZE || errno === Errno.EINVAL;
      if (retry && this.#sendInSoftware(i)) sent++;
      else if (!retry || !this.#offloaded(i)) this.#countError(errnoName(errno));
      i++;
    }
    this.#count(sent);
    return sent;
  }

  sendSegmented(memory: SharedMemory, start: number, end: number, segmentBytes: number): number {
    const sent = this.flush();
    if (this.link.loopback) memory.bytes.set(OWN_LOOPBACK_MAC, start + SOURCE_MAC_AT);
    if (!this.#sendSegments(memory.bytes, start, end, segmentBytes)) return sent;
    this.#count(1);
    return sent + 1;
  }

  #count(frames: number): void {
    this.#counters.transmitted += frames;
    this.#totals.transmitted += frames;
  }

  #countError(reason: string, frames = 1): void {
    countTransmitError(this.#counters, reason, frames);
    countTransmitError(this.#totals, reason, frames);
  }

  #offloaded(i: number): boolean {
    const headerAt = (this.#start[i] as number) - VNET_HEADER_BYTES;
    return (this.#segmentBytes[i] as number) > 0 || this.#memory?.bytes[headerAt] !== 0;
  }

  /** A second try without the link's help for a frame that asked for it. False when it failed, and is counted. */
  #sendInSoftware(i: number): boolean {
    const memory = this.#memory;
    if (memory === null || !this.#offloaded(i)) return false;
    const start = this.#start[i] as number;
    const end = this.#end[i] as number;
    const segmentBytes = this.#segmentBytes[i] as number;
    if (segmentBytes > 0) return this.#sendSegments(memory.bytes, start, end, segmentBytes);
    if (!completeChecksum(memory.bytes, start, end)) {
      this.#countError('partial-checksum');
      return false;
    }
    clearHeader(memory.bytes, start - VNET_HEADER_BYTES);
    return this.#sendVector(this.#queue, i, 1);
  }

  #sendSegments(bytes: Uint8Array, start: number, end: number, wantedBytes: number): boolean {
    const fitting = payloadBytesMax(bytes, start, end, this.link.mtu);
    // TCP may be cut anywhere; each segment of a UDP super-frame is a datagram of its own.
    const segmentBytes = carriesTcp(bytes, start, end) ? Math.min(wantedBytes, fitting) : wantedBytes;
    const count = segmentBytes > fitting ? 0 : segmentCount(bytes, start, end, segmentBytes);
    if (count === 0) {
      this.#countError('super-frame');
      return false;
    }
    this.#segments ??= {
      memory: new NativeMemory(this.#libc, SEGMENT_MEMORY_BYTES),
      vector: new MessageVector(this.#libc, QUEUE_FRAMES),
    };
    const { memory, vector } = this.#segments;
    const strideBytes = (VNET_HEADER_BYTES + SEGMENT_HEADERS_BYTES_MAX + segmentBytes + 15) & ~15;
    const atOnce = Math.min(QUEUE_FRAMES, Math.floor(SEGMENT_MEMORY_BYTES / strideBytes));
    for (let first = 0; first < count; first += atOnce) {
      const n = Math.min(atOnce, count - first);
      for (let i = 0; i < n; i++) {
        const headerAt = i * strideBytes;
        const at = headerAt + VNET_HEADER_BYTES;
        const length = writeSegment(bytes, start, end, segmentBytes, first + i, memory.bytes, at);
        clearHeader(memory.bytes, headerAt);
        vector.set(i, memory.address + headerAt, VNET_HEADER_BYTES + length);
      }
      if (!this.#sendVector(vector, 0, n)) return false;
    }
    return true;
  }

  /** Sends `count` complete frames; the first that is refused is counted and ends it. */
  #sendVector(vector: MessageVector, first: number, count: number): boolean {
    for (let i = 0; i < count; ) {
      const accepted = this.#libc.sendmmsg(this.fd, vector.address(first + i), count - i, MSG_DONTWAIT);
      if (accepted > 0) {
        i += accepted;
        continue;
      }
      const errno = this.#libc.errno();
      if (errno === Errno.EINTR) continue;
      this.#countError(errnoName(errno));
      return false;
    }
    return true;
  }
}
