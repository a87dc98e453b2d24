import { expect, test } from 'vitest';
import { expectFrame, ipv4, tcp } from '../support/expect-frame.ts';
import { CLIENT, clientFrame, REAL1, VIP, World } from '../support/world.ts';

const RECORD_ROUTE = 7;

function forwarded(options: readonly number[]): Uint8Array {
  const world = new World();
  world.addService('rr', [[REAL1]]);
  world.fromClient(clientFrame().ipv4(CLIENT, VIP, { options }).tcp(40000, 80, { syn: true }));
  return world.toServer();
}

test('the virtual address goes into the first free place of a recorded route', () => {
  const frame = forwarded([RECORD_ROUTE, 7, 4, 0, 0, 0, 0, 0]);
  expectFrame(frame, ipv4({ to: REAL1, options: [RECORD_ROUTE, 7, 8, 10, 0, 0, 100, 0] }), tcp({ checksum: 'valid' }));
});

// Found by the fuzz run: the address was written behind the header, where the option's length said there was room.
test('an option that is longer than the header is left alone', () => {
  const options = [RECORD_ROUTE, 39, 36, 0, 0, 0, 0, 0];
  const frame = forwarded(options);
  expectFrame(frame, ipv4({ to: REAL1, options }), tcp({ checksum: 'valid' }));
  expect(frame).toHaveLength(14 + 28 + 20);
});
