/** The `uipvsd` command, but for the data plane, which the program in `bin/` brings. */
import { type Daemon, startDaemon } from '../control/daemon.ts';
import { createLogger, type Logger } from '../control/logger.ts';
import type { DataPlane } from '../model/data-plane.ts';
import { IpvsError } from '../model/errors.ts';
import type { Output } from './command-line.ts';
import { type DaemonCommandLine, readDaemonOptions } from './daemon-options.ts';

export interface OpenedDataPlane {
  readonly dataPlane: DataPlane;
  /** Name of the I/O back end that carries the frames. */
  readonly io: string;
  /** Names of the links it serves. */
  readonly links: readonly string[];
  /** Settings of net.ipv4.vs that it starts with, and where each comes from. */
  readonly sysctl: readonly string[];
}

export interface DaemonParts extends Output {
  /** `null`, or what is missing to open the data plane, with what to type instead. */
  complaint(words: readonly string[]): string | null;
  /** Called when the lock of the namespace is ours. Errors whose message is for people are `refusals`. */
  open(options: DaemonCommandLine, logger: Logger): Promise<OpenedDataPlane>;
  isRefusal?(error: unknown): boolean;
  /** For tests only: another lock than that of the namespace. */
  readonly lockName?: string;
}

const FAILURE_EXIT_CODE = 1;

/** Runs until a signal comes. Resolves to the exit code: 0 ended by a signal, 1 failure, 2 usage. */
export async function runDaemon(words: readonly string[], parts: DaemonParts): Promise<number> {
  const options = await readDaemonOptions(words, parts);
  if ('exitCode' in options) return options.exitCode;
  const complaint = parts.complaint(words);
  if (complaint !== null) {
    await parts.stderr(`uipvsd: ${complaint}\n`);
    return FAILURE_EXIT_CODE;
  }
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
  const { sourceNat, connectionsMax, guard } = options;
  let io = '';
  let links: readonly string[] = [];
  let sysctl: readonly string[] = [];
  const daemon = await startDaemon(
    async () => {
      const opened = await parts.open(options, logger);
      links = opened.links;
      io = opened.io;
      sysctl = opened.sysctl;
      return opened.dataPlane;
    },
    {
      logger,
      settings: () => ({ io, links, sourceNat, connectionsMax, guard, sysctl }),
      onReady: (ready) => {
        const place = `namespace ${ready.namespace}, socket ${ready.socket}`;
        void parts.stdout(`uipvsd ready: ${io}, ${place}, links ${links.join(', ') || 'none'}\n`);
      },
      ...(options.socket === null ? {} : { socket: options.socket }),
      ...(parts.lockName === undefined ? {} : { lockName: parts.lockName }),
    },
  );
  const broken = closeOnMistake(daemon, logger);
  const { failed } = await daemon.ended;
  return failed || broken.yes ? FAILURE_EXIT_CODE : 0;
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
