/** What is not ours goes on as if we were not there. */
import { expect, test } from 'vitest';
import { arp, ethernet, expectFrame, icmp, ipv4, tcp } from '../support/expect-frame.ts';
import { frame } from '../support/frames.ts';
import { C0_MAC, CLIENT, clientFrame, HOST_MAC, REAL1, serverFrame, VIP, World } from '../support/world.ts';

function cableWorld(): World {
  const world = new World({ cable: true });
  world.addService('rr', [[REAL1]]);
  return world;
}

test('a stray segment to the service is given back to the host, whose stack answers with RST', () => {
  const world = cableWorld();
  const stray = clientFrame().ipv4(CLIENT, VIP, { ttl: 7 }).tcp(40000, 80, { ack: true });
  world.fromClient(stray);
  expectFrame(world.takeOne('cable'), ethernet({ to: HOST_MAC }), ipv4({ from: CLIENT, to: VIP, ttl: 7 }), tcp({}));
});

test('a server’s answer to a client that talks to it directly is given back to the host', () => {
  const world = cableWorld();
  world.fromServer(serverFrame().ipv4(REAL1, CLIENT, { ttl: 9 }).tcp(8080, 45678, { syn: true, ack: true }));
  expectFrame(world.takeOne('cable'), ethernet({ to: HOST_MAC }), ipv4({ from: REAL1, to: CLIENT, ttl: 9 }), tcp({}));
});

test('a server’s answer to a socket of the host itself was never held back', () => {
  const world = cableWorld();
  world.fromServer(serverFrame().ipv4(REAL1, '10.1.0.1').tcp(8080, 45678, { syn: true, ack: true }));
  expect(world.take()).toEqual([]);
  expect(world.lastVerdict).toBe('pass');
});

test('ICMP errors that concern no connection are given back, echo requests were never held back', () => {
  const world = cableWorld();
  const other = frame().ipv4(VIP, CLIENT).tcp(99, 98, { ack: true }).slice(14);
  world.fromClient(clientFrame().ipv4('203.0.113.1', VIP).icmpError(3, 1, other));
  expectFrame(world.takeOne('cable'), ipv4({ to: VIP }), icmp({ type: 3 }));
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).icmpEchoRequest({ id: 1, sequence: 1 }));
  expect(world.take()).toEqual([]);
});

test('frames for other machines and other services are left alone', () => {
  const world = cableWorld();
  world.fromClient(frame().ethernet({ to: '02:00:00:00:00:77' }).ipv4(CLIENT, VIP).tcp(1, 80, { syn: true }));
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 22, { syn: true }));
  expect(world.take()).toEqual([]);
  expect(world.counters().passes).toEqual({ 'other-host': 1, 'no-service': 1 });
});

test('ARP is answered for a VIP that the host does not own, and only for that', () => {
  const world = cableWorld();
  world.addService('rr', [[REAL1]], { address: '10.0.0.150' });
  const ask = (targetIp: string): void => {
    world.fromClient(
      frame()
        .ethernet({ from: '02:00:00:00:00:33', to: 'ff:ff:ff:ff:ff:ff' })
        .arp({ operation: 'request', senderMac: '02:00:00:00:00:33', senderIp: '10.0.0.33', targetIp }),
    );
  };
  ask('10.0.0.150');
  expectFrame(
    world.toClient(),
    ethernet({ from: C0_MAC, to: '02:00:00:00:00:33' }),
    arp({ operation: 'reply', senderMac: C0_MAC, senderIp: '10.0.0.150', targetIp: '10.0.0.33' }),
  );
  ask(VIP);
  ask('10.0.0.151');
  expect(world.take()).toEqual([]);
});
