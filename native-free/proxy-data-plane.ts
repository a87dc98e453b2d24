/**
 * The socket proxy as a data plane: the same table, schedulers and commands as the packet engine, carried by ordinary
 * sockets. It needs no rights for high ports and nothing compiled. Commands are carried out one after the other; one
 * that cannot get its port has changed nothing.
 */
import type { Server } from 'node:net';
import { executeTableCommand } from '../src/balance/execute.ts';
import { executeSettingCommand } from '../src/balance/execute-settings.ts';
import { ServiceTable } from '../src/balance/service-table.ts';
import type { VirtualService } from '../src/balance/virtual-service.ts';
import { eventOf, Watchers } from '../src/data-plane/changes.ts';
import type { Answer, Command, CommandName } from '../src/model/commands.ts';
import type { Capabilities, DataPlane } from '../src/model/data-plane.ts';
import { IpvsError } from '../src/model/errors.ts';
import type { DataPlaneEvent } from '../src/model/events.ts';
import { CONNECTION_TABLE_SIZE, CONNECTIONS_MAX_DEFAULT } from '../src/model/limits.ts';
import { formatServiceKey, type ServiceKey } from '../src/model/service.ts';
import {
  DEFAULT_TIMEOUTS,
  defaultSettings,
  mergeTimeouts,
  type Settings,
  TICKS_PER_SECOND,
} from '../src/model/settings.ts';
import { Books } from './books.ts';
import { Chooser } from './chooser.ts';
import type { ProxyVersion } from './proxy-protocol.ts';
import { PROXY_CAPABILITIES, refuseWhatAProxyCannot } from './refusals.ts';
import { TcpRelay, type TcpRelayParts } from './tcp-relay.ts';
import { UdpRelay } from './udp-relay.ts';

const TABLE_VERSION = '1.2.1';
/** As the estimator of IPVS: every two seconds. */
const ESTIMATE_EVERY_MS = 2_000;
const HOUSEKEEPING_EVERY_MS = 1_000;

export interface ProxyOptions {
  readonly connectionsMax?: number;
  /** At least 0 and below 1. */
  readonly random?: () => number;
  /** Monotonic milliseconds. */
  readonly nowMs?: () => number;
  /** The PROXY header that servers are sent. */
  readonly sendProxy?: ProxyVersion | null;
  /** Judges who may connect; absent: everybody may, and sends no PROXY header. */
  readonly judgePeer?: (address: string) => 'open' | 'trusted' | 'refused';
  /** Hears of every port that other processes may share, when it is open. */
  readonly onShareable?: (key: ServiceKey, server: Server) => void;
  /** Opens no port itself: those it shares are handed to it by `adopt`. */
  readonly adoptsPorts?: boolean;
}

interface Listener {
  close(): void;
}

/** A service without a port of its own, or whose port another process keeps. */
const NO_LISTENER: Listener = { close: () => {} };

