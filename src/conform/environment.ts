/** The director of a recording as the engine sees a host: links, addresses, routes and permanent neighbours. */
import type { NetworkLink, NetworkNeighbor, NetworkRoute, NetworkSnapshot } from '../model/network.ts';
import { familyOfAddress } from '../model/service.ts';
import { formatIpv4, formatWords } from '../wire/address.ts';
import { addressHex } from './packet-facts.ts';
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
      routes.push(route(text, null, index, address.includes(':') ? null : address));
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

/** Where the host's own packets to an address (hexadecimal) go: interface and a neighbour it knows, or `null`. */
export function hopTo(network: NetworkSnapshot, address: string): { readonly dev: string; readonly to: string } | null {
  let best: NetworkRoute | null = null;
  let longest = -1;
  for (const route of network.routes) {
    const [prefix, length] = route.destination.split('/') as [string, string];
    const bits = Number(length);
    if (bits > longest && binary(addressHex(prefix)).slice(0, bits) === binary(address).slice(0, bits)) {
      if ((route.family === 'ipv4') !== (address.length === 8)) continue;
      [best, longest] = [route, bits];
    }
  }
  const link = network.links.find(({ index }) => index === best?.linkIndex);
  if (best === null || link === undefined) return null;
  const to = best.gateway ?? textOf(address);
  const isKnown = network.neighbors.some((neighbor) => neighbor.linkIndex === link.index && neighbor.address === to);
  return isKnown ? { dev: link.name, to } : null;
}

function binary(hex: string): string {
  return [...hex].map((digit) => Number.parseInt(digit, 16).toString(2).padStart(4, '0')).join('');
}

function textOf(address: string): string {
  const bytes = Buffer.from(address, 'hex');
  if (bytes.length === 4) return formatIpv4(bytes.readInt32BE(0));
  return formatWords(true, bytes.readInt32BE(0), bytes.readInt32BE(4), bytes.readInt32BE(8), bytes.readInt32BE(12));
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
