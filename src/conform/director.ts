/** The director of a recording: an engine in virtual time, fed with IP packets by interface name. */
import { Engine } from '../engine/engine.ts';
import { DELIVER, PASS, VERDICT_NAMES } from '../engine/verdict.ts';
import type { IpvsadmTable } from '../ipvsadm/io.ts';
import type { Answer, Command, CommandName } from '../model/commands.ts';
import type { NetworkRoute, NetworkSnapshot } from '../model/network.ts';
import type { SourceNatRules } from '../model/source-nat-rule.ts';
import { formatMac, parseMac } from '../wire/address.ts';
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, etherType, setEtherType } from '../wire/ethernet.ts';
import { NO_LINK, PacketBatch } from '../wire/packet-batch.ts';
import { networkOf } from './environment.ts';
import { localReply } from './local-reply.ts';
import type { Observed } from './outputs.ts';
import { asRecordedKernel } from './recorded-kernel.ts';
import type { PacketStep, RecordedOutput, Recording, WaitStep } from './recording.ts';
import type { Leniency } from './tolerances.ts';

const FRAME_BYTES = 70_000;
const SENDER_MAC = '02:00:00:00:00:aa';
const CONNECTIONS_MAX = 1 << 16;
/** Of a packet that comes thousands of times a witness sees these. */
const REPETITIONS_WITNESSED = 3;

/** Looks at each packet of a recording before the engine has it, and at what the engine sent because of it. */
export interface Witness {
  before(engine: Engine, packet: { readonly packet: string; readonly link: string; readonly mark: number }): void;
  after(sent: readonly SentFrame[], verdict: string): void;
}

export interface SentFrame {
  readonly link: string;
  readonly bytes: Uint8Array;
}

export class RecordedDirector {
  network: NetworkSnapshot;
  readonly #engine: Engine;
  readonly #batch = PacketBatch.allocate(1, FRAME_BYTES);
  readonly #indexes = new Map<string, number>();
  #nowMs: number;
  readonly #witness: Witness | null;

