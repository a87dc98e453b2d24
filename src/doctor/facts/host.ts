/** Links, addresses, routes and neighbours of this host, as `ip` tells them. */
import { type Known, known } from '../facts.ts';
import { runJsonTool } from './tool.ts';

export interface HostLink {
  readonly index: number;
  readonly name: string;
  /** `02:00:00:00:00:01` */
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
  readonly loopback: boolean;
  readonly addresses: readonly { readonly address: string; readonly prefixLength: number }[];
}

export interface HostRoute {
  /** `default`, `192.168.1.0/24`, `fd00:1::/64` */
  readonly destination: string;
  readonly gateway: string | null;
  readonly link: string | null;
}

export interface HostNeighbor {
  readonly address: string;
  readonly link: string;
  readonly mac: string;
}

export interface HostFacts {
  readonly links: readonly HostLink[];
  readonly routes: readonly HostRoute[];
  readonly neighbors: readonly HostNeighbor[];
}

interface IpAddressRow {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly address?: string;
  readonly addr_info: readonly { readonly local?: string; readonly prefixlen: number }[];
}
interface IpRouteRow {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
}
interface IpNeighborRow {
  readonly dst: string;
  readonly dev: string;
  readonly lladdr?: string;
}

export async function lookAtHost(): Promise<Known<HostFacts>> {
  const [addresses, four, six, neighbors] = await Promise.all([
    runJsonTool<IpAddressRow[]>('ip', ['-j', 'address']),
    runJsonTool<IpRouteRow[]>('ip', ['-j', '-4', 'route']),
    runJsonTool<IpRouteRow[]>('ip', ['-j', '-6', 'route']),
    runJsonTool<IpNeighborRow[]>('ip', ['-j', 'neighbor']),
  ]);
  if (!addresses.known) return addresses;
  if (!four.known) return four;
  if (!neighbors.known) return neighbors;
  // A kernel without IPv6 refuses that one question.
  const routes = [...four.value, ...(six.known ? six.value : [])];
  return known({
    links: addresses.value.map((row) => ({
      index: row.ifindex,
      name: row.ifname,
      mac: row.address ?? '00:00:00:00:00:00',
      mtu: row.mtu,
      up: row.flags.includes('UP'),
      loopback: row.flags.includes('LOOPBACK'),
      addresses: row.addr_info.flatMap(({ local, prefixlen }) =>
        local === undefined ? [] : [{ address: local, prefixLength: prefixlen }],
      ),
    })),
    routes: routes.map(({ dst, gateway, dev }) => ({ destination: dst, gateway: gateway ?? null, link: dev ?? null })),
    neighbors: neighbors.value.flatMap(({ dst, dev, lladdr }) =>
      lladdr === undefined ? [] : [{ address: dst, link: dev, mac: lladdr }],
    ),
  });
}
