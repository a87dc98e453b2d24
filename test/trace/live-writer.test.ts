import { expect, test } from 'vitest';
import { CONSUME, DELIVER, DROP, REASON, TRANSMIT } from '../../src/engine/verdict.ts';
import { LiveWriter } from '../../src/trace/live-writer.ts';
import { createTwoSides } from '../../src/trace/two-sides.ts';
import type { TapFrame, TapRecord } from '../../src/wire/tap-record.ts';
import { readCapture } from '../support/captures.ts';
import { expectFrame, ipv4, tcp } from '../support/expect-frame.ts';
import { frame } from '../support/frames.ts';

const TIME_US = 1_700_000_000_000_001;

function tapped(bytes: Uint8Array, more: Partial<TapFrame> = {}): TapFrame {
  return { bytes, originalBytes: bytes.length, partialChecksum: false, superFrame: false, ...more };
}

function record(came: TapFrame | null, left: TapFrame | null, more: Partial<TapRecord> = {}): TapRecord {
  return { timeUs: TIME_US, verdict: TRANSMIT, reason: 0, ingress: 2, egress: 3, came, left, ...more };
}

function write(records: readonly TapRecord[], links: readonly [number, string][] = []) {
  const pieces: Uint8Array[] = [];
  const sink = { write: (bytes: Uint8Array) => void pieces.push(bytes), settle() {}, flush() {}, close() {} };
  const writer = new LiveWriter(createTwoSides(sink, 'pcapng'));
  writer.links = new Map(links);
  for (const each of records) writer.write(each);
  return { ...readCapture(Buffer.concat(pieces)), writer };
}

const came = (fields: object = {}) => frame().ipv4('198.51.100.7', '192.0.2.1', { id: 7 }).tcp(40_000, 80, fields);
const left = (fields: object = {}) => frame().ipv4('198.51.100.7', '10.0.0.11', { id: 7 }).tcp(40_000, 8080, fields);

test('a rewritten packet has both sides at the same time, and says what was changed', () => {
  const { packets, writer } = write([record(tapped(came()), tapped(left()))]);
  expect(packets.map(({ interfaceIndex, direction, timestampNs }) => [interfaceIndex, direction, timestampNs])).toEqual(
    [
      [0, 'inbound', 1_700_000_000_000_001_000n],
      [1, 'outbound', 1_700_000_000_000_001_000n],
    ],
  );
  expect(packets[1]?.comments[0]).toMatch(/^dst 192\.0\.2\.1:80 → 10\.0\.0\.11:8080, checksum /);
  expect(writer).toMatchObject({ came: 1, left: 1 });
});

test('checksums that were left to the card are finished in the file', () => {
  const unfinished = { checksum: 'partial', payload: 'hello' };
  const { packets } = write([
    record(
      tapped(came(unfinished), { partialChecksum: true }),
      tapped(left(unfinished), { partialChecksum: true, superFrame: true }),
    ),
  ]);
  expectFrame(packets[0]?.data, ipv4({ to: '192.0.2.1' }), tcp({ checksum: 'valid' }));
  expectFrame(packets[1]?.data, ipv4({ to: '10.0.0.11' }), tcp({ checksum: 'valid' }));
  expect(packets[1]?.comments[0]).toMatch(/; a super-frame of 59 bytes, cut by the card or the kernel$/);
});

test('a frame of which only the beginning was kept keeps its checksum, and its length', () => {
  const whole = came({ checksum: 'partial', payload: 'x'.repeat(500) });
  const { packets } = write([
    record({ ...tapped(whole.slice(0, 96), { partialChecksum: true }), originalBytes: whole.length }, null),
  ]);
  expect(packets[0]).toMatchObject({ originalBytes: whole.length });
  expect(packets[0]?.data).toEqual(whole.slice(0, 96));
});

test('a packet that had waited for its next hop is found again', () => {
  const { packets } = write([
    record(tapped(came({ syn: true, seq: 5 })), null, { verdict: CONSUME, egress: -1 }),
    record(null, tapped(frame().ipv4('10.0.0.1', '10.0.0.2').udp(1, 2, {})), { verdict: 0, ingress: -1 }),
    record(null, tapped(left({ syn: true, seq: 5 })), { verdict: 0, ingress: -1 }),
  ]);
  expect(packets.map(({ comments }) => comments[0])).toEqual([
    'taken by the balancer: answered, learned from, or kept until it can be sent',
    'said by the balancer itself',
    expect.stringMatching(
      /^dst 192\.0\.2\.1:80 → 10\.0\.0\.11:8080, .*; had waited for the MAC address of the next hop$/,
    ),
  ]);
});

test('what was not sent has the reason; what went to this host says so', () => {
  const { packets } = write([
    record(tapped(came()), null, { verdict: DROP, reason: REASON['table-full'] }),
    record(tapped(came()), tapped(left()), { verdict: DELIVER }),
  ]);
  expect(packets[0]?.comments).toEqual(['dropped: table-full (the connection table is full)']);
  expect(packets[2]?.comments[0]).toMatch(/; to this host$/);
});

test('links are named where there are several', () => {
  const one = write([record(tapped(came()), null)], [[2, 'eth0']]);
  expect(one.packets[0]?.comments).toEqual([]);
  const two = write(
    [record(tapped(came()), null)],
    [
      [2, 'eth0'],
      [3, 'eth1'],
    ],
  );
  expect(two.packets[0]?.comments).toEqual(['link eth0']);
});
