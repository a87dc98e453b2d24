/** The socket proxy: TCP and UDP by ordinary sockets, no rights, nothing compiled. */
import type { DataPlaneKind } from '../../cli/choose-data-plane.ts';
import { applyStartSettings } from '../../cli/start-settings.ts';

export const proxy: DataPlaneKind = {
  name: 'proxy',
  summary: 'ordinary sockets: TCP and UDP by masquerade only, servers see the address of this host; needs nothing',
  sharesNamespace: true,
  fits: ({ io, links, spinUs, bypassQueue, shards }) =>
    io === null && links === null && spinUs === 0 && !bypassQueue && shards === 1,
  unavailable: async ({ shards }) =>
    shards === 1 ? null : 'the proxy has no shards: --shards is for the packet engine (--data-plane packet)',
  open: async (options, logger) => {
    const { openProxy } = await import('../../../native-free/index.ts');
    const { acceptProxy, connectionsMax, processes, sendProxy } = options;
    const dataPlane = openProxy({ connectionsMax, sendProxy, acceptProxy, processes });
    try {
      const sysctl = await applyStartSettings(dataPlane, options.sysctl, logger);
      return { dataPlane, io: 'sockets', links: [], sysctl };
    } catch (error) {
      await dataPlane.close();
      throw error;
    }
  },
};
