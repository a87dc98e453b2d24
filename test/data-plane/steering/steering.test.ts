/** The rule in TypeScript, the program for the kernel, and that both say the same. */
import { describe, expect, test } from 'vitest';
import type { SteeringFacts } from '../../../src/data-plane/steering/facts.ts';
import { shardOfFrame } from '../../../src/data-plane/steering/frame.ts';
import { steeringProgram } from '../../../src/data-plane/steering/program.ts';
import { SHARED, shardOfClient } from '../../../src/data-plane/steering/rule.ts';
import type { Command } from '../../../src/model/commands.ts';
import { runBpf } from '../../support/bpf-interpreter.ts';
import { Random } from '../../support/random.ts';
import { destination, key, service } from '../support/specs.ts';
import {
  client,
  client6,
  clients,
  ETHERNET,
  facts,
  frame,
  icmpError,
  ip,
  LOCAL,
  LOCAL6,
  ports,
  randomFrames,
  SERVER,
  SERVER6,
  VIP,
  VIP6,
} from '../support/steering-frames.ts';

/** Asks the rule, and checks that the program of every shard says the same. */
function shard(asked: SteeringFacts, bytes: Uint8Array): number {
  const padded = Uint8Array.of(1, 2, 3, ...bytes, 4, 5);
  const chosen = shardOfFrame(asked, padded, 3, 3 + bytes.length);
  for (let index = 0; index < asked.shards; index++) {
    const program = steeringProgram(asked, index) ?? [];
    expect(runBpf(program, bytes) !== 0).toBe(chosen === SHARED || chosen === index);
  }
  return chosen;
}

describe('both directions of a client meet in one shard', () => {
  const asked = facts(4);
  test.each([
    ['IPv4', client, VIP, SERVER],
    ['IPv6', client6, VIP6, SERVER6],
  ] as const)('with NAT, %s, and errors about either too', (family, address, vip, server) => {
    const errorType = family === 'IPv4' ? 3 : 1;
    const protocol = family === 'IPv4' ? 1 : 58;
    const seen = new Set<number>();
    for (const n of clients) {
      const to = address(n);
      const request = shard(asked, frame({ from: to, to: vip }));
      seen.add(request);
      expect(shard(asked, frame({ from: server, to, payload: ports(8080, 40000) }))).toBe(request);
      // Fragments carry no ports, and need none.
      expect(shard(asked, frame({ from: to, to: vip, fragment: 0x2000 }))).toBe(request);
      expect(shard(asked, frame({ from: server, to, fragment: 0x00b9 }))).toBe(request);
      const aboutReply = icmpError(errorType, ip({ from: vip, to, payload: ports(80, 40000) }));
      const aboutRequest = icmpError(errorType, ip({ from: to, to: server, payload: ports(40000, 8080) }));
      const router = family === 'IPv4' ? '198.51.100.1' : '2001:db8:9::1';
      expect(shard(asked, frame({ from: router, to: vip, protocol, payload: aboutReply }))).toBe(request);
      expect(shard(asked, frame({ from: router, to, protocol, payload: aboutRequest }))).toBe(request);
      // An active FTP server opens the data connection itself.
      expect(shard(asked, frame({ from: server, to, payload: ports(20, 50000) }))).toBe(request);
    }
    expect([...seen].sort()).toEqual([0, 1, 2, 3]);
  });

  test.each([
    [SERVER, LOCAL, 1, 3],
    [SERVER6, LOCAL6, 58, 1],
  ])('with full NAT by the port, %s', (server, local, protocol, errorType) => {
    for (const port of [1024, 1025, 1026, 65535]) {
      expect(shard(asked, frame({ from: server, to: local, payload: ports(8080, port) }))).toBe(port % 4);
      const about = icmpError(errorType, ip({ from: local, to: server, payload: ports(port, 8080) }));
      expect(shard(asked, frame({ from: server, to: local, protocol, payload: about }))).toBe(port % 4);
    }
    expect(shard(asked, frame({ from: server, to: local, fragment: 0x2000 }))).toBe(SHARED);
    // No port and no fragment: what full NAT did not ask for.
    expect(shard(asked, frame({ from: server, to: local, protocol: 50 }))).toBe(0);
  });

  test('also behind an address that is service and source of full NAT at once', () => {
    const both = facts(4);
    both.noteLocal(VIP);
    for (const port of [1024, 1025, 1026]) {
      expect(shard(both, frame({ from: SERVER, to: VIP, payload: ports(8080, port) }))).toBe(port % 4);
    }
    // At the port of a service a server is a client like others.
    const asClient = shardOfClient(both, false, 0, 0, 0, 0x0a000001);
    expect(shard(both, frame({ from: SERVER, to: VIP, payload: ports(40000, 80) }))).toBe(asClient);
    expect(shard(both, frame({ from: client(1), to: VIP, payload: ports(40000, 5000) }))).toBe(
      shardOfClient(both, false, 0, 0, 0, 0x0b000001),
    );
  });

  test('also when a server is the client of a service', () => {
    const other = facts(4, {
      name: 'addDestination',
      service: key(VIP, 80),
      destination: destination('10.0.0.2', 8080),
    });
    const request = shard(other, frame({ from: SERVER, to: VIP }));
    expect(shard(other, frame({ from: '10.0.0.2', to: SERVER, payload: ports(8080, 40000) }))).toBe(request);
  });

  test('also after service and server are deleted: connections live on', () => {
    const before = clients.map((n) => shard(asked, frame({ from: SERVER, to: client(n) })));
    const after = facts(4, { name: 'flush' }, { name: 'deleteService', key: key(VIP, 80) });
    expect(clients.map((n) => shard(after, frame({ from: SERVER, to: client(n) })))).toEqual(before);
  });

  test('with source addresses from a range', () => {
    const ranged = facts(4);
    const target = { addresses: ['10.0.1.1', '10.0.1.9'], ports: null, random: false, persistent: false } as const;
    const step = { family: null, conditions: [], next: { rule: 0, target }, otherwise: 1 };
    ranged.noteNetwork({
      links: [],
      routes: [],
      neighbors: [],
      hostLink: null,
      localPortRange: [32768, 60999],
      sourceNat: { rules: [], steps: [step] },
    });
    const byPort = (to: string) => shard(ranged, frame({ from: SERVER, to, payload: ports(8080, 1027) }));
    expect([byPort('10.0.1.1'), byPort('10.0.1.5'), byPort('10.0.1.9')]).toEqual([3, 3, 3]);
    expect(byPort('10.0.1.10')).toBe(shardOfClient(ranged, false, 0, 0, 0, 0x0a00010a));
    expect(byPort('10.0.1.0')).toBe(shardOfClient(ranged, false, 0, 0, 0, 0x0a000100));
  });
});

