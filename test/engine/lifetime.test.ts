import { expect, test } from 'vitest';
import { expectFrame, icmp, ipv4, tcp } from '../support/expect-frame.ts';
import { CLIENT, clientFrame, REAL1, REAL2, serverFrame, VIP, World } from '../support/world.ts';

function counts(world: World): (readonly [active: number, inactive: number])[] {
  return world.services()[0]!.destinations.map((d) => [d.activeConnections, d.inactiveConnections] as const);
}

test('a TCP connection counts as active until it closes, and is forgotten after TIME_WAIT', () => {
  const world = new World();
  world.addService('rr', [[REAL1]]);
  const client = (flags: object) => world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, flags));
  const server = (flags: object) => world.fromServer(serverFrame().ipv4(REAL1, CLIENT).tcp(8080, 40000, flags));
  client({ syn: true });
  expect(world.connections()[0]).toMatchObject({ state: 'SYN_RECV', expiresSeconds: 60 });
  server({ syn: true, ack: true });
  client({ ack: true });
  expect(world.connections()[0]).toMatchObject({ state: 'ESTABLISHED', expiresSeconds: 900 });
  expect(counts(world)).toEqual([[1, 0]]);
  client({ fin: true, ack: true });
  expect(world.connections()[0]!.state).toBe('CLOSE_WAIT');
  server({ fin: true, ack: true });
  expect(world.connections()[0]).toMatchObject({ state: 'TIME_WAIT', expiresSeconds: 120 });
  expect(counts(world)).toEqual([[0, 1]]);
  // The kernel's timers on this level fire up to two seconds late.
  world.wait(119_000);
  expect(world.connections()).toHaveLength(1);
  world.wait(4_000);
  expect(world.connections()).toHaveLength(0);
  expect(counts(world)).toEqual([[0, 0]]);
});

test('UDP connections are never active and live five minutes', () => {
  const world = new World();
  world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53 });
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).udp(5000, 53, { payload: 'x' }));
  expect(world.connections()[0]).toMatchObject({ protocol: 'UDP', state: 'UDP', expiresSeconds: 300 });
  expect(counts(world)).toEqual([[0, 1]]);
});

test('a SYN on a port that was closed is scheduled anew', () => {
  const world = new World();
  world.addService('rr', [[REAL1], [REAL2]]);
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true }));
  const first = world.connections()[0]!.destination.address;
  world.fromServer(serverFrame().ipv4(first, CLIENT).tcp(8080, 40000, { rst: true }));
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true }));
  // The old one goes with the next tick.
  const now = world.wait(5).connections();
  expect(now).toHaveLength(1);
  expect(now[0]!.destination.address).not.toBe(first);
});

test('without a usable destination the client gets port unreachable from the VIP', () => {
  const world = new World();
  world.addService('rr', [[REAL1, 0]]);
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true }));
  expectFrame(
    world.toClient(),
    ipv4({ from: VIP, to: CLIENT }),
    icmp({ type: 3, code: 3, checksum: 'valid', quoted: [ipv4({ to: VIP }), tcp({ toPort: 80, checksum: 'any' })] }),
  );
});

test('packets of a deleted destination are dropped, and its connections continue when it returns', () => {
  const world = new World();
  world.addService('rr', [[REAL1]]);
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true }));
  world.take();
  const service = { protocol: 'tcp', address: VIP, port: 80 } as const;
  const { spec } = world.services()[0]!.destinations[0]!;
  world.engine.execute({ name: 'deleteDestination', service, destination: { address: REAL1, port: 8080 } });
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { ack: true }));
  expect(world.take()).toEqual([]);
  expect(world.counters().drops).toEqual({ 'destination-gone': 1 });
  world.engine.execute({ name: 'addDestination', service, destination: spec });
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { ack: true }));
  expectFrame(world.toServer(), ipv4({ to: REAL1 }), tcp({ ack: true }));
});

test('a full table drops and counts, and takes new connections when old ones are gone', () => {
  const world = new World({ connectionsMax: 4 });
  world.addService('rr', [[REAL1]]);
  for (let port = 1; port <= 6; port++) {
    world.fromClient(
      clientFrame()
        .ipv4(CLIENT, VIP)
        .tcp(40000 + port, 80, { syn: true }),
    );
  }
  expect(world.take()).toHaveLength(4);
  expect(world.counters().drops).toEqual({ 'table-full': 2 });
  world.wait(63_000);
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(50000, 80, { syn: true }));
  expect(world.take()).toHaveLength(1);
});

test('timeouts can be changed, and 0 leaves one alone', () => {
  const world = new World();
  world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53 });
  world.engine.execute({ name: 'setTimeouts', timeouts: { tcpSeconds: 0, tcpFinSeconds: 0, udpSeconds: 10 } });
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).udp(5000, 53, { payload: 'x' }));
  expect(world.connections()[0]!.expiresSeconds).toBe(10);
  expect(world.engine.execute<'getTimeouts'>({ name: 'getTimeouts' })).toEqual({
    tcpSeconds: 900,
    tcpFinSeconds: 120,
    udpSeconds: 10,
  });
});
