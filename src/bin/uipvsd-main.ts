/** `uipvsd`: the packet engine, kept alive and reachable in the network namespace it is started in. */
import type { DaemonCommandLine } from '../cli/daemon-options.ts';
import { missingCapabilities, privilegeComplaint } from '../cli/privileges.ts';
import { type OpenedDataPlane, runDaemon } from '../cli/run-daemon.ts';
import { applyStartSettings } from '../cli/start-settings.ts';
import type { Logger } from '../control/logger.ts';
import { PacketIoError } from '../packet-io/packet-io.ts';
import { processOutput } from './output.ts';

export async function main(words: readonly string[]): Promise<number> {
  const exitCode = await runDaemon(words, {
    ...processOutput,
    complaint: (typed) => privilegeComplaint('uipvsd', typed, missingCapabilities()),
    open,
    isRefusal: (error) => error instanceof PacketIoError,
  });
  // Worker threads and child processes must not keep a daemon alive that has ended.
  process.exit(exitCode);
}

async function open(options: DaemonCommandLine, logger: Logger): Promise<OpenedDataPlane> {
  const [{ startPacketDataPlane }, { readNetwork }, { ENGINE_LINK_NAME }] = await Promise.all([
    import('../data-plane/packet/host.ts'),
    import('../data-plane/packet/network.ts'),
    import('../data-plane/packet/host-link.ts'),
  ]);
  let open = false;
  // Once it is open the daemon logs its events, which say the same.
  const whileOpening = (line: (message: string) => void) => (message: string) => {
    if (!open) line(message);
  };
  const dataPlane = await startPacketDataPlane({
    ...(options.io === null ? {} : { io: options.io }),
    connectionsMax: options.connectionsMax,
    sourceNat: options.sourceNat,
    guard: options.guard,
    ...(options.links === null ? {} : { links: options.links }),
    log: { info: whileOpening(logger.info), warn: whileOpening(logger.warn), error: whileOpening(logger.error) },
  });
  try {
    const sysctl = await applyStartSettings(dataPlane, options.sysctl, logger);
    const { links } = await readNetwork(options.links);
    return {
      dataPlane,
      io: dataPlane.io,
      sysctl,
      links: links
        .map(({ name }) => name)
        .filter((name) => name !== ENGINE_LINK_NAME)
        .sort(),
    };
  } catch (error) {
    await dataPlane.close();
    throw error;
  } finally {
    open = true;
  }
}
