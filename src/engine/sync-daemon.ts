/**
 * The synchronisation daemons at work: the master's datagrams leave as multicast frames on their interface, the backup
 * takes in those that come there. What may run, and with which parameters, is for `balance/sync-daemons.ts` to say.
 */
import type { SyncSurroundings } from '../balance/sync-daemons.ts';
import type { SyncDaemonSpec, SyncRole } from '../model/commands.ts';
import { type Address, parseAddress } from '../wire/address.ts';
import type { EngineContext } from './context.ts';
import { SyncMaster } from './sync.ts';
import { syncSource } from './sync-source.ts';

const THREADS_MAX = 64;
const EPHEMERAL_PORT_MIN = 32_768;
const EPHEMERAL_PORTS = 28_232;

export interface RunningDaemon {
  readonly spec: SyncDaemonSpec;
  readonly group: Address;
  readonly linkIndex: number;
  readonly threads: number;
  /** Of the master's first socket; each thread has one of its own. */
  readonly sourcePort: number;
}

export class SyncTraffic {
  masterDaemon: RunningDaemon | null = null;
  backupDaemon: RunningDaemon | null = null;
  /** Decides and collects while the master runs. */
  master: SyncMaster | null = null;

  start(context: EngineContext, wanted: SyncDaemonSpec): void {
    const spec = context.syncDaemons.start(wanted, surroundingsOf(context));
    const link = [...context.network.links()].find(({ name }) => name === spec.interface);
    const other = spec.role === 'master' ? this.backupDaemon : this.masterDaemon;
    // The number of threads stays what it was while any daemon runs.
    const threads = other?.threads ?? Math.min(context.settings.sync_ports, THREADS_MAX);
    const daemon: RunningDaemon = {
      spec,
      group: parseAddress(spec.group) as Address,
      linkIndex: link?.index ?? -1,
      threads,
      sourcePort: EPHEMERAL_PORT_MIN + context.random.below(EPHEMERAL_PORTS - threads),
    };
    if (spec.role === 'backup') this.backupDaemon = daemon;
    else {
      this.masterDaemon = daemon;
      const options = { syncId: spec.syncId, messageBytesMax: spec.maxLength, threads };
      this.master = new SyncMaster(syncSource(context), context.settings, options, context.nowMs);
    }
    this.#tell(context);
  }

  /** What waits to be sent is lost. */
  stop(context: EngineContext, role: SyncRole): void {
    context.syncDaemons.stop(role);
    if (role === 'backup') this.backupDaemon = null;
    else {
      this.masterDaemon = null;
      this.master = null;
    }
    this.#tell(context);
  }

  /** Others ask whether a daemon runs. */
  #tell(context: EngineContext): void {
    context.services.environment.syncDaemonRunning = context.syncDaemons.isAnyRunning;
    context.updatePaused();
  }
}

function surroundingsOf({ network, services }: EngineContext): SyncSurroundings {
  return {
    mtuOf: (name) => [...network.links()].find((link) => link.name === name)?.mtu ?? null,
    hasMixedFamilies: services.hasMixedFamilies,
  };
}
