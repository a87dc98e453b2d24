/** Rules of this host's packet filter that drop or reject, as `nft` (and the older iptables) list them. */
import { readFileSync } from 'node:fs';
import { type Known, known } from '../facts.ts';
import { isInside } from '../probe/reach.ts';
import { runTool } from './tool.ts';

export interface DropRule {
  /** `ip filter INPUT`; for the older iptables `iptables-legacy INPUT`. */
  readonly chain: string;
  /** `input`, `output`, `forward`, ...; `null`: a chain that others jump to. */
  readonly hook: string | null;
  /** As the tool prints it; `policy drop` for what no rule of the chain took. */
  readonly text: string;
  /** Packets it has dropped, before and after the probes of this examination; `null`: it does not count. */
  readonly packetsBefore: number | null;
  readonly packets: number | null;
  /** Deletes it: `null` for policies. */
  readonly remove: readonly string[] | null;
  /** What lists it. */
  readonly shownBy: string;
  /** Of a policy: the rules of the chain that let something through before, or lead to other chains. */
  readonly exceptions?: readonly string[];
}

export interface FirewallFacts {
  readonly drops: readonly DropRule[];
}

/** The daemon's own table, which keeps the host's stack quiet. */
const OWN_TABLES = ['netdev uipvs'];
const LEGACY = [
  ['iptables-legacy-save', 'iptables-legacy', '/proc/net/ip_tables_names'],
  ['ip6tables-legacy-save', 'ip6tables-legacy', '/proc/net/ip6_tables_names'],
] as const;

export async function listDropRules(): Promise<Known<FirewallFacts>> {
  const printed = await runTool('nft', ['-a', 'list', 'ruleset']);
  if (!printed.known) return printed;
  const drops = parseNftRuleset(printed.value);
  for (const [save, tool, tables] of LEGACY) {
    if (!hasTables(tables)) continue;
    const saved = await runTool(save, ['-c']);
    if (!saved.known) return saved;
    drops.push(...parseLegacySave(saved.value, tool));
  }
  return known({ drops });
}

/** The rules of `after`, each with its count of `before`. */
export function withCountsBefore(before: FirewallFacts, after: FirewallFacts): FirewallFacts {
  const counts = new Map(before.drops.map((rule) => [`${rule.chain} ${rule.text}`, rule.packets]));
  return {
    drops: after.drops.map((rule) => ({ ...rule, packetsBefore: counts.get(`${rule.chain} ${rule.text}`) ?? null })),
  };
}

function hasTables(path: string): boolean {
  try {
    return readFileSync(path, 'utf8').trim() !== '';
  } catch {
    return false;
  }
}

