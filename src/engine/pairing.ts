/**
 * A packet and what came of it, side by side: frames through an engine one at a time, each answered with its
 * `PacketTrace` - the bytes before, every frame that left because of it, and why. For replays, captures and tests;
 * traffic that passes is watched with `Engine.observe` instead.
 */

import { FRAME_BYTES_MAX } from '../model/limits.ts';
import type { PacketTrace } from '../model/packet-trace.ts';
import { FrameFlag, PacketBatch } from '../wire/packet-batch.ts';
import type { Engine } from './engine.ts';
import type { Listener } from './observation.ts';

export interface PairedFrame {
  /** From the Ethernet header on. */
  readonly bytes: Uint8Array;
  /** Kernel index of the link it comes in by. */
  readonly linkIndex: number;
  /** Firewall mark, absent: 0. */
  readonly mark?: number;
  readonly partialChecksum?: boolean;
  /** Payload bytes of each segment of a super-frame, absent: an ordinary one. */
  readonly segmentBytes?: number;
}

export interface Pairing {
  readonly trace: PacketTrace;
  /** The frame as it lies in the batch now, with its egress and verdict. Valid until the next call. */
  readonly batch: PacketBatch;
}

export class PacketPairing {
  readonly #engine: Engine;
  readonly #batch = PacketBatch.allocate(1, FRAME_BYTES_MAX);
  readonly #stop: () => void;
  #heard: PacketTrace | null = null;

  constructor(engine: Engine) {
    this.#engine = engine;
    const listener: Listener = {
      snapBytes: FRAME_BYTES_MAX,
      wants: () => true,
      hear: (trace) => {
        this.#heard = trace;
      },
    };
    this.#stop = engine.observe(listener);
  }

  /**
   * What the engine itself says stands in its outbox as after every `process`, and is the caller's to take and to
   * clear. Throws a RangeError for a frame longer than FRAME_BYTES_MAX.
   */
  process(frame: PairedFrame, nowMs: number): Pairing {
    const batch = this.#batch;
    batch.clear();
    if (batch.push(frame.bytes, frame.linkIndex, frame.mark ?? 0) < 0) {
      throw new RangeError(`a frame of ${frame.bytes.length} bytes is too long; ${FRAME_BYTES_MAX} at most`);
    }
    if (frame.partialChecksum === true) batch.flags[0] = FrameFlag.PARTIAL_CHECKSUM;
    batch.segmentBytes[0] = frame.segmentBytes ?? 0;
    this.#heard = null;
    this.#engine.process(batch, nowMs);
    return { trace: this.#heard as unknown as PacketTrace, batch };
  }

  /** The engine is not watched any more. */
  close(): void {
    this.#stop();
  }
}
