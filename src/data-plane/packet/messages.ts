/** What host and worker say to each other. Plain data: it passes a thread's port and a process's pipe alike. */
import type { Command } from '../../model/commands.ts';
import type { ErrorCode } from '../../model/errors.ts';
import type { NetworkSnapshot } from '../../model/network.ts';
import type { SourceNat } from '../../model/service.ts';
import type { PacketIoOptions } from '../../packet-io/packet-io.ts';
import type { ShardPlace } from '../steering/shard.ts';

/** Everything a worker must know before its first turn. */
export interface WorkerStart {
  /** Name of the I/O back end. */
  readonly io: string;
  readonly ioOptions: PacketIoOptions;
  readonly seed: number;
  readonly connectionsMax: number;
  readonly sourceNat: SourceNat;
  /** Absent: this worker serves everybody. */
  readonly shard?: ShardPlace;
}

export type ToWorker =
  | { readonly type: 'start'; readonly start: WorkerStart }
  | { readonly type: 'command'; readonly id: number; readonly command: Command }
  /** The network as it is now; its links are the ones to serve. Answered with a `NetworkAnswer`. */
  | { readonly type: 'network'; readonly id: number; readonly snapshot: NetworkSnapshot }
  | { readonly type: 'stop' };

export interface NetworkAnswer {
  /** Names of the links that are served now. */
  readonly attached: readonly string[];
  readonly failed: readonly { readonly name: string; readonly reason: string }[];
}

export type FromWorker =
  /** The back end is open. `wakeFd`: an eventfd of this process that ends a wait, or `null`. */
  | { readonly type: 'ready'; readonly wakeFd: number | null }
  | { readonly type: 'answer'; readonly id: number; readonly answer: unknown }
  | { readonly type: 'error'; readonly id: number; readonly code: ErrorCode; readonly message: string }
  /** The worker cannot begin, or cannot go on; it ends after saying so. */
  | { readonly type: 'fatal'; readonly message: string };
