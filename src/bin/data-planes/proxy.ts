/** The socket proxy: TCP and UDP by ordinary sockets, no rights, nothing compiled. */
import type { DataPlaneKind } from '../../cli/choose-data-plane.ts';

export const proxy: DataPlaneKind = {
  name: 'proxy',
  summary: 'ordinary sockets: TCP and UDP by masquerade only, servers see the address of this host; needs nothing',
  sharesNamespace: true,
  fits: ({ io, links }) => io === null && links === null,
  unavailable: async () => null,
  open: async (options) => {
    const { openProxy } = await import('../../../native-free/index.ts');
    const { acceptProxy, connectionsMax, sendProxy } = options;
    return { dataPlane: openProxy({ connectionsMax, sendProxy, acceptProxy }), io: 'sockets', links: [] };
  },
};
