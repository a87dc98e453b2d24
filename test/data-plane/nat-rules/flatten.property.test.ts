/**
 * Random tables with chains that lead into each other: the list of steps, walked by the engine, chooses the rule that
 * a walk through the chains themselves chooses, as netfilter makes it.
 */
import { expect, test } from 'vitest';
import { flatten } from '../../../src/data-plane/nat-rules/flatten.ts';
import type { NatRule, NatTable, NatVerdict } from '../../../src/data-plane/nat-rules/nat-table.ts';
import { Network } from '../../../src/engine/network.ts';
import { HostSourceNat } from '../../../src/engine/source-nat.ts';
import { NatQuestion } from '../../../src/engine/source-nat-conditions.ts';
import type { NetworkSnapshot } from '../../../src/model/network.ts';
import type { SourceNatCondition } from '../../../src/model/source-nat-rule.ts';
import { formatWords, parseAddress } from '../../../src/wire/address.ts';
import { Random } from '../../support/random.ts';

const ROUNDS = 400;
const QUESTIONS = 12;
const LINKS = ['eth0', 'eth1', 'br0'];

interface Asked {
  readonly client: string;
  readonly clientPort: number;
  readonly virtual: string;
  readonly virtualPort: number;
  readonly server: string;
  readonly serverPort: number;
  readonly protocol: number;
  readonly mark: number;
  readonly link: string;
}

test('walked step by step or chain by chain, the same rule is found', () => {
  const random = Random.fromEnvironment();
  let translated = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const tables = Array.from({ length: random.between(1, 3) }, (_, index) => randomTable(random, `table ${index}`));
    const rules = flatten(tables, [32_768, 60_999]);
    const network = new Network(SNAPSHOT, 1);
    const engine = new HostSourceNat();
    engine.set(rules, network);
    for (let i = 0; i < QUESTIONS; i++) {
      const asked = randomQuestion(random);
      const choice = engine.choose(questionOf(asked, network));
      const text = choice === null ? null : rules.rules[choice.rule]?.text;
      expect(text, `seed ${random.seed}, round ${round}`).toBe(walk(tables, asked));
      if (choice !== null) translated++;
    }
  }
  expect(translated).toBeGreaterThan(ROUNDS);
});

/** Netfilter's way: base chains by priority until one translates. */
function walk(tables: readonly NatTable[], asked: Asked): string | null {
  const bases = tables.flatMap((table) => table.bases.map((base) => ({ table, ...base })));
  for (const { table, chain } of bases.sort((a, b) => a.priority - b.priority)) {
    const found = walkChain(table, chain, asked);
    if (found !== null && found !== 'accepted') return found;
  }
  return null;
}

function walkChain(table: NatTable, name: string, asked: Asked): string | 'accepted' | null {
  for (const rule of table.chains.get(name) ?? []) {
    if (rule.problem !== null || !holds(rule, asked)) continue;
    const { verdict } = rule;
    if (verdict.kind === 'translate') return rule.text;
    if (verdict.kind === 'accept') return 'accepted';
    if (verdict.kind === 'return') return null;
    if (verdict.kind !== 'jump' && verdict.kind !== 'goto') continue;
    const found = walkChain(table, verdict.chain, asked);
    if (found !== null || verdict.kind === 'goto') return found;
  }
  return null;
}

function holds({ family, conditions }: NatRule, asked: Asked): boolean {
  if (family !== null && family !== familyOf(asked.client)) return false;
  return conditions.every((condition) => isTrue(condition, asked) !== condition.not);
}

function isTrue(condition: SourceNatCondition, asked: Asked): boolean {
  switch (condition.on) {
    case 'source':
    case 'destination':
    case 'virtual': {
      const address = { source: asked.client, destination: asked.server, virtual: asked.virtual }[condition.on];
      return condition.addresses.some(
        ([first, last]) =>
          familyOf(first) === familyOf(address) && size(first) <= size(address) && size(address) <= size(last),
      );
    }
    case 'sourcePort':
    case 'destinationPort':
    case 'virtualPort': {
      const port = {
        sourcePort: asked.clientPort,
        destinationPort: asked.serverPort,
        virtualPort: asked.virtualPort,
      }[condition.on];
      return condition.ports.some(([low, high]) => low <= port && port <= high);
    }
    case 'protocol':
      return condition.protocols.includes(asked.protocol);
    case 'link':
      return condition.names.some((name) => new RegExp(`^${name.replace('*', '.*')}$`).test(asked.link));
    case 'mark':
      return (BigInt(asked.mark) & BigInt(condition.mask)) === BigInt(condition.value);
  }
}

function size(address: string): bigint {
  const { words } = parseAddress(address) as { words: Int32Array };
  return [...words].reduce((sum, word) => (sum << 32n) | BigInt(word >>> 0), 0n);
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}

