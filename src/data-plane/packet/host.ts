/** Starts the packet engine as a data plane on this host: `startPacketDataPlane`. */
import { randomInt } from 'node:crypto';
import { CONNECTIONS_MAX_DEFAULT } from '../../model/limits.ts';
import type { SourceNat } from '../../model/service.ts';
import { LIVE_KINDS } from '../../packet-io/index.ts';
import type { PacketIoKind, PacketIoOptions } from '../../packet-io/packet-io.ts';
import { PACKET_ENGINE_CAPABILITIES } from '../capabilities.ts';
import { createLoadBoard } from '../steering/load-board.ts';
import type { ShardPlace } from '../steering/shard.ts';
import { chooseIo } from './choose-io.ts';
import type { WorkerStart } from './messages.ts';
import { type Log, PacketDataPlane } from './packet-data-plane.ts';
import { spawnProcess, spawnThread } from './worker-handle.ts';
import { WorkerSession } from './worker-session.ts';

export interface PacketDataPlaneOptions {
  /** What it calls itself. */
  readonly name?: string;
  /** Name of an I/O back end. Absent: the best that works here, and the log says why better ones do not. */
  readonly io?: string;
  readonly ioOptions?: PacketIoOptions;
  /** Rows of the connection table. */
  readonly connectionsMax?: number;
  /** For services that do not say. Default `none`. */
  readonly sourceNat?: SourceNat;
  /** Links to serve, by name. Absent: all Ethernet links and `lo`. */
  readonly links?: readonly string[];
  /** `off`: somebody else keeps the host's stack from answering with resets. */
  readonly guard?: 'on' | 'off';
  /** `off`: no veth pair; servers on this host are then out of reach. */
  readonly hostLink?: 'on' | 'off';
  /** Workers that share the work, each with clients of its own. Default 1, which is IPVS's own behaviour. */
  readonly shards?: number;
  readonly log: Log;
}

/**
 * Needs root, or CAP_NET_RAW and CAP_NET_ADMIN. Rejects with an IpvsError whose sentence says what is missing;
 * then nothing is left on the host. `close` of the result takes guard and host link down; so does the end of
 * the process, whatever ends it.
 */
export async function startPacketDataPlane(options: PacketDataPlaneOptions): Promise<PacketDataPlane> {
  const shards = options.shards ?? 1;
  const { kind, passedOver } = await chooseIo(LIVE_KINDS, options.io, shards);
  for (const reason of passedOver) options.log.warn(`not used: ${reason}`);
  const ffi = kind.provider?.() ?? null;
  options.log.info(
    `frames are carried by ${kind.name}: ${kind.summary}${ffi === null ? '' : `; calls go through ${ffi}`}`,
  );
  const fastPath = fastPathOf(kind, options.ioOptions?.fastPath === true);
  options.log.info(
    fastPath === 'on'
      ? 'established connections are carried by the fast path in the kernel'
      : `the engine sees every packet: ${fastPath}`,
  );
  const loads = createLoadBoard(shards);
  const start: WorkerStart = {
    io: kind.name,
    ioOptions: { ...options.ioOptions, fastPath: fastPath === 'on' },
    seed: randomInt(2 ** 32),
    connectionsMax: Math.ceil((options.connectionsMax ?? CONNECTIONS_MAX_DEFAULT) / shards),
    sourceNat: options.sourceNat ?? 'none',
  };
  const spawn = kind.thread === 'main' ? spawnProcess : spawnThread;
  return PacketDataPlane.start({
    capabilities: { ...PACKET_ENGINE_CAPABILITIES, name: options.name ?? PACKET_ENGINE_CAPABILITIES.name },
    io: kind.name,
    ioPassedOver: passedOver,
    ffi,
    fastPath,
    shards,
    startWorker: (shard) =>
      new WorkerSession(
        (begin, listeners) => spawn(workerEntry(), begin, listeners),
        shardStart(start, { index: shard, count: shards, loads }),
      ),
    links: options.links ?? null,
    guard: options.guard ?? 'on',
    hostLink: options.hostLink ?? 'on',
    tap: kind.tap ?? false,
    log: options.log,
  });
}

/** `on`, or why there is none. */
function fastPathOf(kind: PacketIoKind, wanted: boolean): string {
  if (!wanted) return 'off';
  if (kind.fastPathRefused === undefined) return `${kind.name} has no fast path`;
  return kind.fastPathRefused() ?? 'on';
}

/** What is random must not be the same in all of them. */
function shardStart(start: WorkerStart, shard: ShardPlace): WorkerStart {
  if (shard.count === 1) return start;
  const ioOptions = { ...start.ioOptions, shard: shard.index };
  return { ...start, ioOptions, seed: (start.seed + shard.index) >>> 0, shard };
}

/** The worker's module beside this one, compiled like this one. */
function workerEntry(): URL {
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  return new URL(`./worker${extension}`, import.meta.url);
}
