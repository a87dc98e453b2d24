/**
 * Reads what `nft -j list table` prints. Manual page: libnftables-json(5). What iptables has put into a table of nft is
 * shown there without its words (`xt`); such tables are read with iptables-save instead.
 */
import type { AddressFamily } from '../../model/service.ts';
import type { AddressRange, PortRange, SourceNatCondition, SourceNatTarget } from '../../model/source-nat-rule.ts';
import { parseIptablesSave } from './iptables-save.ts';
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

type Json = Record<string, unknown>;

/** Families of nft whose nat chains see IP packets, and which of them. */
const FAMILIES: Readonly<Record<string, AddressFamily | null>> = { ip: 'ipv4', ip6: 'ipv6', inet: null };
const PORT_MAX = 65_535;
const MARK_MAX = 0xffff_ffff;
/** Statements that change no address and end nothing. */
const HARMLESS: readonly string[] = ['counter', 'log', 'comment'];

export interface NftTableName {
  readonly family: string;
  readonly name: string;
}

/** The tables that have a chain of type nat behind routing, out of `nft -j list chains`. */
export function natTablesOf(chains: string): NftTableName[] {
  const found = new Map<string, NftTableName>();
  for (const { chain } of entriesOf(chains)) {
    if (!isRecord(chain) || chain['type'] !== 'nat' || chain['hook'] !== 'postrouting') continue;
    const [family, name] = [String(chain['family']), String(chain['table'])];
    if (Object.hasOwn(FAMILIES, family)) found.set(`${family} ${name}`, { family, name });
  }
  return [...found.values()];
}

/** Rules of iptables that nft cannot show. */
export function hasForeignRules(table: string): boolean {
  return entriesOf(table).some(({ rule }) => isRecord(rule) && JSON.stringify(rule['expr'] ?? null).includes('{"xt":'));
}

/** `listing`: what `nft -a list table` prints, for the texts of rules. */
export function parseNftTable(json: string, listing: string, { family, name }: NftTableName): NatTable {
  const texts = textsByHandle(listing);
  const entries = entriesOf(json);
  const sets = new Map(entries.flatMap(({ set }) => (isRecord(set) ? [[String(set['name']), set] as const] : [])));
  const chains = new Map<string, NatRule[]>();
  const bases: { chain: string; priority: number }[] = [];
  for (const { chain, rule } of entries) {
    if (isRecord(chain)) {
      chains.set(String(chain['name']), []);
      if (chain['type'] === 'nat' && chain['hook'] === 'postrouting') {
        bases.push({ chain: String(chain['name']), priority: Number(chain['prio'] ?? 0) });
      }
    } else if (isRecord(rule)) {
      const text = texts.get(Number(rule['handle'])) ?? JSON.stringify(rule['expr']);
      const read = readRule(rule, text, FAMILIES[family] ?? null, sets);
      if (read !== null) chains.get(String(rule['chain']))?.push(read);
    }
  }
  return { origin: `nft ${family} ${name}`, chains, bases };
}

/** What is read of one rule so far. */
interface Draft {
  family: AddressFamily | null;
  readonly conditions: SourceNatCondition[];
  verdict: NatVerdict;
  readonly sets: ReadonlyMap<string, Json>;
}

/** `null`: a rule that can never matter here. */
function readRule(
  rule: Json,
  text: string,
  family: AddressFamily | null,
  sets: ReadonlyMap<string, Json>,
): NatRule | null {
  const statements = Array.isArray(rule['expr']) ? (rule['expr'] as unknown[]) : [];
  const draft: Draft = { family, conditions: [], verdict: { kind: 'nothing' }, sets };
  const ends = statements.filter(
    (statement) => isRecord(statement) && !isHarmless(statement) && !('match' in statement),
  );
  if (ends.length === 0) return null;
  try {
    for (const statement of statements) if (isRecord(statement)) readStatement(statement, draft);
    draft.conditions.push(...conditionsOfComment(rule['comment'], draft.family ?? 'ipv4'));
    return { text, family: draft.family, conditions: draft.conditions, verdict: draft.verdict, problem: null };
  } catch (error) {
    if (!(error instanceof NotUnderstood)) throw error;
    return brokenRule(text, error.message);
  }
}

/** As in iptables, a comment may hold the words of `-m ipvs`. */
function conditionsOfComment(comment: unknown, family: AddressFamily): readonly SourceNatCondition[] {
  if (typeof comment !== 'string' || !comment.startsWith('-m ipvs')) return [];
  const table = parseIptablesSave(`*nat\n-A rule ${comment} -j ACCEPT`, '', family);
  const rule = table?.chains.get('rule')?.[0];
  if (rule === undefined || rule.problem !== null) throw new NotUnderstood(`comment ${comment}: ${rule?.problem}`);
  return rule.conditions;
}

