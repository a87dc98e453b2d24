import { expect, test } from 'vitest';
import { arp, ethernet, expectFrame, icmp, ipv4, tcp } from '../support/expect-frame.ts';
import { frame } from '../support/frames.ts';
import { CLIENT, clientFrame, REAL1, REAL1_MAC, S0_MAC, VIP, World } from '../support/world.ts';

test('direct routing changes the MAC addresses and the time to live, nothing else', () => {
  const world = new World();
  world.addService('rr', [[REAL1]], { method: 'direct', serverPort: 80 });
  world.fromClient(clientFrame().ipv4(CLIENT, VIP, { ttl: 9 }).tcp(40000, 80, { syn: true }));
  expectFrame(
    world.toServer(),
    ethernet({ from: S0_MAC, to: REAL1_MAC }),
    ipv4({ from: CLIENT, to: VIP, ttl: 8, checksum: 'valid' }),
    tcp({ fromPort: 40000, toPort: 80, checksum: 'valid' }),
  );
});

test('a packet with no time left to live is answered from the VIP', () => {
  const world = new World();
  world.addService('rr', [[REAL1]], { method: 'direct', serverPort: 80 });
  world.fromClient(clientFrame().ipv4(CLIENT, VIP, { ttl: 1 }).tcp(40000, 80, { syn: true }));
  expectFrame(
    world.toClient(),
    ipv4({ from: VIP, to: CLIENT }),
    icmp({ type: 11, code: 0, checksum: 'valid', quoted: [ipv4({ from: CLIENT, to: VIP }), tcp({ checksum: 'any' })] }),
  );
});

test('a packet too large for the way on is answered with the MTU', () => {
  const world = new World({ serverMtu: 1400 });
  world.addService('rr', [[REAL1]], { method: 'direct', serverPort: 80 });
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true }));
  world.take();
  const payload = new Uint8Array(1400);
  world.fromClient(clientFrame().ipv4(CLIENT, VIP, { df: true }).tcp(40000, 80, { ack: true, payload }));
  expectFrame(world.toClient(), ipv4({ from: VIP }), icmp({ type: 3, code: 4, mtu: 1400, checksum: 'valid' }));
});

test('the first packet waits until the server has said its MAC', () => {
  const world = new World({ knownServers: [] });
  world.addService('rr', [[REAL1]], { method: 'direct', serverPort: 80 });
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true }));
  expectFrame(world.toServer(), arp({ operation: 'request', senderIp: '10.1.0.1', targetIp: REAL1 }));
  world.receive(
    's0',
    frame()
      .ethernet({ from: REAL1_MAC, to: S0_MAC })
      .arp({ operation: 'reply', senderMac: REAL1_MAC, senderIp: REAL1, targetMac: S0_MAC, targetIp: '10.1.0.1' }),
  );
  expectFrame(world.toServer(), ethernet({ to: REAL1_MAC }), ipv4({ to: VIP }), tcp({ syn: true }));
});

test('a server that never answers ARP is asked three times, then its packets are dropped and counted', () => {
  const world = new World({ knownServers: [] });
  world.addService('rr', [[REAL1]], { method: 'direct', serverPort: 80 });
  world.fromClient(clientFrame().ipv4(CLIENT, VIP).tcp(40000, 80, { syn: true }));
  let questions = world.take().length;
  for (let i = 0; i < 6; i++) questions += world.wait(1000).take().length;
  expect(questions).toBe(3);
  expect(world.counters().drops).toEqual({ 'neighbor-unknown': 1 });
});
