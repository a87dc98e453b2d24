/**
 * One shard's part in the whole: it knows which clients are its own, tells the kernel, and looks at every frame again.
 * What the kernel let through and is another's, because a change had not reached the kernel yet or it cannot choose at
 * all, becomes empty and is counted: two shards must never take the same frame for theirs.
 */
import type { ShardRole, SharedLoad } from '../../engine/shard-role.ts';
import type { Command } from '../../model/commands.ts';
import type { NetworkSnapshot } from '../../model/network.ts';
import type { PacketIo } from '../../packet-io/packet-io.ts';
import type { Endpoints } from '../../wire/endpoints.ts';
import { FrameFlag, type PacketBatch } from '../../wire/packet-batch.ts';
import { SteeringFacts } from './facts.ts';
import { shardOfFrame } from './frame.ts';
import { LoadBoard } from './load-board.ts';
import { steeringProgram } from './program.ts';
import { SHARED, shardOf, shardOfClient } from './rule.ts';

export interface ShardPlace {
  /** From 0. */
  readonly index: number;
  readonly count: number;
  /** Made by `createLoadBoard`; absent: every shard watches thresholds for itself. */
  readonly loads?: SharedArrayBuffer;
}

export class Shard implements ShardRole {
  readonly index: number;
  readonly #facts: SteeringFacts;
  readonly #loads: LoadBoard | null;
  #io: PacketIo | null = null;
  /** Version of the facts that the kernel was told. */
  #told = -1;
  #foreign = 0;
  #shared = 0;

  /** `sourceNat`: of services that do not say. */
  constructor({ index, count, loads }: ShardPlace, sourceNat: string) {
    this.index = index;
    this.#loads = loads === undefined ? null : new LoadBoard(loads, index, count);
    this.#facts = new SteeringFacts(count);
    this.#facts.noteLocal(sourceNat);
  }

  /** Frames that were another's, and frames that every shard has. */
  get foreign(): number {
    return this.#foreign;
  }

  get shared(): number {
    return this.#shared;
  }

  /** Whether the kernel chooses; otherwise this shard reads every frame and leaves most of them. */
  get kernelSteers(): boolean {
    return this.#io?.filters === true;
  }

  ownsPacket(packet: Endpoints): boolean {
    const chosen = shardOf(this.#facts, packet);
    return chosen === this.index || chosen === SHARED;
  }

  ownsClient(ipv6: boolean, w0: number, w1: number, w2: number, w3: number): boolean {
    return shardOfClient(this.#facts, ipv6, w0, w1, w2, w3) === this.index;
  }

  loadOf(server: string): SharedLoad | null {
    return this.#loads?.loadOf(server) ?? null;
  }

  ownsPort(port: number): boolean {
    return port % this.#facts.shards === this.index && !this.#facts.servicePorts.has(port);
  }

  /** Whether this shard would have taken the frame, or answered for it. */
  ownsFrame(frame: Uint8Array): boolean {
    const chosen = shardOfFrame(this.#facts, frame, 0, frame.length);
    return chosen === this.index || (chosen === SHARED && this.index === 0);
  }

  /** A command was carried out. */
  note(command: Command): void {
    this.#facts.note(command);
    this.#tell();
  }

  /** Before its links are served. */
  noteNetwork(network: NetworkSnapshot): void {
    this.#facts.noteNetwork(network);
    this.#tell();
  }

  #tell(): void {
    if (this.#io === null || this.#told === this.#facts.version) return;
    this.#told = this.#facts.version;
    this.#io.filter?.(steeringProgram(this.#facts, this.index));
  }

  /** The same back end, with the frames of others taken out. */
  steer(io: PacketIo): PacketIo {
    this.#io = io;
    this.#tell();
    return new SteeredIo(io, (batch) => this.#sort(batch));
  }

  #sort(batch: PacketBatch): void {
    const { bytes, start, end, flags } = batch;
    for (let slot = 0; slot < batch.count; slot++) {
      const chosen = shardOfFrame(this.#facts, bytes, start[slot] as number, end[slot] as number);
      if (chosen === this.index) continue;
      if (chosen === SHARED) {
        this.#shared++;
        if (this.index !== 0) flags[slot] = (flags[slot] as number) | FrameFlag.SHARED;
      } else {
        this.#foreign++;
        flags[slot] = (flags[slot] as number) | FrameFlag.OTHER_SHARD;
        end[slot] = start[slot] as number;
      }
    }
  }
}

class SteeredIo implements PacketIo {
  readonly #io: PacketIo & { readonly wakeFd?: number };
  readonly #sort: (batch: PacketBatch) => void;

  constructor(io: PacketIo, sort: (batch: PacketBatch) => void) {
    this.#io = io;
    this.#sort = sort;
  }

  get wakeFd(): number | undefined {
    return this.#io.wakeFd;
  }

  get links(): PacketIo['links'] {
    return this.#io.links;
  }

  get counters(): PacketIo['counters'] {
    return this.#io.counters;
  }

  get fastPath(): NonNullable<PacketIo['fastPath']> | null {
    return this.#io.fastPath ?? null;
  }

  attach(link: Parameters<PacketIo['attach']>[0]): void {
    this.#io.attach(link);
  }

  detach(linkIndex: number): void {
    this.#io.detach(linkIndex);
  }

  createBatch(frames: number): PacketBatch {
    return this.#io.createBatch(frames);
  }

  receive(batch: PacketBatch): number {
    const count = this.#io.receive(batch);
    if (count > 0) this.#sort(batch);
    return count;
  }

  transmit(batch: PacketBatch): number {
    return this.#io.transmit(batch);
  }

  wait(timeoutMs: number): void {
    this.#io.wait(timeoutMs);
  }

  linkCounters(): ReturnType<NonNullable<PacketIo['linkCounters']>> {
    return this.#io.linkCounters?.() ?? [];
  }

  close(): void {
    this.#io.close();
  }
}
