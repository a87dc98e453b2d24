/**
 * The host's MASQUERADE and SNAT rules, asked once for each new connection that is masqueraded while the setting
 * `conntrack` is on: a kernel with IPVS keeps such connections in its tracking table, and there those rules make full
 * NAT of plain NAT. Source: Documentation/networking/ipvs-sysctl.rst, `conntrack`; iptables-extensions(8).
 */
import type { Destination } from '../balance/destination.ts';
import type { VirtualService } from '../balance/virtual-service.ts';
import {
  NO_SOURCE_NAT_RULES,
  type PortRange,
  type SourceNatReport,
  type SourceNatRule,
  type SourceNatRules,
  type SourceNatStep,
} from '../model/source-nat-rule.ts';
import { parseAddress } from '../wire/address.ts';
import type { Endpoints } from '../wire/endpoints.ts';
import type { AddressWords } from '../wire/neighbor-discovery.ts';
import type { EngineContext } from './context.ts';
import type { Egress } from './egress.ts';
import { type EngineLink, type Network, NO_ADDRESS, sourceOn } from './network.ts';
import { dependsOnClient, NatQuestion, passes, type Test, testOf } from './source-nat-conditions.ts';
import { spreadOverRange } from './source-nat-range.ts';

interface Step {
  /** `null`: both families. */
  readonly ipv6: boolean | null;
  readonly tests: readonly Test[];
  /** `null`: go on at `next`. */
  readonly choice: SourceChoice | null;
  readonly next: number;
  readonly otherwise: number;
}

/** A rule's target, made ready. */
export interface SourceChoice {
  /** Its place among the rules. */
  readonly rule: number;
  /** First and last; `null`: the address of the link. */
  readonly addresses: readonly [first: AddressWords, last: AddressWords] | null;
  readonly ports: PortRange | null;
  readonly random: boolean;
  readonly persistent: boolean;
}

/** One for all questions. */
const question = new NatQuestion();

export class HostSourceNat {
  #given: SourceNatRules = NO_SOURCE_NAT_RULES;
  #steps: readonly Step[] = [];
  #hits = new Float64Array(0);

  get stepCount(): number {
    return this.#steps.length;
  }

  /** Rules that stay keep their hits. */
  set(rules: SourceNatRules, network: Network): void {
    const before = new Map(this.#given.rules.map((rule, index) => [identity(rule), this.#hits[index] as number]));
    this.#hits = Float64Array.from(rules.rules, (rule) => before.get(identity(rule)) ?? 0);
    this.#given = rules;
    this.#steps = rules.steps.map((step) => prepare(step, network));
  }

  /** Takes over the rules of another. */
  copyFrom(other: HostSourceNat): void {
    this.#given = other.#given;
    this.#steps = other.#steps;
    this.#hits = other.#hits.slice();
  }

  /** What the first rule that matches wants, or `null`: the source stays. */
  choose(asked: NatQuestion): SourceChoice | null {
    const steps = this.#steps;
    let at = 0;
    while (at < steps.length) {
      const step = steps[at] as Step;
      const holds = (step.ipv6 === null || step.ipv6 === asked.ends.ipv6) && passes(step.tests, asked);
      if (!holds) at = step.otherwise;
      else if (step.choice !== null) return step.choice;
      else at = step.next;
    }
    return null;
  }

  /** A connection was made by this rule. */
  count(rule: number): void {
    this.#hits[rule] = (this.#hits[rule] as number) + 1;
  }

  report(context: EngineContext): SourceNatReport {
    const concerned = this.#concerned(context);
    const rules = this.#given.rules.map((rule, index) => ({
      ...rule,
      hits: this.#hits[index] as number,
      concerned: concerned.has(index),
    }));
    return { inForce: context.settings.conntrack !== 0, rules };
  }

  /** Rules that could match a connection to some destination that there is now, whoever the client is. */
  #concerned(context: EngineContext): ReadonlySet<number> {
    const found = new Set<number>();
    if (this.#steps.length === 0) return found;
    for (const service of context.services.services()) {
      for (const destination of service.destinations) {
        const egress = context.egresses.ofDestination(context, destination);
        const link = linkOf(egress);
        if (link === null || !isLeftToHost(service, destination)) continue;
        question.ends = endsOfService(service);
        question.server = destination;
        question.serverPort = destination.port === 0 ? service.port : destination.port;
        question.link = link;
        for (const { family, conditions, next } of this.#given.steps) {
          if ('step' in next || (family !== null && (family === 'ipv6') !== destination.ipv6)) continue;
          const askable = conditions.filter((condition) => !dependsOnClient(condition, service));
          const tests = askable.map((condition) => testOf(condition, context.network));
          if (passes(tests, question)) found.add(next.rule);
        }
      }
    }
    return found;
  }
}

