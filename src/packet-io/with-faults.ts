/**
 * Wraps a PacketIo and makes its cables bad: frames get lost, come twice, overtake each other or lose bits.
 * All by one seed, so that the same seed and the same frames give the same story again.
 */
import { PacketBatch } from '../wire/packet-batch.ts';
import type { PacketIo } from './packet-io.ts';

/** Probabilities, `0..1`, each rolled for every frame. */
export interface FaultRates {
  readonly loss?: number;
  readonly duplication?: number;
  /** A frame is held back until `1..REORDER_FRAMES_MAX` later ones have passed, or until nothing comes any more. */
  readonly reordering?: number;
  /** One random bit is turned round. */
  readonly bitFlip?: number;
}

export interface FaultOptions {
  readonly seed: number;
  readonly receive?: FaultRates;
  readonly transmit?: FaultRates;
}

/** What was done so far, in both directions together. */
export interface FaultCounters {
  lost: number;
  duplicated: number;
  reordered: number;
  flipped: number;
}

export interface FaultyIo extends PacketIo {
  readonly faults: FaultCounters;
}

const REORDER_FRAMES_MAX = 4;
const BATCH_FRAMES = 64;
/** Frames are copied out of the wrapped batch; a slot takes a 64 KiB super-frame with its headers. */
const FRAME_BYTES_MAX = 65_536 + 128;

/**
 * Frames are copied, so batches of this PacketIo lie in ordinary memory and a wrapped kernel socket loses its
 * super-frames on the way out (see `PacketIo.transmit`). When a `receive` finds nothing, held back frames of both
 * directions go on; behind an event-driven back end they wait for the next event.
 */
export function withFaults(io: PacketIo, options: FaultOptions): FaultyIo {
  const faults: FaultCounters = { lost: 0, duplicated: 0, reordered: 0, flipped: 0 };
  const random = createRandom(options.seed);
  const incoming = new BadCable(options.receive ?? {}, random, faults);
  const outgoing = new BadCable(options.transmit ?? {}, random, faults);
  const received = io.createBatch(BATCH_FRAMES);
  const toSend = PacketBatch.allocate(BATCH_FRAMES, FRAME_BYTES_MAX);
  const send = () => {
    let sent = 0;
    while (outgoing.ready > 0) {
      outgoing.fill(toSend);
      sent += io.transmit(toSend);
    }
    return sent;
  };
  return {
    faults,
    get links() {
      return io.links;
    },
    get counters() {
      return io.counters;
    },
    attach: (link) => io.attach(link),
    detach: (linkIndex) => io.detach(linkIndex),
    createBatch: (frames) => PacketBatch.allocate(frames, FRAME_BYTES_MAX),
    receive(batch) {
      if (incoming.ready === 0) {
        const count = io.receive(received);
        for (let slot = 0; slot < count; slot++) incoming.put(received, slot);
        if (count === 0) {
          incoming.releaseAll();
          outgoing.releaseAll();
          send();
        }
      }
      return incoming.fill(batch);
    },
    transmit(batch) {
      for (let slot = 0; slot < batch.count; slot++) {
        if ((batch.egress[slot] as number) >= 0) outgoing.put(batch, slot);
      }
      return send();
    },
    wait(timeoutMs) {
      if (incoming.ready + incoming.held + outgoing.held === 0) io.wait(timeoutMs);
    },
    ...(io.listen === undefined ? {} : { listen: (onReadable: () => void) => io.listen?.(onReadable) }),
    close: () => io.close(),
  };
}

/** A frame on its way, with everything the batch says beside it. */
interface FrameOnTheWay {
  readonly bytes: Uint8Array;
  readonly ingress: number;
  readonly egress: number;
  readonly flags: number;
  readonly segmentBytes: number;
  readonly mark: number;
}

/** One direction. At most a batch is put in before all that is ready is taken out, so both lists stay short. */
class BadCable {
  readonly #rates: FaultRates;
  readonly #random: () => number;
  readonly #faults: FaultCounters;
  readonly #ready: FrameOnTheWay[] = [];
  #held: { frame: FrameOnTheWay; framesToPass: number }[] = [];

  constructor(rates: FaultRates, random: () => number, faults: FaultCounters) {
    this.#rates = rates;
    this.#random = random;
    this.#faults = faults;
  }

  get ready(): number {
    return this.#ready.length;
  }

  get held(): number {
    return this.#held.length;
  }

  put(batch: PacketBatch, slot: number): void {
    if (this.#happens(this.#rates.loss)) {
      this.#faults.lost++;
      return;
    }
    const frame = copyOf(batch, slot);
    if (this.#happens(this.#rates.bitFlip)) this.#flipBit(frame.bytes);
    const twice = this.#happens(this.#rates.duplication);
    if (twice) this.#faults.duplicated++;
    if (this.#happens(this.#rates.reordering)) {
      this.#faults.reordered++;
      this.#held.push({ frame, framesToPass: 1 + Math.floor(this.#random() * REORDER_FRAMES_MAX) });
    } else {
      this.#pass(frame);
    }
    if (twice) this.#pass(frame);
  }

  releaseAll(): void {
    for (const { frame } of this.#held) this.#ready.push(frame);
    this.#held = [];
  }

  /** Fills the batch from its first slot with what is ready, and answers the number of frames. */
  fill(batch: PacketBatch): number {
    batch.clear();
    let taken = 0;
    for (const frame of this.#ready) {
      if (batch.count === batch.capacity) break;
      taken++;
      const slot = batch.push(frame.bytes, frame.ingress, frame.mark);
      if (slot < 0) continue;
      batch.egress[slot] = frame.egress;
      batch.flags[slot] = frame.flags;
      batch.segmentBytes[slot] = frame.segmentBytes;
    }
    this.#ready.splice(0, taken);
    return batch.count;
  }

  #pass(frame: FrameOnTheWay): void {
    this.#ready.push(frame);
    for (const held of this.#held) held.framesToPass--;
    const released = this.#held.filter((held) => held.framesToPass <= 0);
    if (released.length === 0) return;
    this.#held = this.#held.filter((held) => held.framesToPass > 0);
    for (const held of released) this.#ready.push(held.frame);
  }

  #flipBit(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const at = Math.floor(this.#random() * bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(this.#random() * 8));
    this.#faults.flipped++;
  }

  /** Rolls only for faults that are switched on. */
  #happens(rate = 0): boolean {
    return rate > 0 && this.#random() < rate;
  }
}

function copyOf(batch: PacketBatch, slot: number): FrameOnTheWay {
  return {
    bytes: batch.frame(slot),
    ingress: batch.ingress[slot] as number,
    egress: batch.egress[slot] as number,
    flags: batch.flags[slot] as number,
    segmentBytes: batch.segmentBytes[slot] as number,
    mark: batch.mark[slot] as number,
  };
}

/** Numbers from 0 up to 1, by the "mulberry32" construction. */
function createRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}
