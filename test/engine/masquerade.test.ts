import { expect, test } from 'vitest';
import { ethernet, expectFrame, icmp, ipv4, tcp, udp } from '../support/expect-frame.ts';
import { ipPacketOf } from '../support/frames.ts';
import {
  C0_MAC,
  CLIENT,
  clientFrame,
  GATEWAY_MAC,
  REAL1,
  REAL1_MAC,
  REAL2,
  S0_MAC,
  serverFrame,
  VIP,
  World,
} from '../support/world.ts';

function natWorld(): World {
  const world = new World();
  world.addService('rr', [[REAL1]]);
  return world;
}

test('masquerade gives the client its own view back', () => {
  const world = natWorld();
  world.fromClient(clientFrame().ipv4(CLIENT, VIP, { ttl: 64 }).tcp(40000, 80, { syn: true }));
  expectFrame(
    world.toServer(),
    ethernet({ from: S0_MAC, to: REAL1_MAC }),
    ipv4({ from: CLIENT, to: REAL1, ttl: 63, checksum: 'valid' }),
    tcp({ fromPort: 40000, toPort: 8080, syn: true, checksum: 'valid' }),
  );
  world.fromServer(serverFrame().ipv4(REAL1, CLIENT, { ttl: 64 }).tcp(8080, 40000, { syn: true, ack: true }));
  expectFrame(
    world.toClient(),
    ethernet({ from: C0_MAC, to: GATEWAY_MAC }),
    ipv4({ from: VIP, to: CLIENT, ttl: 63, checksum: 'valid' }),
    tcp({ fromPort: 80, toPort: 40000, syn: true, ack: true, checksum: 'valid' }),
  );
});

test('a connection stays with its destination, the next one goes to another', () => {
  const world = new World();
  world.addService('rr', [[REAL1], [REAL2]]);
  const serverOf = (port: number, flags: object): string => {
    world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(port, 80, flags));
    const bytes = world.toServer();
    return [...bytes.subarray(30, 34)].join('.');
  };
  const first = serverOf(40000, { syn: true });
  const second = serverOf(40001, { syn: true });
  expect(new Set([first, second])).toEqual(new Set([REAL1, REAL2]));
  expect(serverOf(40000, { ack: true })).toBe(first);
  expect(serverOf(40001, { ack: true })).toBe(second);
});

test('an unfinished checksum stays unfinished and gets the new addresses', () => {
  const world = natWorld();
  world.receive('c0', clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true, checksum: 'partial' }), {
    partial: true,
  });
  expectFrame(world.toServer(), ipv4({ to: REAL1 }), tcp({ toPort: 8080, checksum: 'partial' }));
});

test('a wrong checksum stays wrong', () => {
  const world = natWorld();
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true, checksum: 'broken' }));
  expectFrame(world.toServer(), ipv4({ to: REAL1 }), tcp({ toPort: 8080, checksum: 'broken' }));
});

test('a UDP datagram without checksum gets one', () => {
  const world = new World();
  world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53, serverPort: 5353 });
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).udp(5000, 53, { payload: 'odd', checksum: 'none' }));
  expectFrame(world.toServer(), ipv4({ to: REAL1 }), udp({ toPort: 5353, checksum: 'valid', payload: 'odd' }));
});

test('padding of the link is not sent on', () => {
  const world = natWorld();
  const padded = new Uint8Array(100);
  padded.set(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true }));
  world.fromClient(padded);
  expect(world.toServer().length).toBe(54);
});

test('a super-frame that stands for many segments is rewritten once and not taken for too large', () => {
  const world = natWorld();
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true }));
  world.take();
  const payload = new Uint8Array(20_000);
  const large = clientFrame()
    .ipv4(CLIENT, VIP, { df: true })
    .tcp(40000, 80, { ack: true, payload, checksum: 'partial' });
  world.receive('c0', large, { partial: true, segmentBytes: 1448 });
  expect(world.toServer().length).toBe(large.length);
});

test('an error of a router on the server side reaches the client as an error about its own packet', () => {
  const world = natWorld();
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true }));
  const forwarded = ipPacketOf(world.toServer());
  world.fromServer(serverFrame().ipv4('10.1.0.99', CLIENT).icmpError(3, 1, forwarded));
  expectFrame(
    world.toClient(),
    ipv4({ from: VIP, to: CLIENT }),
    icmp({
      type: 3,
      code: 1,
      checksum: 'valid',
      quoted: [ipv4({ from: CLIENT, to: VIP }), tcp({ fromPort: 40000, toPort: 80, checksum: 'any' })],
    }),
  );
});

test('an error of a router on the client side reaches the server as an error about its own packet', () => {
  const world = natWorld();
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true }));
  world.take();
  world.fromServer(serverFrame().ipv4(REAL1, CLIENT).tcp(8080, 40000, { syn: true, ack: true }));
  const toClient = ipPacketOf(world.toClient());
  world.fromClient(clientFrame().ipv4('203.0.113.1', VIP).icmpError(3, 4, toClient, { mtu: 1400 }));
  expectFrame(
    world.toServer(),
    ipv4({ from: '203.0.113.1', to: REAL1 }),
    icmp({
      type: 3,
      code: 4,
      mtu: 1400,
      checksum: 'valid',
      quoted: [ipv4({ from: REAL1, to: CLIENT }), tcp({ fromPort: 8080, toPort: 40000, checksum: 'any' })],
    }),
  );
});
