/** The host's MASQUERADE and SNAT rules while `conntrack` is on: full NAT for exactly what they match. */
import { describe, expect, test } from 'vitest';
import { flatten } from '../../src/data-plane/nat-rules/flatten.ts';
import { parseIptablesSave } from '../../src/data-plane/nat-rules/iptables-save.ts';
import { expectFrame, ipv4, ipv6, tcp, udp } from '../support/expect-frame.ts';
import {
  CLIENT,
  CLIENT6,
  clientFrame,
  REAL1,
  REAL2,
  REAL6,
  serverFrame,
  VIP,
  VIP6,
  World,
  type WorldOptions,
} from '../support/world.ts';

const DIRECTOR = '10.1.0.1';

/** A director whose host has these rules, as iptables-save prints them (behind `-A`). */
function worldWith(rules: readonly string[], options: WorldOptions & { conntrack?: string } = {}): World {
  const world = new World(options);
  give(world, rules);
  world.engine.execute({ name: 'setSetting', setting: 'conntrack', value: options.conntrack ?? '1' });
  return world;
}

function give(world: World, rules: readonly string[]): void {
  const chains = [...new Set(rules.map((rule) => rule.split(' ')[0]))].map((name) => `:${name} - [0:0]`);
  const saved = `*nat\n:POSTROUTING ACCEPT\n${chains.join('\n')}\n${rules.map((rule) => `-A ${rule}`).join('\n')}\nCOMMIT`;
  const tables = (['ipv4', 'ipv6'] as const).flatMap((family) => {
    const table = parseIptablesSave(saved, family === 'ipv4' ? 'iptables' : 'ip6tables', family);
    return table === null ? [] : [table];
  });
  const forFamily = tables.filter(({ origin }) => (origin === 'ip6tables') === saved.includes('fd00'));
  world.engine.setNetwork({ ...world.network, sourceNat: flatten(forFamily, world.network.localPortRange) });
}

function open(world: World, client = CLIENT, port = 20000): Uint8Array {
  world.fromClient(clientFrame().ipv4(client, VIP).tcp(port, 80, { syn: true }));
  return world.toServer();
}

const report = (world: World) => world.engine.execute<'listSourceNatRules'>({ name: 'listSourceNatRules' });
const hits = (world: World) => report(world).rules.map((rule) => rule.hits);

test('MASQUERADE shows the server the address of the link, and the answer finds its way back', () => {
  const world = worldWith(['POSTROUTING -d 10.1.0.0/24 -j MASQUERADE']);
  world.addService('rr', [[REAL1]]);
  expectFrame(
    open(world),
    ipv4({ from: DIRECTOR, to: REAL1, checksum: 'valid' }),
    tcp({ fromPort: 20000, toPort: 8080 }),
  );
  world.fromServer(serverFrame().ipv4(REAL1, DIRECTOR).tcp(8080, 20000, { syn: true, ack: true }));
  expectFrame(
    world.toClient(),
    ipv4({ from: VIP, to: CLIENT, checksum: 'valid' }),
    tcp({ fromPort: 80, checksum: 'valid' }),
  );
  expect(hits(world)).toEqual([1]);
});

test('with conntrack=0 rules have no say, and the report tells which would have one', () => {
  const rules = ['POSTROUTING -d 10.1.0.0/24 -j MASQUERADE', 'POSTROUTING -d 10.2.0.0/24 -j MASQUERADE'];
  const world = worldWith(rules, { conntrack: '0' });
  world.addService('rr', [[REAL1]]);
  expectFrame(open(world), ipv4({ from: CLIENT, to: REAL1 }), tcp({}));
  expect(report(world)).toMatchObject({
    inForce: false,
    rules: [
      { concerned: true, hits: 0 },
      { concerned: false, hits: 0 },
    ],
  });
});

