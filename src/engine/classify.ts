/**
 * Firewall marks of our own making: rules that say which packets carry which mark, asked before anything else looks
 * at a packet, and only while there are any.
 */
import { IpvsError } from '../model/errors.ts';
import {
  type CheckedMarkRule,
  checkMarkRule,
  formatMarkMatch,
  formatMarkRule,
  type MarkRule,
} from '../model/mark-rule.ts';
import { prefixMatches } from '../wire/address.ts';
import { ICMPV6_REDIRECT, ICMPV6_ROUTER_SOLICITATION, icmpv6Type } from '../wire/icmpv6.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import { PROTOCOL_ICMPV6 } from '../wire/ipv6.ts';
import type { EngineContext } from './context.ts';
import type { Packet } from './packet.ts';

/** Each rule costs every packet a comparison. */
const RULES_MAX = 256;
const PROTOCOL_NUMBER = { tcp: PROTOCOL_TCP, udp: PROTOCOL_UDP, sctp: PROTOCOL_SCTP } as const;

export class MarkRules {
  #rules: readonly CheckedMarkRule[] = [];

  get size(): number {
    return this.#rules.length;
  }

  copyFrom(other: MarkRules): void {
    this.#rules = other.#rules;
  }

  list(): readonly MarkRule[] {
    return this.#rules.map(({ rule }) => rule);
  }

  /** Throws EINVAL, EEXIST or ENOMEM; then nothing has changed. */
  add(wanted: MarkRule): void {
    const checked = checkMarkRule(wanted);
    const text = formatMarkMatch(checked.rule);
    const same = this.#rules.find(({ rule }) => formatMarkMatch(rule) === text);
    if (same !== undefined) throw new IpvsError('EEXIST', `${formatMarkRule(same.rule)} is there already`);
    if (this.#rules.length >= RULES_MAX) throw new IpvsError('ENOMEM', `there are ${RULES_MAX} rules already`);
    this.#rules = [...this.#rules, checked];
  }

  /** Throws EINVAL or ESRCH. */
  delete(wanted: MarkRule): void {
    const text = formatMarkRule(checkMarkRule(wanted).rule);
    const left = this.#rules.filter(({ rule }) => formatMarkRule(rule) !== text);
    if (left.length === this.#rules.length) throw new IpvsError('ESRCH', `there is no rule ${text}`);
    this.#rules = left;
  }

  /** Marks a whole packet by the first rule that matches; without one it keeps the mark it came with. */
  classify(context: EngineContext, packet: Packet): void {
    if (isNeighborTalk(packet)) return;
    for (const checked of this.#rules) {
      const { rule, ports } = checked;
      if (!matchesEnds(context, checked, packet)) continue;
      if (rule.protocol !== undefined && PROTOCOL_NUMBER[rule.protocol] !== packet.protocol) continue;
      if (ports !== null && !(hasPorts(packet) && isWithin(packet.destinationPort, ports))) continue;
      packet.mark = rule.mark;
      packet.markedByRule = true;
      return;
    }
  }

  /** True when some rule could match the packet that this fragment belongs to: ports and protocol are left out. */
  mayMark(context: EngineContext, fragment: Packet): boolean {
    return this.#rules.some((checked) => matchesEnds(context, checked, fragment));
  }
}

function matchesEnds(context: EngineContext, checked: CheckedMarkRule, packet: Packet): boolean {
  const { rule, ipv6, destination, source } = checked;
  if (ipv6 !== packet.ipv6) return false;
  const { destination0, destination1, destination2, destination3, source0, source1, source2, source3 } = packet;
  if (
    destination !== null &&
    !prefixMatches(destination, ipv6, destination0, destination1, destination2, destination3)
  ) {
    return false;
  }
  if (source !== null && !prefixMatches(source, ipv6, source0, source1, source2, source3)) return false;
  return rule.link === undefined || context.network.link(packet.ingress)?.name === rule.link;
}

/** What links need to work at all is never marked. */
function isNeighborTalk(packet: Packet): boolean {
  if (!packet.ipv6 || packet.protocol !== PROTOCOL_ICMPV6) return false;
  const type = icmpv6Type(packet.bytes, packet.transportAt);
  return type >= ICMPV6_ROUTER_SOLICITATION && type <= ICMPV6_REDIRECT;
}

function hasPorts({ protocol, ipsec }: Packet): boolean {
  return !ipsec && (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP || protocol === PROTOCOL_SCTP);
}

function isWithin(port: number, [low, high]: readonly [number, number]): boolean {
  return port >= low && port <= high;
}
