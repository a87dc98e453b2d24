/** The sending half of one link, as the back ends on packet sockets use it. */
import type { SharedMemory } from '../native/native-memory.ts';
import type { PacketBatch } from '../wire/packet-batch.ts';

export interface FrameSender {
  /** Whether the segments of super-frame `i` fit the link as they are; nobody behind us would ask. */
  takesSegments(batch: PacketBatch, i: number): boolean;
  /**
   * Queues the frame `memory[start..end)`, which has its virtio-net header in front. It must not change before
   * the next `flush`. Returns the frames handed to the link because the queue was full.
   */
  queue(memory: SharedMemory, start: number, end: number, segmentBytes: number): number;
  /** Hands the queued frames to the link in their order and returns how many it took; the others are counted. */
  flush(): number;
  /**
   * Sends the super-frame `memory[start..end)` cut into frames that fit, after all that is queued. Returns the
   * frames handed over: what was queued, and one for the super-frame when all of it was taken.
   */
  sendSegmented(memory: SharedMemory, start: number, end: number, segmentBytes: number): number;
}
