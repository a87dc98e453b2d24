import { expect, test } from 'vitest';
import { ethernet, expectFrame, icmp, ipv4, tcp } from '../support/expect-frame.ts';
import { frame, ipPacketOf } from '../support/frames.ts';
import {
  CABLE_ADDRESS,
  CABLE_MAC,
  CLIENT,
  clientFrame,
  GATEWAY_MAC,
  HOST_MAC,
  REAL1,
  serverFrame,
  VIP,
  World,
} from '../support/world.ts';

const DIRECTOR = '10.1.0.1';

test('full NAT shows the server the director, and the client the VIP', () => {
  const world = new World({ sourceNat: 'masquerade' });
  world.addService('rr', [[REAL1]]);
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(20000, 80, { syn: true }));
  expectFrame(
    world.toServer(),
    ipv4({ from: DIRECTOR, to: REAL1, checksum: 'valid' }),
    tcp({ fromPort: 20000, toPort: 8080, checksum: 'valid' }),
  );
  world.fromServer(serverFrame().ipv4(REAL1, DIRECTOR).tcp(8080, 20000, { syn: true, ack: true }));
  expectFrame(
    world.toClient(),
    ethernet({ to: GATEWAY_MAC }),
    ipv4({ from: VIP, to: CLIENT, checksum: 'valid' }),
    tcp({ fromPort: 80, toPort: 20000, checksum: 'valid' }),
  );
  expect(world.connections()[0]).toMatchObject({
    client: { address: CLIENT },
    local: { address: DIRECTOR, port: 20000 },
  });
});

test('ports of the host and ports in use are never taken', () => {
  const world = new World({ sourceNat: 'masquerade', localPortRange: [1100, 65_400] });
  world.addService('rr', [[REAL1]]);
  const seen = new Set<number>();
  // 76 ports below the host's range, 135 above it.
  for (let i = 0; i < 211; i++) {
    world.fromClient(
      clientFrame()
        .ipv4(`198.51.100.${i + 1}`, VIP)
        .tcp(40000, 80, { syn: true }),
    );
    const bytes = world.toServer();
    const port = (bytes[34]! << 8) | bytes[35]!;
    expect(port < 1100 || port > 65_400).toBe(true);
    expect(seen.has(port)).toBe(false);
    seen.add(port);
  }
  world.fromClient(clientFrame().ipv4('198.51.100.250', VIP).tcp(40000, 80, { syn: true }));
  expect(world.take()).toEqual([]);
  expect(world.counters().drops).toEqual({ 'ports-used-up': 1 });
});

test('the pair of a connection that both sides have closed may be used again', () => {
  const world = new World({ sourceNat: 'masquerade', localPortRange: [1025, 65_535] });
  world.addService('rr', [[REAL1]]);
  const open = (client: string): void => {
    world.fromClient(clientFrame().ipv4(client, VIP).tcp(1024, 80, { syn: true }));
  };
  open('198.51.100.1');
  world.toServer();
  open('198.51.100.2');
  expect(world.take()).toEqual([]);
  world.fromServer(serverFrame().ipv4(REAL1, DIRECTOR).tcp(8080, 1024, { rst: true }));
  world.toClient();
  open('198.51.100.2');
  expectFrame(world.toServer(), ipv4({ from: DIRECTOR }), tcp({ fromPort: 1024 }));
  expect(world.connections()).toHaveLength(1);
});

test('an address given by name is used instead of the route’s', () => {
  const world = new World({ sourceNat: '10.1.0.200' });
  world.addService('rr', [[REAL1]]);
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(20000, 80, { syn: true }));
  expectFrame(world.toServer(), ipv4({ from: '10.1.0.200', to: REAL1 }), tcp({ toPort: 8080 }));
});

test('an ICMP error about the director’s packet reaches the client as one about its own', () => {
  const world = new World({ sourceNat: 'masquerade' });
  world.addService('rr', [[REAL1]]);
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(20000, 80, { syn: true }));
  const forwarded = ipPacketOf(world.toServer());
  world.fromServer(serverFrame().ipv4(REAL1, DIRECTOR).icmpError(3, 3, forwarded));
  expectFrame(
    world.toClient(),
    ipv4({ from: VIP, to: CLIENT }),
    icmp({
      checksum: 'valid',
      quoted: [ipv4({ from: CLIENT, to: VIP }), tcp({ fromPort: 20000, toPort: 80, checksum: 'any' })],
    }),
  );
});

test('a server on the director’s loopback answers through the host link', () => {
  const world = new World({ cable: true });
  world.addService('rr', [['127.0.0.1']], { serverPort: 80 });
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(20000, 80, { syn: true }));
  expectFrame(
    world.takeOne('cable'),
    ethernet({ from: CABLE_MAC, to: HOST_MAC }),
    ipv4({ from: CABLE_ADDRESS, to: '127.0.0.1', ttl: 64, checksum: 'valid' }),
    tcp({ fromPort: 20000, toPort: 80, checksum: 'valid' }),
  );
  const reply = frame()
    .ethernet({ from: HOST_MAC, to: CABLE_MAC })
    .ipv4('127.0.0.1', CABLE_ADDRESS, { ttl: 64 })
    .tcp(80, 20000, { syn: true, ack: true });
  world.receive('cable', reply);
  expectFrame(world.toClient(), ipv4({ from: VIP, to: CLIENT, ttl: 64 }), tcp({ fromPort: 80, checksum: 'valid' }));
});
