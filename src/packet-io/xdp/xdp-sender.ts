/**
 * The sending half of one link of the back end `xdp`: frames that came by AF_XDP leave from where they lie, by the send
 * ring of the link's socket; all others leave by its packet socket. The order of the frames of a batch stays.
 */
import { Errno, errnoName, type Libc, MSG_DONTWAIT } from '../../native/libc.ts';
import type { SharedMemory } from '../../native/native-memory.ts';
import type { PacketBatch } from '../../wire/packet-batch.ts';
import { countTransmitError } from '../counters.ts';
import type { FrameSender } from '../frame-sender.ts';
import type { SenderCounters } from '../packet-sockets.ts';
import type { Port } from './frame-memory.ts';
import type { XdpSource } from './xdp-source.ts';

const ETHERNET_HEADER_BYTES = 14;
/** System calls without any progress before the rest waits for the next turn. */
const IDLE_CALLS_MAX = 2;

export class XdpSender implements FrameSender {
  readonly #libc: Libc;
  readonly #source: XdpSource;
  readonly #port: Port;
  readonly #own: FrameSender;
  readonly #counters: SenderCounters;
  readonly #frameBytesMax: number;
  #queued = 0;
  #ownQueued = false;

  constructor(libc: Libc, source: XdpSource, port: Port, own: FrameSender, counters: SenderCounters) {
    this.#libc = libc;
    this.#source = source;
    this.#port = port;
    this.#own = own;
    this.#counters = counters;
    this.#frameBytesMax = source.link.mtu + ETHERNET_HEADER_BYTES;
  }

  takesSegments(batch: PacketBatch, i: number): boolean {
    return this.#own.takesSegments(batch, i);
  }

  queue(memory: SharedMemory, start: number, end: number, segmentBytes: number): number {
    // Whatever is unusual is the packet socket's, which also knows how to refuse it.
    const plain = segmentBytes === 0 && end - start <= this.#frameBytesMax;
    if (plain && this.#port.write(start, end - start)) {
      const sent = this.#ownQueued ? this.#flushOwn() : 0;
      this.#queued++;
      return sent;
    }
    const sent = this.#queued > 0 ? this.#flushRing() : 0;
    this.#ownQueued = true;
    return sent + this.#own.queue(memory, start, end, segmentBytes);
  }

  flush(): number {
    return (this.#queued > 0 || this.#port.isBehind ? this.#flushRing() : 0) + (this.#ownQueued ? this.#flushOwn() : 0);
  }

  sendSegmented(memory: SharedMemory, start: number, end: number, segmentBytes: number): number {
    const sent = this.#queued > 0 ? this.#flushRing() : 0;
    this.#ownQueued = false;
    return sent + this.#own.sendSegmented(memory, start, end, segmentBytes);
  }

  #flushOwn(): number {
    this.#ownQueued = false;
    return this.#own.flush();
  }

  /** One call sends some of the frames (32 on older kernels). What it leaves goes with the next flush. */
  #flushRing(): number {
    const port = this.#port;
    const queued = this.#queued;
    this.#queued = 0;
    const earlier = port.pending - queued;
    port.publish();
    let pending = earlier + queued;
    let lost = 0;
    for (let idle = 0; pending > 0 && idle < IDLE_CALLS_MAX; ) {
      const done = this.#libc.sendto(port.socket.fd, 0, 0, MSG_DONTWAIT, 0, 0);
      const left = port.pending;
      idle = left === pending ? idle + 1 : 0;
      const untouched = left === earlier + queued;
      pending = left;
      if (done >= 0) continue;
      const errno = this.#libc.errno();
      if (errno === Errno.EAGAIN || errno === Errno.EINTR) continue;
      if (untouched) {
        // The link is down or gone, and has looked at none of them.
        lost += port.withdraw();
        this.#countError(errnoName(errno), lost);
        break;
      }
      // A frame that the link has thrown away.
      lost++;
      this.#countError(errnoName(errno), 1);
    }
    const sent = Math.max(0, queued - lost);
    this.#counters.link.transmitted += sent;
    this.#counters.totals.transmitted += sent;
    this.#source.countTransmitted(sent);
    return sent;
  }

  #countError(reason: string, frames: number): void {
    countTransmitError(this.#counters.link, reason, frames);
    countTransmitError(this.#counters.totals, reason, frames);
  }
}
