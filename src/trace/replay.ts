/**
 * A capture through the balancer, in virtual time: the engine of the daemon, the table of a file, a made-up network.
 * The same capture and the same table give the same bytes, every time and on every computer.
 */
import { statSync } from 'node:fs';
import { applyChanges, readActual } from '../control/apply-changes.ts';
import { type DesiredBalancer, NOBODY_OUTSIDE, planChanges } from '../control/change-plan.ts';
import { allServices } from '../control/pages.ts';
import { PACKET_ENGINE_CAPABILITIES } from '../data-plane/capabilities.ts';
import { InProcessDataPlane } from '../data-plane/in-process.ts';
import { Engine } from '../engine/engine.ts';
import { DELIVER, TRANSMIT } from '../engine/verdict.ts';
import type { EngineCounters } from '../model/commands.ts';
import { IpvsError } from '../model/errors.ts';
import { CONNECTIONS_MAX_DEFAULT, FRAME_BYTES_MAX } from '../model/limits.ts';
import type { NetworkSnapshot } from '../model/network.ts';
import type { PacketTrace } from '../model/packet-trace.ts';
import type { ServiceStatus, SourceNat } from '../model/service.ts';
import type { Link } from '../packet-io/packet-io.ts';
import { ReplayIo } from '../packet-io/replay.ts';
import type { PacketBatch } from '../wire/packet-batch.ts';
import { formatFrame } from '../wire/print.ts';
import { replayNetwork, withLinks } from './replay-network.ts';
import { type ByteSink, HashingSink } from './sink.ts';
import { createTwoSides, fateNote, leftNote, type TwoSidesFormat, type TwoSidesWriter } from './two-sides.ts';

export interface ReplayOptions {
  /** pcap or pcapng. A file, since it is read twice. */
  readonly input: string;
  readonly desired: DesiredBalancer;
  /** Where the capture of what happened goes; `null`: nowhere, but it is summed up all the same. */
  readonly output: ByteSink | null;
  readonly format: TwoSidesFormat;
  readonly sourceNat: SourceNat;
  readonly seed: number;
  /** Hears of each packet, in order. */
  readonly explain?: (told: ToldPacket) => void;
  /** Awaited now and then, so that Ctrl-C is heard and a slow reader of `explain` is waited for. */
  readonly progress?: (done: ReplayProgress) => Promise<void>;
}

export interface ToldPacket {
  /** `#12 +0.001234567`: number in the file, seconds since the first packet. */
  readonly place: string;
  /** What came, and what was done, in one line. */
  readonly line: string;
  /** All that is known about it; `null`: the balancer said it itself. */
  readonly trace: PacketTrace | null;
}

export interface ReplayProgress {
  readonly packets: number;
  /** From 0 to 1, of the bytes of the file. */
  readonly share: number;
}

export interface ReplayReport {
  readonly input: string;
  /** Packets in the file. */
  readonly packets: number;
  /** Those that were not given to the balancer, by reason. */
  readonly passedOver: Readonly<Record<string, number>>;
  /** Frames sent, those that the balancer itself said included. */
  readonly sent: number;
  /** From the first packet to the last, in virtual time. */
  readonly seconds: number;
  /** Nanoseconds since 1970 of the first packet, as a decimal number. */
  readonly startNs: string;
  readonly counters: EngineCounters;
  readonly services: readonly ServiceStatus[];
  readonly output: { readonly bytes: number; readonly sha256: string };
}

const BATCH_FRAMES = 64;
const PROGRESS_PACKETS = 4_096;
/** Statistics are those of the estimator's last tick, which comes every two seconds. */
const LAST_TICK_MS = 2_100;
/** Nothing that runs in a gap as long as this needs the exact moment. */
const LONG_GAP_MS = 3_600_000;
const LONG_STEP_MS = 60_000;

