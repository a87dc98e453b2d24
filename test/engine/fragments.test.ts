import { expect, test } from 'vitest';
import { expectFrame, icmp, ipv4, udp } from '../support/expect-frame.ts';
import { fragmentsOf, ipPacketOf } from '../support/frames.ts';
import { CLIENT, clientFrame, REAL1, VIP, World } from '../support/world.ts';

const PAYLOAD = Uint8Array.from({ length: 2000 }, (_, i) => i & 0xff);
const whole = () => clientFrame().ipv4(CLIENT, VIP, { id: 77 }).udp(40000, 53, { payload: PAYLOAD });

function world53(options: { serverMtu?: number } = {}): World {
  const world = new World(options);
  world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53, serverPort: 5353 });
  return world;
}

test('fragments are put together, translated, and leave in the same sizes, whatever order they came in', () => {
  const pieces = fragmentsOf(whole(), 820);
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [1, 2, 0, 0],
  ]) {
    const world = world53();
    for (const index of order.slice(0, 3)) world.fromClient(pieces[index]!);
    const sent = world.take();
    expect(sent.map(({ link, bytes }) => [link, ipPacketOf(bytes).length])).toEqual([
      ['s0', 820],
      ['s0', 820],
      ['s0', ipPacketOf(pieces[2]!).length],
    ]);
    expectFrame(
      sent[0]!.bytes,
      ipv4({ from: CLIENT, to: REAL1, id: 77, ttl: 63, checksum: 'valid' }),
      udp({ toPort: 5353, checksum: 'any' }),
    );
    expect(Buffer.concat(sent.map(({ bytes }) => bytes.subarray(34))).subarray(8)).toEqual(Buffer.from(PAYLOAD));
  }
});

test('a packet too large for the way on is cut when nothing forbids it', () => {
  const world = world53({ serverMtu: 1400 });
  world.fromClient(
    clientFrame()
      .ipv4(CLIENT, VIP)
      .udp(40000, 53, { payload: PAYLOAD.subarray(0, 1440) }),
  );
  expect(world.take().map(({ bytes }) => ipPacketOf(bytes).length)).toEqual([1396, 92]);
});

test('pieces that overlap are thrown away together', () => {
  const world = world53();
  const [first, second] = fragmentsOf(whole(), 820);
  const lying = second!.slice();
  lying[21] = 50;
  lying.set([0, 0], 24);
  world.fromClient(first!);
  world.fromClient(refreshed(lying));
  expect(world.lastVerdict).toBe('drop');
  expect(world.counters().drops).toMatchObject({ 'fragment-overlap': 1 });
});

test('the beginning of a packet whose rest never comes is reported after 30 seconds, where the host cannot', () => {
  const world = new World({ cable: true });
  world.addService('rr', [[REAL1]], { protocol: 'udp', port: 53 });
  world.fromClient(fragmentsOf(whole(), 820)[0]!);
  expect(world.wait(29_000).take()).toEqual([]);
  world.wait(2_000);
  expectFrame(world.toClient(), ipv4({ from: VIP, to: CLIENT }), icmp({ type: 11, code: 1, checksum: 'valid' }));
});

test('unfinished packets are bounded', () => {
  const world = world53();
  for (let id = 1; id <= 1100; id++) {
    const packet = clientFrame().ipv4(CLIENT, VIP, { id }).udp(40000, 53, { payload: PAYLOAD });
    world.fromClient(fragmentsOf(packet, 820)[0]!);
  }
  expect(world.counters().drops).toMatchObject({ 'fragments-full': 1100 - 1024 });
  world.wait(31_000);
  world.fromClient(fragmentsOf(whole(), 820)[0]!);
  expect(world.lastVerdict).toBe('consume');
});

/** With a right IPv4 header checksum again. */
function refreshed(frame: Uint8Array): Uint8Array {
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += (frame[at]! << 8) | frame[at + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  frame.set([(~sum >> 8) & 0xff, ~sum & 0xff], 24);
  return frame;
}
