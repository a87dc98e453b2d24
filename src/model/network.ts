/** The host's links, addresses and routes, as the engine needs them to find the next hop. Plain data. */
import type { AddressFamily } from './service.ts';
import type { SourceNatRules } from './source-nat-rule.ts';

export interface NetworkLink {
  /** Kernel interface index. */
  readonly index: number;
  readonly name: string;
  /** `02:00:00:00:00:01`; all zeros for `lo`. */
  readonly mac: string;
  readonly mtu: number;
  readonly loopback: boolean;
  readonly up: boolean;
  readonly addresses: readonly { readonly address: string; readonly prefixLength: number }[];
}

export interface NetworkRoute {
  readonly family: AddressFamily;
  /** `10.0.0.0/8`, `0.0.0.0/0`, `fd00::/64`. */
  readonly destination: string;
  /** `null`: on-link. */
  readonly gateway: string | null;
  readonly linkIndex: number;
  readonly preferredSource: string | null;
  readonly metric: number;
  readonly type: 'unicast' | 'local' | 'broadcast' | 'blackhole' | 'unreachable' | 'prohibit';
}

export interface NetworkNeighbor {
  readonly address: string;
  readonly linkIndex: number;
  readonly mac: string;
}

/**
 * The cable between the engine and the host's own stack: frames sent by link `linkIndex` enter the stack as
 * received on a link of ours, and what the stack sends to `engineAddress` comes out of `linkIndex`.
 */
export interface HostLink {
  readonly linkIndex: number;
  /** MAC of the stack's end, and of the engine's. */
  readonly hostMac: string;
  readonly engineMac: string;
  /** Source address given to packets for servers on this host, so that their answers come back to the engine. */
  readonly engineAddress: string;
  /** The same for IPv6; absent: this host has none on its end of the cable. */
  readonly engineAddress6?: string;
}

export interface NetworkSnapshot {
  readonly links: readonly NetworkLink[];
  /** Main table and local table, in no particular order. */
  readonly routes: readonly NetworkRoute[];
  /** Permanent entries only: the engine resolves the others itself. */
  readonly neighbors: readonly NetworkNeighbor[];
  readonly hostLink: HostLink | null;
  /** net.ipv4.ip_local_port_range: ports the host's own sockets use. Full NAT keeps out of it. */
  readonly localPortRange: readonly [low: number, high: number];
  /** Rules of the host's nat chains behind routing (POSTROUTING). Absent: none. */
  readonly sourceNat?: SourceNatRules;
}
