/** What the log says about the host's source NAT rules: each fact once, when it begins to hold. */
import type { SourceNatRule, SourceNatRules } from '../../model/source-nat-rule.ts';

export interface NewsItem {
  readonly level: 'info' | 'warning';
  readonly message: string;
}

export class SourceNatNews {
  #told: ReadonlySet<string> = new Set();

  /** `inForce`: the setting conntrack is on. */
  of({ rules }: SourceNatRules, inForce: boolean): NewsItem[] {
    const items = inForce ? newsInForce(rules) : newsOutOfForce(rules);
    const fresh = items.filter(({ message }) => !this.#told.has(message));
    const gone = rules.length === 0 && this.#told.size > 0;
    this.#told = new Set(items.map(({ message }) => message));
    return gone ? [{ level: 'info', message: 'source NAT: the host has no such rules any more' }] : fresh;
  }
}

function newsInForce(rules: readonly SourceNatRule[]): NewsItem[] {
  return rules.map(({ origin, text, problem }) =>
    problem === null
      ? { level: 'info', message: `source NAT: connections follow the rule of ${origin}: ${text}` }
      : {
          level: 'warning',
          message: `source NAT: this rule of ${origin} is not followed: ${text} (not understood: ${problem})`,
        },
  );
}

function newsOutOfForce(rules: readonly SourceNatRule[]): NewsItem[] {
  const understood = rules.filter(({ problem }) => problem === null).length;
  if (understood === 0) return [];
  const what = understood === 1 ? 'a MASQUERADE or SNAT rule' : `${understood} MASQUERADE and SNAT rules`;
  return [
    {
      level: 'info',
      message: `source NAT: the host has ${what}; as with IPVS in the kernel they apply to connections through services only with net.ipv4.vs.conntrack=1 (uipvs sysctl -w net.ipv4.vs.conntrack=1)`,
    },
  ];
}
