/** The director of a recording as the engine sees a host: links, addresses, routes and permanent neighbours. */
import type { NetworkLink, NetworkNeighbor, NetworkRoute, NetworkSnapshot } from '../model/network.ts';
import { familyOfAddress } from '../model/service.ts';
import type { Recording } from './recording.ts';

export function networkOf(recording: Recording): NetworkSnapshot {
  const links: NetworkLink[] = [];
  const routes: NetworkRoute[] = [];
  const neighbors: NetworkNeighbor[] = [];
  recording.env.ifaces.forEach((iface, position) => {
    const index = position + 1;
    const addresses = iface.addrs.map((text) => {
      const [address, length] = text.split('/') as [string, string];
      return { address, prefixLength: Number(length) };
    });
    links.push({
      index,
      name: iface.name,
      mac: iface.mac,
      mtu: iface.mtu,
      loopback: false,
      up: true,
      addresses,
    });
    for (const text of iface.addrs) {
      const address = text.split('/')[0] as string;
      routes.push(route(text, null, index, address));
    }
    for (const gateway of iface.gateways ?? []) {
      const everything = familyOfAddress(gateway) === 'ipv6' ? '::/0' : '0.0.0.0/0';
      routes.push(route(everything, gateway, index, null));
    }
    for (const [address, mac] of Object.entries(iface.neigh ?? {})) neighbors.push({ address, linkIndex: index, mac });
  });
  // MASQUERADE keeps a client's port whatever it is: no ports are set aside for the host's own sockets.
  return { links, routes, neighbors, hostLink: null, localPortRange: [0, 0] };
}

function route(
  destination: string,
  gateway: string | null,
  linkIndex: number,
  preferredSource: string | null,
): NetworkRoute {
  const family = familyOfAddress(destination);
  return { family, destination, gateway, linkIndex, preferredSource, metric: 0, type: 'unicast' };
}
