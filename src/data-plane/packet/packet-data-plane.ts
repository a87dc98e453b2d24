/**
 * The packet engine as a data plane: an engine in a worker, the host's network told to it, the host's stack
 * kept quiet about it. Commands go to the worker in the order they came. A wish that changes what must be held
 * back reaches the guard first and then the engine; a deletion the other way round.
 */
import type { Answer, Command, CommandName } from '../../model/commands.ts';
import type { Capabilities, DataPlane } from '../../model/data-plane.ts';
import { IpvsError } from '../../model/errors.ts';
import type { DataPlaneEvent } from '../../model/events.ts';
import type { NetworkLink } from '../../model/network.ts';
import { formatServiceKey } from '../../model/service.ts';
import { NO_SOURCE_NAT_RULES, type SourceNatRules } from '../../model/source-nat-rule.ts';
import { AcceptedSpecs, entriesNeededBy } from '../accepted-specs.ts';
import { eventOf, Watchers } from '../changes.ts';
import { Defences } from './defences.ts';
import type { GuardedLink } from './guard.ts';
import { ENGINE_LINK_NAME } from './host-link.ts';
import { hasLegacyRules } from './nat-rules.ts';
import { type HostNetwork, localPrefixesOf, readNetwork } from './network.ts';
import { NetworkWatch } from './network-watch.ts';
import type { Gauges } from './scoreboard.ts';
import { SourceNatNews } from './source-nat-news.ts';
import { SyncMembership } from './sync-membership.ts';
import { WorkerPool, type WorkerPort } from './worker-pool.ts';
import type { WorkerSession } from './worker-session.ts';

export interface Log {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

export interface PacketDataPlaneParts {
  readonly capabilities: Capabilities;
  /** Name of the I/O back end. */
  readonly io: string;
  /** Better ones that do not work here, with the reasons. */
  readonly ioPassedOver: readonly string[];
  /** What the back end's system calls go through, or `null`. */
  readonly ffi: string | null;
  /** `on`, or why no fast path carries packets of established connections. */
  readonly fastPath: string;
  /** Starts one worker; called again for each replacement. */
  readonly startWorker: (shard: number) => WorkerSession;
  /** How many workers share the work, each with clients of its own. Absent: one. */
  readonly shards?: number;
  /** Names of the links to serve, `null` for all. */
  readonly links: readonly string[] | null;
  readonly guard: 'on' | 'off';
  readonly hostLink: 'on' | 'off';
  /** Frames are carried by a tap that the guard feeds. */
  readonly tap: boolean;
  readonly log: Log;
}

const HOST_LINK_MTU_MIN = 1_500;

export class PacketDataPlane implements DataPlane {
  readonly capabilities: Capabilities;
  /** Name of the I/O back end that carries the frames. */
  readonly io: string;
  /** Better ones that do not work here, with the reasons. */
  readonly ioPassedOver: readonly string[];
  /** What the back end's system calls go through, or `null`. */
  readonly ffi: string | null;
  /** `on`, or why no fast path carries packets of established connections. */
  readonly fastPath: string;
  /** Workers that share the work. */
  readonly shards: number;
  readonly #parts: PacketDataPlaneParts;
  readonly #watchers = new Watchers();
  readonly #accepted = new AcceptedSpecs();
  #defences!: Defences;
  #pool!: WorkerPool;
  readonly #syncMembership = new SyncMembership((message) => this.#notice('warning', message));
  readonly #sourceNatNews = new SourceNatNews();
  #networkWatch: NetworkWatch | null = null;
  #network: HostNetwork;
  /** What the worker said it serves, joined; and what was last complained about. */
  #served = '';
  #complaint = '';
  /** The last command's place in the queue: resolves when the next one may go. */
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(parts: PacketDataPlaneParts, network: HostNetwork) {
    this.capabilities = parts.capabilities;
    this.io = parts.io;
    this.ioPassedOver = parts.ioPassedOver;
    this.ffi = parts.ffi;
    this.fastPath = parts.fastPath;
    this.shards = parts.shards ?? 1;
    this.#parts = parts;
    this.#network = network;
  }