/** Whether rules of the host have a say in what source connections to this destination get. */
export function asksHost(
  context: EngineContext,
  service: VirtualService,
  destination: Destination,
  egress: Egress,
): boolean {
  const { sourceNat, settings } = context;
  if (sourceNat.stepCount === 0 || settings.conntrack === 0) return false;
  return isLeftToHost(service, destination) && linkOf(egress) !== null;
}

export function chooseByHostRules(
  context: EngineContext,
  ends: Endpoints,
  destination: Destination,
  destinationPort: number,
  egress: Egress,
  mark: number,
): SourceChoice | null {
  const link = linkOf(egress);
  if (link === null) return null;
  question.ends = ends;
  question.server = destination;
  question.serverPort = destinationPort;
  question.mark = mark;
  question.link = link;
  return context.sourceNat.choose(question);
}

/** The address that a rule gives this connection; all 0: there is none. */
export function sourceByRule(
  { addresses, persistent }: SourceChoice,
  ends: Endpoints,
  destination: Destination,
  egress: Egress,
): AddressWords {
  if (addresses !== null) return spreadOverRange(addresses[0], addresses[1], ends, destination, persistent);
  const { neighbor } = egress;
  // Not the source that a route may prefer: MASQUERADE goes by the link alone.
  return neighbor === null ? NO_ADDRESS : sourceOn(neighbor.link, destination.ipv6, destination, neighbor);
}

/** What the service itself says about the source comes first. */
function isLeftToHost(service: VirtualService, destination: Destination): boolean {
  return destination.method === 'masquerade' && service.sourceNat === 'none';
}

/** `null`: to this host itself, or nowhere. */
function linkOf(egress: Egress): EngineLink | null {
  return egress.kind === 'remote' ? (egress.neighbor?.link ?? null) : null;
}

/** A connection to the service as far as it is known beforehand. */
function endsOfService(service: VirtualService): Endpoints {
  return {
    ipv6: service.ipv6,
    protocol: service.protocol,
    source0: 0,
    source1: 0,
    source2: 0,
    source3: 0,
    sourcePort: 0,
    destination0: service.address0,
    destination1: service.address1,
    destination2: service.address2,
    destination3: service.address3,
    destinationPort: service.port,
  };
}

function prepare({ family, conditions, next, otherwise }: SourceNatStep, network: Network): Step {
  const tests = conditions.map((condition) => testOf(condition, network));
  const ipv6 = family === null ? null : family === 'ipv6';
  if ('step' in next) return { ipv6, tests, choice: null, next: next.step, otherwise };
  const { addresses, ports, random, persistent } = next.target;
  const range = addresses === null ? null : ([wordsOf(addresses[0]), wordsOf(addresses[1])] as const);
  return { ipv6, tests, choice: { rule: next.rule, addresses: range, ports, random, persistent }, next: 0, otherwise };
}

function wordsOf(text: string): AddressWords {
  const [address0, address1, address2, address3] = (parseAddress(text)?.words ?? [0, 0, 0, 0]) as unknown as [
    number,
    number,
    number,
    number,
  ];
  return { address0, address1, address2, address3 };
}

function identity({ origin, text }: SourceNatRule): string {
  return `${origin}\n${text}`;
}