/** Throws IpvsError for a table that is refused, CaptureFileError and PacketIoError for the files. */
export async function replay(options: ReplayOptions): Promise<ReplayReport> {
  const fileBytes = statSync(options.input, { throwIfNoEntry: false })?.size ?? 0;
  const network = replayNetwork(options.input, options.desired);
  const io = new ReplayIo({ input: options.input, links: network.links });
  const sink = new HashingSink(options.output);
  try {
    const engine = new Engine({
      seed: options.seed,
      connectionsMax: CONNECTIONS_MAX_DEFAULT,
      defaultSourceNat: options.sourceNat,
      nowMs: 0,
    });
    engine.setNetwork(network.snapshot);
    const plane = new InProcessDataPlane({
      engine,
      capabilities: PACKET_ENGINE_CAPABILITIES,
      nowMs: () => Math.floor(io.timeMs),
    });
    await fillTable(plane, options.desired);
    const player = new Player(engine, io, network.snapshot, createTwoSides(sink, options.format), options.explain);
    await player.play(async () => {
      await sink.settle();
      const share = fileBytes === 0 ? 0 : Math.min(1, io.bytesRead / fileBytes);
      await options.progress?.({ packets: io.packetsRead, share });
    });
    const seconds = io.timeMs / 1000;
    const counters = engine.execute<'getCounters'>({ name: 'getCounters' });
    io.wait(LAST_TICK_MS);
    engine.advance(Math.floor(io.timeMs));
    const services = await allServices(plane);
    return {
      input: options.input,
      packets: io.packetsRead,
      passedOver: io.passedOver,
      sent: player.sent,
      seconds,
      startNs: io.startNs.toString(),
      counters,
      services,
      output: { bytes: sink.bytes, sha256: sink.sha256() },
    };
  } finally {
    io.close();
    await sink.close();
  }
}

async function fillTable(plane: InProcessDataPlane, desired: DesiredBalancer): Promise<void> {
  const everything = { service: () => true, markRule: () => true, syncDaemon: () => true };
  // Messages between directors are no part of a replay.
  const wanted = { ...desired, syncDaemons: [] };
  const { steps } = planChanges(wanted, await readActual(plane), { mayDelete: everything, outside: NOBODY_OUTSIDE });
  const outcome = await applyChanges(plane, steps);
  if (outcome.type !== 'applied') throw new IpvsError('EINVAL', `the table is refused: ${outcome.reason}`);
}

class Player {
  sent = 0;
  readonly #engine: Engine;
  readonly #io: ReplayIo;
  readonly #writer: TwoSidesWriter;
  readonly #explain: ReplayOptions['explain'];
  /** Of the batch at hand, when somebody wants to hear of it. */
  readonly #traces: PacketTrace[] = [];
  readonly #batch: PacketBatch;
  #network: NetworkSnapshot;
  /** Frames as they came, before the engine rewrote them where they lie. */
  #came: Uint8Array[] = [];
  #linkNames = new Map<number, string>();

