import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  destinationEntries,
  type GuardEntry,
  type GuardedPacket,
  GuardLedger,
  isHeldBack,
  markRuleEntries,
  serviceEntries,
} from '../../src/data-plane/guard-entries.ts';
import { destination, key } from './support/specs.ts';

const VIP = '192.0.2.10';
const SERVER = '10.0.0.1';
const CLIENT = '198.51.100.7';
const SURROUNDINGS = {
  isHostAddress: (address: string) => address === VIP || address === '10.0.0.254',
  localPortRange: [32_768, 60_999] as const,
};

describe('what is held back from the host', () => {
  const web = [...serviceEntries(key(VIP, 80)), ...destinationEntries(key(VIP, 80), destination(SERVER, 8080))];

  function packet(change: Partial<GuardedPacket>): GuardedPacket {
    return { protocol: 'tcp', source: CLIENT, sourcePort: 40_000, destination: VIP, destinationPort: 80, ...change };
  }

  test('packets for a service are held back, for its neighbours not', () => {
    expect(isHeldBack(packet({}), web, SURROUNDINGS)).toBe(true);
    expect(isHeldBack(packet({ destinationPort: 81 }), web, SURROUNDINGS)).toBe(false);
    expect(isHeldBack(packet({ protocol: 'udp' }), web, SURROUNDINGS)).toBe(false);
    expect(isHeldBack(packet({ destination: '192.0.2.11' }), web, SURROUNDINGS)).toBe(false);
  });

  test('a service on port 0 takes every port of its protocol', () => {
    const any = serviceEntries(key(VIP, 0, 'udp'));
    expect(isHeldBack(packet({ protocol: 'udp', destinationPort: 53 }), any, SURROUNDINGS)).toBe(true);
    expect(isHeldBack(packet({ destinationPort: 53 }), any, SURROUNDINGS)).toBe(false);
  });

  const reply = { source: SERVER, sourcePort: 8080, destination: CLIENT, destinationPort: 40_000 };

  test('answers of a masquerade server are held back', () => {
    expect(isHeldBack(packet(reply), web, SURROUNDINGS)).toBe(true);
    expect(isHeldBack(packet({ ...reply, sourcePort: 22 }), web, SURROUNDINGS)).toBe(false);
  });

  test('answers of a server to a socket of this host pass, to ports full NAT uses they do not', () => {
    const toHost = { ...reply, destination: '10.0.0.254' };
    expect(isHeldBack(packet(toHost), web, SURROUNDINGS)).toBe(false);
    expect(isHeldBack(packet({ ...toHost, destinationPort: 32_767 }), web, SURROUNDINGS)).toBe(true);
    expect(isHeldBack(packet({ ...toHost, destinationPort: 61_000 }), web, SURROUNDINGS)).toBe(true);
  });

  test('a server on port 0 is known by its address alone', () => {
    const any = destinationEntries(key(VIP, 0), destination(SERVER, 0));
    expect(isHeldBack(packet({ ...reply, sourcePort: 22 }), any, SURROUNDINGS)).toBe(true);
  });

  test('servers that answer clients themselves have nothing held back', () => {
    for (const method of ['direct', 'tunnel', 'local', 'bypass'] as const) {
      expect(destinationEntries(key(VIP, 80), destination(SERVER, 80, method))).toEqual([]);
    }
  });

  test('ICMP errors are held back while there is a service, other ICMP never', () => {
    const icmp = { protocol: 'icmp', sourcePort: 0, destinationPort: 0 } as const;
    for (const icmpType of [3, 4, 11]) {
      expect(isHeldBack(packet({ ...icmp, icmpType }), web, SURROUNDINGS)).toBe(true);
      expect(isHeldBack(packet({ ...icmp, icmpType }), [], SURROUNDINGS)).toBe(false);
    }
    expect(isHeldBack(packet({ ...icmp, icmpType: 8 }), web, SURROUNDINGS)).toBe(false);
  });

  test('fragments are held back by their addresses alone: they do not all carry ports', () => {
    const fragment = { fragment: true, sourcePort: 0, destinationPort: 0 };
    expect(isHeldBack(packet({ ...fragment, protocol: 'udp' }), web, SURROUNDINGS)).toBe(true);
    expect(isHeldBack(packet({ ...fragment, destination: '192.0.2.11' }), web, SURROUNDINGS)).toBe(false);
    expect(isHeldBack(packet({ ...reply, ...fragment, destination: '10.0.0.254' }), web, SURROUNDINGS)).toBe(true);
  });

  test('an FTP service takes the ports of its data too, and its servers may speak from any', () => {
    const ftp = [...serviceEntries(key(VIP, 21)), ...destinationEntries(key(VIP, 21), destination(SERVER, 21))];
    for (const destinationPort of [20, 21, 1024, 65_535]) {
      expect(isHeldBack(packet({ destinationPort }), ftp, SURROUNDINGS)).toBe(true);
    }
    expect(isHeldBack(packet({ destinationPort: 1023 }), ftp, SURROUNDINGS)).toBe(false);
    expect(isHeldBack(packet({ ...reply, sourcePort: 40_001 }), ftp, SURROUNDINGS)).toBe(true);
  });

  test('IPv6 is held back by the same rules, but never what links need', () => {
    const web6 = [
      ...serviceEntries(key('fd00::10', 80)),
      ...destinationEntries(key('fd00::10', 80), destination('fd00:1::1', 8080)),
    ];
    const packet6 = (change: Partial<GuardedPacket>) =>
      packet({ source: 'fd00:2::7', destination: 'fd00::10', ...change });
    expect(isHeldBack(packet6({}), web6, SURROUNDINGS)).toBe(true);
    expect(isHeldBack(packet6({ source: 'fd00:1::1', sourcePort: 8080, destinationPort: 9 }), web6, SURROUNDINGS)).toBe(
      true,
    );
    expect(isHeldBack(packet6({ fragment: true }), web6, SURROUNDINGS)).toBe(true);
    expect(
      isHeldBack(packet6({ destination: 'fe80::1', source: 'fd00:1::1', fragment: true }), web6, SURROUNDINGS),
    ).toBe(false);
    const icmp = { protocol: 'icmp', sourcePort: 0, destinationPort: 0 } as const;
    const markRules = [{ family: 'ipv6', mark: 1 }] as const;
    for (const icmpType of [1, 2, 3, 4])
      expect(isHeldBack(packet6({ ...icmp, icmpType }), web6, SURROUNDINGS)).toBe(true);
    for (const icmpType of [133, 134, 135, 136, 137]) {
      expect(isHeldBack(packet6({ ...icmp, icmpType }), web6, { ...SURROUNDINGS, markRules })).toBe(false);
    }
    expect(isHeldBack(packet6({ ...icmp, icmpType: 128 }), web6, { ...SURROUNDINGS, markRules })).toBe(true);
  });

  test('what a rule marks is held back, whatever the services are', () => {
    const rule = {
      family: 'ipv4',
      mark: 7,
      protocol: 'tcp',
      destination: '203.0.113.0/24',
      portMin: 80,
      portMax: 90,
    } as const;
    const marked = { ...SURROUNDINGS, markRules: [rule] };
    expect(isHeldBack(packet({ destination: '203.0.113.9', destinationPort: 85 }), [], marked)).toBe(true);
    expect(isHeldBack(packet({ destination: '203.0.113.9', destinationPort: 91 }), [], marked)).toBe(false);
    expect(isHeldBack(packet({ destination: '203.0.113.9', destinationPort: 0, fragment: true }), [], marked)).toBe(
      true,
    );
    expect(markRuleEntries(rule)).toEqual([
      { set: 'marked', element: 'ip daddr 203.0.113.0/24 meta l4proto 6 th dport 80-90' },
      { set: 'marked_fragments', element: 'ip daddr 203.0.113.0/24' },
    ]);
  });
});

