/**
 * The proxy in several processes. This one has the table, opens the ports, answers every question, and carries its share;
 * the others accept from the same ports. Each chooses servers by its own schedulers. Once a second, and before anything
 * is asked, they tell what they carry, so that load, thresholds and statistics are those of all together.
 * Persistent services and UDP stay in this process.
 */
import { type ChildProcess, fork } from 'node:child_process';
import type { Server } from 'node:net';
import { AcceptedSpecs } from '../../src/data-plane/accepted-specs.ts';
import { Watchers } from '../../src/data-plane/changes.ts';
import type { Answer, Command, CommandName, EngineCounters, Page } from '../../src/model/commands.ts';
import type { ConnectionStatus } from '../../src/model/connection-status.ts';
import type { Capabilities, DataPlane } from '../../src/model/data-plane.ts';
import type { DataPlaneEvent } from '../../src/model/events.ts';
import { formatServiceKey, type ServiceKey } from '../../src/model/service.ts';
import { judgeBy } from '../front.ts';
import { ProxyDataPlane } from '../proxy-data-plane.ts';
import { ForeignCounters, ForeignLoads, type Load, ownLoads } from './loads.ts';
import type { FromHelper, HelperOptions, LoadsAnswer, ToHelper } from './messages.ts';

const EXCHANGE_EVERY_MS = 1_000;
/** A helper that does not answer by then is left out this time. */
const PATIENCE_MS = 2_000;
const RESTART_DELAY_MS = 500;

/** Commands that change what helpers must know. `zero` is a matter of what is shown, which is asked here alone. */
const TOLD: ReadonlySet<CommandName> = new Set<CommandName>([
  'addService',
  'editService',
  'deleteService',
  'flush',
  'addDestination',
  'editDestination',
  'deleteDestination',
  'setTimeouts',
  'setSetting',
]);

interface Helper {
  readonly child: ChildProcess;
  readonly loads: ForeignLoads;
  readonly counters: ForeignCounters;
  /** As told last. */
  told: LoadsAnswer;
  readonly waiting: Map<number, (answer: unknown) => void>;
}

export class SharedProxy implements DataPlane {
  readonly capabilities: Capabilities;
  readonly #options: HelperOptions;
  readonly #own: ProxyDataPlane;
  readonly #ports = new Map<string, { readonly key: ServiceKey; readonly server: Server }>();
  readonly #accepted = new AcceptedSpecs();
  readonly #helpers: (Helper | null)[] = [];
  readonly #watchers = new Watchers();
  readonly #timer: NodeJS.Timeout;
  #ids = 1;
  #exchange: Promise<void> | null = null;
  #closed = false;

