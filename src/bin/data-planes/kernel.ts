/** The kernel's own IPVS, by generic netlink. */
import type { DataPlaneKind } from '../../cli/choose-data-plane.ts';
import type { DaemonCommandLine } from '../../cli/daemon-options.ts';
import { missingCapabilities, privilegeComplaint } from '../../cli/privileges.ts';
import { applyStartSettings } from '../../cli/start-settings.ts';
import type { DataPlane } from '../../model/data-plane.ts';
import { IpvsError } from '../../model/errors.ts';
import { CONNECTIONS_MAX_DEFAULT } from '../../model/limits.ts';
import type { SettingName } from '../../model/settings.ts';

export const kernel: DataPlaneKind = {
  name: 'kernel',
  summary: "the kernel's own IPVS, as ipvsadm uses it; needs the module ip_vs and root or CAP_NET_ADMIN",
  fits: (options) => unknownOption(options) === null,
  async volunteers() {
    const { kernelIpvsIsLoaded } = await import('../../data-plane/kernel/open.ts');
    if (!kernelIpvsIsLoaded()) return null;
    return "the kernel's own IPVS is loaded here, and does all that these options ask for";
  },
  async unavailable(options, words) {
    const option = unknownOption(options);
    if (option !== null) return `the kernel's IPVS does not know ${option}; the packet engine may: --data-plane packet`;
    const complaint = privilegeComplaint(
      'uipvsd',
      words,
      missingCapabilities().filter((name) => name === 'CAP_NET_ADMIN'),
    );
    if (complaint !== null) return complaint;
    const { openKernelDataPlane } = await import('../../data-plane/kernel/open.ts');
    try {
      await openKernelDataPlane().close();
      return null;
    } catch (error) {
      if (error instanceof IpvsError || (error as Error).name === 'NativeUnavailableError')
        return (error as Error).message;
      if ((error as Error).name === 'LibcError')
        return `generic netlink does not work here: ${(error as Error).message}`;
      throw error;
    }
  },
  async open(options, logger) {
    const { openKernelDataPlane } = await import('../../data-plane/kernel/open.ts');
    const dataPlane = openKernelDataPlane();
    try {
      const sysctl = await allOrNone(dataPlane, () => applyStartSettings(dataPlane, options.sysctl, logger));
      return { dataPlane, io: 'kernel', links: [], sysctl };
    } catch (error) {
      await dataPlane.close();
      throw error;
    }
  },
};

/** An option that speaks of packets or sockets of ours, or `null`. */
function unknownOption(options: DaemonCommandLine): string | null {
  const { io, links, spinUs, bypassQueue, sourceNat, connectionsMax, shards, sendProxy, acceptProxy } = options;
  const given: readonly (readonly [option: string, given: boolean])[] = [
    ['--io', io !== null],
    ['--link', links !== null],
    ['--spin-us', spinUs !== 0],
    ['--bypass-queue', bypassQueue],
    ['--shards', shards !== 1],
    ['--snat', sourceNat !== 'none'],
    ['--connections-max', connectionsMax !== CONNECTIONS_MAX_DEFAULT],
    ['--send-proxy', sendProxy !== null],
    ['--accept-proxy', acceptProxy.length > 0],
  ];
  return given.find(([, isGiven]) => isGiven)?.[0] ?? null;
}

/** Settings of a kernel outlive the daemon: when one is refused, those before it get their old values. */
async function allOrNone<T>(dataPlane: DataPlane, work: () => Promise<T>): Promise<T> {
  const before = await dataPlane.execute<'listSettings'>({ name: 'listSettings' });
  try {
    return await work();
  } catch (error) {
    const { settings } = await dataPlane.execute<'listSettings'>({ name: 'listSettings' });
    for (const [name, value] of Object.entries(before.settings)) {
      const setting = name as SettingName;
      if (settings[setting] !== value) await dataPlane.execute<'setSetting'>({ name: 'setSetting', setting, value });
    }
    throw error;
  }
}
