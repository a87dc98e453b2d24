import { describe, expect, test } from 'vitest';
import { PacketPairing } from '../../src/engine/pairing.ts';
import type { PacketTrace } from '../../src/model/packet-trace.ts';
import { ipPacketOf } from '../support/frames.ts';
import { CLIENT, clientFrame, GATEWAY_MAC, REAL1, REAL2, serverFrame, VIP, World } from '../support/world.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const syn = (port = 40000): Uint8Array => clientFrame().ipv4(CLIENT, VIP, { ttl: 64 }).tcp(port, 80, { syn: true });

function rehearse(world: World, frame: Uint8Array, link?: string): PacketTrace {
  return world.engine.execute({
    name: 'rehearse',
    packet: hex(ipPacketOf(frame)),
    ...(link === undefined ? {} : { link }),
  });
}

/** Everything about the engine that anybody can ask. */
function stateOf(world: World): unknown {
  const ask = (name: 'getTotals' | 'getPerCpu' | 'listHelpers' | 'getCounters' | 'listSettings') =>
    world.engine.execute({ name });
  return {
    services: world.services(),
    connections: world.connections(),
    rest: (['getTotals', 'getPerCpu', 'listHelpers', 'getCounters', 'listSettings'] as const).map(ask),
    outbox: world.engine.outbox.count,
    deadline: world.engine.nextDeadlineMs(),
  };
}

test.each(['rr', 'wrr', 'lc', 'wlc', 'sed', 'nq', 'dh', 'sh', 'mh', 'lblc', 'lblcr', 'fo', 'ovf', 'twos'])(
  'a rehearsal with %s changes nothing, and says what then happens',
  (scheduler) => {
    const world = new World();
    world.addService(
      scheduler,
      [
        [REAL1, 3],
        [REAL2, 2],
      ],
      scheduler === 'lc' ? { persistence: 300 } : {},
    );
    const twin = new World();
    twin.addService(
      scheduler,
      [
        [REAL1, 3],
        [REAL2, 2],
      ],
      scheduler === 'lc' ? { persistence: 300 } : {},
    );
    for (let i = 0; i < 60; i++) {
      const frame = syn(40_000 + (i % 23));
      const before = stateOf(world);
      const said = rehearse(world, frame);
      expect(rehearse(world, frame)).toEqual(said);
      expect(stateOf(world)).toEqual(before);
      const sent = world.fromClient(frame).take();
      expect(said.outputs.map(({ link, frame: bytes }) => ({ link, bytes }))).toEqual(
        sent.map(({ link, bytes }) => ({ link, bytes: hex(bytes) })),
      );
      // A world in which nothing was ever rehearsed goes the same way.
      expect(twin.fromClient(frame).take()).toEqual(sent);
      for (const each of [world, twin]) each.wait(37);
    }
    expect(stateOf(world)).toEqual(stateOf(twin));
  },
);