function isHarmless(statement: Json): boolean {
  return HARMLESS.some((word) => word in statement);
}

function readStatement(statement: Json, draft: Draft): void {
  const [word, value] = Object.entries(statement)[0] ?? ['', null];
  switch (word) {
    case 'match':
      readMatch(value as Json, draft);
      return;
    case 'masquerade':
      draft.verdict = { kind: 'translate', target: readTarget(value, draft) };
      return;
    case 'snat': {
      const target = readTarget(value, draft);
      if (target.addresses === null) throw new NotUnderstood('snat without an address');
      draft.verdict = { kind: 'translate', target };
      return;
    }
    case 'accept':
    case 'return':
      draft.verdict = { kind: word };
      return;
    case 'jump':
    case 'goto':
      draft.verdict = { kind: word, chain: String((value as Json)['target']) };
      return;
    default:
      if (isHarmless(statement)) return;
      throw new NotUnderstood(word === 'mangle' ? 'a change of the packet before it' : `"${word}"`);
  }
}

function readTarget(value: unknown, draft: Draft): SourceNatTarget {
  if (value === null) return ANY_TARGET;
  const { addr, port, flags, family, ...rest } = value as Json;
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw new NotUnderstood(`"${unknown}"`);
  if (family === 'ip') narrow(draft, 'ipv4');
  if (family === 'ip6') narrow(draft, 'ipv6');
  const words = Array.isArray(flags) ? flags.map(String) : flags === undefined ? [] : [String(flags)];
  return {
    addresses: addr === undefined ? null : rangeOfAddress(addr),
    ports: port === undefined ? null : rangeOfNumber(port, PORT_MAX),
    random: words.some((word) => word === 'random' || word === 'fully-random'),
    persistent: words.includes('persistent'),
  };
}

/** What can stand on the left of a comparison, and what the right of it becomes. */
function readMatch(match: Json, draft: Draft): void {
  const { op } = match;
  const left = match['left'] as Json;
  const payload = left['payload'];
  const meta = left['meta'];
  if (isRecord(payload)) {
    readPayload(payload, match, draft);
    return;
  }
  if (isRecord(meta)) {
    readMeta(String(meta['key']), match, draft);
    return;
  }
  const masked = left['&'];
  if (Array.isArray(masked) && isRecord(masked[0]) && isRecord(masked[0]['meta'])) {
    if (masked[0]['meta']['key'] !== 'mark' || typeof masked[1] !== 'number') throw new NotUnderstood('a masked value');
    const value = numberOf(match['right']);
    draft.conditions.push({ on: 'mark', not: isNot(op), value, mask: masked[1] });
    return;
  }
  const ct = left['ct'];
  if (isRecord(ct) && ct['key'] === 'state') {
    const right = match['right'];
    const states = isRecord(right) && Array.isArray(right['set']) ? right['set'] : [right].flat();
    if (statesOfNew(states.map(String)) === isNot(op)) draft.conditions.push(NEVER);
    return;
  }
  throw new NotUnderstood(`a comparison with "${Object.keys(isRecord(ct) ? { [`ct ${ct['key']}`]: 0 } : left)[0]}"`);
}

function readPayload({ protocol, field }: Json, match: Json, draft: Draft): void {
  const not = isNot(match['op']);
  const values = valuesOf(match, draft.sets);
  if (protocol === 'ip' || protocol === 'ip6') {
    narrow(draft, protocol === 'ip' ? 'ipv4' : 'ipv6');
    if (field === 'saddr') draft.conditions.push({ on: 'source', not, addresses: values.map(rangeOfAddress) });
    else if (field === 'daddr')
      draft.conditions.push({ on: 'destination', not, addresses: values.map(rangeOfAddress) });
    else if (field === 'protocol' || field === 'nexthdr') draft.conditions.push(protocols(values, not));
    else throw new NotUnderstood(`${protocol} ${field}`);
    return;
  }
  if (protocol !== 'th' && protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') {
    throw new NotUnderstood(`${protocol} ${field}`);
  }
  if (field !== 'sport' && field !== 'dport') throw new NotUnderstood(`${protocol} ${field}`);
  // A port of TCP is one of TCP packets, whatever the comparison.
  if (protocol !== 'th') draft.conditions.push(protocols([protocol], false));
  const ports = values.map((value) => comparedRange(match['op'], value, PORT_MAX));
  draft.conditions.push({ on: field === 'sport' ? 'sourcePort' : 'destinationPort', not, ports });
}