export function parseNftRuleset(text: string): DropRule[] {
  const drops: DropRule[] = [];
  let table = '';
  let chain = '';
  let hook: string | null = null;
  let exceptions: string[] = [];
  for (const line of text.split('\n').map((each) => each.trim())) {
    const opened = /^(table|chain) (.+?) \{(?: # handle \d+.*)?$/.exec(line);
    if (opened?.[1] === 'table') [table, chain, hook] = [opened[2] as string, '', null];
    else if (opened?.[1] === 'chain') [chain, hook, exceptions] = [opened[2] as string, null, []];
    else if (chain !== '' && !OWN_TABLES.includes(table)) {
      const base = /\bhook (\w+)\b/.exec(line);
      if (base !== null && line.startsWith('type ')) {
        hook = base[1] as string;
        if (!/policy drop;/.test(line)) continue;
        const facts = { chain: `${table} ${chain}`, hook, text: 'policy drop', packetsBefore: null, packets: null };
        exceptions = [];
        drops.push({ ...facts, remove: null, shownBy: `nft list chain ${table} ${chain}`, exceptions });
        continue;
      }
      const exception = /^(.*\b(?:accept|jump|goto|queue|vmap|xt target)\b.*?)(?: # handle \d+)?$/.exec(line);
      if (exception !== null) exceptions.push(exception[1] as string);
      const rule = /^(.*\b(?:drop|reject)\b.*|.*xt target "REJECT".*?) # handle (\d+)$/.exec(line);
      if (rule === null) continue;
      const [, words, handle] = rule as unknown as [string, string, string];
      const counter = /\bcounter packets (\d+) bytes \d+ ?/.exec(words);
      drops.push({
        chain: `${table} ${chain}`,
        hook,
        text: words.replace(/\bcounter packets \d+ bytes \d+ ?/, '').trim(),
        packetsBefore: null,
        packets: counter === null ? null : Number(counter[1]),
        remove: ['nft', 'delete', 'rule', ...table.split(' '), chain, 'handle', handle],
        shownBy: `nft -a list chain ${table} ${chain}`,
      });
    }
  }
  return drops;
}

/** `[3:180] -A INPUT -s 10.0.0.1/32 -p tcp -j DROP` */
export function parseLegacySave(text: string, tool: string): DropRule[] {
  const drops: DropRule[] = [];
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim();
    const shownBy = `${tool}-save -c`;
    const policy = /^:(\S+) DROP \[(\d+):\d+\]/.exec(line);
    const rule = /^\[(\d+):\d+\] -A (\S+) (.*-j (?:DROP|REJECT)\b.*)$/.exec(line);
    if (policy !== null) {
      const [, chain, packets] = policy as unknown as [string, string, string];
      const facts = {
        chain: `${tool} ${table} ${chain}`,
        hook: hookOf(chain),
        text: 'policy drop',
        packetsBefore: null,
      };
      drops.push({ ...facts, packets: Number(packets), remove: null, shownBy });
    } else if (rule !== null) {
      const [, packets, chain, words] = rule as unknown as [string, string, string, string];
      const facts = { chain: `${tool} ${table} ${chain}`, hook: hookOf(chain), text: words, packetsBefore: null };
      const remove = [tool, '-t', table, '-D', chain, ...words.split(' ')];
      drops.push({ ...facts, packets: Number(packets), remove, shownBy });
    }
  }
  return drops;
}

function hookOf(chain: string): string | null {
  return ['INPUT', 'OUTPUT', 'FORWARD', 'PREROUTING', 'POSTROUTING'].includes(chain) ? chain.toLowerCase() : null;
}

/** Whether the rule's own words leave room for a packet of these facts; what they do not say leaves room for all. */
export function mayMatch(
  text: string,
  packet: {
    readonly source: string;
    readonly destination: string;
    readonly sourcePort: number | null;
    readonly destinationPort: number | null;
  },
): boolean {
  return (
    allows(text, /(?:\bsaddr|(?<!-)-s|--source)\b/, packet.source) &&
    allows(text, /(?:\bdaddr|(?<!-)-d|--destination)\b/, packet.destination) &&
    allows(text, /(?:\bsport|--sports?)\b/, packet.sourcePort) &&
    allows(text, /(?:\bdport|--dports?)\b/, packet.destinationPort) &&
    !/\b(?:udp|icmp|icmpv6|ah|esp|gre)\b/.test(text.replace(/icmp-?\S*unreachable\S*|with icmp\S*/g, ''))
  );
}

function allows(text: string, name: RegExp, value: string | number | null): boolean {
  if (value === null) return true;
  const found = new RegExp(`(! )?${name.source} (!= |! )?(\\{[^}]*\\}|\\S+)`).exec(text);
  if (found === null) return true;
  const choices = (found[3] as string)
    .replace(/[{}]/g, ' ')
    .split(/[\s,]+/)
    .filter((word) => word !== '');
  // A set's name could stand for anything.
  if (choices.some((choice) => choice.startsWith('@'))) return true;
  const inside = choices.some((choice) =>
    typeof value === 'number' ? coversPort(choice, value) : coversAddress(choice, value),
  );
  return inside !== (found[1] !== undefined || found[2] !== undefined);
}

function coversPort(choice: string, port: number): boolean {
  const [low, high = low] = choice.split(/[-:]/).map(Number) as [number, number?];
  // A service's name.
  if (Number.isNaN(low)) return true;
  return port >= low && port <= (high as number);
}

function coversAddress(choice: string, address: string): boolean {
  const [network = '', length] = choice.split('/');
  if (network.includes('-') || network === '0.0.0.0' || network === '::') return true;
  const prefixLength = length === undefined ? (network.includes(':') ? 128 : 32) : Number(length);
  return isInside(address, network, prefixLength);
}
