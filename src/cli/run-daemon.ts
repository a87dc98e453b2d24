/** The `uipvsd` command, but for the data plane, which the program in `bin/` brings. */
import { type Daemon, startDaemon } from '../control/daemon.ts';
import { LOCK_NAME } from '../control/lock.ts';
import { createLogger, type Logger } from '../control/logger.ts';
import type { ServiceManager } from '../control/service-manager.ts';
import { listenPath } from '../control/socket-path.ts';
import type { DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import type { ChosenDataPlane, DataPlaneKind } from './choose-data-plane.ts';
import type { Output } from './command-line.ts';
import { type DaemonCommandLine, readDaemonOptions } from './daemon-options.ts';

export interface DaemonParts extends Output {
  /** Rejects with an IpvsError: what is missing, with what to type instead. */
  choose(options: DaemonCommandLine): Promise<ChosenDataPlane>;
  /** Errors whose message is for people, beside IpvsErrors. */
  isRefusal?(error: unknown): boolean;
  /** Told when it is ready, that it is well, and when it ends. */
  readonly serviceManager?: ServiceManager;
  /** For tests only: another lock than that of the namespace. */
  readonly lockName?: string;
}

const FAILURE_EXIT_CODE = 1;

/** Runs until a signal comes. Resolves to the exit code: 0 ended by a signal, 1 failure, 2 usage. */
export async function runDaemon(words: readonly string[], parts: DaemonParts): Promise<number> {
  const options = await readDaemonOptions(words, parts);
  if ('exitCode' in options) return options.exitCode;
  const logger = createLogger(options.logLevel);
  try {
    return await serve(options, parts, logger);
  } catch (error) {
    if (!(error instanceof IpvsError) && parts.isRefusal?.(error) !== true) throw error;
    await parts.stderr(`uipvsd: ${(error as Error).message}\n`);
    return FAILURE_EXIT_CODE;
  }
}

async function serve(options: DaemonCommandLine, parts: DaemonParts, logger: Logger): Promise<number> {
  const { sourceNat, connectionsMax, guard, shards } = options;
  const { kind, why, secondBest } = await parts.choose(options);
  const dataPlane = kind.name;
  if (secondBest) logger.warn(`data plane ${dataPlane} (${kind.summary}): ${why}`);
  let io = '';
  let passedOver: readonly string[] = [];
  let ffi: string | null = null;
  let fastPath: string | undefined;
  let links: readonly string[] = [];
  let sysctl: readonly string[] = [];
  const daemon = await startDaemon(
    async () => {
      const opened = await kind.open(options, logger);
      links = opened.links;
      io = opened.io;
      passedOver = opened.ioPassedOver ?? [];
      ffi = opened.ffi ?? null;
      fastPath = opened.fastPath;
      sysctl = opened.sysctl;
      return opened.dataPlane;
    },
    {
      logger,
      settings: () => ({
        dataPlane,
        chosen: why,
        io,
        ...(passedOver.length === 0 ? {} : { ioPassedOver: passedOver }),
        ...(ffi === null ? {} : { ffi }),
        ...(fastPath === undefined ? {} : { fastPath }),
        links,
        ...(shards === 1 ? {} : { shards }),
        sourceNat,
        connectionsMax,
        guard,
        sysctl,
      }),
      onReady: (ready) => {
        const place = `namespace ${ready.namespace}, socket ${ready.socket}`;
        const served = links.length === 0 ? '' : `, links ${links.join(', ')}`;
        void parts.stdout(
          `uipvsd ready: ${ioText(io, passedOver)}, data plane ${dataPlane} (${why}), ${place}${served}\n`,
        );
        parts.serviceManager?.ready(`${io}${served}`);
        parts.serviceManager?.guard(() => answers(ready.dataPlane));
      },
      onClosing: () => parts.serviceManager?.stopping(),
      ...(options.socket === null ? {} : { socket: options.socket }),
      ...lockFor(kind, options, parts),
    },
  );
  const broken = closeOnMistake(daemon, logger);
  const { failed } = await daemon.ended;
  return failed || broken.yes ? FAILURE_EXIT_CODE : 0;
}

/** `packet-mmsg (not packet-ring: this kernel makes no packet ring)` */
function ioText(io: string, passedOver: readonly string[]): string {
  return passedOver.length === 0 ? io : `${io} (${passedOver.map((reason) => `not ${reason}`).join('; ')})`;
}

/** A packet engine that is stuck does not answer, and one that has failed says no. */
async function answers(dataPlane: DataPlane): Promise<boolean> {
  try {
    await dataPlane.execute<'info'>({ name: 'info' });
    return true;
  } catch {
    return false;
  }
}

/** What cannot be had twice: the packets of a namespace, or else the socket. */
function lockFor(kind: DataPlaneKind, { socket }: DaemonCommandLine, { lockName }: DaemonParts): { lockName?: string } {
  if (lockName !== undefined) return { lockName };
  return kind.sharesNamespace === true ? { lockName: `${LOCK_NAME} ${socket ?? listenPath()}` } : {};
}

/** After a mistake of ours nothing is certain any more: what was set up in the host is taken down, and we end. */
function closeOnMistake(daemon: Daemon, logger: Logger): { yes: boolean } {
  const broken = { yes: false };
  const close = (error: unknown): void => {
    broken.yes = true;
    logger.error('this is a mistake in uipvsd itself; it ends', { err: error });
    void daemon.close('mistake');
  };
  process.on('uncaughtException', close);
  process.on('unhandledRejection', close);
  return broken;
}
