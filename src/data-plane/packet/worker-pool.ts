/**
 * All workers of a data plane. With one it is that worker; with more each carries the traffic of its own clients, every
 * command goes to all of them in the same order, and their answers become one.
 */
import type { Answer, Command, CommandName, Page } from '../../model/commands.ts';
import type { ConnectionStatus } from '../../model/connection-status.ts';
import { IpvsError } from '../../model/errors.ts';
import type { NetworkSnapshot } from '../../model/network.ts';
import type { ServiceStatus } from '../../model/service.ts';
import { mergeAnswers, mergeService, serviceText } from './merge-answers.ts';
import type { NetworkAnswer } from './messages.ts';
import type { Gauges } from './scoreboard.ts';
import { WorkerKeeper } from './worker-keeper.ts';
import type { WorkerSession } from './worker-session.ts';

/** What speaks to the workers as to one. */
export interface WorkerPort {
  execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>>;
  setNetwork(snapshot: NetworkSnapshot): Promise<NetworkAnswer>;
}

export interface PoolOwner {
  readonly shards: number;
  startWorker(shard: number): WorkerSession;
  /** Brings a fresh worker to the state of its predecessor. Rejecting means that this worker will not do. */
  prepare(session: WorkerSession): Promise<void>;
  notice(level: 'info' | 'warning' | 'error', message: string): void;
}

export class WorkerPool {
  readonly #keepers: readonly WorkerKeeper[];

  private constructor(keepers: readonly WorkerKeeper[]) {
    this.#keepers = keepers;
  }

