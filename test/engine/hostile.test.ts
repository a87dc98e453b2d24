/** Whatever the bytes are: nothing is thrown, nothing is written outside the slot, and the books agree afterwards. */
import { expect, test } from 'vitest';
import { PacketBatch } from '../../src/wire/packet-batch.ts';
import { fragmentsOf } from '../support/frames.ts';
import { Random } from '../support/random.ts';
import { CLIENT, CLIENT6, clientFrame, REAL1, REAL2, REAL6, serverFrame, VIP, VIP6, World } from '../support/world.ts';

/** `UIPVS_FUZZ_FRAMES` asks for more. */
const ROUNDS = Number(process.env['UIPVS_FUZZ_FRAMES'] ?? 30_000);
const CANARY = 0xa5;

function crowdedWorld(): World {
  const world = new World({ connectionsMax: 64 });
  world.addService('rr', [[REAL1], [REAL2]], { persistence: 5 });
  world.addService('wlc', [[REAL1]], { port: 81, method: 'direct', serverPort: 81 });
  const gue = { type: 'gue', port: 6080, checksum: 'full' } as const;
  world.addService('rr', [[REAL1]], { port: 82, method: 'tunnel', serverPort: 82, tunnel: gue });
  world.addService('rr', [[REAL1]], { port: 21, serverPort: 21 });
  world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53, serverPort: 53, onePacket: true });
  world.addService('rr', [[REAL6]], { address: VIP6 });
  world.addService('rr', [[REAL6]], { address: VIP6, port: 82, method: 'tunnel', serverPort: 82 });
  const service = { protocol: 'sctp', address: VIP, port: 90 } as const;
  const base = { scheduler: 'rr', schedulerFlags: [], persistenceTimeoutSeconds: null, netmask: '255.255.255.255' };
  world.engine.execute({
    name: 'addService',
    service: { key: service, ...base, persistenceEngine: null, onePacket: false },
  });
  for (const [setting, value] of [
    ['sloppy_tcp', '1'],
    ['schedule_icmp', '1'],
    ['nat_icmp_send', '1'],
    ['expire_nodest_conn', '1'],
  ] as const) {
    world.engine.execute({ name: 'setSetting', setting, value });
  }
  return world;
}

function frames(): Uint8Array[] {
  const tcp4 = clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true, payload: 'PASV\r\n' });
  const quoted = clientFrame().ipv4(REAL1, CLIENT).tcp(8080, 40000, { ack: 1 }).subarray(14);
  return [
    tcp4,
    ...[81, 82, 21, 90].map((port) => clientFrame().ipv4(CLIENT, VIP).tcp(40000, port, { syn: true })),
    clientFrame().ipv4(CLIENT, VIP).tcp(40000, 21, { ack: 1, payload: 'PORT 1,2,3,4,5,6\r\n' }),
    serverFrame().ipv4(REAL1, CLIENT).tcp(21, 40000, { ack: 1, payload: '227 Entering (10,1,0,11,5,6)\r\n' }),
    clientFrame().ipv4(CLIENT, VIP).udp(40000, 53, { payload: 'question' }),
    serverFrame().ipv4(REAL1, CLIENT).tcp(8080, 40000, { syn: true, ack: 1 }),
    serverFrame().ipv4(REAL1, VIP).icmpError(3, 4, quoted),
    clientFrame().ipv6(CLIENT6, VIP6).tcp(40000, 80, { syn: true }),
    clientFrame().ipv6(CLIENT6, VIP6).tcp(40000, 82, { syn: true }),
    serverFrame().ipv6(REAL6, CLIENT6).tcp(8080, 40000, { syn: true, ack: 1 }),
    ...fragmentsOf(
      clientFrame()
        .ipv4(CLIENT, VIP, { id: 5 })
        .udp(40000, 53, { payload: new Uint8Array(900) }),
      420,
    ),
  ];
}

/** A right IPv4 header checksum, so that more than the first look is taken. */
function repairHeader(bytes: Uint8Array): void {
  const end = Math.min(14 + (bytes[14]! & 15) * 4, bytes.length);
  bytes.set([0, 0], 24);
  let sum = 0;
  for (let at = 14; at + 1 < end; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  bytes.set([(~sum >> 8) & 0xff, ~sum & 0xff], 24);
}

test(
  'mutated frames do no harm',
  () => {
    const random = Random.fromEnvironment();
    const world = crowdedWorld();
    const originals = frames();
    const batch = PacketBatch.allocate(1, 2048);
    let nowMs = world.nowMs;
    for (let round = 0; round < ROUNDS; round++) {
      const original = originals[random.below(originals.length)] as Uint8Array;
      const length = random.below(4) === 0 ? random.below(original.length) : original.length;
      const bytes = original.slice(0, length);
      for (let changes = random.below(4); changes > 0 && length > 12; changes--) {
        bytes[random.between(12, length - 1)] = random.below(256);
      }
      if (length > 34 && bytes[12] === 8 && random.below(4) !== 0) repairHeader(bytes);
      batch.clear();
      batch.bytes.fill(CANARY);
      batch.push(bytes, 1 + random.below(2), random.below(3));
      world.engine.process(batch, nowMs);
      const end = batch.end[0] as number;
      expect(end, `seed ${random.seed}`).toBeLessThanOrEqual(batch.ceiling[0] as number);
      expect(batch.start[0], `seed ${random.seed}`).toBeGreaterThanOrEqual(batch.floor[0] as number);
      world.engine.outbox.clear();
      if (random.below(50) === 0) {
        nowMs += random.below(20_000);
        world.engine.advance(nowMs);
        world.engine.outbox.clear();
      }
    }
    const destinations = world.services().flatMap((service) => service.destinations);
    const bound = destinations.reduce((sum, it) => sum + it.activeConnections + it.inactiveConnections, 0);
    const templates = destinations.reduce((sum, it) => sum + it.persistentConnections, 0);
    const rows = world.connections();
    expect(rows.filter(({ template }) => !template).length, `seed ${random.seed}`).toBe(bound);
    expect(rows.filter(({ template }) => template).length, `seed ${random.seed}`).toBe(templates);
    for (let minute = 0; minute < 60; minute++) world.engine.advance((nowMs += 60_000));
    expect(world.connections(), `seed ${random.seed}`).toEqual([]);
  },
  ROUNDS > 30_000 ? 3_600_000 : 60_000,
);
