/** The director of a recording: an engine in virtual time, fed with IP packets by interface name. */
import { Engine } from '../engine/engine.ts';
import { DELIVER, PASS } from '../engine/verdict.ts';
import type { IpvsadmTable } from '../ipvsadm/io.ts';
import type { Answer, Command, CommandName } from '../model/commands.ts';
import type { NetworkSnapshot } from '../model/network.ts';
import { formatMac, parseMac } from '../wire/address.ts';
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, etherType, setEtherType } from '../wire/ethernet.ts';
import { NO_LINK, PacketBatch } from '../wire/packet-batch.ts';
import { networkOf } from './environment.ts';
import { addressKey, makerOf, summarize } from './makers.ts';
import { compareOutputs, type Difference } from './outputs.ts';
import { comparePackets } from './packets.ts';
import type { RecordedOutput, RecordedStep, Recording } from './recording.ts';

const FRAME_BYTES = 70_000;
const SENDER_MAC = '02:00:00:00:00:aa';
const CONNECTIONS_MAX = 1 << 16;
/** Only cases that look at counters say when their namespace was made. */
const DEFAULT_CREATED_SECONDS = -0.06;

export class RecordedDirector {
  readonly #engine: Engine;
  readonly #network: NetworkSnapshot;
  readonly #batch = PacketBatch.allocate(1, FRAME_BYTES);
  readonly #indexes = new Map<string, number>();
  readonly #ownAddresses = new Set<string>();
  readonly #interfaceAddresses: ReadonlySet<string>;

  constructor(recording: Recording) {
    this.#network = networkOf(recording);
    this.#engine = new Engine({
      seed: 1,
      connectionsMax: CONNECTIONS_MAX,
      defaultSourceNat: 'none',
      nowMs: milliseconds(recording.env.netns_created_t ?? DEFAULT_CREATED_SECONDS),
    });
    this.#engine.setNetwork(this.#network);
    const primary = new Set<string>();
    for (const link of this.#network.links) {
      this.#indexes.set(link.name, link.index);
      for (const { address, prefixLength } of link.addresses) {
        this.#ownAddresses.add(addressKey(address));
        if (prefixLength !== 32 && prefixLength !== 128) primary.add(addressKey(address));
      }
    }
    this.#interfaceAddresses = primary;
  }

  readonly dataPlane: IpvsadmTable = {
    execute: async <N extends CommandName>(command: Command<N>): Promise<Answer<N>> => this.#engine.execute(command),
    close: async () => {},
  };

  advanceTo(seconds: number): void {
    this.#engine.advance(milliseconds(seconds));
  }

  packet(step: Extract<RecordedStep, { do: 'packet' }>): Difference | null {
    const nowMs = milliseconds(step.t);
    this.#engine.advance(nowMs);
    const index = this.#indexes.get(step.dev);
    if (index === undefined) return { field: 'interface', expected: step.dev, actual: 'unknown' };
    const ip = Buffer.from(step.hex, 'hex');
    const frame = new Uint8Array(14 + ip.length);
    frame.set(parseMac(this.#network.links[index - 1]!.mac)!, 0);
    frame.set(parseMac(SENDER_MAC)!, 6);
    setEtherType(frame, 0, ip[0]! >>> 4 === 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
    frame.set(ip, 14);
    const sent: RecordedOutput[] = [];
    let passed = false;
    let delivered = false;
    for (let i = 0; i < (step.repeat ?? 1); i++) {
      this.#batch.clear();
      this.#batch.push(frame, index, step.mark ?? 0);
      this.#engine.process(this.#batch, nowMs);
      if (i > 0) {
        this.#engine.outbox.clear();
        continue;
      }
      passed = this.#batch.verdict[0] === PASS && Buffer.from(this.#batch.frame(0)).equals(Buffer.from(frame));
      delivered = this.#batch.verdict[0] === DELIVER;
      this.#take(this.#batch, sent);
      this.#take(this.#engine.outbox, sent);
      this.#engine.outbox.clear();
    }
    const expected = step.out ?? [];
    const input = summarize(step.hex);
    const isOwn = this.#ownAddresses.has(input.destination) || (step.mark ?? 0) !== 0;
    const context = { isOwn, interfaceAddresses: this.#interfaceAddresses, covered: true };
    const makers = expected.map((output) => makerOf(step.hex, output, context));
    return compareOutputs(expected, makers, { sent, passed, delivered }, comparePackets);
  }

  wait(step: Extract<RecordedStep, { do: 'wait' }>): Difference | null {
    this.advanceTo(step.t + step.seconds);
    const sent: RecordedOutput[] = [];
    this.#take(this.#engine.outbox, sent);
    this.#engine.outbox.clear();
    const expected = step.out ?? [];
    return compareOutputs(
      expected,
      expected.map(() => 'stack'),
      { sent, passed: true, delivered: false },
      comparePackets,
    );
  }

  #take(batch: PacketBatch, into: RecordedOutput[]): void {
    for (let slot = 0; slot < batch.count; slot++) {
      const egress = batch.egress[slot] as number;
      if (egress < 0 || egress === NO_LINK) continue;
      const frame = batch.frame(slot);
      if (etherType(frame, 0) === ETHERTYPE_ARP) continue;
      const link = this.#network.links[egress - 1]!;
      const mac = formatMac(frame, 0);
      const ipv6 = frame[14]! >>> 4 === 6;
      const neighbor = this.#network.neighbors.find(
        (entry) => entry.linkIndex === egress && entry.mac === mac && entry.address.includes(':') === ipv6,
      );
      into.push({ dev: link.name, to: neighbor?.address ?? mac, hex: Buffer.from(frame.subarray(14)).toString('hex') });
    }
  }
}

function milliseconds(seconds: number): number {
  return Math.round(seconds * 1000);
}