describe('a rehearsal tells', () => {
  test('a new connection by the scheduler with its arithmetic, and the way out', () => {
    const world = new World();
    world.addService('wlc', [[REAL1], [REAL2]]);
    world.fromClient(syn(1)).take();
    expect(rehearse(world, syn(2))).toMatchObject({
      link: 'c0',
      verdict: 'transmit',
      source: { address: CLIENT, port: 2 },
      service: { key: { address: VIP, port: 80 }, matchedBy: 'address and port' },
      choice: {
        scheduler: 'wlc',
        candidates: [
          { server: { address: REAL1 }, sum: '(1*256+0)/1 = 256' },
          { server: { address: REAL2 }, sum: '(0*256+0)/1 = 0' },
        ],
        chosen: { address: REAL2, port: 8080 },
      },
      connection: {
        direction: 'inbound',
        isNew: true,
        method: 'masquerade',
        after: { state: 'SYN_RECV' },
        timeoutSeconds: 60,
      },
      egress: { link: 's0', nextHop: REAL2, byGateway: false },
    });
  });

  test('a connection that is there, both ways, with its state before and after', () => {
    const world = new World();
    world.addService('rr', [[REAL1]]);
    world.fromClient(syn()).take();
    const reply = serverFrame().ipv4(REAL1, CLIENT).tcp(8080, 40000, { syn: true, ack: true });
    expect(rehearse(world, reply)).toMatchObject({
      link: 's0',
      connection: {
        direction: 'outbound',
        isNew: false,
        stateBefore: 'SYN_RECV',
        after: { state: 'SYN_RECV' },
        timeoutSeconds: 60,
      },
      egress: { link: 'c0', nextHop: '10.0.0.254', byGateway: true, mac: GATEWAY_MAC },
      choice: null,
    });
  });

  test('a template that is made, found, and given up', () => {
    const world = new World();
    world.addService('rr', [[REAL1], [REAL2]], { persistence: 300 });
    expect(rehearse(world, syn(1)).template).toMatchObject({ how: 'made', client: CLIENT });
    world.fromClient(syn(1)).take();
    const found = rehearse(world, syn(2));
    expect(found).toMatchObject({ template: { how: 'found' }, choice: null });
    const server = found.template!.server;
    const key = { protocol: 'tcp', address: VIP, port: 80 } as const;
    world.engine.execute({ name: 'deleteDestination', service: key, destination: server });
    const replaced = rehearse(world, syn(3));
    expect(replaced.template!.how).toBe('replaced');
    expect(replaced.template!.server.address).not.toBe(server.address);
  });

  test('a drop with its reason, and the answer of our own', () => {
    const world = new World();
    world.addService('wlc', [[REAL1, 0]]);
    expect(rehearse(world, syn())).toMatchObject({
      verdict: 'drop',
      reason: 'no-destination',
      outputs: [{ kind: 'own', link: 'c0' }],
      choice: { chosen: null, candidates: [{ passedBy: 'weight 0 takes nothing new' }] },
    });
  });

  test('a server whose MAC is not known yet', () => {
    const world = new World({ knownServers: [] });
    world.addService('rr', [[REAL1]]);
    expect(rehearse(world, syn())).toMatchObject({ verdict: 'consume', egress: { mac: null, nextHop: REAL1 } });
    expect(world.take()).toEqual([]);
  });
});

test.each([
  [{}, 'either a packet'],
  [{ packet: '45', frame: '00' }, 'either a packet'],
  [{ packet: '' }, 'hexadecimal'],
  [{ packet: '4' }, 'hexadecimal'],
  [{ packet: 'zz' }, 'hexadecimal'],
  [{ packet: '00' }, 'version 4 or 6, not 0'],
  [{ packet: '45', link: 'nowhere' }, 'no link nowhere is served here; there are: c0, s0'],
])('%j is refused', (wish, sentence) => {
  const world = new World();
  world.addService('rr', [[REAL1]]);
  expect(() => world.engine.execute({ name: 'rehearse', ...wish })).toThrow(sentence);
});

test('bytes cut anywhere, and frames of any kind, are told and never throw', () => {
  const world = new World();
  world.addService('rr', [[REAL1]]);
  const whole = ipPacketOf(syn());
  for (let length = 1; length <= whole.length; length++) {
    const trace = world.engine.execute<'rehearse'>({ name: 'rehearse', packet: hex(whole.subarray(0, length)) });
    expect(trace.verdict).toBe(length < whole.length ? 'drop' : 'transmit');
  }
  for (const frame of [
    '00',
    '020000000001020000000002080600',
    hex(clientFrame().arp({ operation: 'request', senderMac: GATEWAY_MAC, senderIp: CLIENT, targetIp: VIP })),
  ]) {
    expect(() => world.engine.execute({ name: 'rehearse', frame })).not.toThrow();
  }
});

test('a pairing answers each frame with its trace, and leaves the engine unwatched', () => {
  const world = new World();
  world.addService('rr', [[REAL1]]);
  const pairing = new PacketPairing(world.engine);
  const { trace, batch } = pairing.process({ bytes: syn(), linkIndex: 1 }, world.nowMs);
  expect(trace.frame).toBe(hex(syn()));
  expect(trace.outputs).toEqual([
    { kind: 'packet', link: 's0', frame: hex(batch.frame(0)), bytes: batch.frame(0).length },
  ]);
  expect(() => pairing.process({ bytes: new Uint8Array(70_000), linkIndex: 1 }, world.nowMs)).toThrow('too long');
  pairing.close();
});
