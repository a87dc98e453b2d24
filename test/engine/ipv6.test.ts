import { expect, test } from 'vitest';
import { ethernet, expectFrame, icmp, ipv6, tcp, udp } from '../support/expect-frame.ts';
import { frame } from '../support/frames.ts';
import {
  C0_MAC,
  CLIENT6,
  clientFrame,
  GATEWAY_MAC,
  REAL1_MAC,
  REAL6,
  S0_MAC,
  serverFrame,
  VIP6,
  World,
} from '../support/world.ts';

test('NAT over IPv6 translates both ways, with right checksums and one hop less', () => {
  const world = new World();
  world.addService('rr', [[REAL6]], { address: VIP6 });
  world.fromClient(clientFrame().ipv6(CLIENT6, VIP6, { hopLimit: 9 }).tcp(40000, 80, { syn: true }));
  expectFrame(
    world.toServer(),
    ethernet({ from: S0_MAC, to: REAL1_MAC }),
    ipv6({ from: CLIENT6, to: REAL6, hopLimit: 8 }),
    tcp({ fromPort: 40000, toPort: 8080, checksum: 'valid' }),
  );
  world.fromServer(serverFrame().ipv6(REAL6, CLIENT6).tcp(8080, 40000, { syn: true, ack: 2 }));
  expectFrame(
    world.toClient(),
    ethernet({ from: C0_MAC, to: GATEWAY_MAC }),
    ipv6({ from: VIP6, to: CLIENT6 }),
    tcp({ fromPort: 80, toPort: 40000, checksum: 'valid' }),
  );
  expect(world.connections()[0]).toMatchObject({ virtual: { address: VIP6, port: 80 }, state: 'SYN_RECV' });
});

test('full NAT over IPv6 takes the address of the way to the server and finds the answer by it', () => {
  const world = new World({ sourceNat: 'masquerade' });
  world.addService('rr', [[REAL6]], { address: VIP6, protocol: 'udp', port: 53, serverPort: 53 });
  world.fromClient(clientFrame().ipv6(CLIENT6, VIP6).udp(20000, 53, { payload: 'question' }));
  expectFrame(
    world.toServer(),
    ipv6({ from: 'fd00:1::1', to: REAL6 }),
    udp({ fromPort: 20000, toPort: 53, checksum: 'valid' }),
  );
  world.fromServer(serverFrame().ipv6(REAL6, 'fd00:1::1').udp(53, 20000, { payload: 'answer' }));
  expectFrame(
    world.toClient(),
    ipv6({ from: VIP6, to: CLIENT6 }),
    udp({ fromPort: 53, toPort: 20000, checksum: 'valid' }),
  );
});

test('a client is told that nobody listens, with a right pseudo-header checksum', () => {
  const world = new World();
  world.addService('rr', [], { address: VIP6 });
  world.fromClient(clientFrame().ipv6(CLIENT6, VIP6).tcp(40000, 80, { syn: true }));
  expectFrame(
    world.toClient(),
    ipv6({ from: VIP6, to: CLIENT6 }),
    icmp({
      type: 1,
      code: 4,
      checksum: 'valid',
      quoted: [ipv6({ from: CLIENT6, to: VIP6 }), tcp({ checksum: 'any' })],
    }),
  );
});

test('an unknown next hop is asked for by neighbour discovery, and the frame waits for the answer', () => {
  const world = new World({ knownServers: [] });
  world.addService('rr', [[REAL6]], { address: VIP6 });
  world.fromClient(clientFrame().ipv6(CLIENT6, VIP6).tcp(40000, 80, { syn: true }));
  expectFrame(
    world.toServer(),
    ethernet({ to: '33:33:ff:00:00:11' }),
    ipv6({ from: 'fd00:1::1', to: 'ff02::1:ff00:11', hopLimit: 255 }),
    icmp({ type: 135, checksum: 'valid' }),
  );
  const advertisement = new Uint8Array([
    ...[0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11],
    ...[2, 1, 2, 0, 0, 1, 0, 0x0b],
  ]);
  const flags = new Uint8Array([0x60, 0, 0, 0]);
  world.fromServer(serverFrame().ipv6(REAL6, 'fd00:1::1', { hopLimit: 255 }).icmp(136, 0, flags, advertisement));
  expectFrame(world.toServer(), ethernet({ to: REAL1_MAC }), ipv6({ to: REAL6 }), tcp({ syn: true }));
});

test('who asks for a VIP that the host does not own gets an answer', () => {
  const world = new World();
  world.addService('rr', [[REAL6]], { address: 'fd00::200' });
  const question = new Uint8Array([
    ...[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0],
    ...[1, 1, 2, 0, 0, 0, 0, 0xfe],
  ]);
  world.fromClient(
    frame()
      .ethernet({ from: GATEWAY_MAC, to: '33:33:ff:00:02:00' })
      .ipv6('fd00::fe', 'ff02::1:ff00:200', { hopLimit: 255 })
      .icmp(135, 0, new Uint8Array(4), question),
  );
  expectFrame(
    world.toClient(),
    ethernet({ from: C0_MAC, to: GATEWAY_MAC }),
    ipv6({ from: 'fd00::200', to: 'fd00::fe', hopLimit: 255 }),
    icmp({ type: 136, checksum: 'valid' }),
  );
});
