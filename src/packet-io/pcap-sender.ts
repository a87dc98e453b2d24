/** The sending half of the `pcap` back end: finishes what the frame lacks, then injects it or hands it to the kernel. */
import type { CaptureHandle } from '../native/cap.ts';
import { OWN_LOOPBACK_MAC } from '../native/packet-socket.ts';
import { openRawIp, type RawIpSender } from '../native/raw-ip.ts';
import { readUint8, readUint16 } from '../wire/bytes.ts';
import { FrameFlag, type PacketBatch } from '../wire/packet-batch.ts';
import {
  carriesTcp,
  completeChecksum,
  ETHERNET_HEADER_BYTES,
  payloadBytesMax,
  segmentCount,
  writeSegment,
} from '../wire/segment.ts';
import { countTransmitError } from './counters.ts';
import type { Link, LinkCounters, PacketIoCounters } from './packet-io.ts';

const SOURCE_MAC_AT = 6;
const ETHERTYPE_IPV4 = 0x0800;
/** Packets the package raw-socket may hold; it would queue without end. */
const RAW_PENDING_MAX = 512;
const SEGMENT_FRAME_BYTES_MAX = 66 * 1024;

/** libpcap passes on the system's sentences; these are the ones that tell something about a link. */
const ERRNO_OF: readonly (readonly [sentence: string, name: string])[] = [
  ['Message too long', 'EMSGSIZE'],
  ['No buffer space available', 'ENOBUFS'],
  ['Resource temporarily unavailable', 'EAGAIN'],
  ['Network is down', 'ENETDOWN'],
  ['No such device or address', 'ENXIO'],
  ['No such device', 'ENODEV'],
  ['Invalid argument', 'EINVAL'],
];

export interface SendingLink {
  readonly link: Link;
  /** `null` while the link is down. */
  readonly handle: CaptureHandle | null;
  readonly counters: LinkCounters;
}

export class PcapSender {
  readonly #counters: PacketIoCounters;
  /** Those of the link that is sent on now. */
  #linkCounters: LinkCounters | null = null;
  readonly #raw: RawIpSender | null;
  #rawPending = 0;
  readonly #segment = new Uint8Array(SEGMENT_FRAME_BYTES_MAX);

  /** Throws a NativeUnavailableError when `raw` is wanted and its package missing. */
  constructor(counters: PacketIoCounters, raw: boolean) {
    this.#counters = counters;
    this.#raw = raw ? openRawIp() : null;
  }

  /** Sends frame `i`, cut up when the link cannot take it whole. False when it was refused; then it is counted. */
  send(batch: PacketBatch, i: number, to: SendingLink | null): boolean {
    this.#linkCounters = to?.counters ?? null;
    const sent = this.#send(batch, i, to?.link ?? null, to?.handle ?? null);
    if (sent && to !== null) to.counters.transmitted++;
    return sent;
  }

  #send(batch: PacketBatch, i: number, link: Link | null, handle: CaptureHandle | null): boolean {
    if (link === null) return this.#refuse('detached');
    if (handle === null) return this.#refuse('ENETDOWN');
    const { bytes } = batch;
    const start = batch.start[i] as number;
    const end = batch.end[i] as number;
    if (link.loopback) bytes.set(OWN_LOOPBACK_MAC, start + SOURCE_MAC_AT);
    const tooLong = end - start > ETHERNET_HEADER_BYTES + link.mtu;
    if (tooLong || (batch.segmentBytes[i] as number) > 0) {
      return this.#sendSegments(bytes, start, end, batch.segmentBytes[i] as number, link, handle);
    }
    if (((batch.flags[i] as number) & FrameFlag.PARTIAL_CHECKSUM) !== 0 && !completeChecksum(bytes, start, end)) {
      return this.#refuse('partial-checksum');
    }
    return this.#put(bytes.subarray(start, end), link, handle);
  }

  close(): void {
    this.#raw?.close();
  }

  #sendSegments(
    bytes: Uint8Array,
    start: number,
    end: number,
    wantedBytes: number,
    link: Link,
    handle: CaptureHandle,
  ): boolean {
    const fitting = payloadBytesMax(bytes, start, end, link.mtu);
    const tcp = carriesTcp(bytes, start, end);
    const segmentBytes = tcp && (wantedBytes === 0 || wantedBytes > fitting) ? fitting : wantedBytes;
    const count = segmentBytes > fitting ? 0 : segmentCount(bytes, start, end, segmentBytes);
    if (count === 0) return this.#refuse('super-frame');
    for (let index = 0; index < count; index++) {
      const length = writeSegment(bytes, start, end, segmentBytes, index, this.#segment, 0);
      if (!this.#put(this.#segment.subarray(0, length), link, handle)) return false;
    }
    return true;
  }

  #put(frame: Uint8Array, link: Link, handle: CaptureHandle): boolean {
    if (this.#raw !== null && !link.loopback && readUint16(frame, 12) === ETHERTYPE_IPV4) return this.#putRaw(frame);
    try {
      handle.send(frame);
      return true;
    } catch (error) {
      return this.#refuse(errnoOf((error as Error).message));
    }
  }

  #putRaw(frame: Uint8Array): boolean {
    const raw = this.#raw;
    if (raw === null || this.#rawPending >= RAW_PENDING_MAX) return this.#refuse('raw-queue-full');
    const packet = frame.slice(ETHERNET_HEADER_BYTES);
    const destination = [16, 17, 18, 19].map((at) => readUint8(packet, at)).join('.');
    this.#rawPending++;
    raw.send(packet, destination, (error) => {
      this.#rawPending--;
      // Told later, when the link is not known any more.
      if (error !== null) countTransmitError(this.#counters, errnoOf(error.message));
    });
    return true;
  }

  #refuse(reason: string): false {
    countTransmitError(this.#counters, reason);
    if (this.#linkCounters !== null) countTransmitError(this.#linkCounters, reason);
    return false;
  }
}

function errnoOf(message: string): string {
  return ERRNO_OF.find(([sentence]) => message.includes(sentence))?.[1] ?? message;
}