  /** Rejects when one of the first workers cannot be started; then none is left. */
  static async open(owner: PoolOwner): Promise<WorkerPool> {
    const { shards } = owner;
    const opening = [...Array(shards).keys()].map((shard) =>
      WorkerKeeper.open({
        ...(shards === 1 ? {} : { name: `packet worker of shard ${shard} (of ${shards})` }),
        startWorker: () => owner.startWorker(shard),
        prepare: (session) => owner.prepare(session),
        notice: (level, message) => owner.notice(level, message),
      }),
    );
    const outcomes = await Promise.allSettled(opening);
    const keepers = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed === undefined) return new WorkerPool(keepers);
    await Promise.all(keepers.map((keeper) => keeper.close()));
    throw failed.reason;
  }

  /** The workers, once there are all of them. Rejects with an IpvsError EIO when that takes too long. */
  async session(): Promise<WorkerPort> {
    const sessions = await Promise.all(this.#keepers.map((keeper) => keeper.session()));
    return sessions.length === 1 ? (sessions[0] as WorkerSession) : new Shards(sessions, this.#keepers);
  }

  /** Of all workers together, with the oldest of their last turns; `null` when they are processes of their own. */
  gauges(): Gauges | null {
    const each = this.#keepers.map((keeper) => keeper.gauges());
    return each.reduce((total, gauges) => {
      if (total === null || gauges === null) return null;
      return {
        turns: total.turns + gauges.turns,
        lastTurnMs: Math.min(total.lastTurnMs, gauges.lastTurnMs),
        received: total.received + gauges.received,
        transmitted: total.transmitted + gauges.transmitted,
        receiveDrops: total.receiveDrops + gauges.receiveDrops,
        transmitErrors: total.transmitErrors + gauges.transmitErrors,
        links: Math.min(total.links, gauges.links),
      };
    });
  }

  /** Ends all workers; others follow. */
  endWorkers(): void {
    for (const keeper of this.#keepers) keeper.endWorker();
  }

  async close(): Promise<void> {
    await Promise.all(this.#keepers.map((keeper) => keeper.close()));
  }
}

class Shards implements WorkerPort {
  readonly #sessions: readonly WorkerSession[];
  readonly #keepers: readonly WorkerKeeper[];

  constructor(sessions: readonly WorkerSession[], keepers: readonly WorkerKeeper[]) {
    this.#sessions = sessions;
    this.#keepers = keepers;
  }

  async execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>> {
    const any = command as Command;
    if (any.name === 'listConnections') return (await this.#connections(any)) as Answer<N>;
    const answers = await this.#all(command);
    if (any.name === 'listServices') return (await this.#services(answers as Page<ServiceStatus>[])) as Answer<N>;
    const merged = mergeAnswers(command, answers);
    return any.name === 'getCounters' ? (this.#withReplacements(merged as Answer<'getCounters'>) as Answer<N>) : merged;
  }

  async setNetwork(snapshot: NetworkSnapshot): Promise<NetworkAnswer> {
    const answers = await Promise.all(this.#sessions.map((session) => session.setNetwork(snapshot)));
    const failed = new Map(answers.flatMap((answer) => answer.failed.map((each) => [each.name, each] as const)));
    const [{ attached }] = answers as [NetworkAnswer, ...NetworkAnswer[]];
    // Half served is not served: the clients of one shard would find nobody.
    return { attached: attached.filter((name) => !failed.has(name)), failed: [...failed.values()] };
  }

  /** Handed to all before the first has answered, so that commands keep their order everywhere. */
  async #all<N extends CommandName>(command: Command<N>): Promise<Answer<N>[]> {
    const outcomes = await Promise.allSettled(this.#sessions.map((session) => session.execute(command)));
    const refusal = outcomes.find((outcome) => outcome.status === 'rejected' && !hasDied(outcome.reason));
    if (refusal !== undefined) throw (refusal as PromiseRejectedResult).reason;
    return Promise.all(
      outcomes.map((outcome, shard) => (outcome.status === 'fulfilled' ? outcome.value : this.#again(shard, command))),
    );
  }

  /** A worker died over the command, the others have carried it out: its successor must do it too, or has done it. */
  async #again<N extends CommandName>(shard: number, command: Command<N>): Promise<Answer<N>> {
    const session = await (this.#keepers[shard] as WorkerKeeper).session();
    try {
      return await session.execute(command);
    } catch (error) {
      if (error instanceof IpvsError && (error.code === 'EEXIST' || error.code === 'ESRCH')) return null as Answer<N>;
      throw error;
    }
  }

  /** A page of the first shard's, with what the others count. They list in the same order, unless they are younger. */
  async #services(pages: readonly Page<ServiceStatus>[]): Promise<Page<ServiceStatus>> {
    const [{ items, next }] = pages as [Page<ServiceStatus>];
    const others = pages.slice(1).map((page) => new Map(page.items.map((item) => [serviceText(item), item])));
    const merged = items.map(async (item) => {
      const same = others.map((known, at) => known.get(serviceText(item)) ?? this.#service(at + 1, item));
      return mergeService([item, ...(await Promise.all(same)).filter((status) => status !== null)]);
    });
    return { items: await Promise.all(merged), next };
  }

  async #service(shard: number, { spec }: ServiceStatus): Promise<ServiceStatus | null> {
    const session = this.#sessions[shard] as WorkerSession;
    return session.execute<'getService'>({ name: 'getService', key: spec.key }).catch(() => null);
  }

  /** One shard after the other; the cursor says which, and where in its table. */
  async #connections({ cursor, limit }: Command<'listConnections'>): Promise<Page<ConnectionStatus>> {
    const place = /^(\d{1,4}):(\d*)$/.exec(cursor ?? '0:');
    const shard = Number(place?.[1]);
    const session = this.#sessions[shard];
    if (place === null || session === undefined) {
      throw new IpvsError('EINVAL', `cursor ${cursor} is not one this table gave`);
    }
    const { items, next } = await session.execute<'listConnections'>({
      name: 'listConnections',
      ...(place[2] === '' ? {} : { cursor: place[2] as string }),
      ...(limit === undefined ? {} : { limit }),
    });
    const isLast = shard + 1 === this.#sessions.length;
    if (next !== null) return { items, next: `${shard}:${next}` };
    return { items, next: isLast ? null : `${shard + 1}:` };
  }

  #withReplacements(counters: Answer<'getCounters'>): Answer<'getCounters'> {
    const shards = counters.shards?.map((each) => ({
      ...each,
      replaced: this.#keepers[each.shard]?.replaced ?? 0,
    }));
    return shards === undefined ? counters : { ...counters, shards };
  }
}

function hasDied(error: unknown): boolean {
  return error instanceof IpvsError && error.code === 'EIO';
}
