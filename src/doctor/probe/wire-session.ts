/**
 * Hears and sends frames on this host's links for as long as an examination takes, beside the daemon: what is heard
 * here the daemon hears, too, and nothing is taken away from it. Frames that this host sends are not heard.
 */
import { LIVE_KINDS } from '../../packet-io/index.ts';
import type { PacketIo } from '../../packet-io/packet-io.ts';
import { parseMac } from '../../wire/address.ts';
import type { PacketBatch } from '../../wire/packet-batch.ts';
import type { HostLink } from '../facts/host.ts';
import { type Known, known, unknown } from '../facts.ts';
import { type ReadFrame, readFrame } from './read-frame.ts';

/** The back end that needs neither a ring nor a thread of its own. */
const KIND = LIVE_KINDS['packet-mmsg'];
const BATCH_FRAMES = 256;
const LOOK_EVERY_MS = 2;
/** Batches of one look: a flood must not keep the timers of the probes from firing. */
const BATCHES_PER_LOOK = 16;

export type FrameListener = (frame: ReadFrame, linkIndex: number) => void;

export class WireSession {
  readonly #io: PacketIo;
  readonly #batch: PacketBatch;
  readonly #out: PacketBatch;
  readonly #listeners = new Set<FrameListener>();
  readonly #timer: NodeJS.Timeout;

  private constructor(io: PacketIo) {
    this.#io = io;
    this.#batch = io.createBatch(BATCH_FRAMES);
    this.#out = io.createBatch(1);
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  /** On every link that is up and has an Ethernet address. */
  static async open(links: readonly HostLink[]): Promise<Known<WireSession>> {
    if (KIND === undefined) return unknown('this build reads no packets');
    const refused = await KIND.unavailable();
    if (refused !== null) return unknown(`packets cannot be seen or sent: ${refused}`);
    const io = await KIND.open();
    try {
      for (const { index, name, mac, mtu, up, loopback } of links) {
        const bytes = parseMac(mac);
        if (up && !loopback && bytes !== null) io.attach({ index, name, mac: bytes, mtu, loopback });
      }
      return known(new WireSession(io));
    } catch (error) {
      io.close();
      return unknown(`packets cannot be seen or sent: ${(error as Error).message}`);
    }
  }

  /** Returns "stop hearing". */
  hear(listener: FrameListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** False: the link refused it. */
  send(frame: Uint8Array, linkIndex: number): boolean {
    this.#out.clear();
    if (this.#out.push(frame, linkIndex) < 0) return false;
    this.#out.egress[0] = linkIndex;
    return this.#io.transmit(this.#out) === 1;
  }

  /** Frames that came but could not be read in time: what was heard is then not all that passed. */
  get missed(): number {
    return this.#io.counters.receiveDrops;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#io.close();
  }

  #look(): void {
    const batch = this.#batch;
    for (let turn = 0; turn < BATCHES_PER_LOOK && this.#io.receive(batch) > 0; turn++) {
      for (let slot = 0; slot < batch.count; slot++) {
        const frame = readFrame(batch.bytes, batch.start[slot] as number, batch.end[slot] as number);
        if (frame === null) continue;
        for (const listener of this.#listeners) listener(frame, batch.ingress[slot] as number);
      }
      if (batch.count < batch.capacity) return;
    }
  }
}
