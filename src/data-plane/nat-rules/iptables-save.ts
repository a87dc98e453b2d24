/**
 * Reads what `iptables-save -t nat` and its relatives print. Manual pages: iptables-save(8), iptables-extensions(8).
 * Everything that is not in the tables below makes its rule one that is not understood.
 */
import type { AddressFamily } from '../../model/service.ts';
import type { PortRange, SourceNatCondition, SourceNatTarget } from '../../model/source-nat-rule.ts';
import {
  ANY_TARGET,
  brokenRule,
  type NatRule,
  type NatTable,
  type NatVerdict,
  NEVER,
  NotUnderstood,
} from './nat-table.ts';
import { addressRange, portRange, prefixRange, protocolNumber, statesOfNew } from './words.ts';

const BASE_CHAIN = 'POSTROUTING';
/** Where iptables puts its chain among those of nft: NF_IP_PRI_NAT_SRC. */
const PRIORITY = 100;

/** Targets that change no address and end nothing, whatever their rule asks for. */
const HARMLESS_TARGETS: readonly string[] = [
  'LOG',
  'NFLOG',
  'ULOG',
  'CONNMARK',
  'AUDIT',
  'TRACE',
  'RATEEST',
  'IDLETIMER',
];
/** Besides chains of the table itself. */
const TARGETS: readonly string[] = ['MASQUERADE', 'SNAT', 'ACCEPT', 'RETURN'];
const MATCH_MODULES: readonly string[] = [
  'tcp',
  'udp',
  'sctp',
  'multiport',
  'mark',
  'iprange',
  'conntrack',
  'state',
  'comment',
  'ipvs',
];
/**
 * A kernel without IPVS cannot keep `-m ipvs`, and iptables refuses to add such a rule. So the same words are
 * understood at the beginning of a comment, which every kernel keeps.
 */
const COMMENT_WITH_MATCH = /^-m ipvs\b/;

/** `null`: the text has no table `nat`. */
export function parseIptablesSave(text: string, origin: string, family: AddressFamily): NatTable | null {
  const chains = new Map<string, NatRule[]>();
  let inNat = false;
  let found = false;
  const lines: [chain: string, line: string][] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) inNat = line.trim() === '*nat';
    found ||= inNat;
    if (!inNat) continue;
    const declared = /^:(\S+)/.exec(line)?.[1];
    if (declared !== undefined) chains.set(declared, []);
    const chain = /^-A (\S+)/.exec(line)?.[1];
    if (chain !== undefined) lines.push([chain, line.trim()]);
  }
  // Chains are declared before rules, but a chain of whatever name must not be lost.
  for (const [chain, line] of lines) {
    const rule = readRule(line, family, (name) => chains.has(name));
    if (rule === null) continue;
    const rules = chains.get(chain);
    if (rules === undefined) chains.set(chain, [rule]);
    else rules.push(rule);
  }
  return found ? { origin, chains, bases: [{ chain: BASE_CHAIN, priority: PRIORITY }] } : null;
}

/** What is read of one rule so far. */
interface Draft {
  readonly family: AddressFamily;
  readonly conditions: SourceNatCondition[];
  target: string | null;
  goto: boolean;
  nat: SourceNatTarget;
}

/** `null`: a rule that can never matter here. */
function readRule(line: string, family: AddressFamily, isChain: (name: string) => boolean): NatRule | null {
  const words = splitWords(line);
  const target = words[words.findIndex((word) => word === '-j' || word === '-g') + 1];
  if (!words.includes('-j') && !words.includes('-g')) return null;
  if (target !== undefined && HARMLESS_TARGETS.includes(target)) return null;
  const draft: Draft = { family, conditions: [], target: null, goto: false, nat: ANY_TARGET };
  try {
    if (target !== undefined && !TARGETS.includes(target) && !isChain(target)) throw new NotUnderstood(`-j ${target}`);
    readWords(words.slice(2), draft);
    return { text: line, family, conditions: draft.conditions, verdict: verdictOf(draft), problem: null };
  } catch (error) {
    if (!(error instanceof NotUnderstood)) throw error;
    return brokenRule(line, error.message);
  }
}

function verdictOf({ target, goto, nat }: Draft): NatVerdict {
  switch (target) {
    case 'MASQUERADE':
      return { kind: 'translate', target: nat };
    case 'SNAT':
      if (nat.addresses === null) throw new NotUnderstood('SNAT without --to-source');
      return { kind: 'translate', target: nat };
    case 'ACCEPT':
      return { kind: 'accept' };
    case 'RETURN':
      return { kind: 'return' };
    default:
      return { kind: goto ? 'goto' : 'jump', chain: target ?? '' };
  }
}

type Take = (draft: Draft, not: boolean, value: string) => void;