  /** Rejects with an IpvsError that says what is missing; then nothing is left on the host. */
  static async start(parts: PacketDataPlaneParts): Promise<PacketDataPlane> {
    const plane = new PacketDataPlane(parts, await readNetwork(parts.links));
    plane.#defences = await Defences.setUp({
      guard: parts.guard,
      hostLink: parts.hostLink,
      tap: parts.tap,
      hostLinkMtu: () => hostLinkMtu(plane.#network),
      notice: (level, message) => plane.#notice(level, message),
      onRearmed: () => {
        // The tap that the worker reads is gone with the one before.
        if (parts.tap) plane.#pool.endWorkers();
        plane.#networkWatch?.poke();
      },
    });
    try {
      plane.#network = await plane.#guardLinks(await readNetwork(parts.links));
      plane.#pool = await WorkerPool.open({
        shards: plane.shards,
        startWorker: parts.startWorker,
        prepare: (session) => plane.#prepare(session),
        notice: (level, message) => plane.#notice(level, message),
      });
    } catch (error) {
      await plane.#defences.close();
      throw error;
    }
    plane.#networkWatch = new NetworkWatch({
      refresh: () => plane.#refresh(),
      onUnmonitored: (tool) =>
        plane.#notice('warning', `${tool} does not run here: what it would report is noticed every few seconds`),
      needsClock: async () => namesSets(plane.#network.sourceNat) || (await hasLegacyRules()),
    });
    // What came while the worker started nobody told.
    plane.#networkWatch.poke();
    return plane;
  }

  async execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>> {
    if (this.#closed) throw new IpvsError('ENOPROTOOPT', 'the data plane is closed');
    const { guard } = this.#defences;
    const needed = entriesNeededBy(command as Command);
    // Begins now and not when the command's turn comes, so that many commands share one transaction.
    const inForce = guard.hold(needed);
    inForce.catch(() => {}); // Awaited below, when the turn comes.
    const asked = this.#tail.then(async () => {
      await inForce;
      const session = await this.#pool.session().catch((error) => this.#letGo(needed, error));
      // Handed over, not awaited: the next command may follow while this one is carried out.
      return { answer: session.execute(command) };
    });
    this.#tail = asked.catch(() => {});
    const { answer } = await asked;
    const result = await answer.catch((error) => this.#letGo(needed, error));
    const freed = this.#accepted.note(command as Command);
    this.#syncMembership.note(command as Command);
    // What cannot be asked now is told with the next look at the network.
    if (changesConntrack(command as Command)) await this.#tellSourceNat().catch(() => {});
    const event = eventOf(command as Command);
    if (event !== null) this.#watchers.tell(event);
    await guard.release(freed).catch((error: Error) => this.#notice('warning', error.message));
    return result;
  }

  watch(listener: (event: DataPlaneEvent) => void): () => void {
    return this.#watchers.add(listener);
  }

  /** What the workers show without being asked; `null` when they are processes of their own. */
  gauges(): Gauges | null {
    return this.#pool.gauges();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#networkWatch?.close();
    this.#syncMembership.close();
    await this.#pool.close();
    await this.#defences.close();
  }

  /** A command that was not carried out needs nothing held back. */
  async #letGo(needed: ReturnType<typeof entriesNeededBy>, error: unknown): Promise<never> {
    await this.#defences.guard.release(needed).catch(() => {});
    throw error;
  }

  async #prepare(session: WorkerPort): Promise<void> {
    await this.#tellNetwork(session, this.#network);
    const commands = this.#accepted.commands();
    // All at once: the worker carries them out in order.
    const outcomes = await Promise.allSettled(commands.map((command) => session.execute(command)));
    outcomes.forEach((outcome, at) => {
      const command = commands[at] as Command;
      if (outcome.status === 'fulfilled') return;
      const what = command.name === 'addService' ? formatServiceKey(command.service.key) : command.name;
      this.#notice('error', `the new packet worker refused ${what}: ${(outcome.reason as Error).message}`);
    });
  }

  /** Never rejects: what fails is said, and tried again at the next change or tick. */
  async #refresh(): Promise<void> {
    try {
      const read = await readNetwork(this.#parts.links);
      if (this.#closed) return;
      if (await this.#defences.guard.check())
        this.#notice('warning', 'the guard’s table was gone and has been set up anew');
      if (this.#parts.tap && read.tap !== true) await this.#raiseTap();
      const lostHostLink = this.#network.hostLink !== null && read.hostLink === null;
      if (lostHostLink && (await this.#defences.raiseHostLink())) this.#networkWatch?.poke();
      if (!this.#closed) await this.#apply(read);
      if (!this.#closed) await this.#tellSourceNat();
    } catch (error) {
      this.#complain((error as Error).message);
    }
  }

  /** Nobody can read a tap that was removed; the worker that tries is replaced by one that opens the new one. */
  async #raiseTap(): Promise<void> {
    this.#notice('error', 'the tap by which frames come was removed by somebody; it is set up anew');
    await this.#defences.raiseTapAgain();
    this.#pool.endWorkers();
    this.#networkWatch?.poke();
  }

  async #apply(read: HostNetwork): Promise<void> {
    if (sameNetwork(read, this.#network)) return;
    const before = this.#network;
    this.#network = await this.#guardLinks(read, before);
    await this.#tellNetwork(await this.#pool.session(), this.#network);
    // Only now the guard leaves the links that the engine has left.
    await this.#guardLinks(this.#network);
  }

  /** Returns the network without the links that cannot be guarded: serving them would bring resets. */
  async #guardLinks(network: HostNetwork, before?: HostNetwork): Promise<HostNetwork> {
    const { guard } = this.#defences;
    await guard.setSurroundings({
      localPrefixes: localPrefixesOf(network),
      localPortRange: network.localPortRange,
    });
    const present = new Set(network.links.map((link) => link.index));
    const leaving = before === undefined ? [] : guardedLinks(before).filter((link) => !present.has(link.index));
    const engineEnd = this.#parts.tap ? network.links.filter((link) => link.name === ENGINE_LINK_NAME) : [];
    const failed = await guard.serve([...guardedLinks(network), ...engineEnd.map(toGuarded), ...leaving]);
    if (failed.length === 0) return network;
    for (const { name, reason } of failed)
      this.#complain(`link ${name} is not served: it cannot be guarded: ${reason}`);
    const names = new Set(failed.map(({ name }) => name));
    return { ...network, links: network.links.filter((link) => !names.has(link.name)) };
  }

  async #tellNetwork(session: WorkerPort, network: HostNetwork): Promise<void> {
    const { attached, failed } = await session.setNetwork(network);
    for (const { name, reason } of failed) this.#complain(`link ${name} is not served: ${reason}`);
    const links = attached.filter((name) => name !== ENGINE_LINK_NAME).sort();
    if (links.join(' ') === this.#served) return;
    this.#served = links.join(' ');
    this.#parts.log.info(links.length === 0 ? 'no link is served' : `links served: ${links.join(', ')}`);
    this.#watchers.tell({ type: 'links-changed', links });
  }

  /** Which of the host's source NAT rules are followed, when that has changed. */
  async #tellSourceNat(): Promise<void> {
    const rules = this.#network.sourceNat ?? NO_SOURCE_NAT_RULES;
    const inForce = rules.rules.length > 0 && (await this.#keepsConntrack());
    for (const { level, message } of this.#sourceNatNews.of(rules, inForce)) this.#notice(level, message);
  }

  async #keepsConntrack(): Promise<boolean> {
    const session = await this.#pool.session();
    const { value } = await session.execute<'getSetting'>({ name: 'getSetting', setting: 'conntrack' });
    return value !== '0';
  }

  /** Once in a row: what does not work is tried again and again. */
  #complain(message: string): void {
    if (message === this.#complaint) return;
    this.#complaint = message;
    this.#notice('warning', message);
  }

  #notice(level: 'info' | 'warning' | 'error', message: string): void {
    this.#parts.log[level === 'warning' ? 'warn' : level](message);
    this.#watchers.tell({ type: 'notice', level, message });
  }
}

/** Those that are down as well: when they come up, the stack may hear a client before we hear of them. */
function guardedLinks({ links, downLinks }: HostNetwork): GuardedLink[] {
  const down = downLinks.map(({ index, name }) => ({ index, name, mac: null, loopback: false }));
  return [...links.map(toGuarded), ...down].filter((link) => link.name !== ENGINE_LINK_NAME);
}

function toGuarded({ index, name, mac, loopback }: NetworkLink): GuardedLink {
  return { index, name, mac, loopback };
}

/** Both were made by the same function from lists the kernel keeps in order. */
function sameNetwork(a: HostNetwork, b: HostNetwork): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function changesConntrack(command: Command): boolean {
  return command.name === 'setSetting' && command.setting === 'conntrack';
}

/** `nft monitor rules` does not tell when the elements of a set change. */
function namesSets(rules: SourceNatRules | undefined): boolean {
  return rules?.rules.some(({ origin, text }) => origin.startsWith('nft ') && text.includes(' @')) ?? false;
}

/** The host link carries what came by any of the others. Loopback is larger than a veth can be. */
function hostLinkMtu(network: HostNetwork): number {
  const mtus = network.links.filter((link) => !link.loopback && link.name !== ENGINE_LINK_NAME).map((link) => link.mtu);
  return Math.max(HOST_LINK_MTU_MIN, ...mtus);
}
