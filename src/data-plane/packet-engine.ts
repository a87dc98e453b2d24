/** What a data plane needs of an engine. `engine/engine.ts` is the one there is; tests bring small ones. */
import type { Answer, Command, CommandName } from '../model/commands.ts';
import type { NetworkSnapshot } from '../model/network.ts';
import type { PacketBatch } from '../wire/packet-batch.ts';

export interface PacketEngine {
  setNetwork(snapshot: NetworkSnapshot): void;
  /** Throws an IpvsError. */
  execute<N extends CommandName>(command: Command<N>): Answer<N>;
  /** Decides about every frame of the batch where it lies. Never throws on any bytes. */
  process(batch: PacketBatch, nowMs: number): void;
  /** Lets time pass: expiry, rates, neighbour retries. */
  advance(nowMs: number): void;
  /** False: every packet has to come through `process` from now on, until it is true again. */
  setFastPath?(allowed: boolean): void;
  /** When `advance` has something to do next: absolute milliseconds, Infinity when never. */
  nextDeadlineMs(): number;
  /** Frames the engine itself says. Transmitted after the batch, then cleared by the caller. */
  readonly outbox: PacketBatch;
}
