/** The parts of one engine, handed to every step of the pipeline. */

import { Flow } from '../balance/scheduler.ts';
import { ServiceTable } from '../balance/service-table.ts';
import { SyncDaemons } from '../balance/sync-daemons.ts';
import { OUTBOX_FRAME_BYTES, OUTBOX_FRAMES, OUTBOX_FRAMES_MAX } from '../model/limits.ts';
import type { SourceNat } from '../model/service.ts';
import {
  DEFAULT_TIMEOUTS,
  defaultSettings,
  type Settings,
  TICKS_PER_SECOND,
  type Timeouts,
} from '../model/settings.ts';
import type { FastPath } from '../wire/fast-path.ts';
import { HEADROOM_BYTES, NO_LINK, PacketBatch } from '../wire/packet-batch.ts';
import { MarkRules } from './classify.ts';
import { NO_ROW } from './connection.ts';
import { ConnectionTable } from './connection-table.ts';
import { Defences } from './defences.ts';
import { EgressTable } from './egress.ts';
import { TimingWheel } from './expiry.ts';
import { FastFlows } from './fast-flows.ts';
import { ServerAddresses } from './held-back.ts';
import { HelperStates } from './helper-step.ts';
import { NeighborTable } from './neighbor.ts';
import { Network } from './network.ts';
import type { Observation } from './observation.ts';
import { ICMP_ERRORS_PER_SECOND, IcmpBudget } from './outgoing-icmp.ts';
import { PathMtu } from './path-mtu.ts';
import { TCP_NORMAL_TABLE, TCP_TIMEOUT_SECONDS } from './protocols/tcp-states.ts';
import { Random } from './random.ts';
import { Reassembler } from './reassembly.ts';
import type { ShardRole } from './shard-role.ts';
import { HostSourceNat } from './source-nat.ts';
import { SyncTraffic } from './sync-daemon.ts';
import { Traces } from './traces.ts';
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
  /** Frames of its own that it may say in one turn at first; absent: OUTBOX_FRAMES. */
  readonly outboxFrames?: number;
  /** Secret of the table's hash; absent: from the seed. */
  readonly hashSeed?: number;
  /** ICMP errors of our own a second, over all peers; 1000 unless told. */
  readonly icmpErrorsPerSecond?: number;
  /** Absent: this engine serves everybody. */
  readonly shard?: ShardRole;
  /** Who carries packets of decided connections; absent: all go through the engine. */
  readonly fastPath?: FastPath;
}

export class EngineContext {
  readonly random: Random;
  /** `null`: there are no others. */
  readonly shard: ShardRole | null;
  /** Who is told what becomes of each packet, and why; `null`: nobody. */
  observation: Observation | null = null;
  /** `null`: there is no fast path. */
  readonly fastFlows: FastFlows | null;
  readonly traces: Traces = new Traces(this);
  readonly services: ServiceTable;
  readonly syncDaemons: SyncDaemons = new SyncDaemons();
  readonly connections: ConnectionTable;
  readonly timers: TimingWheel;
  readonly neighbors: NeighborTable;
  readonly egresses: EgressTable;
  outbox: PacketBatch;
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

  readonly icmpBudget: IcmpBudget;
  readonly settings: Settings = defaultSettings();
  readonly defences: Defences = new Defences();
  readonly reassembler: Reassembler = new Reassembler();
  readonly markRules: MarkRules = new MarkRules();
  readonly sourceNat: HostSourceNat = new HostSourceNat();
  readonly serverAddresses: ServerAddresses = new ServerAddresses();
  readonly pathMtu: PathMtu = new PathMtu();
  /** What the daemons send and hear. */
  readonly sync: SyncTraffic = new SyncTraffic();
  readonly helpers: HelperStates = new HelperStates();
  /** A backup that forwards nothing (backup_only). */
  paused = false;
  /** With expire_nodest_conn: the row at which the sweep after a deletion goes on; NO_ROW: none is due. */
  sweepAt: number = NO_ROW;

  readonly verdictCounts: Float64Array = new Float64Array(VERDICT_NAMES.length);
  readonly dropCounts: Float64Array = new Float64Array(REASON_NAMES.length);
  readonly passCounts: Float64Array = new Float64Array(REASON_NAMES.length);

  constructor(options: EngineOptions) {
    this.outbox = PacketBatch.allocate(options.outboxFrames ?? OUTBOX_FRAMES, OUTBOX_FRAME_BYTES);
    this.random = new Random(options.seed);
    this.shard = options.shard ?? null;
    this.fastFlows = options.fastPath === undefined ? null : new FastFlows(this, options.fastPath);
    this.icmpBudget = new IcmpBudget(options.icmpErrorsPerSecond ?? ICMP_ERRORS_PER_SECOND);
    this.nowMs = options.nowMs;
    this.startMs = options.nowMs;
    this.services = new ServiceTable({
      random: () => this.random.fraction(),
      peekRandom: () => {
        const copy = this.random.copy();
        return () => copy.fraction();
      },
      defaultSourceNat: options.defaultSourceNat,
      nowTicks: this.nowTick,
    });
    this.connections = new ConnectionTable(options.connectionsMax, options.hashSeed ?? this.random.int32());
    this.timers = new TimingWheel(this.connections.rows, this.nowTick);
    this.network = new Network(
      { links: [], routes: [], neighbors: [], hostLink: null, localPortRange: [32768, 60999] },
      0,
    );
    this.neighbors = new NeighborTable();
    this.egresses = new EgressTable();
  }

  /** After a daemon or the setting backup_only changed. */
  updatePaused(): void {
    this.paused = this.settings.backup_only !== 0 && this.sync.backupDaemon !== null;
  }

  setTime(nowMs: number): void {
    this.nowMs = nowMs;
    this.nowTick = this.tickOf(nowMs);
  }

  tickOf(timeMs: number): number {
    return Math.floor((timeMs - this.startMs) / TICK_MS) | 0;
  }

  /** Sees to it that so many more frames fit into the outbox if it may grow that far. Memory is taken as it is used. */
  makeRoomInOutbox(frames: number): void {
    const { outbox } = this;
    if (outbox.count + frames <= outbox.capacity || outbox.capacity >= OUTBOX_FRAMES_MAX) return;
    const larger = PacketBatch.allocate(OUTBOX_FRAMES_MAX, OUTBOX_FRAME_BYTES);
    for (let slot = 0; slot < outbox.count; slot++) {
      larger.push(outbox.frame(slot), outbox.ingress[slot] as number);
      larger.egress[slot] = outbox.egress[slot] as number;
    }
    this.outbox = larger;
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
