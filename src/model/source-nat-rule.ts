/**
 * MASQUERADE and SNAT rules of the host's packet filter, in the form in which a data plane follows them: a list of
 * steps that is walked once for each new connection, forwards only. Plain data.
 */
import type { AddressFamily } from './service.ts';

/** First and last, both included. */
export type AddressRange = readonly [first: string, last: string];
export type PortRange = readonly [low: number, high: number];

/**
 * One thing that must hold; `not`: must not. The source is the client, the destination the real server, as netfilter
 * sees a packet behind IPVS; `virtual` is what the client asked for (`-m ipvs`).
 */
export type SourceNatCondition =
  | {
      readonly on: 'source' | 'destination' | 'virtual';
      readonly not: boolean;
      /** Ranges of the other family match nothing. */
      readonly addresses: readonly AddressRange[];
    }
  | {
      readonly on: 'sourcePort' | 'destinationPort' | 'virtualPort';
      readonly not: boolean;
      readonly ports: readonly PortRange[];
    }
  /** IP protocol numbers. */
  | { readonly on: 'protocol'; readonly not: boolean; readonly protocols: readonly number[] }
  /** The link a packet leaves by; `*` at the end of a name stands for any further letters. */
  | { readonly on: 'link'; readonly not: boolean; readonly names: readonly string[] }
  | { readonly on: 'mark'; readonly not: boolean; readonly value: number; readonly mask: number };

/** Which address and port the connection gets towards its server. */
export interface SourceNatTarget {
  /** `null`: that of the link it leaves by. */
  readonly addresses: AddressRange | null;
  /** `null`: any, the client's own if it is free. */
  readonly ports: PortRange | null;
  /** Do not try the client's own port first. */
  readonly random: boolean;
  /** Of several addresses a client gets the same for all servers. */
  readonly persistent: boolean;
}

export interface SourceNatStep {
  /** `null`: both. */
  readonly family: AddressFamily | null;
  readonly conditions: readonly SourceNatCondition[];
  /** When all hold: translate by this rule (an index into `rules`), or go on at a later step. */
  readonly next: { readonly rule: number; readonly target: SourceNatTarget } | { readonly step: number };
  /** Where to go on when not. The end of the list: no rule matches, the source stays. */
  readonly otherwise: number;
}

export interface SourceNatRule {
  /** Who shows it: `iptables`, `ip6tables`, `iptables-legacy`, `nft inet lb`. */
  readonly origin: string;
  /** As that program prints it. */
  readonly text: string;
  /** `null`: it is followed. Otherwise why it is not; then it counts as matching nothing. */
  readonly problem: string | null;
}

export interface SourceNatRules {
  /** Those that translate, and those that are not understood, in the order they are asked. */
  readonly rules: readonly SourceNatRule[];
  readonly steps: readonly SourceNatStep[];
}

export const NO_SOURCE_NAT_RULES: SourceNatRules = { rules: [], steps: [] };

export interface SourceNatRuleStatus extends SourceNatRule {
  /** Connections that were translated by it. */
  readonly hits: number;
  /** It could match connections to some destination that there is now. */
  readonly concerned: boolean;
}

export interface SourceNatReport {
  /** The setting `conntrack` is on: rules that are understood take effect. */
  readonly inForce: boolean;
  readonly rules: readonly SourceNatRuleStatus[];
}

/** Every rule is asked for every new connection. */
export const SOURCE_NAT_STEPS_MAX = 4_096;