describe('exactly what a rule matches is translated', () => {
  test.each([
    ['POSTROUTING -d 10.1.0.11/32 -j MASQUERADE', true],
    ['POSTROUTING ! -d 10.1.0.11/32 -j MASQUERADE', false],
    ['POSTROUTING -d 10.1.0.12/32 -j MASQUERADE', false],
    ['POSTROUTING -s 198.51.100.0/24 -j MASQUERADE', true],
    ['POSTROUTING -s 10.0.0.100/32 -j MASQUERADE', false],
    ['POSTROUTING -o s0 -j MASQUERADE', true],
    ['POSTROUTING -o s+ -j MASQUERADE', true],
    ['POSTROUTING -o c0 -j MASQUERADE', false],
    ['POSTROUTING -p tcp -m tcp --dport 8080 -j MASQUERADE', true],
    ['POSTROUTING -p tcp -m tcp --dport 80 -j MASQUERADE', false],
    ['POSTROUTING -p tcp -m tcp --sport 20000 -j MASQUERADE', true],
    ['POSTROUTING -p udp -j MASQUERADE', false],
    ['POSTROUTING -m ipvs --vaddr 10.0.0.100/32 --vport 80 -j MASQUERADE', true],
    ['POSTROUTING -m ipvs --vaddr 10.0.0.101/32 --vport 80 -j MASQUERADE', false],
    ['POSTROUTING -m ipvs --vaddr 10.0.0.100/32 --vport 81 -j MASQUERADE', false],
    ['POSTROUTING -m mark --mark 0x7 -j MASQUERADE', false],
    ['POSTROUTING -m statistic --mode random --probability 1 -j MASQUERADE', false],
  ])('%s: %s', (rule, translated) => {
    const world = worldWith([rule]);
    world.addService('rr', [[REAL1]]);
    expectFrame(open(world), ipv4({ from: translated ? DIRECTOR : CLIENT, to: REAL1 }), tcp({ toPort: 8080 }));
    expect(hits(world)).toEqual([translated ? 1 : 0]);
  });
});

test('the mark that a rule of ours gives a packet can be asked for', () => {
  const world = worldWith(['POSTROUTING -m mark --mark 0x7 -j MASQUERADE']);
  world.engine.execute({ name: 'addMarkRule', rule: { family: 'ipv4', mark: 7, source: '198.51.100.0/24' } });
  world.addService('rr', [[REAL1]]);
  expectFrame(open(world), ipv4({ from: DIRECTOR }), tcp({}));
});

test('the first rule that matches decides; ACCEPT and RETURN end the walk', () => {
  const world = worldWith([
    'POSTROUTING -d 10.1.0.11/32 -j LAB',
    'POSTROUTING -d 10.1.0.12/32 -j ACCEPT',
    'POSTROUTING -j SNAT --to-source 10.1.0.1',
    'LAB -s 198.51.100.8/32 -j RETURN',
    'LAB -j SNAT --to-source 10.1.0.200',
  ]);
  world.addService('rr', [[REAL1], [REAL2]]);
  expectFrame(open(world), ipv4({ from: '10.1.0.200', to: REAL1 }), tcp({}));
  expectFrame(open(world), ipv4({ to: REAL1 }), tcp({})); // The same connection again.
  expectFrame(open(world, CLIENT, 20001), ipv4({ from: CLIENT, to: REAL2 }), tcp({}));
  expectFrame(open(world, '198.51.100.8'), ipv4({ from: '10.1.0.1', to: REAL1 }), tcp({}));
  const counted = report(world).rules.map(({ text, hits: count }) => [text, count]);
  expect(counted).toEqual([
    ['-A LAB -j SNAT --to-source 10.1.0.200', 1],
    ['-A POSTROUTING -j SNAT --to-source 10.1.0.1', 1],
  ]);
});

describe('ports', () => {
  test('of a range: the client’s own when it is in there, another otherwise', () => {
    const world = worldWith(['POSTROUTING -p tcp -j MASQUERADE --to-ports 2000-2001']);
    world.addService('rr', [[REAL1]]);
    expectFrame(open(world, CLIENT, 2001), ipv4({ from: DIRECTOR }), tcp({ fromPort: 2001 }));
    expectFrame(open(world, '198.51.100.8', 2001), ipv4({ from: DIRECTOR }), tcp({ fromPort: 2000 }));
    world.fromClient(clientFrame().ipv4('198.51.100.9', VIP).tcp(2001, 80, { syn: true }));
    expect(world.take()).toEqual([]);
    expect(world.counters().drops).toEqual({ 'ports-used-up': 1 });
    expect(hits(world)).toEqual([2]);
  });

  test('below 1024 when a rule says so', () => {
    const world = worldWith(['POSTROUTING -p tcp -j SNAT --to-source 10.1.0.1:600']);
    world.addService('rr', [[REAL1]]);
    expectFrame(open(world), ipv4({ from: DIRECTOR }), tcp({ fromPort: 600 }));
  });

  test('those of the host’s own sockets are left out of a range', () => {
    const world = worldWith(['POSTROUTING -p tcp -j MASQUERADE --to-ports 32767-61000']);
    world.addService('rr', [[REAL1]]);
    const ports = ['198.51.100.1', '198.51.100.2'].map((client) => {
      const bytes = open(world, client, 40_000);
      return (bytes[34]! << 8) | bytes[35]!;
    });
    expect(ports.sort()).toEqual([32_767, 61_000]);
  });

  test('the client’s own is not kept with --random', () => {
    const world = worldWith(['POSTROUTING -j MASQUERADE --random']);
    world.addService('rr', [[REAL1]]);
    const kept = [1, 2, 3, 4].filter((host) => {
      const bytes = open(world, `198.51.100.${host}`);
      return ((bytes[34]! << 8) | bytes[35]!) === 20_000;
    });
    expect(kept.length).toBeLessThan(2);
  });
});