const addresses = (on: 'source' | 'destination' | 'virtual', read: typeof prefixRange): Take => {
  return ({ conditions }, not, value) => conditions.push({ on, not, addresses: [read(value)] });
};
const ports = (on: 'sourcePort' | 'destinationPort' | 'virtualPort'): Take => {
  return ({ conditions }, not, value) => conditions.push({ on, not, ports: value.split(',').map(portRange) });
};
const protocol: Take = ({ conditions }, not, value) => {
  if (value !== 'all' && value !== '0') conditions.push({ on: 'protocol', not, protocols: [protocolNumber(value)] });
};
/** True or false for every connection that is asked for. */
const known = (read: (value: string) => boolean): Take => {
  return ({ conditions }, not, value) => {
    if (read(value) === not) conditions.push(NEVER);
  };
};
const states = known((value) => statesOfNew(value.split(',')));

/** Options with a word behind them. */
const OPTIONS: Readonly<Record<string, Take>> = {
  '-s': addresses('source', prefixRange),
  '-d': addresses('destination', prefixRange),
  '--src-range': addresses('source', addressRange),
  '--dst-range': addresses('destination', addressRange),
  '-o': ({ conditions }, not, value) => conditions.push({ on: 'link', not, names: [value.replace(/\+$/, '*')] }),
  '-p': protocol,
  '--sport': ports('sourcePort'),
  '--sports': ports('sourcePort'),
  '--dport': ports('destinationPort'),
  '--dports': ports('destinationPort'),
  '--mark': ({ conditions }, not, value) => {
    const [wanted, mask = '0xffffffff'] = value.split('/') as [string, string?];
    conditions.push({ on: 'mark', not, value: readNumber(wanted), mask: readNumber(mask) });
  },
  '--ctstate': states,
  '--state': states,
  '--comment': (draft, _not, value) => {
    if (COMMENT_WITH_MATCH.test(value)) readWords(splitWords(value), draft);
  },
  '--vaddr': addresses('virtual', prefixRange),
  '--vport': ports('virtualPort'),
  '--vproto': protocol,
  // Asked for the first packet of a connection only, and only of those that are masqueraded.
  '--vdir': known((value) => value === 'ORIGINAL'),
  '--vmethod': known((value) => value === 'MASQ'),
  '-m': (_draft, _not, value) => {
    if (!MATCH_MODULES.includes(value)) throw new NotUnderstood(`-m ${value}`);
  },
  '-j': (draft, _not, value) => {
    draft.target = value;
  },
  '-g': (draft, _not, value) => {
    draft.target = value;
    draft.goto = true;
  },
  '--to-ports': (draft, _not, value) => {
    draft.nat = { ...draft.nat, ports: portRange(value) };
  },
  '--to-source': (draft, _not, value) => {
    if (draft.nat.addresses !== null) throw new NotUnderstood('more than one --to-source');
    draft.nat = { ...draft.nat, ...readSource(value, draft.family) };
  },
};

/** Options that stand alone. */
const SWITCHES: Readonly<Record<string, Take>> = {
  '--ipvs': known(() => true),
  '--random': (draft) => {
    draft.nat = { ...draft.nat, random: true };
  },
  '--random-fully': (draft) => {
    draft.nat = { ...draft.nat, random: true };
  },
  '--persistent': (draft) => {
    draft.nat = { ...draft.nat, persistent: true };
  },
};

function readWords(words: readonly string[], draft: Draft): void {
  for (let at = 0; at < words.length; at++) {
    const not = words[at] === '!';
    const option = words[not ? ++at : at] ?? '';
    const toggle = Object.hasOwn(SWITCHES, option) ? SWITCHES[option] : undefined;
    const take = Object.hasOwn(OPTIONS, option) ? OPTIONS[option] : undefined;
    if (toggle !== undefined) toggle(draft, not, '');
    else if (take !== undefined && at + 1 < words.length) take(draft, not, words[++at] as string);
    else throw new NotUnderstood(option);
  }
}

/** `10.0.0.1-10.0.0.4:1000-2000`; with IPv6 `fd00::1-fd00::4` or `[fd00::1-fd00::4]:1000-2000`. */
function readSource(text: string, family: AddressFamily): Pick<SourceNatTarget, 'addresses' | 'ports'> {
  const pattern = family === 'ipv6' && !text.startsWith('[') ? /^(.+?)()$/ : /^\[?([^\]]+?)\]?(?::([\d-]+))?$/;
  const match = pattern.exec(text);
  if (match === null) throw new NotUnderstood(`--to-source ${text}`);
  const range: PortRange | null = match[2] === undefined || match[2] === '' ? null : portRange(match[2]);
  return { addresses: addressRange(match[1] as string), ports: range };
}

/** In C's way: decimal, or hexadecimal with 0x. */
function readNumber(text: string): number {
  if (!/^(?:0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text)) throw new NotUnderstood(`number ${text}`);
  return Number(text);
}

/** Words between blanks; a word in double quotes may hold blanks, and quotes behind a backslash. */
export function splitWords(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(
    ([, quoted, plain]) => plain ?? (quoted as string).replace(/\\(.)/g, '$1'),
  );
}