test('clients of one persistence network share a shard, and so do all when the payload says who belongs together', () => {
  const persistent = { persistenceTimeoutSeconds: 300, netmask: '255.255.255.0' };
  const masked = facts(4, { name: 'editService', service: { ...service(key(VIP, 80)), ...persistent } });
  const shards = clients.map((n) => shard(masked, frame({ from: client(n), to: VIP })));
  expect(new Set(shards).size).toBe(1);
  const networks = clients.map((n) => shard(masked, frame({ from: client(256 * n), to: VIP })));
  expect(new Set(networks).size).toBeGreaterThan(1);
  // The other family goes by its own masks.
  expect(new Set(clients.map((n) => shard(masked, frame({ from: client6(n), to: VIP6 })))).size).toBeGreaterThan(1);

  const persistent6 = { persistenceTimeoutSeconds: 300, netmask: '96' };
  const masked6 = facts(4, { name: 'editService', service: { ...service(key(VIP6, 80)), ...persistent6 } });
  expect(new Set(clients.map((n) => shard(masked6, frame({ from: client6(n), to: VIP6 })))).size).toBe(1);

  const sip = { persistenceTimeoutSeconds: 300, persistenceEngine: 'sip' };
  const byPayload = facts(4, { name: 'editService', service: { ...service(key(VIP, 80)), ...sip } });
  const all = clients.map((n) => shard(byPayload, frame({ from: client(4096 * n), to: VIP })));
  expect(new Set(all).size).toBe(1);
});