export class ProxyDataPlane implements DataPlane {
  readonly capabilities: Capabilities = PROXY_CAPABILITIES;
  readonly #nowMs: () => number;
  readonly #options: ProxyOptions;
  readonly #settings: Settings = defaultSettings();
  readonly #table: ServiceTable;
  readonly #books: Books;
  readonly #chooser: Chooser;
  readonly #listeners = new Map<VirtualService, Listener>();
  readonly #watchers = new Watchers();
  readonly #timers: readonly NodeJS.Timeout[];
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(options: ProxyOptions = {}) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#table = new ServiceTable({
      random: options.random ?? Math.random,
      // A server always sees the proxy's own address.
      defaultSourceNat: 'masquerade',
      nowTicks: this.#nowTicks(),
    });
    this.#books = new Books(this.#table, DEFAULT_TIMEOUTS, options.connectionsMax ?? CONNECTIONS_MAX_DEFAULT);
    this.#chooser = new Chooser(this.#settings, () => this.#nowTicks());
    this.#timers = [
      setInterval(() => this.#settings.run_estimation !== 0 && this.#table.estimate(), ESTIMATE_EVERY_MS),
      setInterval(() => this.advance(), HOUSEKEEPING_EVERY_MS),
    ];
    for (const timer of this.#timers) timer.unref();
  }

  execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>> {
    const answer = this.#tail.then(() => this.#execute(command as Command));
    this.#tail = answer.catch(() => {});
    return answer as Promise<Answer<N>>;
  }

  watch(listener: (event: DataPlaneEvent) => void): () => void {
    return this.#watchers.add(listener);
  }

  /** Does what is due: ends idle conversations and templates, lets schedulers keep house. */
  advance(): void {
    const nowMs = this.#nowMs();
    this.#books.advance(nowMs);
    this.#chooser.templates.advance(nowMs);
    this.#table.advance(this.#nowTicks());
  }

  /** The port of a service, from the process that opened it. */
  async adopt(key: ServiceKey, server: Server): Promise<void> {
    await this.#tail;
    const service = this.#table.services().find((it) => formatServiceKey(it.key) === formatServiceKey(key));
    if (this.#closed || service === undefined || !isShareable(service)) {
      server.close();
      return;
    }
    this.#listeners.get(service)?.close();
    this.#listeners.set(service, TcpRelay.join(service, this.#tcpParts(), server));
  }

  /** What the processes that share its ports tell each other. */
  get table(): ServiceTable {
    return this.#table;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#tail;
    for (const timer of this.#timers) clearInterval(timer);
    for (const listener of this.#listeners.values()) listener.close();
    this.#listeners.clear();
    this.#books.endAll();
  }

  async #execute(command: Command): Promise<Answer<CommandName>> {
    if (this.#closed) throw new IpvsError('ENOPROTOOPT', 'the data plane is closed');
    refuseWhatAProxyCannot(command);
    let answer = this.#answerOwn(command);
    if (answer === undefined) answer = executeTableCommand(this.#table, command, this.#nowTicks());
    if (answer === undefined) throw new IpvsError('EOPNOTSUPP', `${command.name}: the proxy does not know it`);
    if (command.name === 'addService') await this.#listenFor(command.service.key);
    if (command.name === 'editService') this.#leavePort(command.service.key);
    this.#closeOrphans();
    if (this.#settings.expire_nodest_conn !== 0) this.#books.endWithoutDestination();
    const event = eventOf(command);
    if (event !== null) this.#watchers.tell(event);
    return answer;
  }

  #answerOwn(command: Command): Answer<CommandName> | undefined {
    switch (command.name) {
      case 'info':
        return { version: TABLE_VERSION, connectionTableSize: CONNECTION_TABLE_SIZE };
      case 'listConnections':
        return this.#books.list(this.#chooser.templates, this.#nowMs(), command.cursor, command.limit);
      case 'listHelpers':
        return { helpers: [] };
      case 'listSyncDaemons':
        return { daemons: [] };
      case 'stopSyncDaemon':
        throw new IpvsError('ESRCH', `no ${command.role} daemon is running`);
      case 'listMarkRules':
        return { rules: [] };
      case 'getCounters':
        return {
          verdicts: {},
          drops: { ...this.#books.drops } as Record<string, number>,
          passes: {},
          connections: this.#books.count,
          connectionsMax: this.#books.sessionsMax,
        };
      case 'getTimeouts':
        return this.#books.timeouts;
      case 'setTimeouts':
        this.#books.timeouts = mergeTimeouts(this.#books.timeouts, command.timeouts);
        return null;
      default:
        return executeSettingCommand(this.#settings, this.#table.environment, command);
    }
  }

  /** The service goes again when its port cannot be had. */
  async #listenFor(key: ServiceKey): Promise<void> {
    const service = this.#table.getService(key);
    if (this.#options.adoptsPorts === true) {
      this.#listeners.set(service, NO_LISTENER);
      return;
    }
    try {
      this.#listeners.set(service, await this.#open(service));
    } catch (error) {
      this.#table.deleteService(key, this.#nowTicks());
      throw error;
    }
  }

  async #open(service: VirtualService): Promise<Listener> {
    if (!isTcp(service)) return UdpRelay.open(service, this.#relayParts());
    const relay = await TcpRelay.open(service, this.#tcpParts());
    if (isShareable(service)) this.#options.onShareable?.(service.key, relay.server);
    return relay;
  }

  #relayParts() {
    return { books: this.#books, chooser: this.#chooser, nowMs: this.#nowMs };
  }

  #tcpParts(): TcpRelayParts {
    const { judgePeer = () => 'open', sendProxy = null } = this.#options;
    return { ...this.#relayParts(), judgePeer, sendProxy: () => sendProxy };
  }

  /** A shared port of a service that became persistent is left: its clients must find the same templates. */
  #leavePort(key: ServiceKey): void {
    const service = this.#table.getService(key);
    if (this.#options.adoptsPorts !== true || isShareable(service)) return;
    this.#listeners.get(service)?.close();
    this.#listeners.set(service, NO_LISTENER);
  }

  #closeOrphans(): void {
    if (this.#listeners.size === this.#table.serviceCount) return;
    const services = new Set(this.#table.services());
    for (const [service, listener] of this.#listeners) {
      if (services.has(service)) continue;
      listener.close();
      this.#listeners.delete(service);
    }
  }

  #nowTicks(): number {
    return Math.floor((this.#nowMs() * TICKS_PER_SECOND) / 1_000);
  }
}

function isTcp({ key }: VirtualService): boolean {
  return 'protocol' in key && key.protocol === 'tcp';
}

/**
 * Whether several processes may accept for it. Persistence needs one memory of who came before, and datagrams of one
 * client must find one process.
 */
function isShareable(service: VirtualService): boolean {
  return isTcp(service) && !service.persistent;
}
