/**
 * The pure machine: commands, frames, the time and one seed go in; frames, answers and counters come out. It opens
 * nothing and reads no clock, so the same inputs give the same bytes, every time, on every computer.
 */
import type { Answer, Command, CommandName } from '../model/commands.ts';
import type { NetworkSnapshot } from '../model/network.ts';
import { TICKS_PER_SECOND } from '../model/settings.ts';
import { NO_SOURCE_NAT_RULES } from '../model/source-nat-rule.ts';
import type { PacketBatch } from '../wire/packet-batch.ts';
import { NO_ROW } from './connection.ts';
import { EngineContext, type EngineOptions, TICK_MS } from './context.ts';
import { executeCommand } from './execute.ts';
import { dropWithoutDestination, expireConnection } from './lifetime.ts';
import { Network } from './network.ts';
import { type Listener, observe } from './observation.ts';
import { Packet } from './packet.ts';
import { processBatch } from './process-batch.ts';
import { sendSyncMessages } from './sync-frames.ts';
import { WARM_CONNECTIONS_MIN, warm } from './warm.ts';

export type { EngineOptions } from './context.ts';

/** The kernel's estimator timer: two seconds, rounded up by its timing wheel. */
const ESTIMATE_TICKS = 504;
/**
 * So many timers fire in one `advance` at most, a tenth of a millisecond's work, and packets come in between: the wheel
 * is coarse, and of a million connections whole seconds' worth end at once.
 */
const EXPIRIES_PER_ADVANCE = 512;
/** How often a shard looks at what the others have done to the servers' thresholds. */
const OVERLOAD_LOOK_MS = 10;
/** While timers run the engine wants to be called at least this often. */
const TIMER_SLACK_MS = 50;

export class Engine {
  readonly #context: EngineContext;
  readonly #packet = new Packet();
  readonly #expire: (row: number) => void;
  #nextEstimateTick: number;
  #nextDefenceTick: number;
  #nextLookMs = 0;
  /** The last `advance` left something for the next. */
  #isBehind = false;

  constructor(options: EngineOptions) {
    const context = new EngineContext(options);
    this.#context = context;
    this.#nextEstimateTick = context.nowTick + ESTIMATE_TICKS;
    this.#nextDefenceTick = context.nowTick + TICKS_PER_SECOND;
    this.#expire = (row) => expireConnection(context, row);
    const { shard, services } = context;
    if (shard !== null) services.environment.sharedLoadOf = (server) => shard.loadOf(server);
  }

  /** Frames the engine itself says. The caller transmits them after each batch and each `advance`, then clears. */
  get outbox(): PacketBatch {
    return this.#context.outbox;
  }

  /** Links, addresses, routes and source NAT rules of the host. Connections stay; next hops are looked up anew. */
  setNetwork(snapshot: NetworkSnapshot): void {
    const context = this.#context;
    context.fastFlows?.takeAllBack();
    context.network = new Network(snapshot, context.network.generation + 1);
    context.sourceNat.set(snapshot.sourceNat ?? NO_SOURCE_NAT_RULES, context.network);
    context.neighbors.rebuild((index) => context.network.link(index), snapshot.neighbors);
  }

  /** Throws an IpvsError when the command is refused; then nothing has changed. */
  execute<N extends CommandName>(command: Command<N>): Answer<N> {
    return executeCommand(this.#context, command);
  }

  /** Decides about every frame of the batch and rewrites in place. Never throws, whatever the bytes are. */
  process(batch: PacketBatch, nowMs: number): void {
    const context = this.#context;
    context.setTime(nowMs);
    if (context.connections.count >= WARM_CONNECTIONS_MIN) context.touched = warm(context, batch);
    processBatch(context, this.#packet, batch);
    context.fastFlows?.watchNeighbors();
  }

  /** `listener` hears what becomes of each packet, and why, until the returned function is called. */
  observe(listener: Listener): () => void {
    return observe(this.#context, listener);
  }

  /** False: every packet comes through the engine from now on, until it is true again. */
  setFastPath(allowed: boolean): void {
    this.#context.fastFlows?.allow(allowed);
  }

  /** Timers, rates and questions to neighbours up to `nowMs`. */
  advance(nowMs: number): void {
    const context = this.#context;
    context.setTime(nowMs);
    const allFired = context.timers.advance(context.nowTick, this.#expire, EXPIRIES_PER_ADVANCE);
    if (((context.nowTick - this.#nextEstimateTick) | 0) >= 0) context.fastFlows?.settleAll();
    while (((context.nowTick - this.#nextEstimateTick) | 0) >= 0) {
      if (context.settings.run_estimation !== 0) context.services.estimate();
      this.#nextEstimateTick = (this.#nextEstimateTick + ESTIMATE_TICKS) | 0;
    }
    this.#isBehind = !this.#defend(context) || !allFired;
    context.services.advance(context.nowTick);
    if (context.shard !== null && nowMs >= this.#nextLookMs) {
      context.services.refreshOverloads();
      this.#nextLookMs = nowMs + OVERLOAD_LOOK_MS;
    }
    context.reassembler.advance(context);
    context.traces.advance(nowMs);
    if (context.sync.master !== null) sendSyncMessages(context);
    context.neighbors.advance(context);
    context.fastFlows?.advance();
  }

  /** When `advance` should be called next, in the milliseconds of `nowMs`. */
  nextDeadlineMs(): number {
    const context = this.#context;
    if (this.#isBehind) return context.nowMs;
    const estimate = context.nowMs + Math.max(1, (this.#nextEstimateTick - context.nowTick) | 0) * TICK_MS;
    const timers = context.timers.count > 0 ? context.nowMs + TIMER_SLACK_MS : Number.POSITIVE_INFINITY;
    const neighbors = context.neighbors.nextDeadlineMs();
    const sync = context.sync.master?.nextDeadlineMs ?? Number.POSITIVE_INFINITY;
    return Math.min(
      sync,
      estimate,
      context.traces.nextDeadlineMs(),
      timers,
      neighbors,
      context.reassembler.nextDeadlineMs(),
      context.fastFlows?.nextDeadlineMs() ?? Number.POSITIVE_INFINITY,
    );
  }

  /** Once a second, and a sweep after deletions; each in pieces. Returns whether it is done for now. */
  #defend(context: EngineContext): boolean {
    if (context.sweepAt !== NO_ROW) context.sweepAt = dropWithoutDestination(context, context.sweepAt);
    while (((context.nowTick - this.#nextDefenceTick) | 0) >= 0) {
      context.defences.beginDropping(context);
      this.#nextDefenceTick = (this.#nextDefenceTick + TICKS_PER_SECOND) | 0;
    }
    return context.defences.dropEntries(context) && context.sweepAt === NO_ROW;
  }
}
