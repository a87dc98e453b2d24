/**
 * The kernel's own IPVS as a data plane. The truth is in the kernel: nothing is kept here but the pages of long
 * listings. Services, connections and settings stay when this is closed, as they do when `ipvsadm` ends.
 */
import { readFileSync } from 'node:fs';
import type { Answer, Command, CommandName } from '../../model/commands.ts';
import type { Capabilities, DataPlane } from '../../model/data-plane.ts';
import { IpvsError } from '../../model/errors.ts';
import type { DataPlaneEvent } from '../../model/events.ts';
import { CONNECTION_PAGE_MAX, SERVICE_PAGE_MAX } from '../../model/limits.ts';
import { eventOf, Watchers } from '../changes.ts';
import type { NetlinkChannel } from './generic-netlink.ts';
import { IpvsTable } from './ipvs-table.ts';
import type { ReadService } from './messages.ts';
import {
  connectionIdentity,
  readConnection,
  readHelpers,
  readPerCpu,
  readSyncedIdentities,
  readTotals,
  rowsOf,
} from './proc-files.ts';
import { KERNEL_CAPABILITIES, refuseWhatTheKernelCannot } from './refusals.ts';
import { SettingFiles } from './setting-files.ts';
import { Snapshots } from './snapshots.ts';

export interface KernelParts {
  /** A socket to the kernel; `native/netlink-socket.ts` opens it. */
  openNetlink(): NetlinkChannel;
  /** Where the kernel's files are; absent: where they are. */
  readonly procNet?: string;
  readonly settings?: SettingFiles;
  readonly nowMs?: () => number;
}

interface ConnectionRows {
  readonly line: string;
  readonly synced: boolean;
}

export class KernelDataPlane implements DataPlane {
  readonly capabilities: Capabilities = KERNEL_CAPABILITIES;
  readonly #table: IpvsTable;
  readonly #settings: SettingFiles;
  readonly #procNet: string;
  readonly #services: Snapshots<ReadService>;
  readonly #connections: Snapshots<ConnectionRows>;
  readonly #watchers = new Watchers();
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;

  /** Throws EOPNOTSUPP where the kernel has no IPVS, EPERM without the right to use it. */
  constructor({ openNetlink, procNet = '/proc/net', settings, nowMs = () => performance.now() }: KernelParts) {
    this.#table = new IpvsTable(openNetlink);
    this.#settings = settings ?? new SettingFiles();
    this.#procNet = procNet;
    this.#services = new Snapshots(SERVICE_PAGE_MAX, nowMs);
    this.#connections = new Snapshots(CONNECTION_PAGE_MAX, nowMs);
    try {
      this.#table.requirePresent();
    } catch (error) {
      this.#table.close();
      throw error;
    }
  }

  execute<N extends CommandName>(command: Command<N>): Promise<Answer<N>> {
    const answer = this.#tail.then(() => this.#execute(command as Command));
    this.#tail = answer.catch(() => {});
    return answer as Promise<Answer<N>>;
  }

  watch(listener: (event: DataPlaneEvent) => void): () => void {
    return this.#watchers.add(listener);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#tail;
    this.#table.close();
  }

  #execute(command: Command): Answer<CommandName> {
    if (this.#closed) throw new IpvsError('ENOPROTOOPT', 'the data plane is closed');
    if (typeof command !== 'object' || command === null) throw new IpvsError('EINVAL', 'a command must be an object');
    refuseWhatTheKernelCannot(command);
    const answer = this.#carryOut(command);
    const event = eventOf(command);
    if (event !== null) this.#watchers.tell(event);
    return answer;
  }

  #carryOut(command: Command): Answer<CommandName> {
    switch (command.name) {
      case 'addService':
      case 'editService':
      case 'deleteService':
      case 'flush':
      case 'addDestination':
      case 'editDestination':
      case 'deleteDestination':
      case 'zero':
      case 'setTimeouts':
      case 'startSyncDaemon':
      case 'stopSyncDaemon':
        this.#table.carryOut(command);
        return null;
      case 'info':
        return this.#table.info();
      case 'getService':
        return this.#table.service(command.key);
      case 'listServices': {
        const { items, next } = this.#services.page(() => this.#table.services(), command.cursor, command.limit);
        return {
          items: items.map((each) => ({ ...each, destinations: this.#table.destinations(each.spec.key) })),
          next,
        };
      }
      case 'getTimeouts':
        return this.#table.timeouts();
      case 'listSyncDaemons':
        return { daemons: this.#table.daemons() };
      case 'listConnections': {
        const rows = () => this.#connectionRows();
        const { items, next } = this.#connections.page(rows, command.cursor, command.limit);
        const status = ({ line, synced }: ConnectionRows) =>
          synced ? { ...readConnection(line), origin: 'SYNC' as const } : readConnection(line);
        return { items: items.map(status), next };
      }
      case 'getTotals':
        return readTotals(this.#file('ip_vs_stats'));
      case 'getPerCpu':
        return { processors: readPerCpu(this.#file('ip_vs_stats_percpu')) };
      case 'listHelpers':
        return { helpers: readHelpers(this.#file('ip_vs_app')) };
      case 'getSetting':
        return { value: this.#settings.read(command.setting) };
      case 'setSetting':
        this.#settings.write(command.setting, command.value);
        return null;
      case 'listSettings':
        return { settings: this.#settings.all() };
      case 'listMarkRules':
        return { rules: [] };
      case 'getCounters': {
        const connections = rowsOf(this.#file('ip_vs_conn')).length;
        return { verdicts: {}, drops: {}, passes: {}, connections, connectionsMax: 0 };
      }
      default:
        throw new IpvsError('EOPNOTSUPP', `${command.name}: the kernel's IPVS does not know it`);
    }
  }

  #connectionRows(): ConnectionRows[] {
    const synced = readSyncedIdentities(this.#file('ip_vs_conn_sync'));
    return rowsOf(this.#file('ip_vs_conn')).map((line) => ({
      line,
      synced: synced.size > 0 && synced.has(connectionIdentity(line)),
    }));
  }

  #file(name: string): string {
    try {
      return readFileSync(`${this.#procNet}/${name}`, 'latin1');
    } catch (cause) {
      throw new IpvsError('EIO', `${this.#procNet}/${name} cannot be read: ${(cause as Error).message}`, { cause });
    }
  }
}