  /** `startMs`: when the engine begins to count its ticks, on the clock of the recording. */
  constructor(recording: Recording, leniency: Leniency, startMs: number, witness: Witness | null = null) {
    this.#witness = witness;
    this.network = networkOf(recording);
    this.#nowMs = startMs;
    this.#engine = new Engine({
      seed: 1,
      connectionsMax: CONNECTIONS_MAX,
      defaultSourceNat: 'none',
      nowMs: startMs,
      // Recorded with net.ipv4.icmp_ratemask=0.
      icmpErrorsPerSecond: Number.POSITIVE_INFINITY,
    });
    this.#engine.setNetwork(this.network);
    for (const link of this.network.links) this.#indexes.set(link.name, link.index);
    this.dataPlane = {
      execute: async <N extends CommandName>(command: Command<N>): Promise<Answer<N>> =>
        this.#engine.execute(asRecordedKernel(command, leniency)),
      close: async () => {},
    };
  }

  readonly dataPlane: IpvsadmTable;

  addRoute(route: NetworkRoute): void {
    this.#setNetwork({ ...this.network, routes: [...this.network.routes, route] });
  }

  setSourceNat(sourceNat: SourceNatRules): void {
    this.#setNetwork({ ...this.network, sourceNat });
  }

  #setNetwork(network: NetworkSnapshot): void {
    this.network = network;
    this.#engine.setNetwork(network);
  }

  /** To the time of a step, in as many turns as the engine asks for. */
  advanceTo(seconds: number): void {
    const endMs = milliseconds(seconds);
    while (this.#nowMs < endMs) this.#advanceOnce(endMs);
  }

  /** `null`: there is no such interface. */
  packet(step: PacketStep): Observed | null {
    this.advanceTo(step.t);
    const nowMs = this.#nowMs;
    const index = this.#indexes.get(step.dev);
    if (index === undefined) return null;
    const frame = this.#frame(Buffer.from(step.hex, 'hex'), index);
    const sent: RecordedOutput[] = [];
    let passed = false;
    let verdict = PASS as number;
    for (let i = 0; i < (step.repeat ?? 1); i++) {
      this.#batch.clear();
      this.#batch.push(frame, index, step.mark ?? 0);
      const isWitnessed = i < REPETITIONS_WITNESSED;
      if (isWitnessed) this.#witness?.before(this.#engine, { packet: step.hex, link: step.dev, mark: step.mark ?? 0 });
      this.#engine.process(this.#batch, nowMs);
      if (isWitnessed) this.#tellWitness();
      if (i === 0) {
        verdict = this.#batch.verdict[0] as number;
        passed = verdict === PASS && Buffer.from(this.#batch.frame(0)).equals(Buffer.from(frame));
        this.#take(this.#batch, sent);
        this.#take(this.#engine.outbox, sent);
      }
      this.#engine.outbox.clear();
      const answer = verdict === DELIVER ? step.out?.[0] : undefined;
      const reply =
        answer === undefined ? null : localReply(Buffer.from(this.#batch.frame(0).subarray(14)), answer.hex);
      if (reply !== null) this.#showReply(reply, index, nowMs);
    }
    return { sent, passed, delivered: verdict === DELIVER, verdict: VERDICT_NAMES[verdict] ?? 'unknown' };
  }

  #tellWitness(): void {
    if (this.#witness === null) return;
    const sent: SentFrame[] = [];
    for (const batch of [this.#batch, this.#engine.outbox]) {
      for (let slot = 0; slot < batch.count; slot++) {
        const link = this.network.links.find((each) => each.index === batch.egress[slot]);
        if (link !== undefined) sent.push({ link: link.name, bytes: batch.frame(slot) });
      }
    }
    this.#witness.after(sent, VERDICT_NAMES[this.#batch.verdict[0] as number] as string);
  }

  /** A server on the director answers: what matters is what becomes of the connection. */
  #showReply(reply: Buffer, index: number, nowMs: number): void {
    this.#batch.clear();
    this.#batch.push(this.#frame(reply, index), index);
    this.#engine.process(this.#batch, nowMs);
    this.#engine.outbox.clear();
  }

  #frame(ip: Buffer, index: number): Uint8Array {
    const frame = new Uint8Array(14 + ip.length);
    frame.set(parseMac(this.network.links[index - 1]!.mac)!, 0);
    frame.set(parseMac(SENDER_MAC)!, 6);
    setEtherType(frame, 0, ip[0]! >>> 4 === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
    frame.set(ip, 14);
    return frame;
  }

  wait(step: WaitStep): Observed {
    const sent: RecordedOutput[] = [];
    const beginMs = milliseconds(step.t);
    const endMs = milliseconds(step.t + step.seconds);
    this.advanceTo(step.t);
    while (this.#nowMs < endMs) {
      this.#advanceOnce(endMs);
      const packets: RecordedOutput[] = [];
      this.#take(this.#engine.outbox, packets);
      this.#engine.outbox.clear();
      sent.push(...packets.map((output) => ({ ...output, dt: (this.#nowMs - beginMs) / 1000 })));
    }
    return { sent, passed: true, delivered: false, verdict: 'nothing' };
  }

  #advanceOnce(endMs: number): void {
    this.#nowMs = Math.min(endMs, Math.max(this.#nowMs + 1, Math.ceil(this.#engine.nextDeadlineMs())));
    this.#engine.advance(this.#nowMs);
  }

  #take(batch: PacketBatch, into: RecordedOutput[]): void {
    for (let slot = 0; slot < batch.count; slot++) {
      const egress = batch.egress[slot] as number;
      if (egress < 0 || egress === NO_LINK) continue;
      const frame = batch.frame(slot);
      if (etherType(frame, 0) === ETHERTYPE_ARP) continue;
      const link = this.network.links[egress - 1]!;
      const mac = formatMac(frame, 0);
      const ipv6 = frame[14]! >>> 4 === 6;
      const neighbor = this.network.neighbors.find(
        (entry) => entry.linkIndex === egress && entry.mac === mac && entry.address.includes(':') === ipv6,
      );
      into.push({ dev: link.name, to: neighbor?.address ?? mac, hex: Buffer.from(frame.subarray(14)).toString('hex') });
    }
  }
}

function milliseconds(seconds: number): number {
  return Math.round(seconds * 1000);
}