describe('entries', () => {
  test('protocols are numbers and port 0 has no port', () => {
    expect(serviceEntries(key(VIP, 80))[0]).toEqual({ set: 'services', element: '192.0.2.10 . 6 . 80' });
    expect(serviceEntries(key(VIP, 0, 'udp'))[0]).toEqual({ set: 'services_any_port', element: '192.0.2.10 . 17' });
  });

  test('a server behind a firewall mark is held back for every protocol', () => {
    const entries = destinationEntries({ mark: 5, family: 'ipv4' }, destination(SERVER, 80));
    expect(entries.map((entry) => entry.element)).toEqual([
      '10.0.0.1 . 6 . 80',
      '10.0.0.1 . 17 . 80',
      '10.0.0.1 . 132 . 80',
      '10.0.0.1',
    ]);
  });

  test('nothing unchecked reaches a rule', () => {
    const evil = '10.0.0.1 }; flush ruleset; add element x y { 10.0.0.1';
    expect(serviceEntries(key(evil, 80))).toEqual([]);
    expect(serviceEntries(key('2001:db8::1%e0', 80))).toEqual([]);
    expect(markRuleEntries({ family: 'ipv4', mark: 1, link: 'e0" drop; flush ruleset' })).toEqual([]);
    expect(markRuleEntries({ family: 'ipv4', mark: 1, source: evil })).toEqual([]);
    expect(serviceEntries(key(VIP, 65_536))).toEqual([]);
    expect(serviceEntries(key(VIP, '80 }; flush' as unknown as number))).toEqual([]);
    expect(serviceEntries(key(VIP, 80, 'icmp' as 'tcp'))).toEqual([]);
    expect(destinationEntries(key(VIP, 80), destination(evil, 80))).toEqual([]);
  });
});

test('an entry is there exactly as long as somebody holds it', () => {
  const entry: GuardEntry = { set: 'servers', element: '10.0.0.1 . 6 . 80' };
  const other: GuardEntry = { set: 'services', element: '10.0.0.1 . 6 . 80' };
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.constantFrom(entry, other))), (steps) => {
      const ledger = new GuardLedger();
      const table = new Set<GuardEntry>();
      const counts = new Map<GuardEntry, number>();
      for (const [hold, which] of steps) {
        const count = counts.get(which) ?? 0;
        counts.set(which, hold ? count + 1 : Math.max(0, count - 1));
        if (hold) for (const added of ledger.hold([which])) expect(table.has(added) || !table.add(added)).toBe(false);
        else for (const gone of ledger.release([which])) expect(table.delete(gone)).toBe(true);
        for (const each of [entry, other]) expect(table.has(each)).toBe((counts.get(each) ?? 0) > 0);
      }
      expect(new Set(ledger.entries())).toEqual(table);
    }),
  );
});
