/**
 * Two directors, one with a fast path and one without, to whom the same happens at the same moments. After each frame
 * what left has to be the same, byte by byte; only when neighbours are asked may differ.
 */
import { expect } from 'vitest';
import type { Command } from '../../src/model/commands.ts';
import { IpvsError } from '../../src/model/errors.ts';
import type { NetworkSnapshot } from '../../src/model/network.ts';
import { frame } from '../support/frames.ts';
import type { ModelFastPath } from '../support/model-fast-path.ts';
import { S0_MAC, type Sent, World, type WorldOptions } from '../support/world.ts';

/** Time passes in steps, as a data plane would let it: engines ask for it more often than once in a tenth of a second. */
const STEP_MS = 50;

export class Twins {
  readonly plain: World;
  readonly fast: World;
  readonly fastPath: ModelFastPath;
  /** MACs of servers that have to be asked for. */
  readonly macs = new Map<string, string>();
  /** Answers to questions for neighbours, which the engines count as frames: of the plain world, and of the fast one. */
  readonly #answers = [0, 0];
  /** Packets that left by both, as a measure for what was carried. */
  transmitted = 0;
  /** What left by the plain director's last frame. */
  last: Sent[] = [];

  constructor(options: WorldOptions) {
    this.plain = new World(options);
    this.fast = new World({ ...options, fastPath: true });
    this.fastPath = this.fast.fastPath as ModelFastPath;
  }

  get nowMs(): number {
    return this.plain.nowMs;
  }

  receive(link: 'c0' | 's0', bytes: Uint8Array, facts: { partial?: boolean; segmentBytes?: number } = {}): void {
    for (const world of [this.plain, this.fast]) world.receive(link, bytes, facts);
    expect(this.fast.lastVerdict).toBe(this.plain.lastVerdict);
    if (this.plain.lastVerdict === 'transmit') this.transmitted++;
    this.#compareFrames();
  }

  wait(milliseconds: number): void {
    for (let left = milliseconds; left > 0; left -= STEP_MS) {
      for (const world of [this.plain, this.fast]) world.wait(Math.min(left, STEP_MS));
      this.#compareFrames();
    }
  }

  /** Both take it, or both refuse it. */
  execute(command: Command): unknown {
    const [plain, fast] = [this.plain, this.fast].map((world) => {
      try {
        return world.engine.execute(command);
      } catch (error) {
        if (!(error instanceof IpvsError)) throw error;
        return error.code;
      }
    });
    expect(fast).toEqual(plain);
    return plain;
  }

  setNetwork(network: NetworkSnapshot): void {
    for (const world of [this.plain, this.fast]) world.setNetwork(network);
  }

  /** Services with counters and rates, totals, connections to the second, and what became of frames. */
  compareListings(): void {
    this.execute({ name: 'listServices' });
    this.execute({ name: 'getTotals' });
    this.execute({ name: 'getPerCpu' });
    const [plain, fast] = [this.plain, this.fast].map((world) => ({
      // Rows are used again in the order in which they became free, and that may differ within one tick.
      connections: world.connections().toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
      counters: world.counters(),
    }));
    expect(fast!.connections).toEqual(plain!.connections);
    const { fastPath, ...counters } = fast!.counters;
    expect(fastPath!.packets).toBe(this.fastPath.packets);
    expect(withoutAnswers(counters, this.#answers[1]!)).toEqual(withoutAnswers(plain!.counters, this.#answers[0]!));
  }

  /** The frames of the plain director, after the fast one's were found to be the same. */
  #compareFrames(): void {
    const [plain, fast] = [this.plain, this.fast].map((world, index) => this.#ipFrames(world, index));
    this.last = plain!;
    const text = (sent: readonly Sent[]): string[] =>
      sent.map(({ link, bytes }) => `${link} ${Buffer.from(withoutPadding(bytes)).toString('hex')}`);
    expect(text(fast!)).toEqual(text(plain!));
    expect(this.fast.takeToHost()).toEqual(this.plain.takeToHost());
  }

  /** What left but for questions for neighbours, which are answered at once; what waited for the answer is among it. */
  #ipFrames(world: World, index: number): Sent[] {
    const frames: Sent[] = [];
    for (let sent = world.take(); sent.length > 0; sent = world.take()) {
      for (const each of sent) {
        if (!isArp(each.bytes)) frames.push(each);
        else if (each.link === 's0') this.#answer(world, index, each.bytes);
      }
    }
    return frames;
  }

  #answer(world: World, index: number, question: Uint8Array): void {
    const address = question.slice(38, 42).join('.');
    const mac = this.macs.get(address);
    if (mac === undefined) return;
    this.#answers[index]!++;
    world.receive('s0', arpReply(mac, address));
  }

  /** A server says that it has another MAC now. */
  changeMac(address: string, mac: string): void {
    this.macs.set(address, mac);
    this.receive('s0', arpReply(mac, address));
  }
}

export function arpReply(mac: string, address: string, to = { mac: S0_MAC, address: '10.1.0.1' }): Uint8Array {
  return frame()
    .ethernet({ from: mac, to: to.mac })
    .arp({ operation: 'reply', senderMac: mac, senderIp: address, targetMac: to.mac, targetIp: to.address });
}

/** Padding of the link is no part of the packet: the engine cuts it off, a fast path may leave it. */
export function withoutPadding(bytes: Uint8Array): Uint8Array {
  const type = (bytes[12]! << 8) | bytes[13]!;
  if (type === 0x0800) return bytes.slice(0, 14 + ((bytes[16]! << 8) | bytes[17]!));
  if (type === 0x86dd) return bytes.slice(0, 54 + ((bytes[18]! << 8) | bytes[19]!));
  return bytes;
}

function isArp(bytes: Uint8Array): boolean {
  return bytes[12] === 0x08 && bytes[13] === 0x06;
}

function withoutAnswers(counters: ReturnType<World['counters']>, answers: number): unknown {
  const consume = (counters.verdicts['consume'] ?? 0) - answers;
  return { ...counters, verdicts: { ...counters.verdicts, consume } };
}
