/** The parts of one engine, handed to every step of the pipeline. */

import { Flow } from '../balance/scheduler.ts';
import { ServiceTable } from '../balance/service-table.ts';
import { SyncDaemons } from '../balance/sync-daemons.ts';
import { OUTBOX_FRAME_BYTES, OUTBOX_FRAMES } from '../model/limits.ts';
import type { SourceNat } from '../model/service.ts';
import { DEFAULT_TIMEOUTS, TICKS_PER_SECOND, type Timeouts } from '../model/settings.ts';
import { HEADROOM_BYTES, NO_LINK, PacketBatch } from '../wire/packet-batch.ts';
import { ConnectionTable } from './connection-table.ts';
import { EgressTable } from './egress.ts';
import { TimingWheel } from './expiry.ts';
import { NeighborTable } from './neighbor.ts';
import { Network } from './network.ts';
import { IcmpBudget } from './outgoing-icmp.ts';
import { TCP_NORMAL_TABLE, TCP_TIMEOUT_SECONDS } from './protocols/tcp-states.ts';
import { Random } from './random.ts';
import { REASON, REASON_NAMES, VERDICT_NAMES } from './verdict.ts';

export const TICK_MS = 1000 / TICKS_PER_SECOND;

export interface EngineOptions {
  /** All that is random comes from it: hash seeds, port choice, IP ids. */
  readonly seed: number;
  readonly connectionsMax: number;
  /** For services that do not name one. */
  readonly defaultSourceNat: SourceNat;
  /** Monotonic, milliseconds. */
  readonly nowMs: number;
}

export class EngineContext {
  readonly random: Random;
  readonly services: ServiceTable;
  readonly syncDaemons: SyncDaemons = new SyncDaemons();
  readonly connections: ConnectionTable;
  readonly timers: TimingWheel;
  readonly neighbors: NeighborTable;
  readonly egresses: EgressTable;
  readonly outbox: PacketBatch = PacketBatch.allocate(OUTBOX_FRAMES, OUTBOX_FRAME_BYTES);
  network: Network;
  nowMs: number;
  /** Kernel ticks since the engine was made; wraps, so compare differences. */
  nowTick = 0;
  readonly startMs: number;

  tcpTable: Uint8Array = TCP_NORMAL_TABLE;
  readonly tcpTimeoutTicks: Int32Array = Int32Array.from(TCP_TIMEOUT_SECONDS, (s) => s * TICKS_PER_SECOND);
  udpTimeoutTicks: number = DEFAULT_TIMEOUTS.udpSeconds * TICKS_PER_SECOND;
  timeouts: Timeouts = DEFAULT_TIMEOUTS;

  /** Result of looking ahead (warm.ts), kept only so that no compiler leaves the work out. */
  touched = 0;

  /** One flow object for all questions to schedulers. */
  readonly flow: Flow = new Flow();

  readonly icmpBudget: IcmpBudget = new IcmpBudget();

  readonly verdictCounts: Float64Array = new Float64Array(VERDICT_NAMES.length);
  readonly dropCounts: Float64Array = new Float64Array(REASON_NAMES.length);
  readonly passCounts: Float64Array = new Float64Array(REASON_NAMES.length);

  constructor(options: EngineOptions) {
    this.random = new Random(options.seed);
    this.nowMs = options.nowMs;
    this.startMs = options.nowMs;
    this.services = new ServiceTable({
      random: () => this.random.fraction(),
      defaultSourceNat: options.defaultSourceNat,
      nowTicks: 0,
    });
    this.connections = new ConnectionTable(options.connectionsMax, this.random.int32());
    this.timers = new TimingWheel(this.connections.rows, 0);
    this.network = new Network(
      { links: [], routes: [], neighbors: [], hostLink: null, localPortRange: [32768, 60999] },
      0,
    );
    this.neighbors = new NeighborTable();
    this.egresses = new EgressTable();
  }

  setTime(nowMs: number): void {
    this.nowMs = nowMs;
    this.nowTick = Math.floor((nowMs - this.startMs) / TICK_MS) | 0;
  }

  /** A free slot of the outbox, its frame beginning at the returned batch's `start`, or -1 when it is full. */
  claimOutboxSlot(): number {
    const { outbox } = this;
    const slot = outbox.count;
    if (slot >= outbox.capacity) {
      this.dropCounts[REASON['outbox-full']]!++;
      return -1;
    }
    outbox.start[slot] = (outbox.floor[slot] as number) + HEADROOM_BYTES;
    outbox.ingress[slot] = NO_LINK;
    outbox.egress[slot] = NO_LINK;
    outbox.flags[slot] = 0;
    outbox.segmentBytes[slot] = 0;
    outbox.count = slot + 1;
    return slot;
  }
}
