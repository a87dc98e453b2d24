/** Asks every rule, and puts symptoms below the finding that is their reason. */
import type { Facts } from './facts.ts';
import type { Finding, Reported, RuleResult } from './finding.ts';
import type { Rule } from './rule.ts';

export interface Diagnosis {
  readonly findings: readonly Reported[];
  /** In the order of the rules. */
  readonly rules: readonly RuleResult[];
}

interface Found {
  readonly rule: Rule;
  readonly finding: Finding;
}

export function examine(rules: readonly Rule[], facts: Facts): Diagnosis {
  const results: RuleResult[] = [];
  const found: Found[] = [];
  for (const rule of rules) {
    const said = rule.examine(facts);
    const line = (outcome: RuleResult['outcome'], says: string) =>
      results.push({ rule: rule.name, summary: rule.summary, outcome, says });
    if ('found' in said) {
      line('found', '');
      found.push(...said.found.map((finding) => ({ rule, finding })));
    } else if ('fine' in said) line('fine', said.fine);
    else if ('notApplicable' in said) line('not-applicable', said.notApplicable);
    else line('cannot-tell', said.cannotTell);
  }
  return fold(found, results);
}

function fold(found: readonly Found[], results: readonly RuleResult[]): Diagnosis {
  const nearest = ({ rule, finding }: Found) =>
    found.find(
      (other) => other.rule !== rule && other.rule.explains.includes(rule.name) && concerns(other.finding, finding),
    );
  // The reason of a reason: no longer a way than there are findings, should rules explain each other.
  const reasonOf = (symptom: Found): Found | undefined => {
    let reason = nearest(symptom);
    for (let step = 0; reason !== undefined && step < found.length; step++) reason = nearest(reason) ?? reason;
    return reason;
  };
  const reasons = found.filter((each) => reasonOf(each) === undefined);
  const findings = reasons.map((reason): Reported => {
    const symptoms = found.filter((each) => reasonOf(each) === reason);
    const alsoSeen = symptoms.map(({ rule, finding: { what, evidence } }) => ({ rule: rule.name, what, evidence }));
    return { rule: reason.rule.name, ...reason.finding, alsoSeen };
  });
  const rules = results.map((result): RuleResult => {
    if (result.outcome !== 'found' || findings.some(({ rule }) => rule === result.rule)) return result;
    const reason = reasonOf(found.find(({ rule }) => rule.name === result.rule) as Found);
    return { ...result, outcome: 'fine', says: `what it saw has its reason in ${reason?.rule.name}` };
  });
  return { findings, rules };
}

/** The same service; or either is about the host, or they share a server. */
function concerns(reason: Finding, symptom: Finding): boolean {
  if (reason.service === null || symptom.service === null) return true;
  if (reason.service !== symptom.service) return false;
  const servers = reason.servers;
  return servers.length === 0 || symptom.servers.length === 0 || symptom.servers.some((each) => servers.includes(each));
}
