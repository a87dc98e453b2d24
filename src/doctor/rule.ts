/** A rule: a pure function over facts. It is one file in `rules/` and one line in `rules/index.ts`. */
import type { FactName, Facts, FactValues } from './facts.ts';
import type { Examination } from './finding.ts';

/** Facts by name, all of them known. */
export type FactsOf<N extends FactName> = { readonly [K in N]: FactValues[K] };

interface RuleDescription<N extends FactName> {
  /** What `--rule` calls it: `arp-problem`. */
  readonly name: string;
  /** The mistake, in a few words. */
  readonly summary: string;
  /** Without these nothing can be said; then the rule is not asked. */
  readonly needs: readonly N[];
  /** Rules whose findings about the same service are mere symptoms of a finding of this one. */
  readonly explains?: readonly string[];
  /** `all`: whatever else is known, for rules that say more when they know more. */
  readonly examine: (facts: FactsOf<N>, all: Facts) => Examination;
}

export interface Rule {
  readonly name: string;
  readonly summary: string;
  readonly needs: readonly FactName[];
  readonly explains: readonly string[];
  /** `cannotTell` when a fact it needs is not known. */
  readonly examine: (facts: Facts) => Examination;
}

export function defineRule<const N extends FactName>(description: RuleDescription<N>): Rule {
  const { name, summary, needs, explains = [], examine } = description;
  return {
    name,
    summary,
    needs,
    explains,
    examine: (facts) => {
      const missing = needs.flatMap((need) => {
        const fact = facts[need];
        return fact.known ? [] : [fact.why];
      });
      if (missing.length > 0) return { cannotTell: [...new Set(missing)].join('; ') };
      const values = Object.fromEntries(needs.map((need) => [need, (facts[need] as { value: unknown }).value]));
      return examine(values as FactsOf<N>, facts);
    },
  };
}

/** The findings, or that there are none. */
export function foundOr(found: Extract<Examination, { found: unknown }>['found'], otherwise: Examination): Examination {
  return found.length > 0 ? { found } : otherwise;
}