  /** `processes`: this one included. */
  constructor(options: HelperOptions, processes: number) {
    this.#options = options;
    const { connectionsMax, sendProxy, acceptProxy } = options;
    this.#own = new ProxyDataPlane({
      connectionsMax,
      sendProxy,
      judgePeer: judgeBy(acceptProxy),
      onShareable: (key, server) => this.#ports.set(formatServiceKey(key), { key, server }),
    });
    this.capabilities = this.#own.capabilities;
    this.#own.watch((event) => this.#watchers.tell(event));
    for (let place = 0; place < processes - 1; place++) this.#start(place);
    this.#timer = setInterval(() => void this.#meet(), EXCHANGE_EVERY_MS);
    this.#timer.unref();
  }

  async execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>> {
    const asked = command as Command;
    if (!TOLD.has(asked.name)) {
      await this.#meet();
      if (asked.name === 'listConnections') return (await this.#listConnections(asked)) as Answer<N>;
      const answer = await this.#own.execute(command);
      return asked.name === 'getCounters' ? ((await this.#withHelpers(answer as EngineCounters)) as Answer<N>) : answer;
    }
    const answer = await this.#own.execute(command);
    this.#accepted.note(asked);
    // Answered when all know it: a client that comes now may be accepted by any of them.
    const known = this.#living().map((helper) => this.#ask(helper, (id) => ({ type: 'command', id, command: asked })));
    if (asked.name === 'addService') known.push(...this.#handOut(asked.service.key));
    await Promise.all(known);
    for (const [name] of this.#ports) if (!this.#has(name)) this.#ports.delete(name);
    return answer;
  }

  watch(listener: (event: DataPlaneEvent) => void): () => void {
    return this.#watchers.add(listener);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#own.close();
    await Promise.all(
      this.#living().map(({ child }) => {
        const ended = new Promise((resolve) => child.once('exit', resolve));
        const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
        child.disconnect();
        return ended.then(() => clearTimeout(timer));
      }),
    );
  }

  #living(): Helper[] {
    return this.#helpers.filter((helper): helper is Helper => helper !== null);
  }

  #has(name: string): boolean {
    return this.#own.table.services().some(({ key }) => formatServiceKey(key) === name);
  }

  #handOut(key: ServiceKey): Promise<unknown>[] {
    const port = this.#ports.get(formatServiceKey(key));
    if (port === undefined) return [];
    return this.#living().map((helper) => this.#ask(helper, (id) => ({ type: 'port', id, key }), port.server));
  }

  #start(place: number): void {
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
    const child = fork(new URL(`./helper${extension}`, import.meta.url), [], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const helper: Helper = {
      child,
      loads: new ForeignLoads(this.#own.table),
      counters: new ForeignCounters(this.#own.table),
      told: [],
      waiting: new Map(),
    };
    this.#helpers[place] = helper;
    child.on('message', (message: FromHelper) => {
      helper.waiting.get(message.id)?.(message.type === 'answer' ? message.answer : null);
    });
    child.on('error', () => {});
    child.once('exit', (code, signal) => this.#lost(place, helper, signal ?? `exit code ${code}`));
    send(helper, { type: 'start', options: this.#options });
    for (const command of this.#accepted.commands()) send(helper, { type: 'command', id: 0, command });
    for (const { key, server } of this.#ports.values()) send(helper, { type: 'port', id: 0, key }, server);
  }

  #lost(place: number, helper: Helper, reason: string): void {
    this.#helpers[place] = null;
    for (const answer of helper.waiting.values()) answer(null);
    if (this.#closed) return;
    helper.loads.set([]);
    const message = `a process of the proxy ended (${reason}); its connections are lost, and it is started again`;
    this.#watchers.tell({ type: 'notice', level: 'error', message });
    setTimeout(() => !this.#closed && this.#start(place), RESTART_DELAY_MS).unref();
  }

  /** Everybody tells what they carry, and hears of the others. Never rejects. */
  #meet(): Promise<void> {
    this.#exchange ??= this.#exchangeLoads().finally(() => {
      this.#exchange = null;
    });
    return this.#exchange;
  }

  async #exchangeLoads(): Promise<void> {
    await Promise.all(
      this.#living().map(async (helper) => {
        const told = (await this.#ask(helper, (id) => ({ type: 'loads', id }))) as LoadsAnswer | null;
        if (told === null || this.#closed || !this.#helpers.includes(helper)) return;
        helper.told = told;
        helper.loads.set(told);
        helper.counters.set(told);
      }),
    );
    if (this.#closed) return;
    const all = ownLoads(this.#own.table, new ForeignLoads(this.#own.table));
    for (const helper of this.#living()) {
      const its = new Map(helper.told.map((load) => [load.name, load]));
      const loads: Load[] = all.map(({ name, active, inactive }) => ({
        name,
        active: active - (its.get(name)?.active ?? 0),
        inactive: inactive - (its.get(name)?.inactive ?? 0),
      }));
      send(helper, { type: 'others', loads });
    }
  }

  /** `null` when it has ended, does not answer in time, or refused. */
  #ask(helper: Helper, make: (id: number) => ToHelper, server?: Server): Promise<unknown> {
    const id = this.#ids++;
    return new Promise((resolve) => {
      const done = (answer: unknown) => {
        clearTimeout(timer);
        helper.waiting.delete(id);
        resolve(answer);
      };
      const timer = setTimeout(() => done(null), PATIENCE_MS);
      helper.waiting.set(id, done);
      send(helper, make(id), server);
    });
  }

  /** Page by page through this process, then through each of the others: their cursors say whose they are. */
  async #listConnections({ cursor, limit }: Command<'listConnections'>): Promise<Page<ConnectionStatus>> {
    const [, place = '0', rest] = /^p(\d{1,3})\/(.*)$/.exec(cursor ?? '') ?? [null, '0', cursor];
    const command: Command<'listConnections'> = {
      name: 'listConnections',
      ...(rest === undefined || rest === '' ? {} : { cursor: rest }),
      ...(limit === undefined ? {} : { limit }),
    };
    const at = Number(place);
    const page =
      at === 0 ? await this.#own.execute(command) : await this.#pageOf(this.#helpers[at - 1] ?? null, command);
    if (page.next !== null) return { items: page.items, next: at === 0 ? page.next : `p${at}/${page.next}` };
    return { items: page.items, next: at < this.#helpers.length ? `p${at + 1}/` : null };
  }

  async #pageOf(helper: Helper | null, command: Command<'listConnections'>): Promise<Page<ConnectionStatus>> {
    const page = helper === null ? null : await this.#ask(helper, (id) => ({ type: 'command', id, command }));
    return (page as Page<ConnectionStatus> | null) ?? { items: [], next: null };
  }

  async #withHelpers(own: EngineCounters): Promise<EngineCounters> {
    const command: Command = { name: 'getCounters' };
    const all = await Promise.all(
      this.#living().map((helper) => this.#ask(helper, (id) => ({ type: 'command', id, command }))),
    );
    const drops: Record<string, number> = { ...own.drops };
    let connections = own.connections;
    for (const counters of all as (EngineCounters | null)[]) {
      if (counters === null) continue;
      connections += counters.connections;
      for (const [reason, count] of Object.entries(counters.drops)) drops[reason] = (drops[reason] ?? 0) + count;
    }
    return { ...own, drops, connections };
  }
}

function send({ child }: Helper, message: ToHelper, server?: Server): void {
  if (child.connected) child.send(message, server, {}, () => {});
}