describe('every shard hears', () => {
  const asked = facts(3);
  const raw = (type: readonly number[], group: boolean) =>
    Uint8Array.of(group ? 0xff : 2, ...ETHERNET.slice(1), ...type, ...new Uint8Array(46));
  test.each([
    ['ARP questions', raw([0x08, 0x06], true)],
    ['ARP answers', raw([0x08, 0x06], false)],
    ['messages between directors', raw([0x08, 0x00], true)],
    [
      'neighbour solicitations',
      frame({ from: client6(1), to: VIP6, protocol: 58, payload: icmpError(135, ports(0, 0)) }),
    ],
    [
      'neighbour advertisements',
      frame({ from: SERVER6, to: LOCAL6, protocol: 58, payload: icmpError(136, ports(0, 0)) }),
    ],
    [
      'errors about tunnelled packets',
      frame({
        from: SERVER,
        to: LOCAL,
        protocol: 1,
        payload: icmpError(3, ip({ from: LOCAL, to: SERVER, protocol: 4 })),
      }),
    ],
  ])('%s', (_what, bytes) => {
    expect(shard(asked, bytes)).toBe(SHARED);
  });

  test('errors about GUE tunnels, by the port', () => {
    const tunnel = { type: 'gue', port: 6080, checksum: 'none' } as const;
    const gue = facts(3, {
      name: 'addDestination',
      service: key(VIP, 80),
      destination: { ...destination(SERVER, 80), method: 'tunnel', tunnel },
    });
    const about = ip({ from: LOCAL, to: SERVER, protocol: 17, payload: ports(40001, 6080) });
    const error = frame({ from: SERVER, to: LOCAL, protocol: 1, payload: icmpError(3, about) });
    expect(shard(gue, error)).toBe(SHARED);
    expect(shard(facts(3), error)).toBe(40001 % 3);
  });
});

test('the first shard hears what is cut short, and counts it', () => {
  const asked = facts(3);
  const whole = frame({ from: client(3), to: VIP });
  for (let length = 0; length < 38; length++) expect(shard(asked, whole.slice(0, length))).toBe(0);
});

test('rule and program agree about random frames, whole and cut, of every kind', () => {
  const random = new Random(20261129);
  const next = randomFrames(random);
  const gue = { type: 'gue', port: 6080, checksum: 'none' } as const;
  for (const shards of [2, 3, 7, 64]) {
    const many = [...Array(40).keys()].map(
      (n): Command => ({
        name: 'addDestination',
        service: key(VIP, 80),
        destination: { ...destination(n % 2 === 0 ? `10.9.${n}.1` : `fd09::${n}:1`, 80), tunnel: gue },
      }),
    );
    const asked = facts(shards, ...(shards === 3 ? many : []));
    if (shards === 7) asked.noteLocal(VIP6);
    const programs = [...Array(shards).keys()].map((index) => steeringProgram(asked, index) ?? []);
    for (let n = 0; n < 4000; n++) {
      const bytes = next();
      const chosen = shardOfFrame(asked, bytes, 0, bytes.length);
      const index = random.below(2) === 0 || chosen === SHARED ? random.below(shards) : chosen;
      const said = runBpf(programs[index] as (typeof programs)[number], bytes) !== 0;
      if (said !== (chosen === SHARED || chosen === index)) {
        expect.fail(`frame ${Buffer.from(bytes).toString('hex')}: rule ${chosen}, program of ${index}: ${said}`);
      }
    }
  }
});

test('a thousand servers fit into a program, and too many make none', () => {
  const asked = facts(2);
  const add = (n: number) => asked.servers.addText(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`);
  for (let n = 0; n < 1000; n++) add(n);
  const program = steeringProgram(asked, 0);
  expect(program).not.toBeNull();
  for (const n of [0, 1, 499, 500, 999]) {
    const from = `10.0.${n >> 8}.${n & 255}`;
    expect(shard(asked, frame({ from, to: client(5) }))).toBe(shard(asked, frame({ from: client(5), to: VIP })));
  }
  for (let n = 1000; n < 5000; n++) add(n);
  expect(steeringProgram(asked, 0)).toBeNull();
});

test('clients spread evenly, also when their addresses differ in few bits', () => {
  for (const step of [1, 2, 4, 256, 65536]) {
    const asked = facts(4);
    const counts = new Map<number, number>();
    for (let n = 0; n < 4096; n++) {
      const chosen = shardOfClient(asked, false, 0, 0, 0, 0x0b000000 + step * n);
      counts.set(chosen, (counts.get(chosen) ?? 0) + 1);
    }
    for (const count of counts.values()) expect(Math.abs(count - 1024)).toBeLessThan(160);
  }
});
