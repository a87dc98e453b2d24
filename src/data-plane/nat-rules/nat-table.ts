/**
 * A table of the host's packet filter with chains behind routing (POSTROUTING), read but not yet flattened. iptables
 * and nft tell theirs in languages of their own; this is what both have in common.
 */
import type { AddressFamily } from '../../model/service.ts';
import type { SourceNatCondition, SourceNatTarget } from '../../model/source-nat-rule.ts';

export type NatVerdict =
  | { readonly kind: 'translate'; readonly target: SourceNatTarget }
  /** `accept` ends the walk through this base chain, `return` that through the chain. */
  | { readonly kind: 'accept' | 'return' | 'nothing' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string };

export interface NatRule {
  /** As the host's own program prints it. */
  readonly text: string;
  readonly family: AddressFamily | null;
  readonly conditions: readonly SourceNatCondition[];
  readonly verdict: NatVerdict;
  /** `null`, or what of it is not understood: conditions and verdict mean nothing then. */
  readonly problem: string | null;
}

export interface NatTable {
  readonly origin: string;
  readonly chains: ReadonlyMap<string, readonly NatRule[]>;
  /** Chains that packets enter by themselves, the lowest priority first among all tables. */
  readonly bases: readonly { readonly chain: string; readonly priority: number }[];
}

/** A condition that nothing fulfils. */
export const NEVER: SourceNatCondition = { on: 'protocol', not: false, protocols: [] };

/** Of a rule: this part is not understood. The message is what a person reads behind "not understood: ". */
export class NotUnderstood extends Error {
  override readonly name = 'NotUnderstood';
}

export const ANY_TARGET: SourceNatTarget = { addresses: null, ports: null, random: false, persistent: false };

export function brokenRule(text: string, problem: string): NatRule {
  return { text, family: null, conditions: [], verdict: { kind: 'nothing' }, problem };
}
