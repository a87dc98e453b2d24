/**
 * From tables with chains to one list of steps that is walked forwards only. Jumps are written out at every place
 * they come from, so that nothing needs to be remembered on the way. netfilter asks the base chains in the order of their
 * priority until one translates; `accept` ends only the one it stands in.
 */
import type { AddressFamily } from '../../model/service.ts';
import {
  type PortRange,
  SOURCE_NAT_STEPS_MAX,
  type SourceNatCondition,
  type SourceNatRule,
  type SourceNatRules,
  type SourceNatStep,
} from '../../model/source-nat-rule.ts';
import type { NatRule, NatTable } from './nat-table.ts';

/** Deeper than the kernel allows. */
const DEPTH_MAX = 16;

export function flatten(tables: readonly NatTable[], localPortRange: PortRange): SourceNatRules {
  const writer = new StepWriter(localPortRange);
  const bases = tables.flatMap((table) => table.bases.map((base) => ({ table, ...base })));
  for (const { table, chain } of bases.sort((a, b) => a.priority - b.priority)) writer.writeBase(table, chain);
  return writer.finish();
}

/** A place that is not known yet: steps that lead there are told when it is. */
interface Label {
  at: number;
}

interface OpenStep {
  readonly family: AddressFamily | null;
  readonly conditions: readonly SourceNatCondition[];
  readonly next: Extract<SourceNatStep['next'], { rule: number }> | Label;
  readonly otherwise: Label;
}

class StepWriter {
  readonly #localPortRange: PortRange;
  readonly #steps: OpenStep[] = [];
  readonly #rules: SourceNatRule[] = [];
  /** A rule that is written out several times is one rule. */
  readonly #numbers = new Map<NatRule, number>();
  /** Chains of the table being written in which something matters. */
  #matters = new Map<string, boolean>();
  #full = false;

  constructor(localPortRange: PortRange) {
    this.#localPortRange = localPortRange;
  }

  writeBase(table: NatTable, chain: string): void {
    const end: Label = { at: -1 };
    this.#matters = new Map();
    this.#writeChain(table, chain, end, end, 0);
    end.at = this.#steps.length;
  }

  finish(): SourceNatRules {
    const steps = this.#steps.map(({ family, conditions, next, otherwise }) => ({
      family,
      conditions,
      next: 'at' in next ? { step: next.at } : next,
      otherwise: otherwise.at,
    }));
    return { rules: this.#rules, steps };
  }

  /** `end`: behind the base chain. `back`: where `return` leads. */
  #writeChain(table: NatTable, name: string, end: Label, back: Label, depth: number): void {
    for (const rule of table.chains.get(name) ?? []) {
      if (this.#full) return;
      const problem = rule.problem ?? this.#portProblem(rule);
      if (problem !== null) {
        this.#note(table, rule, problem);
        continue;
      }
      const { verdict } = rule;
      const after: Label = { at: -1 };
      if (verdict.kind === 'translate') {
        const number = this.#note(table, rule, null);
        this.#step(table, rule, { rule: number, target: verdict.target }, after);
      } else if (verdict.kind === 'accept') this.#step(table, rule, end, after);
      else if (verdict.kind === 'return') this.#step(table, rule, back, after);
      else if (verdict.kind === 'jump' || verdict.kind === 'goto') {
        if (depth >= DEPTH_MAX) this.#note(table, rule, `chains lead into each other more than ${DEPTH_MAX} deep`);
        else if (this.#hasEffect(table, verdict.chain)) {
          const body: Label = { at: -1 };
          this.#step(table, rule, body, after);
          body.at = this.#steps.length;
          // What comes back from a chain that was gone to leads out of this one, too.
          const leave = verdict.kind === 'goto' ? back : after;
          this.#writeChain(table, verdict.chain, end, leave, depth + 1);
          if (verdict.kind === 'goto') this.#step(table, { ...rule, conditions: [], family: null }, back, back);
        }
        // A chain without effect that is gone to: nothing but the way out is left of it.
        else if (verdict.kind === 'goto') this.#step(table, rule, back, after);
      }
      after.at = this.#steps.length;
    }
  }

  #step(table: NatTable, rule: NatRule, next: OpenStep['next'], otherwise: Label): void {
    if (this.#steps.length < SOURCE_NAT_STEPS_MAX) {
      this.#steps.push({ family: rule.family, conditions: rule.conditions, next, otherwise });
    } else if (!this.#full) {
      this.#full = true;
      this.#note(
        table,
        { ...rule },
        `there are more than ${SOURCE_NAT_STEPS_MAX} rules; from here on none is followed`,
      );
    }
  }

  #note(table: NatTable, rule: NatRule, problem: string | null): number {
    const known = this.#numbers.get(rule);
    if (known !== undefined) return known;
    const number = this.#rules.push({ origin: table.origin, text: rule.text, problem }) - 1;
    this.#numbers.set(rule, number);
    return number;
  }

  /** Ports of the host's own sockets are never used, so something must be left of those that a rule names. */
  #portProblem({ verdict }: NatRule): string | null {
    if (verdict.kind !== 'translate' || verdict.target.ports === null) return null;
    const [low, high] = verdict.target.ports;
    const [first, last] = this.#localPortRange;
    if (low < first || high > last) return null;
    return `ports ${low}-${high} belong to the host's own sockets (net.ipv4.ip_local_port_range = ${first} ${last})`;
  }

  /** Whether anything in the chain, or in those it leads to, translates, ends the walk or is not understood. */
  #hasEffect(table: NatTable, name: string): boolean {
    const known = this.#matters.get(name);
    if (known !== undefined) return known;
    this.#matters.set(name, false); // The kernel has no circles; a text may.
    const effect = (table.chains.get(name) ?? []).some(({ problem, verdict }) => {
      if (problem !== null || verdict.kind === 'translate' || verdict.kind === 'accept') return true;
      return (verdict.kind === 'jump' || verdict.kind === 'goto') && this.#hasEffect(table, verdict.chain);
    });
    this.#matters.set(name, effect);
    return effect;
  }
}
