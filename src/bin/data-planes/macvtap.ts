/** The packet engine over a macvtap link: nothing compiled, all forwarding methods. */
import type { DataPlaneKind } from '../../cli/choose-data-plane.ts';
import { missingCapabilities, privilegeComplaint } from '../../cli/privileges.ts';
import { openPacketEngine } from './packet.ts';

export const macvtap: DataPlaneKind = {
  name: 'macvtap',
  summary: 'the packet engine over a macvtap link: all that packet does, and nothing compiled; needs root',
  fits: ({ io, spinUs, bypassQueue, guard, processes, shards }) =>
    processes === 1 &&
    shards === 1 &&
    (io === null || io === 'macvtap') &&
    spinUs === 0 &&
    !bypassQueue &&
    guard === 'on',
  unavailable: async (_options, words) => {
    const complaint = privilegeComplaint('uipvsd', words, missingCapabilities());
    if (complaint !== null) return complaint;
    const { LIVE_KINDS } = await import('../../packet-io/index.ts');
    return (await LIVE_KINDS['macvtap']?.unavailable()) ?? null;
  },
  open: (options, logger) => openPacketEngine({ ...options, io: 'macvtap' }, logger, 'macvtap'),
};
