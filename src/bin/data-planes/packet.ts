/** The packet engine: frames of the links of this network namespace, rewritten and sent on. */
import type { DataPlaneKind, OpenedDataPlane } from '../../cli/choose-data-plane.ts';
import type { DaemonCommandLine } from '../../cli/daemon-options.ts';
import { missingCapabilities, privilegeComplaint } from '../../cli/privileges.ts';
import { applyStartSettings } from '../../cli/start-settings.ts';
import type { Logger } from '../../control/logger.ts';

export const packet: DataPlaneKind = {
  name: 'packet',
  summary: 'the packet engine: every forwarding method, every protocol; needs root or CAP_NET_ADMIN and CAP_NET_RAW',
  fits: ({ processes }) => processes === 1,
  unavailable: async (options, words) =>
    privilegeComplaint('uipvsd', words, missingCapabilities()) ?? (await noBackEnd(options)),
  open: (options, logger) => openPacketEngine(options, logger, 'packet'),
};

async function noBackEnd({ io }: DaemonCommandLine): Promise<string | null> {
  // One that was named is never replaced; opening it says what is wrong with it.
  if (io !== null) return null;
  const { LIVE_KINDS } = await import('../../packet-io/index.ts');
  const reasons: string[] = [];
  for (const kind of Object.values(LIVE_KINDS)) {
    const reason = await kind.unavailable();
    if (reason === null) return null;
    reasons.push(`${kind.name}: ${reason}`);
  }
  return `no way to read packets works here: ${reasons.join('; ')}`;
}

/** `name`: what the data plane calls itself. */
export async function openPacketEngine(
  options: DaemonCommandLine,
  logger: Logger,
  name: string,
): Promise<OpenedDataPlane> {
  const [{ startPacketDataPlane }, { readNetwork }, { ENGINE_LINK_NAME }] = await Promise.all([
    import('../../data-plane/packet/host.ts'),
    import('../../data-plane/packet/network.ts'),
    import('../../data-plane/packet/host-link.ts'),
  ]);
  let open = false;
  // Once it is open the daemon logs its events, which say the same.
  const whileOpening = (line: (message: string) => void) => (message: string) => {
    if (!open) line(message);
  };
  const dataPlane = await startPacketDataPlane({
    name,
    ...(options.io === null ? {} : { io: options.io }),
    ioOptions: {
      spinUs: options.spinUs,
      bypassQueue: options.bypassQueue,
      ringSlots: options.ringSlots,
      xdpMode: options.xdpMode,
      fastPath: options.fastPath === 'auto',
    },
    connectionsMax: options.connectionsMax,
    sourceNat: options.sourceNat,
    shards: options.shards,
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
      ioPassedOver: dataPlane.ioPassedOver,
      ffi: dataPlane.ffi,
      fastPath: dataPlane.fastPath,
      links: links
        .map(({ name }) => name)
        .filter((name) => name !== ENGINE_LINK_NAME)
        .sort(),
      sysctl,
    };
  } catch (error) {
    await dataPlane.close();
    throw error;
  } finally {
    open = true;
  }
}