  constructor(
    engine: Engine,
    io: ReplayIo,
    network: NetworkSnapshot,
    writer: TwoSidesWriter,
    explain: ReplayOptions['explain'],
  ) {
    this.#engine = engine;
    this.#io = io;
    this.#network = network;
    this.#writer = writer;
    this.#explain = explain;
    this.#batch = io.createBatch(BATCH_FRAMES);
    this.#nameLinks(io.links);
    if (explain === undefined) return;
    engine.observe({ snapBytes: FRAME_BYTES_MAX, wants: () => true, hear: (trace) => this.#traces.push(trace) });
  }

  /** `pause` is awaited every few thousand packets. */
  async play(pause: () => Promise<void>): Promise<void> {
    const io = this.#io;
    const engine = this.#engine;
    let sincePause = 0;
    this.#writer.begin();
    while (io.nextTimeMs < Number.POSITIVE_INFINITY) {
      const frames = this.#turn();
      sincePause += frames + 1;
      if (sincePause >= PROGRESS_PACKETS) {
        sincePause = 0;
        await pause();
      }
      if (frames > 0) continue;
      const gapMs = io.nextTimeMs - io.timeMs;
      const untilDeadline = Math.max(1, Math.ceil(engine.nextDeadlineMs() - io.timeMs));
      io.wait(gapMs > LONG_GAP_MS ? Math.max(LONG_STEP_MS, untilDeadline) : untilDeadline);
    }
    await pause();
  }

  #turn(): number {
    const io = this.#io;
    const batch = this.#batch;
    const frames = io.receive(batch);
    if (io.links.length !== this.#linkNames.size) this.#learnLinks();
    const nowMs = Math.floor(io.timeMs);
    if (frames > 0) {
      this.#came = [];
      for (let slot = 0; slot < frames; slot++) this.#came.push(batch.frame(slot));
      this.#traces.length = 0;
      this.#engine.process(batch, nowMs);
      for (let slot = 0; slot < frames; slot++) this.#tell(slot);
    }
    this.#engine.advance(nowMs);
    this.#tellOutbox();
    return frames;
  }

  /** One packet: as it came, what was decided, as it left. */
  #tell(slot: number): void {
    const io = this.#io;
    const batch = this.#batch;
    const came = this.#came[slot] as Uint8Array;
    const timeNs = io.timeNsOf(slot);
    const capturedBytes = io.capturedBytesOf(slot);
    const verdict = batch.verdict[slot] as number;
    const fate = fateNote(verdict, batch.reason[slot] as number);
    const seen = came.subarray(0, capturedBytes);
    this.#writer.came(
      { bytes: seen, originalBytes: came.length, timeNs, link: this.#nameOf(batch.ingress[slot] as number) },
      fate,
    );
    let note = fate;
    if (verdict === TRANSMIT || verdict === DELIVER) {
      const left = batch.frame(slot);
      const delivered = verdict === DELIVER;
      note = leftNote(came, left, delivered);
      // What the capture had cut off is cut off again.
      const cut = left.subarray(0, Math.min(left.length, capturedBytes + Math.max(0, left.length - came.length)));
      this.#writer.left(
        { bytes: cut, originalBytes: left.length, timeNs, link: this.#nameOf(batch.egress[slot] as number) },
        note,
      );
      if (!delivered) this.sent++;
    }
    this.#explain?.({
      place: this.#place(io.numberOf(slot), timeNs),
      line: `${formatFrame(came)} | ${note}`,
      trace: this.#traces[slot] ?? null,
    });
  }

  /** What the engine itself says: ICMP errors, pieces of packets, questions for neighbours. */
  #tellOutbox(): void {
    const { outbox } = this.#engine;
    if (outbox.count === 0) return;
    for (let slot = 0; slot < outbox.count; slot++) {
      const egress = outbox.egress[slot] as number;
      if (egress < 0) continue;
      const bytes = outbox.frame(slot);
      const timeNs = this.#io.nowNs;
      const note = 'said by the balancer, or sent after it waited';
      this.#writer.left({ bytes, originalBytes: bytes.length, timeNs, link: this.#nameOf(egress) }, note);
      this.#explain?.({ place: this.#place(0, timeNs), line: `${formatFrame(bytes)} | ${note}`, trace: null });
      this.sent++;
    }
    outbox.clear();
  }

  /** `#12 +0.001234567`: number in the file, seconds since the first packet. */
  #place(number: number, timeNs: bigint): string {
    const sinceNs = timeNs - this.#io.startNs;
    const absolute = sinceNs < 0n ? -sinceNs : sinceNs;
    const sign = sinceNs < 0n ? '-' : '+';
    const fraction = (absolute % 1_000_000_000n).toString().padStart(9, '0');
    return `${number === 0 ? '#-' : `#${number}`} ${sign}${absolute / 1_000_000_000n}.${fraction}`;
  }

  #learnLinks(): void {
    this.#network = withLinks(this.#network, this.#io.links);
    this.#engine.setNetwork(this.#network);
    this.#nameLinks(this.#io.links);
  }

  #nameLinks(links: readonly Link[]): void {
    this.#linkNames = new Map(links.map(({ index, name }) => [index, name]));
  }

  /** Only where there is more than one. */
  #nameOf(index: number): string | undefined {
    return this.#linkNames.size > 1 ? this.#linkNames.get(index) : undefined;
  }
}