let ruleNumber = 0;

/** Chains lead to later ones only: the kernel has no circles. */
function randomTable(random: Random, origin: string): NatTable {
  const names = ['base', 'a', 'b', 'c'];
  const chains = new Map(
    names.map((name, place): [string, NatRule[]] => [
      name,
      Array.from({ length: random.below(5) }, () => randomRule(random, names.slice(place + 1))),
    ]),
  );
  return { origin, chains, bases: [{ chain: 'base', priority: random.between(0, 2) * 50 }] };
}

function randomRule(random: Random, later: readonly string[]): NatRule {
  ruleNumber += 1;
  const conditions = Array.from({ length: random.below(3) }, () => randomCondition(random));
  const family = random.pick([null, null, 'ipv4', 'ipv6'] as const);
  const problem = random.chance(0.1) ? 'not understood' : null;
  return { text: `rule ${ruleNumber}`, family, conditions, verdict: randomVerdict(random, later), problem };
}

function randomVerdict(random: Random, later: readonly string[]): NatVerdict {
  const target = { addresses: null, ports: null, random: false, persistent: false };
  const kinds = ['translate', 'accept', 'return', 'nothing', ...(later.length > 0 ? ['jump', 'jump', 'goto'] : [])];
  const kind = random.pick(kinds) as NatVerdict['kind'];
  if (kind === 'translate') return { kind, target };
  if (kind === 'jump' || kind === 'goto') return { kind, chain: random.pick(later) };
  return { kind };
}

function randomCondition(random: Random): SourceNatCondition {
  const not = random.chance(0.3);
  switch (random.below(5)) {
    case 0: {
      const [one, other] = [randomAddress(random, random.chance(0.5)), null];
      const end = randomAddress(random, familyOf(one) === 'ipv6');
      const range = size(one) <= size(end) ? [one, end] : [end, other ?? one];
      return {
        on: random.pick(['source', 'destination', 'virtual'] as const),
        not,
        addresses: [range as [string, string]],
      };
    }
    case 1: {
      const low = random.between(0, 4);
      const on = random.pick(['sourcePort', 'destinationPort', 'virtualPort'] as const);
      return { on, not, ports: [[low, low + random.below(3)]] };
    }
    case 2:
      return { on: 'protocol', not, protocols: random.pick([[], [6], [17], [6, 17]]) };
    case 3:
      return { on: 'link', not, names: [random.pick(['eth0', 'eth*', 'br0', '*', 'lo'])] };
    default: {
      const mask = random.pick([0xffff_ffff, 0x3, 0x8000_0000]);
      return { on: 'mark', not, value: (random.pick(MARKS) & mask) >>> 0, mask };
    }
  }
}

const MARKS = [0, 1, 2, 0x8000_0001];

/** Few of them, on both sides of where signed words turn negative. */
function randomAddress(random: Random, ipv6: boolean): string {
  const word = () => random.pick([1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) | 0;
  return ipv6 ? formatWords(true, 0x2001_0db8, 0, word(), word()) : formatWords(false, 0, 0, 0, word());
}

function randomQuestion(random: Random): Asked {
  const ipv6 = random.chance(0.4);
  return {
    client: randomAddress(random, ipv6),
    clientPort: random.below(6),
    virtual: randomAddress(random, ipv6),
    virtualPort: random.below(6),
    server: randomAddress(random, ipv6),
    serverPort: random.below(6),
    protocol: random.pick([6, 17]),
    mark: random.pick(MARKS),
    link: random.pick(LINKS),
  };
}

function questionOf(asked: Asked, network: Network): NatQuestion {
  const words = (text: string) => [...(parseAddress(text)?.words ?? [])] as [number, number, number, number];
  const [source0, source1, source2, source3] = words(asked.client);
  const [destination0, destination1, destination2, destination3] = words(asked.virtual);
  const [address0, address1, address2, address3] = words(asked.server);
  const question = new NatQuestion();
  question.ends = {
    ipv6: asked.client.includes(':'),
    protocol: asked.protocol,
    source0,
    source1,
    source2,
    source3,
    sourcePort: asked.clientPort,
    destination0,
    destination1,
    destination2,
    destination3,
    destinationPort: asked.virtualPort,
  };
  question.server = { address0, address1, address2, address3 };
  question.serverPort = asked.serverPort;
  question.mark = asked.mark | 0;
  question.link = [...network.links()].find(({ name }) => name === asked.link) ?? question.link;
  return question;
}

const SNAPSHOT: NetworkSnapshot = {
  links: LINKS.map((name, index) => ({
    index: index + 1,
    name,
    mac: '02:00:00:00:00:01',
    mtu: 1500,
    loopback: false,
    up: true,
    addresses: [],
  })),
  routes: [],
  neighbors: [],
  hostLink: null,
  localPortRange: [32_768, 60_999],
};
