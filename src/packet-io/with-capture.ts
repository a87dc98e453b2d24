/**
 * Wraps a PacketIo and writes every frame that comes and goes to a pcapng file, one interface for each link.
 * What the bytes do not show stands in a comment on the packet: a checksum left unfinished, a super-frame, a mark.
 */
import { LinkType } from '../wire/capture-format.ts';
import { FrameFlag, type PacketBatch } from '../wire/packet-batch.ts';
import { PcapngWriter } from '../wire/pcapng-writer.ts';
import type { Link, PacketIo } from './packet-io.ts';

/** Where the file goes: an `OutputFile`, or a list in memory. */
export interface CaptureSink {
  write(bytes: Uint8Array): void;
  close(): void;
}

export interface CaptureOptions {
  readonly sink: CaptureSink;
  /** The time of the frames at hand, in nanoseconds since 1970. */
  readonly timeNs: () => bigint;
}

/** A PacketIo that also records. */
export interface CapturingIo extends PacketIo {
  /** Why the capture ended early, or `null`. Traffic goes on without it. */
  readonly captureFailure: Error | null;
}

/**
 * Received frames are written as they came, frames to transmit as they are handed to `io`, whether the link then
 * takes them or not. `close` closes both. A sink that throws ends the capture, not the traffic.
 */
export function withCapture(io: PacketIo, options: CaptureOptions): CapturingIo {
  const capture = new Capture(options);
  for (const link of io.links) capture.describe(link);
  return {
    get links() {
      return io.links;
    },
    get counters() {
      return io.counters;
    },
    get captureFailure() {
      return capture.failure;
    },
    attach(link) {
      io.attach(link);
      capture.describe(link);
    },
    detach: (linkIndex) => io.detach(linkIndex),
    createBatch: (frames) => io.createBatch(frames),
    receive(batch) {
      const count = io.receive(batch);
      for (let slot = 0; slot < count; slot++) capture.frame(batch, slot, batch.ingress[slot] as number, 'inbound');
      return count;
    },
    transmit(batch) {
      for (let slot = 0; slot < batch.count; slot++) {
        capture.frame(batch, slot, batch.egress[slot] as number, 'outbound');
      }
      return io.transmit(batch);
    },
    wait: (timeoutMs) => io.wait(timeoutMs),
    ...(io.listen === undefined ? {} : { listen: (onReadable: () => void) => io.listen?.(onReadable) }),
    close() {
      io.close();
      capture.close();
    },
  };
}

class Capture {
  failure: Error | null = null;
  readonly #sink: CaptureSink;
  readonly #timeNs: () => bigint;
  readonly #writer = new PcapngWriter({ application: 'uipvs' });
  /** Link index to the file's interface number; a link that is attached again is described again. */
  readonly #interfaces = new Map<number, number>();

  constructor(options: CaptureOptions) {
    this.#sink = options.sink;
    this.#timeNs = options.timeNs;
    this.#guarded(() => this.#sink.write(this.#writer.header()));
  }

  describe(link: Link): void {
    this.#interfaces.set(link.index, this.#writer.interfaceCount);
    const description = { linkType: LinkType.ETHERNET, snapBytes: 0, name: link.name, mac: link.mac };
    const block = this.#writer.interface(description);
    this.#guarded(() => this.#sink.write(block));
  }

  /** Frames without a link we know are not sent, so they are not written either. */
  frame(batch: PacketBatch, slot: number, linkIndex: number, direction: 'inbound' | 'outbound'): void {
    const interfaceIndex = this.#interfaces.get(linkIndex);
    if (interfaceIndex === undefined || this.failure !== null) return;
    const data = batch.bytes.subarray(batch.start[slot], batch.end[slot]);
    const notes = { direction, comments: commentsOn(batch, slot) };
    this.#guarded(() => this.#sink.write(this.#writer.packet(interfaceIndex, data, this.#timeNs(), notes)));
  }

  close(): void {
    this.#guarded(() => this.#sink.close());
  }

  #guarded(work: () => void): void {
    try {
      if (this.failure === null) work();
    } catch (error) {
      this.failure = error as Error;
    }
  }
}

function commentsOn(batch: PacketBatch, slot: number): string[] {
  const comments: string[] = [];
  const segmentBytes = batch.segmentBytes[slot] as number;
  const mark = batch.mark[slot] as number;
  if (((batch.flags[slot] as number) & FrameFlag.PARTIAL_CHECKSUM) !== 0) comments.push('partial checksum');
  if (segmentBytes > 0) comments.push(`super-frame, ${segmentBytes} payload bytes a segment`);
  if (mark > 0) comments.push(`mark ${mark}`);
  return comments;
}