function readMeta(key: string, match: Json, draft: Draft): void {
  const not = isNot(match['op']);
  const values = valuesOf(match, draft.sets);
  switch (key) {
    case 'l4proto':
      draft.conditions.push(protocols(values, not));
      return;
    case 'oif':
    case 'oifname':
      draft.conditions.push({ on: 'link', not, names: values.map(textOf) });
      return;
    case 'nfproto':
    case 'protocol': {
      const families = values.map((value) => ({ ipv4: 'ipv4', ip: 'ipv4', ipv6: 'ipv6', ip6: 'ipv6' })[textOf(value)]);
      if (families.length !== 1 || families[0] === undefined || not) throw new NotUnderstood(`meta ${key}`);
      narrow(draft, families[0] as AddressFamily);
      return;
    }
    case 'mark': {
      if (values.length !== 1) throw new NotUnderstood('a set of marks');
      draft.conditions.push({ on: 'mark', not, value: numberOf(values[0]), mask: MARK_MAX });
      return;
    }
    default:
      throw new NotUnderstood(`meta ${key}`);
  }
}

function protocols(values: readonly unknown[], not: boolean): SourceNatCondition {
  return { on: 'protocol', not, protocols: values.map((value) => protocolNumber(String(value))) };
}

/** A rule about the other family matches nothing. */
function narrow(draft: Draft, family: AddressFamily): void {
  if (draft.family !== null && draft.family !== family) draft.conditions.push(NEVER);
  else draft.family = family;
}

function isNot(op: unknown): boolean {
  return op === '!=';
}

/** The right side as a list: one value, or those of a set. */
function valuesOf(match: Json, sets: ReadonlyMap<string, Json>): readonly unknown[] {
  const { op, right } = match;
  if (typeof right === 'string' && right.startsWith('@')) return elementsOf(right, sets.get(right.slice(1)));
  if (isRecord(right) && Array.isArray(right['set'])) return right['set'].map(valueOfElement);
  if (Array.isArray(right) && op !== 'in') throw new NotUnderstood('a list of values');
  return [right].flat();
}

function elementsOf(name: string, set: Json | undefined): readonly unknown[] {
  const flags = [set?.['flags'] ?? []].flat();
  if (set === undefined || flags.includes('dynamic') || flags.includes('timeout')) {
    throw new NotUnderstood(`the set ${name}`);
  }
  return Array.isArray(set['elem']) ? set['elem'].map(valueOfElement) : [];
}

/** An element of a set may carry a comment or a counter. */
function valueOfElement(element: unknown): unknown {
  return isRecord(element) && isRecord(element['elem']) ? element['elem']['val'] : element;
}

function rangeOfAddress(value: unknown): AddressRange {
  if (isRecord(value) && isRecord(value['prefix']))
    return prefixRange(`${value['prefix']['addr']}/${value['prefix']['len']}`);
  if (isRecord(value) && Array.isArray(value['range'])) return addressRange(value['range'].map(textOf).join('-'));
  return addressRange(textOf(value));
}

function rangeOfNumber(value: unknown, max: number): PortRange {
  if (isRecord(value) && Array.isArray(value['range']))
    return [numberOf(value['range'][0]), numberOf(value['range'][1])];
  const number = numberOf(value);
  return number > max ? portRange(String(number)) : [number, number];
}

/** `>= 1024` is the range from there on. */
function comparedRange(op: unknown, value: unknown, max: number): PortRange {
  switch (op) {
    case '==':
    case '!=':
    case 'in':
      return rangeOfNumber(value, max);
    case '<':
      return [0, numberOf(value) - 1];
    case '<=':
      return [0, numberOf(value)];
    case '>':
      return [numberOf(value) + 1, max];
    case '>=':
      return [numberOf(value), max];
    default:
      throw new NotUnderstood(`the comparison ${op}`);
  }
}

function textOf(value: unknown): string {
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  throw new NotUnderstood(`the value ${JSON.stringify(value)}`);
}

function numberOf(value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MARK_MAX) return value;
  throw new NotUnderstood(`the value ${JSON.stringify(value)}`);
}

/** What rules have counted is no part of them: a text stays the same as long as its rule does. */
const COUNTED = /\bcounter packets \d+ bytes \d+/g;

/** `\t\tip daddr 10.0.0.1 masquerade # handle 7` */
function textsByHandle(listing: string): Map<number, string> {
  const rules = listing.matchAll(/^\t\t(\S.*) # handle (\d+)$/gm);
  return new Map(
    [...rules].map(([, text = '', handle]) => [Number(handle), text.replace(COUNTED, 'counter')] as const),
  );
}

function entriesOf(json: string): Json[] {
  const parsed = JSON.parse(json) as unknown;
  const entries = isRecord(parsed) ? parsed['nftables'] : undefined;
  return Array.isArray(entries) ? entries.filter(isRecord) : [];
}

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
