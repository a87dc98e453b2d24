/** A table as nft 1.0.6 prints it, with `-j` (nft-table.json, laid out in lines) and with `-a` (nft-table.txt). */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { hasForeignRules, natTablesOf, parseNftTable } from '../../../src/data-plane/nat-rules/nft-json.ts';

const file = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');
const table = parseNftTable(file('nft-table.json'), file('nft-table.txt'), { family: 'inet', name: 'lb' });
const rules = table.chains.get('post') ?? [];
const PLAIN = { addresses: null, ports: null, random: false, persistent: false };

function rule(beginning: string) {
  const found = rules.filter(({ text }) => text.startsWith(beginning));
  expect(found, beginning).toHaveLength(1);
  return found[0];
}

test('the chain behind routing is found with its priority', () => {
  expect(table.bases).toEqual([{ chain: 'post', priority: 50 }]);
  expect(table.origin).toBe('nft inet lb');
});

test('sets, named and not, ranges, and the words of -m ipvs in a comment', () => {
  expect(rule('ip daddr @reals')).toMatchObject({
    family: 'ipv4',
    problem: null,
    conditions: [
      {
        on: 'destination',
        not: false,
        addresses: [
          ['1.2.3.4', '1.2.3.4'],
          ['10.0.0.0', '10.255.255.255'],
          ['192.168.1.11', '192.168.1.13'],
        ],
      },
      { on: 'protocol', not: false, protocols: [6] },
      {
        on: 'destinationPort',
        not: false,
        ports: [
          [80, 80],
          [443, 443],
          [8000, 8010],
        ],
      },
      { on: 'virtual', not: false, addresses: [['1.1.1.1', '1.1.1.1']] },
    ],
    verdict: { kind: 'translate', target: { ...PLAIN, ports: [2000, 3000], random: true } },
  });
});

test('links with wildcards, addresses and ports of snat', () => {
  expect(rule('ip daddr 192.168.1.0/24')).toMatchObject({
    conditions: [{ on: 'destination' }, { on: 'link', not: true, names: ['eth0', 'veth*'] }],
    verdict: { target: { ...PLAIN, addresses: ['10.9.9.1', '10.9.9.4'] } },
  });
  expect(rule('ip daddr 192.168.1.11-192.168.1.12')?.verdict).toEqual({
    kind: 'translate',
    target: { addresses: ['10.9.9.1', '10.9.9.1'], ports: [1000, 2000], random: false, persistent: true },
  });
});

test('a port of UDP that is not 53 is still one of UDP', () => {
  expect(rule('ip6 daddr fd00:1::/64')).toMatchObject({
    family: 'ipv6',
    conditions: [
      { on: 'destination', not: false, addresses: [['fd00:1::', 'fd00:1::ffff:ffff:ffff:ffff']] },
      { on: 'protocol', not: false, protocols: [17] },
      { on: 'destinationPort', not: true, ports: [[53, 53]] },
    ],
  });
});

test('comparisons of ports, and states that a first packet has', () => {
  expect(rule('meta l4proto { tcp, udp }')?.conditions).toEqual([
    { on: 'protocol', not: false, protocols: [6, 17] },
    { on: 'destinationPort', not: false, ports: [[1024, 65_535]] },
  ]);
});

test('families, marks, and where rules lead', () => {
  expect(rule('meta nfproto ipv6')).toMatchObject({ family: 'ipv6', conditions: [], verdict: { kind: 'return' } });
  expect(rule('meta mark 0x00000005')).toMatchObject({
    conditions: [{ on: 'mark', not: false, value: 5, mask: 0xffff_ffff }],
    verdict: { kind: 'accept' },
  });
  expect(rule('meta mark & 0x000000ff')).toMatchObject({
    conditions: [{ on: 'mark', not: false, value: 5, mask: 255 }],
    verdict: { kind: 'goto', chain: 'other' },
  });
  expect(rule('oif "lo"')).toMatchObject({ conditions: [{ on: 'link', names: ['lo'] }], verdict: { kind: 'return' } });
  expect(rule('oifname "lo" log')).toMatchObject({ problem: null, verdict: { kind: 'translate' } });
  // What it has counted is not in its text: that would be another rule with every packet.
  expect(rule('oifname "lo" log')?.text).toBe('oifname "lo" log prefix "x y" counter masquerade');
});

test.each([
  ['meta mark { 0x00000005', 'a set of marks'],
  ['iifname "eth9"', 'meta iifname'],
  ['ip daddr . tcp dport', 'a comparison with "concat"'],
  ['tcp dport vmap', '"vmap"'],
  ['limit rate', '"limit"'],
  ['ct status', 'a comparison with "ct status"'],
  ['meta mark set', 'a change of the packet before it'],
  ['fib daddr', 'a comparison with "fib"'],
])('%s is not understood, and says what', (beginning, problem) => {
  expect(rule(beginning)).toMatchObject({ problem });
});

test('tables are found by their chains; those of the filter are none', () => {
  const chain = (more: object) => ({ chain: { family: 'ip', table: 'nat', name: 'x', ...more } });
  const json = JSON.stringify({
    nftables: [
      { metainfo: { version: '1.0.6' } },
      chain({ type: 'nat', hook: 'postrouting', prio: 100 }),
      chain({ type: 'nat', hook: 'prerouting', prio: -100, table: 'dnat' }),
      chain({ type: 'filter', hook: 'postrouting', prio: 0, table: 'filter' }),
      chain({ type: 'nat', hook: 'postrouting', prio: 100, family: 'inet', table: 'lb' }),
      chain({}),
    ],
  });
  expect(natTablesOf(json)).toEqual([
    { family: 'ip', name: 'nat' },
    { family: 'inet', name: 'lb' },
  ]);
});

test('what iptables has written is told from what nft can show', () => {
  expect(hasForeignRules(file('nft-table.json'))).toBe(false);
  const foreign = { rule: { family: 'ip', expr: [{ counter: {} }, { xt: { type: 'target', name: 'MASQUERADE' } }] } };
  expect(hasForeignRules(JSON.stringify({ nftables: [foreign] }))).toBe(true);
});