describe('addresses of a range', () => {
  const sourceOf = (frame: Uint8Array) => `${frame[26]}.${frame[27]}.${frame[28]}.${frame[29]}`;

  test('are all used, and a client keeps its own', () => {
    const world = worldWith(['POSTROUTING -j SNAT --to-source 10.1.0.201-10.1.0.204']);
    world.addService('rr', [[REAL1]]);
    const first = Array.from({ length: 60 }, (_, index) => sourceOf(open(world, `198.51.100.${index + 1}`)));
    expect([...new Set(first)].sort()).toEqual(['10.1.0.201', '10.1.0.202', '10.1.0.203', '10.1.0.204']);
    const again = Array.from({ length: 60 }, (_, index) => sourceOf(open(world, `198.51.100.${index + 1}`, 20_001)));
    expect(again).toEqual(first);
  });

  test('are the same for every server when the rule is persistent', () => {
    const world = worldWith(['POSTROUTING -j SNAT --to-source 10.1.0.201-10.1.0.204 --persistent']);
    world.addService('rr', [[REAL1], [REAL2]]);
    for (let host = 1; host < 20; host++) {
      const client = `198.51.100.${host}`;
      expect(sourceOf(open(world, client, 20_000))).toBe(sourceOf(open(world, client, 20_001)));
    }
  });
});

test('IPv6 has rules of its own', () => {
  const world = worldWith(['POSTROUTING -d fd00:1::/64 -j MASQUERADE']);
  world.addService('rr', [[REAL6]], { address: VIP6 });
  world.fromClient(clientFrame().ipv6(CLIENT6, VIP6).tcp(20000, 80, { syn: true }));
  expectFrame(world.toServer(), ipv6({ from: 'fd00:1::1', to: REAL6 }), tcp({ fromPort: 20000, checksum: 'valid' }));
  expect(hits(world)).toEqual([1]);
});

test('UDP is translated, too', () => {
  const world = worldWith(['POSTROUTING -p udp -j MASQUERADE']);
  world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53 });
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).udp(20000, 53, new Uint8Array(4)));
  expectFrame(world.toServer(), ipv4({ from: DIRECTOR }), udp({ toPort: 8080 }));
});

test('only masquerading asks: direct routing leaves the source alone', () => {
  const world = worldWith(['POSTROUTING -j MASQUERADE']);
  world.addService('rr', [[REAL1]], { method: 'direct' });
  expectFrame(open(world), ipv4({ from: CLIENT, to: VIP }), tcp({ toPort: 80 }));
  expect(report(world).rules).toMatchObject([{ hits: 0, concerned: false }]);
});

test('what a service itself says about its source comes first', () => {
  const world = worldWith(['POSTROUTING -j SNAT --to-source 10.1.0.200'], { sourceNat: 'masquerade' });
  world.addService('rr', [[REAL1]]);
  expectFrame(open(world), ipv4({ from: DIRECTOR }), tcp({}));
  expect(hits(world)).toEqual([0]);
});

test('a change of rules holds for new connections; the old ones go on, and hits stay', () => {
  const rule = 'POSTROUTING -d 10.1.0.0/24 -j MASQUERADE';
  const world = worldWith([rule]);
  world.addService('rr', [[REAL1]]);
  open(world);
  give(world, []);
  expect(report(world).rules).toEqual([]);
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(20000, 80, { ack: true }));
  expectFrame(world.toServer(), ipv4({ from: DIRECTOR }), tcp({ fromPort: 20000 }));
  expectFrame(open(world, CLIENT, 20001), ipv4({ from: CLIENT }), tcp({}));
  give(world, [rule]);
  expectFrame(open(world, CLIENT, 20002), ipv4({ from: DIRECTOR }), tcp({}));
  give(world, [rule, 'POSTROUTING -j ACCEPT']);
  expect(hits(world)).toEqual([1]);
});

test('MASQUERADE on a link without an address drops, and says why', () => {
  const world = new World();
  const links = world.network.links.map((link) => (link.name === 's0' ? { ...link, addresses: [] } : link));
  const table = parseIptablesSave(
    '*nat\n:POSTROUTING ACCEPT\n-A POSTROUTING -j MASQUERADE\nCOMMIT',
    'iptables',
    'ipv4',
  );
  world.engine.setNetwork({ ...world.network, links, sourceNat: flatten(table === null ? [] : [table], [1, 2]) });
  world.engine.execute({ name: 'setSetting', setting: 'conntrack', value: '1' });
  world.addService('rr', [[REAL1]]);
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(20000, 80, { syn: true }));
  expect(world.counters().drops).toEqual({ 'no-source-address': 1 });
});
